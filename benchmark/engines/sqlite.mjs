/**
 * What better-sqlite3 and node:sqlite share: a table of JSON text in WAL mode, with indexes on generated columns where a
 * workload has indexes.
 *
 * Both are synchronous. Puts that are in flight together are therefore put into one transaction, as a developer who wants
 * speed would do by a queue of a few lines; that is the fastest way with each put answered when it is on disk.
 */

const COLUMNS = `
  ALTER TABLE documents ADD COLUMN email TEXT GENERATED ALWAYS AS (json_extract(doc, '$.email')) VIRTUAL;
  ALTER TABLE documents ADD COLUMN city TEXT GENERATED ALWAYS AS (json_extract(doc, '$.address.city')) VIRTUAL;
  ALTER TABLE documents ADD COLUMN age INTEGER GENERATED ALWAYS AS (json_extract(doc, '$.age')) VIRTUAL;
  CREATE UNIQUE INDEX by_email ON documents (email);
  CREATE INDEX by_city ON documents (city);
  CREATE INDEX by_age ON documents (age);`

/** The pragmas that make a database as durable and as large in memory as asked for. */
export const pragmas = ({ cacheBytes, durability }) => `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = ${durability === 'disk' ? 'FULL' : 'OFF'};
  PRAGMA cache_size = -${Math.floor(cacheBytes / 1024)};`

/** The adapter for an open database with `exec`, `prepare` and `close`, in which statements have `get`, `all`, `iterate`. */
export function adapt(db, { indexes }) {
  db.exec('CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID')
  if (indexes && db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'by_age'").get() === undefined) db.exec(COLUMNS)
  const statements = new Map()
  const statement = (sql) => {
    let known = statements.get(sql)
    if (known === undefined) {
      known = db.prepare(sql)
      statements.set(sql, known)
    }
    return known
  }
  const select = statement('SELECT doc FROM documents WHERE id = ?')
  const upsert = statement(
    'INSERT INTO documents (id, doc) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc',
  )
  const parse = ({ doc }) => JSON.parse(doc)
  const getSync = (key) => {
    const row = select.get(key)
    return row === undefined ? undefined : JSON.parse(row.doc)
  }
  const write = (several) => {
    db.exec('BEGIN IMMEDIATE')
    try {
      for (const document of several) upsert.run(document.id, JSON.stringify(document))
      db.exec('COMMIT')
    } catch (error) {
      db.exec('ROLLBACK')
      throw error
    }
  }
  const put = queued(write)
  return {
    getSync,
    get: async (key) => getSync(key),
    getMany: async (keys) => keys.map(getSync),
    put,
    batch: async (several) => write(several),
    scan: async (asked, touch) => {
      const { sql, values } = scanStatement(asked)
      let count = 0
      let total = 0
      for (const row of statement(sql).iterate(...values)) {
        total += touch(parse(row))
        count += 1
      }
      return { count, total }
    },
    scanSelected: async (touch) => {
      const sql =
        "SELECT json_extract(doc, '$.age') AS age, json_extract(doc, '$.address.city') AS city FROM documents ORDER BY id"
      let count = 0
      let total = 0
      for (const { age, city } of statement(sql).iterate()) {
        total += touch({ age, address: { city } })
        count += 1
      }
      return { count, total }
    },
    indexEqual: async (city) => statement('SELECT doc FROM documents WHERE city = ?').all(city).map(parse),
    indexRange: async (from, to, limit) =>
      statement('SELECT doc FROM documents WHERE age >= ? AND age < ? ORDER BY age, id LIMIT ?')
        .all(from, to, limit)
        .map(parse),
    filter: async (age) =>
      statement(
        "SELECT doc FROM documents WHERE json_extract(doc, '$.age') >= ? AND json_extract(doc, '$.active') = 1 AND json_extract(doc, '$.address.zip') < 30000 ORDER BY id",
      )
        .all(age)
        .map(parse),
    settle: () => undefined,
    close: async () => db.close(),
  }
}

/** Puts of one tick become one transaction. */
function queued(write) {
  let waiting = []
  let documents = []
  const flush = () => {
    const [done, batch] = [waiting, documents]
    waiting = []
    documents = []
    try {
      write(batch)
      for (const { resolve } of done) resolve()
    } catch (error) {
      for (const { reject } of done) reject(error)
    }
  }
  return (document) =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) setImmediate(flush)
      waiting.push({ resolve, reject })
      documents.push(document)
    })
}

function scanStatement({ gte, lt, prefix, reverse, limit }) {
  const conditions = []
  const values = []
  const from = prefix ?? gte
  const to = prefix === undefined ? lt : `${prefix}\u{10ffff}`
  if (from !== undefined) {
    conditions.push('id >= ?')
    values.push(from)
  }
  if (to !== undefined) {
    conditions.push('id < ?')
    values.push(to)
  }
  const where = conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : ''
  const most = limit === undefined ? '' : ` LIMIT ${limit}`
  return { sql: `SELECT doc FROM documents${where} ORDER BY id${reverse ? ' DESC' : ''}${most}`, values }
}
