/** classic-level (LevelDB), with JSON text as values. */
import { ClassicLevel } from 'classic-level'
import { adapt } from './level.mjs'

/** Opens a database in `dir`. */
export async function open({ dir, cacheBytes, durability }) {
  const db = new ClassicLevel(dir, {
    cacheSize: cacheBytes,
    keyEncoding: 'utf8',
    valueEncoding: 'utf8',
    writeBufferSize: 32 << 20,
  })
  await db.open()
  const getSync = (key) => JSON.parse(db.getSync(key))
  const getMany = async (keys) => (await db.getMany(keys)).map((value) => JSON.parse(value))
  return adapt(db, { durability, getSync, getMany })
}
