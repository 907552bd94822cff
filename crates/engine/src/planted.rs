//! Bugs that a test can switch on, to prove that the tests would find them; what `fountain_lsm::planted` is to storage.
//!
//! Each is a line somewhere in this crate that asks whether it is active; the comment says what it does. At most one is
//! active, in the thread that asked for it and in the threads of stores that it opens (see [`crate::sync::spawn`]). Without the
//! feature `planted` the question is answered with no when the code is compiled.

fountain_lsm::declare_bugs! {
    /// The entries of a record that is replaced stay in indexes.
    OldEntriesStay,
    /// A key of a unique index can be given away twice.
    UniqueNotChecked,
    /// A build takes records as they were, though they have been written since.
    BuildTakesOldRecords,
    /// A piece of a build lacks its last record.
    PieceLacksLastRecord,
    /// An index counts as complete after the first piece of its build.
    IndexReadyTooSoon,
    /// The entries of a dropped index stay.
    DroppedEntriesStay,
    /// The records of a dropped collection stay.
    DroppedRecordsStay,
    /// The name of a collection is not in the commit with its first record.
    NameNotCommitted,
    /// Shapes are not in the commit with the first record that names them.
    ShapesNotCommitted,
    /// The name of a dropped collection stays in the catalog.
    DroppedNameStays,
    /// Commits are handed to the operating system, however durable they are to be.
    DurabilityForgotten,
    /// Records that have expired are seen.
    ExpiredAreSeen,
    /// The number of a keyspace can be given away again after the next open.
    NumberGivenTwice,
    /// Salvage leaves the numbers of lost shapes to others.
    LostShapesForgotten,
    /// Salvage brings back what is left of collections that were dropped.
    SalvageRevivesDropped,
    /// Indexes whose entries salvage has removed count as complete.
    SalvagedIndexIsReady,
    /// A transaction does not look whether others have written what it writes.
    WritesNotValidated,
    /// A serializable transaction does not look whether the records that it has read were written since.
    ReadsNotValidated,
    /// A serializable transaction does not look whether something was written in the ranges that it has read.
    RangesNotValidated,
    /// Watchers are not told of the first commit of a group of several.
    WatchersMissCommit,
}
