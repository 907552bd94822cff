//! Every decoder under tens of thousands of mutated inputs, on the stable toolchain. `fuzz/` drives the same entries with
//! coverage and without end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(unsafe_code, reason = "an allocator that remembers the largest request")]

#[path = "support/mutate.rs"]
mod mutate;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashSet;

use fountain_lsm::fuzz_entry::{Decoded, Decoder, Promise};
use mutate::Mutator;

/// Inputs per decoder.
const CASES: usize = 20_000;
/// Inputs per decoder that looks for blocks at every byte where the index does not tell.
const SLOW_CASES: usize = 300;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator; remembers the largest request of each thread.
struct Watching;

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as above.
        unsafe { System.realloc(piece, layout, size) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(piece, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn note(size: usize) {
    // A thread that is ending has nothing to note any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

/// What the mutations of `seeds` may be decoded to; `None` when that is for the decoder to say.
fn allowed(decoder: Decoder, seeds: &[Vec<u8>]) -> Option<HashSet<Decoded>> {
    let refused = std::iter::once(None);
    match decoder.promise() {
        Promise::Sound => None,
        Promise::Same => Some(seeds.iter().map(|seed| decoder.run(seed)).chain(refused).collect()),
        Promise::CutShort => {
            let cuts = seeds.iter().flat_map(|seed| (0..=seed.len()).map(|len| decoder.run(&seed[..len])));
            Some(cuts.chain(refused).collect())
        }
    }
}

fn explore(decoder: Decoder) {
    let seeds = decoder.seeds().unwrap();
    for seed in &seeds {
        assert!(decoder.run(seed).is_some(), "{decoder:?} refuses a seed");
    }
    let allowed = allowed(decoder, &seeds);
    let searches = matches!(decoder, Decoder::RemainsOfTable | Decoder::RemainsOfUnnamedTable);
    let cases = if searches { SLOW_CASES } else { CASES };
    let mut mutator = Mutator::new(0x0F0A_57A1);
    let (mut refused, mut changed) = (0, 0);
    for case in 0..cases {
        let input = mutator.mutate(&seeds);
        LARGEST.set(0);
        let decoded = decoder.run(&input);
        let most = decoder.most_memory(input.len());
        assert!(LARGEST.get() <= most, "{decoder:?} case {case}: {} bytes at once", LARGEST.get());
        if let Some(allowed) = &allowed {
            assert!(allowed.contains(&decoded), "{decoder:?} case {case}: decoded to what was never written");
        }
        changed += usize::from(!seeds.contains(&input));
        refused += usize::from(decoded.is_none());
    }
    assert!(changed > cases * 9 / 10, "{decoder:?}: only {changed} inputs differ from the seeds");
    let never_refuses = decoder == Decoder::Frames;
    assert!(never_refuses || refused > cases / 20, "{decoder:?}: only {refused} inputs are refused");
}

/// One test for each, so that they run side by side.
macro_rules! decoders {
    ($($name:ident: $decoder:ident,)*) => {
        $(
            #[test]
            fn $name() {
                explore(Decoder::$decoder);
            }
        )*

        #[test]
        fn every_decoder_has_a_test() {
            assert_eq!(Decoder::ALL, [$(Decoder::$decoder,)*]);
        }
    };
}

decoders! {
    segments_of_the_log: Segment,
    segments_that_another_follows: SealedSegment,
    bodies_of_commits: CommitBody,
    manifests: Manifest,
    edits: Edit,
    preambles: Preamble,
    frames: Frames,
    contents_of_current: Current,
    data_blocks: Block,
    index_blocks: Index,
    filters: Filter,
    footers: Footer,
    footers_with_a_right_checksum: SealedFooter,
    table_properties: Properties,
    range_tombstones: Tombstones,
    stored_blocks_with_a_right_checksum: Envelope,
    whole_tables: Table,
    whole_tables_with_leaves: SplitTable,
    damaged_segments_of_the_log: SurveyedSegment,
    damaged_manifests: SurveyedManifest,
    remains_of_tables: RemainsOfTable,
    remains_of_tables_that_nobody_describes: RemainsOfUnnamedTable,
}
