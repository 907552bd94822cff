/**
 * Smoke test for Electron's main process: opens a store, writes, closes, opens again, reads and scans.
 *
 *   electron scripts/electron-smoke.cjs
 *
 * Electron differs from Node.js where native addons break: its own V8 (which allows no external buffers) and its own event loop. The
 * hosted CI installs Electron for this job only. Exits 0 when all is well.
 */
const assert = require('node:assert/strict')
const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { app } = require('electron')
const { FountainStore } = require('..')

async function smoke(directory) {
  const note = { id: 'one', text: 'written in Electron', at: { lat: 59.9, lng: 10.7 } }
  const first = await FountainStore.open(directory)
  await first.collection('notes').put(note)
  await first.close()

  const second = await FountainStore.open(directory)
  assert.deepEqual(await second.collection('notes').get('one'), note)
  assert.equal((await second.collection('notes').scan().toArray()).length, 1)
  await second.close()
}

app.whenReady().then(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'fountainstore-electron-'))
  try {
    await smoke(join(directory, 'store'))
    console.log(`Electron ${process.versions.electron} (Node-API ${process.versions.napi}): ok`)
    app.exit(0)
  } catch (error) {
    console.error(error)
    app.exit(1)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
