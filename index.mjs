// The ESM face of the one CommonJS implementation, so that `import` and `require` see the same classes.
import cjs from './index.js'

export const {
  Collection,
  FountainStore,
  Index,
  IndexBuild,
  path,
  Query,
  ReadCollection,
  Scan,
  Snapshot,
  StoreError,
  Transaction,
  TransactionCollection,
  type,
  WriteOperation,
} = cjs
