//! Marks on rare branches, to prove that tests get there; what `fountain_lsm::marks` is to storage.
//!
//! A rare branch says [`hit`]. With the feature `sim` the hits are counted, and the simulator fails when a mark was never
//! hit; without it nothing of this is compiled.

fountain_lsm::declare_marks! {
    /// The build of an index went on where an earlier process had left it.
    BuildResumed,
    /// An index was given up because its records do not fit it, and dropped.
    BuildGivenUp,
    /// A record had been written again while the piece of a build that holds it was on its way.
    RecordChangedAmidBuild,
    /// A record that had expired made way for another one.
    ExpiredMadeWay,
    /// A sweep deleted records that had expired.
    Swept,
    /// A dropped collection or index left the rule for its old versions behind.
    RuleOutlivedKeyspace,
    /// A transaction was refused because of what it writes.
    WriteRefused,
    /// A transaction was refused because of a record that it has read.
    ReadRefused,
    /// A transaction was refused because of a range that it has read.
    RangeRefused,
    /// The entries of an index were worked out from the records of a moment at which it was not ready.
    EntriesWorkedOut,
    /// A watcher was told of commits that memory had.
    WatchedFromMemory,
    /// A watcher was told of commits that only storage had any more.
    WatchedFromStorage,
    /// A watcher that waited was woken by a commit.
    WatcherWoken,
    /// Salvage marked shapes as lost.
    ShapesMarkedLost,
    /// Salvage made up the name of a collection.
    NameMadeUp,
    /// Salvage kept what was left of a dropped collection from coming back.
    DroppedStaysDropped,
    /// Salvage removed entries of an index whose definition is lost.
    EntriesWithoutIndex,
}
