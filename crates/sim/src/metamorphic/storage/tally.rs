//! What runs have done, to know whether they got anywhere.

/// Counts of one thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Operations, once for every configuration.
    pub operations: u64,
    /// Operations in the middle of a flush or a compaction.
    pub interleaved: u64,
    /// Times that a store was closed and opened.
    pub reopens: u64,
    /// Times that a store died.
    pub crashes: u64,
    /// Copies made and read.
    pub checkpoints: u64,
    /// Memtables that became tables.
    pub flushes: u64,
    /// Compactions.
    pub compactions: u64,
    /// Versions dropped by retention.
    pub versions_dropped: u64,
    /// Reads that were refused because the store had let go of their time.
    pub truncated: u64,
    /// Reads that the memory of the system had to answer at once, and did.
    pub at_once: u64,
    /// Most levels that held tables at the end of a store.
    pub most_levels: u64,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.interleaved += other.interleaved;
        self.reopens += other.reopens;
        self.crashes += other.crashes;
        self.checkpoints += other.checkpoints;
        self.flushes += other.flushes;
        self.compactions += other.compactions;
        self.versions_dropped += other.versions_dropped;
        self.truncated += other.truncated;
        self.at_once += other.at_once;
        self.most_levels = self.most_levels.max(other.most_levels);
    }
}
