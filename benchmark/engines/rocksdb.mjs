/** RocksDB through @nxtedition/rocksdb, with JSON text as values. Its binding has no single synchronous get, and
 * its `put` ignores `sync`, as `--check-syncs` shows, so a put is a batch of one. */
import { RocksLevel } from '@nxtedition/rocksdb'
import { adapt } from './level.mjs'

/** Opens a database in `dir`. */
export async function open({ dir, cacheBytes, durability }) {
  const db = new RocksLevel(dir, {
    cacheSize: cacheBytes,
    keyEncoding: 'utf8',
    valueEncoding: 'utf8',
    createIfMissing: true,
  })
  await db.open()
  const getMany = async (keys) => (await db.getMany(keys)).map((value) => JSON.parse(value))
  return adapt(db, { durability, getSync: undefined, getMany, putsAsBatch: true })
}
