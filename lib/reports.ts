/** What the store says about itself. */

/** What was found when the engine was opened. Handles that share an engine share its report. */
export interface RecoveryReport {
  /** The store did not exist and was created. */
  readonly created: boolean
  /** The store had been closed in good order. */
  readonly clean: boolean
  /** Commits taken from the log. */
  readonly replayedCommits: number
  /** Bytes of log read. */
  readonly replayedBytes: number
  /** Ends of logs that were being written when the process or machine died; none of it was acknowledged as durable. */
  readonly discarded: readonly DiscardedTail[]
  /** Files moved aside because the manifest that should name them had lost its end. */
  readonly quarantined: readonly string[]
  /** Left-over files of a crash that were removed. */
  readonly removedFiles: number
}

/** Bytes at the end of a log that recovery did not use. */
export interface DiscardedTail {
  /** The file. */
  readonly path: string
  /** How many bytes. */
  readonly bytes: number
  /** Why. */
  readonly reason: string
}

/** How long one stage took, in microseconds. */
export interface Latency {
  /** Durations recorded. */
  readonly count: number
  /** Half of them took no longer. */
  readonly p50: number
  /** 90 % of them took no longer. */
  readonly p90: number
  /** 99 % of them took no longer. */
  readonly p99: number
  /** 99.9 % of them took no longer. */
  readonly p999: number
  /** The longest. */
  readonly max: number
  /** The average. */
  readonly mean: number
}

/** How long the stages of storage take. Of stages that are passed very often, one in 64 is timed. */
export interface Latencies {
  /** Commits as their callers saw them. */
  readonly commit: Latency
  /** Writes of a group of commits to the log. */
  readonly walWrite: Latency
  /** Syncs of the log. */
  readonly walSync: Latency
  /** Beginnings of a log segment, as far as commits have to wait for them. */
  readonly logRotation: Latency
  /** Reads of one key. */
  readonly get: Latency
  /** Reads of several keys at once. */
  readonly getMany: Latency
  /** First steps of scans, which find their place. */
  readonly seek: Latency
  /** First steps through the versions of a document. */
  readonly versions: Latency
  /** First steps through what commits changed. */
  readonly changes: Latency
  /** Reads of what the cache does not have. */
  readonly blockRead: Latency
  /** Flushes of one memtable. */
  readonly flush: Latency
  /** Compactions. */
  readonly compaction: Latency
  /** Waiting of writers for flushes and compactions. */
  readonly writeStall: Latency
  /** Edits of the manifest. */
  readonly manifestEdit: Latency
  /** Opening the engine, once. */
  readonly open: Latency
  /** What of that went into reading the log. */
  readonly recovery: Latency
}

/** Counters since the engine was opened, and sizes now. Handles that share an engine share its counters. */
export interface StoreMetrics {
  /** Documents put. */
  readonly puts: number
  /** Documents deleted, whether they existed or not. */
  readonly deletes: number
  /** Documents deleted because they had expired, beside those. */
  readonly expired: number
  /** Expired documents that cannot be deleted now, as they cannot be read; no read finds them all the same. */
  readonly unswept: number
  /** Point reads. */
  readonly gets: number
  /** Pages of scans read. */
  readonly scans: number
  /** Commits made. */
  readonly commits: number
  /** Groups of commits that shared one write to the log and one sync. */
  readonly commitGroups: number
  /** Commits refused by a condition of theirs or a conflict of their transaction. */
  readonly refusedCommits: number
  /** Transactions begun, each attempt counted. */
  readonly transactions: number
  /** Bytes appended to the log, without the zeros that it writes ahead of its end: of small durable commits about as much again. */
  readonly walBytes: number
  /** Times a log segment was synced. */
  readonly walSyncs: number
  /** Log segments created. */
  readonly walSegments: number
  /** Memtables written as tables. */
  readonly flushes: number
  /** Bytes of tables written by flushes. */
  readonly flushBytes: number
  /** Compactions done. */
  readonly compactions: number
  /** Bytes of tables read by compactions. */
  readonly compactionReadBytes: number
  /** Bytes of tables written by compactions. */
  readonly compactionWriteBytes: number
  /** Versions dropped because nothing needs them any more. */
  readonly versionsDropped: number
  /** Edits of the manifest. */
  readonly manifestEdits: number
  /** Times a writer had to wait for a flush or a compaction. */
  readonly writeStalls: number
  /** Microseconds that writers waited so. */
  readonly writeStallMicros: number
  /** Block reads answered from the cache. */
  readonly cacheHits: number
  /** Block reads that went to the disk. */
  readonly cacheMisses: number
  /** Blocks that were offered to the cache after a miss. */
  readonly cacheInserts: number
  /** Blocks that had to leave the cache, those too large to be kept included. */
  readonly cacheEvictions: number
  /** Bytes of blocks in the cache. */
  readonly cacheBytes: number
  /** Bytes of keys and documents in memtables. */
  readonly memtableBytes: number
  /** Snapshots that are open, those of running scans included. */
  readonly openSnapshots: number
  /**
   * Milliseconds for which a state has been kept readable by snapshots, the longest of them; 0 if none is. What grows without
   * end is a snapshot that somebody forgot to close, and that keeps compaction from dropping what it sees.
   */
  readonly longestSnapshotMs: number
  /** Tables per level. */
  readonly levelTables: readonly number[]
  /** Bytes per level. */
  readonly levelBytes: readonly number[]
  /** How long the stages of storage took since the store was opened. */
  readonly latencies: Latencies
  /** Bytes of writes accepted through this handle and not yet answered. */
  readonly queuedWriteBytes: number
}
