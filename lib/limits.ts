/**
 * Every limit of the facade, in one place. What is stored is limited by the formats (keys, documents, batches);
 * the rest are sizes of buffers and pages that trade memory for fewer crossings.
 */

/** Longest encoded key in bytes. A string costs its UTF-8 bytes plus two, a number nine. */
export const MAX_KEY_BYTES = 4096
/** Deepest nesting of arrays in a key; `['a']` is one deep. */
export const MAX_KEY_DEPTH = 8
/** Most bytes in the magnitude of a bigint key: 512 bits. */
export const MAX_BIGINT_BYTES = 64
/** Room that an encoder may touch before the key limit is judged: every byte escaped, three bytes per character. */
export const KEY_ROOM_BYTES = 8 * MAX_KEY_BYTES

/** Longest record of a document without its codec byte, in bytes: 16 MiB. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
/** The same with the codec byte. */
export const MAX_ENCODED_DOCUMENT_BYTES = MAX_DOCUMENT_BYTES + 1
/** Most names in a shape. Objects with more members carry their names themselves. */
export const MAX_SHAPE_NAMES = 128
/** Shapes that one place of a collection's documents may add to the store while it is open. */
export const MAX_NEW_SHAPES_PER_PLACE = 64
/** Deepest nesting of objects and arrays in a document; the document itself is at depth 1. */
export const MAX_DOCUMENT_DEPTH = 128
/** Largest batch in bytes, keys and documents together: 64 MiB. */
export const MAX_BATCH_BYTES = 64 * 1024 * 1024

/** Highest version of a function that computes values for an index. */
export const MAX_INDEX_VERSION = 0xffff_ffff
/** Most bytes of the values that are computed from one document: 1 MiB. */
export const MAX_COMPUTED_BYTES = 1024 * 1024

/** Longest key in an index in bytes, which no list of more values can have. */
export const MAX_INDEX_KEY_BYTES = 2048
/** Longest query as JSON text, in bytes: 1 MiB. */
export const MAX_QUERY_BYTES = 1024 * 1024

/** Most operations in a batch. */
export const MAX_BATCH_OPERATIONS = 1_000_000

/**
 * Bytes of writes that are handed to the engine before their tick is over: it commits and syncs them while the others are
 * encoded.
 */
export const HAND_OVER_BYTES = 64 * 1024
/** Size at which a buffer that the engine may not have yet is closed and the next write starts another. */
export const WRITE_CHUNK_BYTES = 4 * 1024 * 1024
/** Bytes handed to the engine and not yet answered, above which further writes wait on the JavaScript side. */
export const MAX_QUEUED_BYTES = 64 * 1024 * 1024

/** How often `store.transaction` runs again after a conflict unless told otherwise. */
export const DEFAULT_TRANSACTION_RETRIES = 10
/** How often an update of all that match is tried before it is a conflict; the engine tries as often. */
export const MAX_CHANGE_ATTEMPTS = 16
/** How long `store.transaction` may take with all its attempts unless told otherwise, in milliseconds. */
export const DEFAULT_TRANSACTION_MS = 30_000
/** Longest time that `store.transaction` may be given: the engine refuses transactions that are open for longer. */
export const MAX_TRANSACTION_MS = 300_000
/** Longest pause before another attempt, in milliseconds. */
export const MAX_RETRY_PAUSE_MS = 50

/** Size of the block through which synchronous reads pass keys in and documents out. */
export const IO_BYTES = 1024 * 1024
/** Records in one page of a scan unless told otherwise. */
export const DEFAULT_PAGE_SIZE = 256
/** Most records in one page of a scan. */
export const MAX_PAGE_SIZE = 10_000
/** Most documents that a query fetches at once. */
export const MAX_QUERY_PAGE_SIZE = 1_000_000
/** Most documents of a query that are fetched at once where nothing has to be sorted: unpacking more would keep others waiting. */
export const MAX_PIECE_DOCUMENTS = 4096
/** Bytes of keys and documents after which a page ends even if it has fewer records. */
export const PAGE_BYTES = 256 * 1024
