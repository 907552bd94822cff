//! What a crash leaves of a disk, under several assumptions about how disks and file systems work.
//!
//! A rename is kept or lost as one step. A write that is under way harms only the bytes that it writes, not their
//! neighbours in the sector; but for [`Crash::Beside`], after which no store can promise that what was synced is there.

use std::sync::Arc;

use super::node::{DirNode, Entries, FileChange, FileNode, Node, Pending};
use super::op::ROOT;
use super::state::Disk;
use crate::random::Random;

/// Bytes that a disk writes as one.
pub const SECTOR_BYTES: usize = 512;

/// An assumption about a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crash {
    /// P0: only what was synced is kept.
    Synced,
    /// P1: the process dies, the machine goes on: all is kept, and what was not synced is still not.
    Kill,
    /// P2: of every file and directory a prefix of its changes, the last write of it cut short.
    Prefix(u64),
    /// P3: each sector of a file that was written, each length, and each change of a name is kept or not, all
    /// independently. Data that was lost where the length was kept reads as zeros.
    Sectors(u64),
    /// P4: as P3, and bytes that were being written may be garbage, or what other files held at that place.
    Garbage(u64),
    /// As P4, but what is spoilt are whole sectors, with the bytes in them that were synced before.
    Beside(u64),
    /// P5: exactly these operations of [`Disk::pending`] are kept.
    Only(Vec<u32>),
}

impl Disk {
    /// Numbers of the operations that a loss of power may or may not undo, ascending.
    pub fn pending(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self
            .nodes
            .iter()
            .flat_map(|node| match node {
                Node::File(file) => numbers_of(&file.pending),
                Node::Dir(dir) => numbers_of(&dir.pending),
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The disk that the next start finds.
    #[must_use]
    pub fn crash(&self, crash: &Crash) -> Self {
        let mut fate = match crash {
            Crash::Kill => return self.clone(),
            Crash::Synced => Fate::Keep(&[]),
            Crash::Only(kept) => Fate::Keep(kept),
            Crash::Prefix(seed) => Fate::Prefix(Random::new(*seed)),
            Crash::Sectors(seed) => Fate::sectors(*seed, None),
            Crash::Garbage(seed) => Fate::sectors(*seed, Some(Harm::Written)),
            Crash::Beside(seed) => Fate::sectors(*seed, Some(Harm::Sectors)),
        };
        let mut image = Self::default();
        let mut copied = vec![None; self.nodes.len()];
        copied[ROOT.index()] = Some(ROOT);
        // Directories are visited before what is in them; their number is the only bound that is needed.
        let mut visits = vec![(ROOT, ROOT)];
        while let Some((from, to)) = visits.pop() {
            let Some(dir) = self.dir(from) else { continue };
            for (name, file) in fate.entries(dir).iter() {
                let copy = match copied[file.index()] {
                    Some(copy) => copy,
                    None => match &self.nodes[file.index()] {
                        Node::File(node) => image.add(Node::File(FileNode::durable(fate.bytes(self, node)))),
                        Node::Dir(_) => {
                            let copy = image.add(Node::Dir(DirNode::default()));
                            visits.push((file, copy));
                            copy
                        }
                    },
                };
                copied[file.index()] = Some(copy);
                image.put_entry(to, name, copy);
            }
        }
        image
    }
}

fn numbers_of<T>(pending: &[Pending<T>]) -> Vec<u32> {
    pending.iter().filter(|pending| pending.may_be_kept()).map(|pending| pending.number).collect()
}

/// Decides what is kept.
enum Fate<'a> {
    Keep(&'a [u32]),
    Prefix(Random),
    Sectors { random: Random, seed: u64, harm: Option<Harm> },
}

/// What may be spoilt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Bytes that were being written.
    Written,
    /// Sectors in which some bytes were being written.
    Sectors,
}

impl Fate<'_> {
    const fn sectors(seed: u64, harm: Option<Harm>) -> Self {
        Self::Sectors { random: Random::new(seed), seed, harm }
    }

    fn entries(&mut self, dir: &DirNode) -> Entries {
        match self {
            Self::Keep(kept) => dir.with(|pending| kept.binary_search(&pending.number).is_ok()),
            Self::Prefix(random) => {
                let mut left = random.below(dir.pending.len() + 1);
                dir.with(|_| {
                    let keeps = left > 0;
                    left = left.saturating_sub(1);
                    keeps
                })
            }
            // By number, so that both halves of a rename across directories have the same fate.
            Self::Sectors { seed, .. } => {
                dir.with(|pending| Random::nth(*seed, u64::from(pending.number)).one_in(2))
            }
        }
    }

    fn bytes(&mut self, disk: &Disk, file: &FileNode) -> Arc<Vec<u8>> {
        if !file.pending.iter().any(Pending::may_be_kept) {
            return Arc::clone(&file.durable);
        }
        match self {
            Self::Keep(kept) => file.with(|pending| kept.binary_search(&pending.number).is_ok()),
            Self::Prefix(random) => prefix_of(file, random),
            Self::Sectors { random, harm: None, .. } => sectors_of(file, random),
            Self::Sectors { random, harm: Some(harm), .. } => {
                let mut bytes = sectors_of(file, random);
                spoil(disk, file, *harm, Arc::make_mut(&mut bytes).as_mut_slice(), random);
                bytes
            }
        }
    }
}

/// Some changes from the first on, and a part of the next.
fn prefix_of(file: &FileNode, random: &mut Random) -> Arc<Vec<u8>> {
    let changes: Vec<_> = file.pending.iter().filter(|pending| pending.may_be_kept()).collect();
    let kept = random.below(changes.len() + 1);
    let mut index = 0;
    let mut bytes = file.with(|_| {
        index += 1;
        index <= kept
    });
    if let Some(torn) = changes.get(kept)
        && let FileChange::Write { at, bytes: written } = &torn.change
    {
        let part = Arc::from(&written[..random.below(written.len() + 1)]);
        FileChange::Write { at: *at, bytes: part }.apply(Arc::make_mut(&mut bytes));
    }
    bytes
}

/// Every sector as it was after some of the changes, the length as after some others.
fn sectors_of(file: &FileNode, random: &mut Random) -> Arc<Vec<u8>> {
    let changes =
        || file.pending.iter().filter(|pending| pending.may_be_kept()).map(|pending| &pending.change);
    let mut bytes = Vec::clone(&file.durable);
    let mut lengths = vec![bytes.len()];
    for change in changes() {
        let len = change.len_after(lengths[lengths.len() - 1]);
        lengths.push(len);
    }
    let longest = lengths.iter().copied().max().unwrap_or_default();
    bytes.resize(longest, 0);
    for change in changes() {
        let FileChange::Write { at, bytes: written } = change else { continue };
        let mut begin = *at;
        let end = at + written.len();
        while begin < end {
            let stop = ((begin / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
            if random.one_in(2) {
                bytes[begin..stop].copy_from_slice(&written[begin - at..stop - at]);
            }
            begin = stop;
        }
    }
    bytes.truncate(*random.pick(&lengths));
    Arc::new(bytes)
}

/// Puts garbage, or what some other file holds at that place, into some sectors that were being written.
fn spoil(disk: &Disk, file: &FileNode, harm: Harm, bytes: &mut [u8], random: &mut Random) {
    let writes = file.pending.iter().filter(|pending| pending.may_be_kept());
    for pending in writes {
        let FileChange::Write { at, bytes: written } = &pending.change else { continue };
        let (mut begin, mut end) = (*at, at + written.len());
        if harm == Harm::Sectors {
            begin -= begin % SECTOR_BYTES;
            end = end.next_multiple_of(SECTOR_BYTES);
        }
        let end = end.min(bytes.len());
        while begin < end {
            let stop = ((begin / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
            match random.below(4) {
                0 => random.fill(&mut bytes[begin..stop]),
                1 => copy_stale(disk, random, begin, &mut bytes[begin..stop]),
                _ => {}
            }
            begin = stop;
        }
    }
}

/// What another file, deleted ones included, holds at the same place.
fn copy_stale(disk: &Disk, random: &mut Random, at: usize, bytes: &mut [u8]) {
    let Some(Node::File(other)) = disk.nodes.get(random.below(disk.nodes.len())) else { return };
    let stale = other.now.get(at..).unwrap_or_default();
    let len = stale.len().min(bytes.len());
    bytes[..len].copy_from_slice(&stale[..len]);
}
