//! Metrics and recovery reports as JSON text, with the names that the facade documents.

use fountain_engine::{Metrics, RecoveryReport};
use serde_json::json;

/// Counters and sizes of the engine and the storage below it.
pub fn metrics(metrics: &Metrics) -> String {
    let storage = &metrics.storage;
    json!({
        "puts": metrics.puts,
        "deletes": metrics.deletes,
        "expired": metrics.expired,
        "unswept": metrics.unswept,
        "gets": metrics.gets,
        "scans": metrics.scans,
        "commits": metrics.commits,
        "commitGroups": metrics.commit_groups,
        "refusedCommits": metrics.refusals,
        "transactions": metrics.transactions,
        "walBytes": storage.wal_bytes,
        "walSyncs": storage.wal_syncs,
        "walSegments": storage.wal_segments,
        "flushes": storage.flushes,
        "flushBytes": storage.flush_bytes,
        "compactions": storage.compactions,
        "compactionReadBytes": storage.compaction_read_bytes,
        "compactionWriteBytes": storage.compaction_write_bytes,
        "versionsDropped": storage.versions_dropped,
        "manifestEdits": storage.manifest_edits,
        "writeStalls": storage.write_stalls,
        "writeStallMicros": storage.write_stall_micros,
        "cacheHits": storage.cache_hits,
        "cacheMisses": storage.cache_misses,
        "cacheBytes": storage.cache_bytes,
        "memtableBytes": storage.memtable_bytes,
        "openSnapshots": storage.open_snapshots,
        "levelTables": storage.level_tables,
        "levelBytes": storage.level_bytes,
    })
    .to_string()
}

/// What opening found.
pub fn recovery(report: &RecoveryReport) -> String {
    let discarded = report.discarded.iter().map(
        |tail| json!({ "path": tail.path.to_string_lossy(), "bytes": tail.bytes, "reason": tail.reason }),
    );
    let quarantined = report.quarantined.iter().map(|path| path.to_string_lossy());
    json!({
        "created": report.created,
        "clean": report.clean,
        "replayedCommits": report.replayed_commits,
        "replayedBytes": report.replayed_bytes,
        "discarded": discarded.collect::<Vec<_>>(),
        "quarantined": quarantined.collect::<Vec<_>>(),
        "removedFiles": report.removed_files,
    })
    .to_string()
}
