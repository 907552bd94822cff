/** The SQLite of Node itself, with JSON text. */
import { DatabaseSync } from 'node:sqlite'
import { adapt, pragmas } from './sqlite.mjs'

/** Opens a database in `dir`. */
export async function open(options) {
  const db = new DatabaseSync(`${options.dir}/data.db`)
  db.exec(pragmas(options))
  return adapt(db, options)
}
