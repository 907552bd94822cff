//! Every limit of the document layer, in one place.
//!
//! A limit here is at most what storage accepts, so that a commit which passed these checks is never refused below,
//! where it would take its whole group with it. The assertions at the end keep it so.

use std::time::Duration;

use fountain_lsm::limits as storage;

use crate::envelope::ENVELOPE_BYTES;

/// Longest encoded record key in bytes.
pub const MAX_ENCODED_KEY_BYTES: usize = 4096;
/// How deep arrays nest in a key; `[1]` is 1 deep.
pub const MAX_KEY_DEPTH: usize = 8;
/// Longest magnitude of a bigint key in bytes: 512 bits.
pub const MAX_BIGINT_BYTES: usize = 64;
/// Longest document in bytes, without its codec byte: 16 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// Most bytes of the values that were computed from one document for indexes: 1 MiB.
pub const MAX_COMPUTED_BYTES: usize = 1 << 20;
/// Deepest nesting of objects and arrays in a document; the document itself is at depth 1.
pub const MAX_DOCUMENT_DEPTH: usize = 128;
/// Most bytes of names of members in a document that is unpacked: 256 MiB. A record has them once for all objects with the
/// same ones, so they can be many times as long as the record.
pub const MAX_UNPACKED_NAME_BYTES: usize = 256 << 20;
/// Longest JSON text that is written, in bytes: 512 MiB, which is what JavaScript can hold in one string.
pub const MAX_JSON_BYTES: usize = 512 << 20;
/// Most names in a shape. Objects with more members carry their names themselves.
pub const MAX_SHAPE_NAMES: usize = 128;
/// Most bytes of all names of a shape together.
pub const MAX_SHAPE_BYTES: usize = 2048;
/// Most shapes of one store. Later objects carry their names themselves.
pub const MAX_SHAPES: usize = 4096;
/// Most steps in a path into documents.
pub const MAX_PATH_STEPS: usize = 16;
/// Longest path into documents, as it is written, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;
/// Longest query, as JSON text, in bytes: 1 MiB.
pub const MAX_QUERY_BYTES: usize = 1 << 20;
/// How deep conditions nest in a query.
pub const MAX_FILTER_DEPTH: usize = 32;
/// Most conditions in a query.
pub const MAX_FILTER_TESTS: usize = 1000;
/// Most values of one `$in`, `$nin` or `$all`.
pub const MAX_QUERY_VALUES: usize = 10_000;
/// Longest regular expression in bytes.
pub const MAX_REGEX_BYTES: usize = 256;
/// Most memory of a regular expression made ready, in bytes: 1 MiB.
pub const MAX_REGEX_PROGRAM_BYTES: usize = 1 << 20;
/// Most terms of an order.
pub const MAX_ORDER_TERMS: usize = 8;
/// Most paths that are selected or omitted.
pub const MAX_SELECT_PATHS: usize = 256;
/// Most shapes that an answer brings for what it returns of records; beyond them, objects carry their names.
pub(crate) const MAX_ANSWER_SHAPES: usize = 1024;
/// Most faults of contents that a verification reports one by one.
pub const MAX_CONTENT_FAULTS: usize = 1000;
/// Most records in a page of a query.
pub const MAX_QUERY_LIMIT: usize = 1_000_000;
/// Longest cursor in bytes, before it is written as text.
pub const MAX_CURSOR_BYTES: usize = 64 << 10;
/// Most memory in which the records of a query are sorted, in bytes: 64 MiB.
pub const MAX_SORT_BYTES: usize = 64 << 20;
/// Most memory for the keys that the indexes of a query find, in bytes: 64 MiB.
pub const MAX_GATHERED_KEY_BYTES: usize = 64 << 20;
/// Most memory for distinct values, in bytes: 64 MiB.
pub const MAX_DISTINCT_BYTES: usize = 64 << 20;
/// How often a change of all records that match is begun again because one of them was changed meanwhile.
pub(crate) const MAX_CHANGE_ATTEMPTS: u32 = 16;
/// Most values that are looked up one by one in an index; with more the index is not used for them.
pub(crate) const MAX_PLAN_POINTS: usize = 256;
/// Most entries of one range that are counted to guess what an index would cost.
pub(crate) const PLAN_SAMPLE: u32 = 128;
/// Most ranges of one access in which entries are counted.
pub(crate) const PLAN_SAMPLE_RANGES: usize = 32;
/// Most ranges in which entries are counted for one query, and most entries.
pub(crate) const MAX_PLAN_RANGES: u32 = 256;
pub(crate) const MAX_PLAN_ENTRIES: u32 = 4096;
/// Most paths of a compound index.
pub const MAX_INDEX_PATHS: usize = 8;
/// Most indexes of one collection.
pub const MAX_INDEXES: usize = 64;
/// Longest index key in bytes: the encoded values of all its paths.
pub const MAX_INDEX_KEY_BYTES: usize = 2048;
/// Most entries that one record may have in one index.
pub const MAX_INDEX_ENTRIES: usize = 4096;
/// Records that are indexed in one commit while an index is built.
pub(crate) const BUILD_CHUNK_RECORDS: usize = 256;
/// Bytes of entries after which a chunk of a build is committed although it has fewer records.
pub(crate) const BUILD_CHUNK_BYTES: usize = 256 << 10;
/// Most records that one call looks at to find those that lack what the program computes; closing waits for it.
pub const MAX_RECORDS_LOOKED_AT: usize = 4096;
/// Entries kept at once where an index is read at a moment before it was ready.
pub(crate) const FALLBACK_ENTRIES: usize = 65_536;
/// Most own writes in a collection with which a transaction reads an index on a thread that must not wait.
pub(crate) const MAX_OVERLAY_WITHOUT_WAITING: usize = 256;
/// How long the sweeper waits before it looks again for what has expired, if nothing else was asked for.
pub(crate) const SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// Records that the sweeper deletes in one commit.
pub(crate) const SWEEP_CHUNK_RECORDS: usize = 256;
/// Changes of what documents expire by that are remembered for reads of earlier states; older ones are looked up.
pub(crate) const MAX_TTL_CHANGES: usize = 1024;
/// Names of dropped collections that are remembered, so that a write to one of them can be refused by its name.
pub(crate) const MAX_DROPPED_NAMES: usize = 1024;
/// Most operations in one commit.
pub const MAX_COMMIT_OPS: usize = 1_000_000;
/// Largest commit in bytes, keys and documents together: 128 MiB.
pub const MAX_COMMIT_BYTES: usize = 128 << 20;
/// Most transactions open at a time in one store.
pub const MAX_TRANSACTIONS: usize = 10_000;
/// How long a transaction may be open. What it reads must be kept as long, and what is written meanwhile be remembered.
pub const MAX_TRANSACTION_AGE: Duration = Duration::from_secs(300);
/// Most bytes of keys and ranges, with 64 for each, that a serializable transaction may have read: 32 MiB.
pub const MAX_TRANSACTION_READ_BYTES: usize = 32 << 20;
/// Bytes of keys, with 96 for each, of recent commits that are remembered for open transactions: 64 MiB. Transactions
/// that began before what is over it cannot commit any more.
pub const MAX_WINDOW_BYTES: usize = 64 << 20;
/// Bytes of recent commits, with 128 for each, that are kept in memory while somebody watches: 16 MiB.
pub const MAX_FEED_BYTES: usize = 16 << 20;
/// Longest collection name in characters, all of them ASCII.
pub const MAX_NAME_CHARS: usize = 128;
/// Most collections in one store, counting names that were only asked for.
pub const MAX_COLLECTIONS: usize = 65_536;
/// Most read threads of a store.
pub const MAX_READ_THREADS: usize = 64;
/// Bytes by which index entries can enlarge one commit: 48 MiB.
pub const MAX_DERIVED_BYTES: usize = 48 << 20;
/// Bytes of submitted commits above which a writer should wait before it submits more: 64 MiB. Not enforced:
/// [`crate::Store::queued_bytes`] tells how much is waiting, and the caller decides.
pub const QUEUE_SOFT_LIMIT_BYTES: usize = 64 << 20;
/// Bytes of waiting commits that the commit thread takes as one group: 16 MiB. With what the commits change in indexes it may
/// be many times as much; so when those that are ready take more than this, with [`STAGED_OPERATION_BYTES`] for each
/// operation, storage takes them before the next one is looked at. In memory are at most these and one commit.
pub(crate) const GROUP_BYTES: usize = 16 << 20;
/// What an operation of a commit that is ready takes in memory beside its bytes, about.
pub(crate) const STAGED_OPERATION_BYTES: usize = 96;
/// Most bytes in a page of a scan, its last record excepted: 64 MiB. A request for more is served in several pages.
pub const MAX_PAGE_BYTES: usize = 64 << 20;

/// Bytes of the keyspace id before every record key.
pub(crate) const KEYSPACE_BYTES: usize = 4;
/// Bytes by which the catalog entries of every possible new collection can enlarge one commit.
const CATALOG_BYTES: usize = MAX_COLLECTIONS * (MAX_NAME_CHARS + 64);
/// Bytes by which new shapes can enlarge one commit: at worst every byte of a name is escaped in JSON.
const SHAPES_BYTES: usize = MAX_SHAPES * (6 * MAX_SHAPE_BYTES + 4 * MAX_SHAPE_NAMES);

const _: () = assert!(KEYSPACE_BYTES + MAX_ENCODED_KEY_BYTES <= storage::MAX_KEY_BYTES);
const _: () = assert!(KEYSPACE_BYTES + MAX_INDEX_KEY_BYTES + MAX_ENCODED_KEY_BYTES <= storage::MAX_KEY_BYTES);
const _: () = assert!(MAX_INDEX_KEY_BYTES <= MAX_ENCODED_KEY_BYTES);
const _: () = assert!(MAX_DOCUMENT_BYTES + MAX_COMPUTED_BYTES + ENVELOPE_BYTES < storage::MAX_VALUE_BYTES);
const _: () =
    assert!(MAX_COMMIT_BYTES + MAX_DERIVED_BYTES + CATALOG_BYTES + SHAPES_BYTES <= storage::MAX_COMMIT_BYTES);
