/**
 * The engines, by name. Each module has `open({ dir, cacheBytes, durability, indexes })` and gives an adapter with the same
 * functions; a function that an engine has no way to offer is missing, and its workloads show no result for it.
 */
export const ENGINES = {
  fountain: './fountain.mjs',
  lmdb: './lmdb.mjs',
  'classic-level': './classic-level.mjs',
  'better-sqlite3': './better-sqlite3.mjs',
  'node:sqlite': './node-sqlite.mjs',
  rocksdb: './rocksdb.mjs',
}

/** Our own name among them. */
export const OURS = 'fountain'

/** Opens a store of an engine. */
export async function openEngine(name, options) {
  const { open } = await import(ENGINES[name])
  return open(options)
}
