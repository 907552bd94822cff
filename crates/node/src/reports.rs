//! Metrics and recovery reports as JSON text, with the names that the facade documents.

use fountain_engine::{Latencies, LatencySummary, Metrics, RecoveryReport};
use serde_json::{Value, json};

/// Counters and sizes of the engine and the storage below it.
pub fn metrics(metrics: &Metrics) -> String {
    let storage = &metrics.storage;
    let mut report = json!({
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
        "cacheInserts": storage.cache_inserts,
        "cacheEvictions": storage.cache_evictions,
        "cacheBytes": storage.cache_bytes,
        "memtableBytes": storage.memtable_bytes,
        "openSnapshots": storage.open_snapshots,
        "longestSnapshotMs": storage.longest_snapshot_micros / 1000,
        "levelTables": storage.level_tables,
        "levelBytes": storage.level_bytes,
    });
    report["latencies"] = latencies(&storage.latencies);
    report.to_string()
}

fn latencies(of: &Latencies) -> Value {
    json!({
        "commit": latency(&of.commit),
        "walWrite": latency(&of.wal_write),
        "walSync": latency(&of.wal_sync),
        "logRotation": latency(&of.log_rotation),
        "get": latency(&of.get),
        "getMany": latency(&of.get_many),
        "seek": latency(&of.seek),
        "versions": latency(&of.versions),
        "changes": latency(&of.changes),
        "blockRead": latency(&of.block_read),
        "flush": latency(&of.flush),
        "compaction": latency(&of.compaction),
        "writeStall": latency(&of.write_stall),
        "manifestEdit": latency(&of.manifest_edit),
        "open": latency(&of.open),
        "recovery": latency(&of.recovery),
    })
}

fn latency(of: &LatencySummary) -> Value {
    json!({
        "count": of.count,
        "p50": of.p50_us,
        "p90": of.p90_us,
        "p99": of.p99_us,
        "p999": of.p999_us,
        "max": of.max_us,
        "mean": of.mean_us,
    })
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
