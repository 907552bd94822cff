//! A list of operations on a store, as text that people and later versions of this program can read.
//!
//! Operations name moments relative to the newest commit and snapshots by the slot they are kept in, so that every
//! part of a list is a list again: the shrinker may leave out what it likes.

use serde::{Deserialize, Serialize};

use super::universe::{Bound, KeyStyle, Span, Value};

/// Snapshots that can be open at once.
pub const SNAPSHOT_SLOTS: usize = 4;
/// Cursors that can be open at once.
pub const CURSOR_SLOTS: usize = 3;

/// Operations, and what is the same for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// How the keys look.
    pub style: KeyStyle,
    /// How many there are.
    pub keys: u16,
    /// What is kept where no operation said otherwise since the last open.
    pub retention: Keep,
    /// The operations, in order.
    pub ops: Vec<Op>,
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Sets a key.
    Put(u16, Value),
    /// Deletes a key.
    Delete(u16),
    /// Deletes the keys from the first up to before the second bound.
    DeleteRange(Bound, Bound),
}

/// Which old versions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// All.
    All,
    /// The newest.
    Newest,
    /// The newest of each key, this many.
    Versions(u32),
    /// What is needed to read at the commit that lies so far back, or later.
    SinceBack(u16),
    /// What is needed to read as of a moment that is at most so many milliseconds ago.
    Age(u32),
}

/// A moment to read at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum At {
    /// Whatever is newest.
    Newest,
    /// That many commits ago.
    Back(u16),
    /// That of the snapshot in a slot; the newest if there is none.
    Slot(u8),
    /// That many commits ahead, which is an error.
    Ahead(u16),
}

/// A walk over a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The range.
    pub span: Span,
    /// From its end to its beginning.
    pub reverse: bool,
    /// The moment.
    pub at: At,
}

/// A piece of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// A full memtable becomes a table.
    Flush,
    /// The most urgent compaction.
    Compact,
}

/// Something that must be refused and change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrong {
    /// A key beyond the limit.
    LongKey,
    /// Deletion of a range without end.
    EndlessDeletion,
    /// An ingest of records out of order.
    UnsortedIngest,
    /// An ingest with the same key twice.
    DuplicateIngest,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Several commits at once, each with its changes.
    Commit(Vec<Vec<Change>>),
    /// The value of a key.
    Get(u16, At),
    /// The values of several keys.
    GetMany(Vec<u16>, At),
    /// The versions of a key up to a moment.
    Versions(u16, At),
    /// The records of a range, but no more than this many.
    Scan(Scan, u16),
    /// Begins a walk that goes on later.
    OpenCursor(u8, Scan),
    /// Goes on with the walk in a slot, this many records.
    StepCursor(u8, u16),
    /// Takes a snapshot of the newest state into a slot.
    Snapshot(u8),
    /// Takes a snapshot of some moment into a slot.
    SnapshotAt(u8, At),
    /// Lets go of the snapshot in a slot.
    Release(u8),
    /// Says what is kept in a range.
    Retain(Span, Keep),
    /// Moves everything into tables.
    Flush,
    /// Merges everything.
    Compact,
    /// Merges what lies over a range.
    CompactRange(Span),
    /// Does one piece of background work, with operations in the middle of it: before each of them the work goes on
    /// for that many file operations.
    During(Work, u8, Vec<Op>),
    /// Records that bypass the log; sorted and without duplicates once their keys are known.
    Ingest(Vec<(u16, Value)>),
    /// Copies the store and reads the copy.
    Checkpoint,
    /// Closes the store and opens it again.
    Reopen,
    /// The process or the machine dies, and the store is opened again.
    Crash,
    /// As [`Op::Crash`], but nothing is committed for it before.
    SuddenCrash,
    /// Reads every file again.
    Verify,
    /// Compares what the store counts with what is known.
    Count,
    /// Lets so many milliseconds pass.
    Wait(u32),
    /// Asks which commit was the newest so many milliseconds ago.
    SeqAt(u32),
    /// Tries something that must be refused.
    Refused(Wrong),
}

impl List {
    /// As text: a line for what is common, then a line for each operation.
    pub fn to_text(&self) -> String {
        let head = Self { ops: Vec::new(), ..self.clone() };
        let mut text = line(&head);
        for op in &self.ops {
            text.push_str(&line(op));
        }
        text
    }

    /// From text.
    ///
    /// # Errors
    /// When a line cannot be read.
    pub fn from_text(text: &str) -> serde_json::Result<Self> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let mut list: Self = serde_json::from_str(lines.next().unwrap_or_default())?;
        list.ops = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(list)
    }
}

fn line<T: Serialize>(part: &T) -> String {
    // Plain data without maps; writing it as text cannot fail.
    serde_json::to_string(part).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_from_its_text() {
        let bound = Bound { key: 1, after: true };
        let scan = Scan { span: Span { from: None, to: Some(bound) }, reverse: true, at: At::Slot(2) };
        let ops = vec![
            Op::Commit(vec![vec![Change::Put(3, Value(7, 9)), Change::DeleteRange(bound, bound)]]),
            Op::During(Work::Compact, 2, vec![Op::Get(1, At::Newest), Op::Scan(scan, 5)]),
            Op::Retain(scan.span, Keep::Versions(2)),
        ];
        let list = List { style: KeyStyle::Nested, keys: 9, retention: Keep::All, ops };
        let text = list.to_text();
        assert_eq!(text.lines().count(), 4);
        assert_eq!(List::from_text(&format!("# why\n{text}\n")).unwrap(), list);
        assert!(List::from_text("{}").is_err());
    }
}
