/** The quick start of README.md, word for word; a test keeps the two the same and runs it. */
import { FountainStore } from 'fountainstore'

const store = await FountainStore.open('./data')
const users = store.collection<{ id: string; name: string }>('users')
await users.put({ id: 'ada', name: 'Ada Lovelace' }) // on disk when this resolves
const before = store.snapshot()
await users.batch([{ put: { id: 'ada', name: 'Countess Lovelace' } }, { put: { id: 'alan', name: 'Alan Turing' } }])
for await (const user of users.scan({ prefix: 'a' })) console.log(user.name) // Countess Lovelace, Alan Turing
console.log((await users.get('ada', { snapshot: before }))?.name) // Ada Lovelace
await before.close()
await store.close()
