//! Marks on rare branches, to prove that tests get there.
//!
//! A rare branch says [`hit`]. With the feature `sim` the hits are counted, and the simulator fails when a mark was never
//! hit; without it nothing of this is compiled. How that is done stands in `instruments`.

crate::declare_marks! {
    /// An open discarded the torn tail of a log.
    TornTail,
    /// An open met bytes in a log that a later frame vouches for.
    DamagedLog,
    /// A segment ends short of where the next one says that it does.
    SegmentCutOff,
    /// A segment has bytes behind where the next one says that it ends.
    BytesBehindLink,
    /// A log ended in zeros: they had been written ahead of its end.
    ZerosAtEnd,
    /// A segment had died before its preamble was on disk.
    SegmentWithoutPreamble,
    /// The segment that the manifest names was missing.
    SegmentMissing,
    /// An open discarded the torn tail of a manifest.
    TornManifest,
    /// An open met bytes in a manifest that a later edit vouches for.
    DamagedManifest,
    /// A table that the manifest names was missing.
    TableMissing,
    /// An open found the store closed in good order.
    CleanOpen,
    /// A log made more than one table at open.
    SeveralTablesFromLog,
    /// An open that failed took its tables back.
    RecoveryTakenBack,
    /// An open removed left-overs.
    LeftOverRemoved,
    /// An open moved a table aside.
    OrphanQuarantined,
    /// An open completed the creation of a store that had died.
    CreationResumed,
    /// A sync of the names of new directories failed, and they were removed again.
    DirectoryTakenBack,
    /// A store that is open was refused.
    LockRefused,
    /// A commit was refused for want of space and cut out of the log.
    RefusedCommitCut,
    /// The log could not be made longer by a new segment, and a commit was refused for that.
    RotationRefused,
    /// Several requests shared one write of the log.
    GroupOfSeveral,
    /// A commit waited for a sync that another one shared with it.
    SyncShared,
    /// A sync was refused because one had failed.
    SyncAfterFailure,
    /// Commits waited in memory for a later write.
    CommitsBuffered,
    /// Zeros were written behind the end of the log.
    ZerosAhead,
    /// There was no space for zeros behind the end of the log.
    ZerosRefused,
    /// A segment was followed by another for its size alone.
    RotatedForSize,
    /// A memtable was sealed early, to keep a large group from making it huge.
    SealedForLargeGroup,
    /// The manifest was replaced for its size.
    ManifestRotated,
    /// The manifest was replaced after a failed append.
    ManifestReplaced,
    /// A flush or compaction succeeded after it had failed.
    RetrySucceeded,
    /// Tables that were written did not become part of the store.
    TablesDiscarded,
    /// A compaction was broken off.
    CompactionBrokenOff,
    /// Tables were moved down without a copy.
    TrivialMove,
    /// Tables of level 0 were merged among themselves.
    Level0Relief,
    /// Tables of level 0 that were too small to be due were merged among themselves.
    Level0Tidied,
    /// A table was rewritten for its garbage.
    GarbageRewritten,
    /// A compaction of a range had to take more than the range.
    RangeWidened,
    /// A table ended early for what it overlaps two levels below.
    CutForGrandparents,
    /// A version was dropped.
    VersionDropped,
    /// A version was kept for a snapshot alone.
    KeptForPin,
    /// A tombstone was dropped.
    TombstoneDropped,
    /// A tombstone was kept for what it hides in a deeper level.
    TombstoneKept,
    /// The deletion of a range was cut where a table ends.
    RangeTombstoneClipped,
    /// The deletion of a range was dropped.
    RangeTombstoneDropped,
    /// A floor was raised.
    FloorRaised,
    /// A read below the floor was refused.
    HistoryTruncated,
    /// A sequence below the floor was pinned again.
    PinnedBelowFloor,
    /// A filter spared a read.
    FilterSaidNo,
    /// A read went to the older versions of a table.
    HistoryRead,
    /// The leaf of an index was asked for.
    IndexLeaf,
    /// A scan read ahead.
    ReadAhead,
    /// A scan left many versions behind with a seek.
    SeekPastVersions,
    /// A scan in reverse left many versions behind with a seek.
    JumpOverVersions,
    /// A block on disk was wanted by somebody who may read memory only.
    WouldBlock,
    /// A range deleted in a table hid a version in a deeper one.
    HiddenByRange,
    /// An ingested record went among the tables of the upper levels.
    IngestedAmongTables,
    /// A bulk ingest was broken off and its tables removed.
    IngestTakenBack,
    /// A checkpoint had to copy a table.
    CheckpointCopied,
    /// A checkpoint found the pieces of one that died.
    CheckpointCleared,
    /// A checkpoint failed and took its pieces away.
    CheckpointTakenBack,
    /// A file stayed a while because somebody held the files.
    RemovalPostponed,
    /// A file could not be removed.
    RemovalFailed,
    /// A store was poisoned.
    Poisoned,
    /// A store noticed that its directory is another.
    DirectoryReplaced,
    /// A writer made room before it went on.
    RoomMade,
    /// A store was closed though its last flush had failed.
    ClosedUnflushed,
    /// A poisoned store was closed.
    ClosedPoisoned,
    /// A scrub found something.
    ScrubFoundFault,
    /// A commit with right checksums had operations that cannot be read, in a log that nobody has open.
    CommitUnreadable,
    /// Verification noted a torn tail of the log.
    TornTailNoted,
    /// Verification or salvage could not ask a file whose it is.
    FileNotAsked,
    /// The manifest in a directory is that of another store than most of its files.
    ManifestDisowned,
    /// Salvage went by a newer manifest than the one that `CURRENT` names.
    SalvageByNewest,
    /// Salvage looked for the blocks of a table because its tail cannot be read.
    BlocksSearched,
    /// Salvage gave ingested records a likely sequence.
    IngestPlaced,
    /// The log that salvage read does not begin where the manifest says.
    SalvageSegmentMissing,
    /// Salvage went on behind commits that cannot be read.
    SalvageBehindLoss,
    /// Salvage met the end of a damaged log that nothing vouches for.
    SalvageOpenEnd,
    /// A block that salvage had read could not be read again.
    BlockReadOnce,
}
