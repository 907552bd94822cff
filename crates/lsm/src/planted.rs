//! Bugs that a test can switch on, to prove that the tests would find them.
//!
//! Each is a line somewhere in this crate that asks whether it is active; the comment says what it does. At most one is
//! active, in the thread that asked for it and in the threads of stores that it opens, so that two threads can try
//! two bugs at once. Without the feature `planted` the question is answered with no when the code is compiled. How that is done
//! stands in `instruments`.

/// Does a step, unless a bug leaves it out.
#[inline]
pub(crate) fn unless<E>(bug: Bug, step: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if active(bug) { Ok(()) } else { step() }
}

crate::declare_bugs! {
    /// A commit is acknowledged without a sync of the log.
    AckBeforeSync,
    /// A commit is visible before its sync.
    VisibleBeforeSync,
    /// After a failed sync the sync is tried again, and believed.
    SyncRetried,
    /// A sync that found no space counts as harmless.
    FullSyncIsHarmless,
    /// Writes go on after a failure that leaves open what is on disk.
    PoisonIgnored,
    /// The name of a new log segment is not synced.
    SegmentNameNotSynced,
    /// A segment is not synced before the next one is begun.
    SegmentNotSyncedAtRotation,
    /// The checksum of a frame is not looked at.
    FrameUnchecked,
    /// Replay goes on behind a frame that does not verify.
    BadFrameSkipped,
    /// Bad bytes that a later frame vouches for are taken for a torn tail.
    DamageIsTornTail,
    /// The segment that a recovery began before it died is taken for damage.
    DeadRecoveryIsDamage,
    /// Every operation of a commit is a frame of its own.
    CommitInPieces,
    /// A failed write leaves a hole in the log.
    HoleAfterFailedWrite,
    /// A refused commit stays in the buffer.
    RefusedCommitStays,
    /// What a refused commit left in the file is not cut off.
    RefusedCommitNotCut,
    /// The log of a memtable is deleted before the manifest lets go of it.
    LogDeletedBeforeEdit,
    /// A flush says that tables cover what is still in memtables.
    CoversTooMuch,
    /// A flush lets go of the log of memtables that are not flushed yet.
    LogNumberTooNew,
    /// An edit of the manifest is not synced.
    EditNotSynced,
    /// The name of a new manifest is not synced before `CURRENT` names it.
    ManifestNameNotSynced,
    /// `CURRENT` is not synced before it is renamed.
    CurrentNotSynced,
    /// The old manifest is deleted before the new `CURRENT` is synced.
    SwitchNotSynced,
    /// The names of a new store's own directory and its parents are not synced.
    StoreNameNotSynced,
    /// File numbers that only the directory knows are used again.
    NumberReused,
    /// Recovery deletes the old log before the new manifest is current.
    OldLogDeletedFirst,
    /// Recovery goes on with the old log, for whose end nobody vouches.
    OldLogStaysInUse,
    /// Opening does not remove what a crash left behind.
    LeftOversStay,
    /// Opening does not say what it discards.
    DiscardNotReported,
    /// After an open it is not settled by when the commits before it were made.
    TimesNotSettled,
    /// A lock held elsewhere is taken for held here.
    LockIgnored,
    /// A short read of a log or manifest is taken for its end.
    ShortReadIsTheEnd,
    /// A new table is not synced.
    TableNotSynced,
    /// The names of new tables are not synced.
    TableNamesNotSynced,
    /// A failed sync of the names of tables is tried again.
    NamesSyncRetried,
    /// The checksum of a block is not looked at.
    BlockUnchecked,
    /// Checksums do not depend on the place in the file.
    ChecksumWithoutOffset,
    /// The filter of a table lacks a key.
    FilterLacksKey,
    /// The cache does not tell the blocks of one table from those of another.
    CacheKeyWithoutFile,
    /// A table that cannot be read has nothing to say.
    ReadErrorIsAbsence,
    /// Old versions in a table are not looked for.
    HistoryIgnored,
    /// A flush that failed forgets its memtable.
    FailedFlushForgets,
    /// A compaction that failed deletes its inputs.
    FailedCompactionDeletes,
    /// Compaction does not know of snapshots.
    PinsIgnored,
    /// Letting go of one of two snapshots of a sequence lets go of both.
    PinReleasedTwice,
    /// What is kept since a sequence is kept since the newest.
    SinceIsLatest,
    /// One version less than asked for is kept.
    OneVersionLess,
    /// A tombstone is dropped while it still hides something.
    TombstoneDroppedTooSoon,
    /// The deletion of a range is dropped while it still hides something.
    RangeTombstoneDroppedTooSoon,
    /// The last table of a compaction lacks its part of deleted ranges.
    RangeTombstoneLostAtCut,
    /// A scan hides what was put in the same commit in which its range was deleted.
    RangeTombstoneHidesItsCommit,
    /// Reads of single keys do not know of ranges deleted in tables.
    RangeTombstoneIgnored,
    /// History floors are not written to the manifest.
    FloorNotPersisted,
    /// Reads below the floor are answered.
    FloorNotChecked,
    /// Of several sources with the same key any comes first.
    MergeIgnoresSequence,
    /// The oldest table of level 0 is read first.
    Level0OldestFirst,
    /// A table is merged into the next level without what it overlaps there.
    OverlapForgotten,
    /// A checkpoint leaves out what is still in memtables.
    CheckpointWithoutFlush,
    /// The names of the tables in a checkpoint are not synced.
    CheckpointNamesNotSynced,
    /// The commit after a bulk ingest gets the same sequence.
    IngestSequenceReused,
    /// A bulk ingest goes to the bottom, whatever lies there.
    IngestTooDeep,
    /// Closing does not write down that the store was closed in good order.
    CleanCloseNotSaid,
    /// Closing leaves the commits that are in memtables to the log.
    ClosedWithoutFlush,
    /// Recovery asks for as much memory as the count in the head of a frame calls for.
    CountBelieved,
    /// Verification does not read the tables that the manifest names.
    VerifySkipsTables,
    /// Verification does not pass on what is wrong with a log segment.
    VerifySkipsLog,
    /// Verification says nothing of a torn tail of the log.
    TornTailNotNoted,
    /// A scrub looks at the tails of tables only.
    ScrubSkipsBlocks,
    /// Salvage reads no table that the manifest does not name, even if that is not certain.
    SalvageSkipsUnnamed,
    /// What salvage could not read of a table is not in its report.
    SalvageGapsNotReported,
    /// Commits that salvage could not read in the log are not in its report.
    SalvageLogLossNotReported,
    /// Salvage leaves out the deletions of ranges.
    SalvageForgetsRangeDeletions,
    /// The names of the tables that salvage writes are not synced.
    SalvageNamesNotSynced,
    races {
        /// A bulk ingest lets commits in before it has taken effect under the sequence that it chose.
        IngestLetsCommitsIn,
        /// A checkpoint does not hold the files that it links.
        CheckpointHoldsNothing,
        /// A scrub does not hold the files that it reads.
        ScrubHoldsNothing,
        /// A group of commits becomes visible without waiting for those before it.
        PublishedOutOfTurn,
    }
}
