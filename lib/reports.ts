/** What the store says about itself. */

/** What recovery found when the engine was opened. */
export interface RecoveryReport {
  readonly [name: string]: unknown
}

/** Counters since the engine was opened, and sizes now. */
export interface StoreMetrics {
  /** Bytes of writes accepted from this handle and not yet answered. */
  readonly queuedWriteBytes: number
  readonly [name: string]: unknown
}
