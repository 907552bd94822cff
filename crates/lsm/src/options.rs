//! How a store is opened.

use std::fmt;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::compaction::Packing;
use crate::fs::{Fs, RealFs};
use crate::prefix::KeyPrefix;
use crate::retention::Retention;
use crate::table::{Compression, TableForm, TableLayout};
use crate::types::StoreId;

/// Options of [`crate::Db::open`].
#[derive(Clone)]
pub struct Options {
    /// The file system. Default: the operating system's.
    pub fs: Arc<dyn Fs>,
    /// Tells the time of day, for [`Retention::MaxAge`] and [`crate::Db::seq_at`]. Default: the operating system's.
    pub clock: Arc<dyn Clock>,
    /// Create the store if there is none. Default: true.
    pub create_if_missing: bool,
    /// Id for a newly created store; `None` draws a random one. Fixed ids make files reproducible in tests.
    pub store_id: Option<StoreId>,
    /// Bytes of table blocks kept in memory. Default: 64 MiB.
    pub cache_bytes: usize,
    /// Bytes of keys and values after which a memtable is flushed. Default: 32 MiB.
    pub memtable_bytes: usize,
    /// Bytes after which a WAL segment is followed by a new one. Default: 64 MiB.
    pub wal_segment_bytes: u64,
    /// Bytes at which compaction starts the next table. Default: 32 MiB.
    pub table_bytes: u64,
    /// How new tables are cut into blocks. Tables remember how they were written, so this can be changed at any time.
    pub table_layout: TableLayout,
    /// How tables of the lower levels are compressed; those of the upper ones are rewritten too soon for it to pay.
    /// Default: LZ4.
    pub compression: Compression,
    /// How tables of the last level are compressed, where most data is and is rewritten least: Zstandard (with the cargo
    /// feature `zstd`) pays there first. Bulk ingests write for that level. Tables stay as they were written until
    /// they are compacted, so this can be changed at any time. Default: `None`, as `compression` says.
    pub bottom_compression: Option<Compression>,
    /// Let the filters of tables know the prefixes of keys, too, so that a scan of keys that all have the same prefix
    /// passes over tables without it. Costs filter bits for each different prefix. Tables remember how they were
    /// written, so this can be changed at any time. Default: none.
    pub prefix_filter: Option<KeyPrefix>,
    /// Which old versions are kept, where [`crate::Db::set_retention`] says nothing else. Default: all.
    pub retention: Retention,
    /// Most bytes per second that compactions write while there is no hurry; `None`, the default, for no limit.
    pub compaction_bytes_per_second: Option<u64>,
    /// Flush and compact on threads of the store. Default: true. Without, nothing happens until
    /// [`crate::Db::flush`] or [`crate::Db::compact`] is called, and a full memtable flushes in the writer.
    pub background: bool,
    /// Without `background`, a writer that finds no room flushes and compacts before it goes on. Default: true. When
    /// this is false, too, writers never wait and nothing happens but by [`crate::Db::step`], so that a simulation
    /// decides when; memtables and tables pile up until it does.
    pub writers_make_room: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fs: Arc::new(RealFs),
            clock: Arc::new(SystemClock),
            create_if_missing: true,
            store_id: None,
            cache_bytes: 64 << 20,
            memtable_bytes: 32 << 20,
            wal_segment_bytes: 64 << 20,
            table_bytes: 32 << 20,
            table_layout: TableLayout::default(),
            compression: Compression::default(),
            bottom_compression: None,
            prefix_filter: None,
            retention: Retention::default(),
            compaction_bytes_per_second: None,
            background: true,
            writers_make_room: true,
        }
    }
}

impl Options {
    /// How tables are written.
    pub(crate) fn table_form(&self) -> TableForm {
        TableForm { layout: self.table_layout, prefixes: self.prefix_filter }
    }

    pub(crate) fn packing(&self) -> Packing {
        Packing { lower: self.compression, bottom: self.bottom_compression.unwrap_or(self.compression) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("create_if_missing", &self.create_if_missing)
            .field("cache_bytes", &self.cache_bytes)
            .field("memtable_bytes", &self.memtable_bytes)
            .field("wal_segment_bytes", &self.wal_segment_bytes)
            .field("table_bytes", &self.table_bytes)
            .field("table_layout", &self.table_layout)
            .field("compression", &self.compression)
            .field("bottom_compression", &self.bottom_compression)
            .field("prefix_filter", &self.prefix_filter)
            .field("retention", &self.retention)
            .field("compaction_bytes_per_second", &self.compaction_bytes_per_second)
            .field("background", &self.background)
            .field("writers_make_room", &self.writers_make_room)
            .finish_non_exhaustive()
    }
}
