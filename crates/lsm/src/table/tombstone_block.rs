//! The range tombstones of a table, as stored. See `docs/format.md`, section 5.5.

use crate::format::varint;
use crate::limits::MAX_KEY_BYTES;
use crate::tombstones::{Fragment, RangeTombstones};
use crate::types::Seq;

/// Appends the stored form.
pub(super) fn encode(fragments: &[Fragment], out: &mut Vec<u8>) {
    varint::put(out, fragments.len() as u64);
    for fragment in fragments {
        varint::put_bytes(out, &fragment.start);
        varint::put_bytes(out, &fragment.end);
        varint::put(out, fragment.seqs.len() as u64);
        for seq in &fragment.seqs {
            varint::put(out, seq.get());
        }
    }
}

/// Fragments from their stored form, or `None` if they are damaged or out of order. There is at least one.
pub(super) fn decode(mut payload: &[u8]) -> Option<RangeTombstones> {
    let input = &mut payload;
    let count = varint::take(input)?;
    let mut fragments: Vec<Fragment> = Vec::new();
    for _ in 0..count {
        let fragment = take_fragment(input)?;
        if fragments.last().is_some_and(|before| before.end > fragment.start) {
            return None;
        }
        fragments.push(fragment);
    }
    (input.is_empty() && count > 0).then(|| RangeTombstones::from_fragments(fragments))
}

fn take_fragment(input: &mut &[u8]) -> Option<Fragment> {
    let start: Box<[u8]> = varint::take_bytes(input)?.into();
    let end: Box<[u8]> = varint::take_bytes(input)?.into();
    let count = varint::take(input)?;
    let mut seqs: Vec<Seq> = Vec::new();
    for _ in 0..count {
        let seq = Seq::new(varint::take(input)?)?;
        if seqs.last().is_some_and(|before| *before <= seq) {
            return None;
        }
        seqs.push(seq);
    }
    let possible = start < end && end.len() <= MAX_KEY_BYTES && start.len() <= MAX_KEY_BYTES && count > 0;
    possible.then_some(Fragment { start, end, seqs })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fragment(start: &str, end: &str, seqs: &[u64]) -> Fragment {
        Fragment {
            start: start.as_bytes().into(),
            end: end.as_bytes().into(),
            seqs: seqs.iter().map(|&seq| Seq::new(seq).unwrap()).collect(),
        }
    }

    fn encoded(fragments: &[Fragment]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(fragments, &mut bytes);
        bytes
    }

    #[test]
    fn the_stored_form_is_as_documented_and_round_trips() {
        let fragments = [fragment("a", "bb", &[300, 2]), fragment("bb", "c", &[7])];
        let bytes = encoded(&fragments);
        assert_eq!(bytes, b"\x02\x01a\x02bb\x02\xAC\x02\x02\x02bb\x01c\x01\x07");
        assert_eq!(decode(&bytes).unwrap().fragments(), fragments);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "cut to {cut}");
        }
    }

    #[test]
    fn fragments_that_cannot_be_are_refused() {
        for (what, fragments) in [
            ("none", &[][..]),
            ("an empty range", &[fragment("a", "a", &[1])]),
            ("a range backwards", &[fragment("b", "a", &[1])]),
            ("no sequence", &[fragment("a", "b", &[])]),
            ("sequences ascending", &[fragment("a", "b", &[1, 2])]),
            ("a sequence twice", &[fragment("a", "b", &[2, 2])]),
            ("overlap", &[fragment("a", "c", &[1]), fragment("b", "d", &[1])]),
            ("out of order", &[fragment("c", "d", &[1]), fragment("a", "b", &[1])]),
        ] {
            assert_eq!(decode(&encoded(fragments)), None, "{what}");
        }
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        assert_eq!(decode(&encoded(&[fragment("a", &long, &[1])])), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
        }
    }
}
