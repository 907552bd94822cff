/** The suites: which module runs them, with which documents, and the workloads they measure. */

export const SUITES = {
  read: {
    module: 'read',
    kind: 'small',
    workloads: [
      'get-sync',
      'get-awaited',
      'get-many-1000',
      'scan',
      'scan-reverse',
      'scan-select',
      'scan-bounded-1000',
      'scan-prefix',
    ],
  },
  'read-2k': {
    module: 'read',
    kind: 'large',
    share: 0.1,
    workloads: ['get-sync-2k', 'get-awaited-2k', 'get-many-1000-2k', 'scan-2k', 'scan-reverse-2k', 'scan-select-2k'],
  },
  write: { module: 'write', kind: 'small', workloads: ['put-awaited', 'put-64', 'put-1000', 'batch-1000'] },
  'write-2k': {
    module: 'write',
    kind: 'large',
    share: 0.1,
    workloads: ['put-awaited-2k', 'put-64-2k', 'put-1000-2k', 'batch-1000-2k'],
  },
  index: {
    module: 'index',
    kind: 'small',
    workloads: ['insert-3-indexes', 'index-equal', 'index-range-100', 'filter'],
  },
  mixed: { module: 'mixed', kind: 'small', workloads: ['mixed-80-20'] },
  cold: { module: 'cold', kind: 'small', workloads: ['get-cold', 'get-cold-64'] },
  open: { module: 'open', kind: 'small', workloads: ['bulk-import', 'open'] },
  import: { module: 'import', kind: 'small', workloads: ['import'] },
}

/** All workloads, in the order of the suites. */
export const WORKLOADS = Object.values(SUITES).flatMap(({ workloads }) => workloads)

/**
 * What is to be reached, as the least ratio of our rate to another: `best` is the best peer, the other names are engines.
 * `own` compares with another workload of our own.
 */
export const TARGETS = {
  'get-sync': [{ to: 'lmdb', least: 1.3 }],
  'get-awaited': [{ to: 'own', workload: 'get-sync', least: 0.7 }],
  'get-many-1000': [{ to: 'best', least: 1.3 }],
  'put-awaited': [{ to: 'best', least: 1.0 }],
  'put-64': [{ to: 'best', least: 2.0 }],
  'put-1000': [{ to: 'best', least: 2.0 }],
  'batch-1000': [{ to: 'best', least: 1.2 }],
  scan: [{ to: 'lmdb', least: 1.2 }],
  'scan-reverse': [{ to: 'own', workload: 'scan', least: 0.9 }],
  'scan-select': [{ to: 'lmdb', least: 2.0 }],
  'scan-bounded-1000': [{ to: 'lmdb', least: 1.2 }],
  'scan-prefix': [{ to: 'lmdb', least: 1.2 }],
  'insert-3-indexes': [{ to: 'better-sqlite3', least: 1.2 }],
  'index-equal': [{ to: 'better-sqlite3', least: 1.2 }],
  'index-range-100': [{ to: 'better-sqlite3', least: 1.2 }],
  filter: [{ to: 'better-sqlite3', least: 2.0 }],
  'mixed-80-20': [{ to: 'best', least: 1.5 }],
  'get-cold': [{ to: 'best', least: 1.0 }],
  'bulk-import': [{ to: 'best', least: 1.2 }],
}
