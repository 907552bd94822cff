/** better-sqlite3, with JSON text. */
import Database from 'better-sqlite3'
import { adapt, pragmas } from './sqlite.mjs'

/** Opens a database in `dir`. */
export async function open(options) {
  const db = new Database(`${options.dir}/data.db`)
  db.exec(pragmas(options))
  return adapt(db, options)
}
