//! The changes that one commit makes, checked as they are added.
//!
//! Everything that is wrong with a change in itself is found here, in the caller's hands. What depends on the state of the
//! store, conditions and transactions, is decided on the commit thread, for each commit by itself.

use std::collections::BTreeSet;

use fountain_lsm::Seq;

use crate::catalog::{CollectionOptions, CollectionSetting, SchemaOp};
use crate::condition::Condition;
use crate::document;
use crate::envelope;
use crate::error::{Error, Result};
use crate::expiry::Swept;
use crate::index::{Chunk, IndexDefinition, IndexId};
use crate::keys;
use crate::keyspace::CollectionId;
use crate::kv::Batch;
use crate::limits::{KEYSPACE_BYTES, MAX_COMMIT_BYTES, MAX_COMMIT_OPS};
use crate::transaction::Claim;

/// Puts and deletes, of any collections, that become visible together. The last operation on a key wins.
#[derive(Debug, Default)]
pub struct WriteSet {
    batch: Batch,
    puts: usize,
    /// The collection of the operations so far, in order, without repeating one after itself.
    collections: Vec<CollectionId>,
    /// What operations ask, by their places, ascending.
    conditions: Vec<(usize, Condition)>,
    /// What the store must have reached.
    least: Option<Seq>,
    /// The transaction that this commits.
    claim: Option<Claim>,
    /// Changes of the catalog, in order; they come before the operations.
    schema: Vec<SchemaOp>,
    /// Records that are there already, to be indexed by an index that is being built.
    chunk: Option<Chunk>,
    /// Collections of records that carry their own moment of expiry.
    expiring: BTreeSet<CollectionId>,
    /// Records that are to be deleted if they have expired.
    swept: Vec<Swept>,
}

impl WriteSet {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the record under `key`, encoded by [`keys`], to `document`, whose first byte is its codec; see also
    /// [`crate::expiring`].
    ///
    /// # Errors
    /// `ERR_INVALID_KEY`, `ERR_TOO_LARGE` (key, document or commit), `ERR_LIMIT` (operations),
    /// `ERR_INVALID_ARGUMENT` (unknown codec). The set is then unchanged.
    pub fn put(&mut self, collection: CollectionId, key: &[u8], document: &[u8]) -> Result<()> {
        document::check_new(document)?;
        self.push(collection, key, Some(document))?;
        self.puts += 1;
        if envelope::carries_moment(document) {
            self.expiring.insert(collection);
        }
        Ok(())
    }

    /// Deletes the record under `key`, encoded by [`keys`]; fine if there is none.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY`, `ERR_TOO_LARGE` (key or commit), `ERR_LIMIT` (operations). The set is then unchanged.
    pub fn delete(&mut self, collection: CollectionId, key: &[u8]) -> Result<()> {
        self.push(collection, key, None)
    }

    /// As [`WriteSet::put`], if `condition` holds for the record that is there: among what was committed before this
    /// commit, or put by an earlier operation of it. If it does not, the whole commit is refused, with `ERR_EXISTS` for
    /// [`Condition::Absent`] and `ERR_CONFLICT` for [`Condition::Sequence`].
    ///
    /// # Errors
    /// As [`WriteSet::put`].
    pub fn put_if(
        &mut self,
        collection: CollectionId,
        key: &[u8],
        document: &[u8],
        condition: Condition,
    ) -> Result<()> {
        let place = self.len();
        self.put(collection, key, document)?;
        self.conditions.push((place, condition));
        Ok(())
    }

    /// As [`WriteSet::delete`], under a condition as in [`WriteSet::put_if`].
    ///
    /// # Errors
    /// As [`WriteSet::delete`].
    pub fn delete_if(&mut self, collection: CollectionId, key: &[u8], condition: Condition) -> Result<()> {
        let place = self.len();
        self.delete(collection, key)?;
        self.conditions.push((place, condition));
        Ok(())
    }

    /// Refuses the commit with `ERR_SEQUENCE` unless the commit before it has at least this sequence.
    pub fn require_sequence(&mut self, least: Seq) {
        self.least = self.least.max(Some(least));
    }

    /// Stores the entry of a collection, which its first write would do as well. Fine if it is there with the same options;
    /// with others the commit is refused with `ERR_EXISTS`.
    pub fn create_collection(&mut self, collection: CollectionId, options: CollectionOptions) {
        self.change(collection, SchemaOp::CreateCollection(collection, options));
    }

    /// Gives a collection these options instead of those that it has. A collection that is new is stored.
    pub fn set_collection(&mut self, collection: CollectionId, options: CollectionOptions) {
        self.change(collection, SchemaOp::SetCollection(collection, options));
    }

    /// Changes some options of a collection; the others stay as they are when this is committed. A collection that is new is
    /// stored. The commit is refused with `ERR_DEFINITION` if it declares a schema version and another one is set.
    pub fn alter_collection(&mut self, collection: CollectionId, settings: Vec<CollectionSetting>) {
        self.change(collection, SchemaOp::AlterCollection(collection, settings));
    }

    /// Drops a collection with its records and indexes, in the same short time whatever it holds. Reads at earlier
    /// sequences go on. Its id ends with it: what is written to it later is refused, and its name gets another id.
    pub fn drop_collection(&mut self, collection: CollectionId) {
        self.change(collection, SchemaOp::DropCollection(collection));
    }

    /// Defines an index. It is kept up to date from this commit on, and what was there before is added in the
    /// background. Fine if there is the same index already; for another one with the same name the commit is refused with
    /// `ERR_EXISTS`, for too many with `ERR_LIMIT`.
    pub fn create_index(&mut self, collection: CollectionId, definition: IndexDefinition) {
        self.change(collection, SchemaOp::CreateIndex(collection, definition));
    }

    /// Drops an index, in the same short time whatever it holds. Without one the commit is refused with `ERR_NO_INDEX`.
    pub fn drop_index(&mut self, collection: CollectionId, name: &str) {
        self.change(collection, SchemaOp::DropIndex(collection, name.to_owned()));
    }

    /// Drops an index that could not be built.
    pub(crate) fn drop_unbuilt(&mut self, index: IndexId) {
        self.schema.push(SchemaOp::DropUnbuilt(index));
    }

    /// Makes this the commit of a chunk of a build.
    pub(crate) fn set_chunk(&mut self, chunk: Chunk) {
        self.schema.push(chunk.progress());
        self.chunk = Some(chunk);
    }

    /// The chunk of a build that this commits.
    pub(crate) fn chunk(&self) -> Option<&Chunk> {
        self.chunk.as_ref()
    }

    /// Makes this the commit that deletes those of some records that have expired. It is refused with `ERR_NOT_FOUND` if
    /// none has.
    pub(crate) fn set_swept(&mut self, swept: Vec<Swept>) {
        self.swept = swept;
    }

    /// Records that are to be deleted if they have expired.
    pub(crate) fn swept(&self) -> &[Swept] {
        &self.swept
    }

    /// Collections of records that carry their own moment of expiry.
    pub(crate) fn expiring(&self) -> &BTreeSet<CollectionId> {
        &self.expiring
    }

    /// Whether it changes more than its operations, or needs to know what they replace.
    pub(crate) fn has_consequences(&self) -> bool {
        !self.schema.is_empty() || !self.swept.is_empty() || !self.expiring.is_empty()
    }

    /// Changes of the catalog, in order; they come before the operations.
    pub(crate) fn schema(&self) -> &[SchemaOp] {
        &self.schema
    }

    /// Adds a change of the catalog.
    pub(crate) fn push_schema(&mut self, op: SchemaOp) {
        self.schema.push(op);
    }

    fn change(&mut self, collection: CollectionId, op: SchemaOp) {
        self.schema.push(op);
        if self.collections.last() != Some(&collection) {
            self.collections.push(collection);
        }
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.schema.is_empty() && self.swept.is_empty()
    }

    /// Bytes of keys and documents.
    pub fn size_bytes(&self) -> usize {
        self.batch.size_bytes() + self.chunk.as_ref().map_or(0, Chunk::size_bytes)
    }

    /// The documents that are put, and what was computed from them.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let parts = self.batch.ops().filter_map(|(_, stored)| stored.map(envelope::open));
        parts.flat_map(|parts| [Some(parts.document), parts.values]).flatten()
    }

    /// Number of puts; the other operations are deletes.
    pub(crate) fn puts(&self) -> usize {
        self.puts
    }

    /// The collections written to; one may come several times.
    pub(crate) fn collections(&self) -> &[CollectionId] {
        &self.collections
    }

    /// The changes as storage takes them.
    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The collections written to, and the changes as storage takes them.
    pub(crate) fn into_parts(self) -> (Vec<CollectionId>, Batch) {
        (self.collections, self.batch)
    }

    /// What operations ask, by their places, ascending.
    pub(crate) fn conditions(&self) -> &[(usize, Condition)] {
        &self.conditions
    }

    /// What the store must have reached.
    pub(crate) fn least(&self) -> Option<Seq> {
        self.least
    }

    /// The transaction that this commits.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// Makes this the commit of a transaction.
    pub(crate) fn set_claim(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    /// Whether the state of the store decides if this can be committed.
    pub(crate) fn depends_on_state(&self) -> bool {
        !self.conditions.is_empty() || self.least.is_some() || self.claim.is_some()
    }

    fn push(&mut self, collection: CollectionId, key: &[u8], document: Option<&[u8]>) -> Result<()> {
        keys::validate(key)?;
        if self.batch.len() == MAX_COMMIT_OPS {
            return Err(Error::too_many("operations in one commit", MAX_COMMIT_OPS + 1, MAX_COMMIT_OPS));
        }
        let added = KEYSPACE_BYTES + key.len() + document.map_or(0, <[u8]>::len);
        let size = self.batch.size_bytes() + added;
        if size > MAX_COMMIT_BYTES {
            return Err(Error::too_large("commit", size, MAX_COMMIT_BYTES));
        }
        self.batch.push(&collection.prefix(), key, document);
        if self.collections.last() != Some(&collection) {
            self.collections.push(collection);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::keys::{Key, encode};
    use crate::record::CODEC_RECORD;

    const COLLECTION: CollectionId = CollectionId::FIRST;

    fn key(number: f64) -> Vec<u8> {
        encode(&Key::Number(number)).unwrap()
    }

    #[test]
    fn a_refused_operation_leaves_the_set_as_it_was() {
        let mut writes = WriteSet::new();
        writes.put(COLLECTION, &key(1.0), b"\x02").unwrap();
        let (len, size) = (writes.len(), writes.size_bytes());

        assert_eq!(writes.put(COLLECTION, b"\x30a", b"\x02").unwrap_err().code, ErrorCode::InvalidKey);
        assert_eq!(writes.put(COLLECTION, &key(1.0), b"").unwrap_err().code, ErrorCode::InvalidArgument);
        assert_eq!(writes.delete(COLLECTION, b"").unwrap_err().code, ErrorCode::InvalidKey);
        assert_eq!((writes.len(), writes.size_bytes(), writes.puts()), (len, size, 1));
    }

    #[test]
    fn a_commit_over_the_limit_in_bytes_is_refused_at_the_operation_that_crosses_it() {
        let mut writes = WriteSet::new();
        let document = vec![CODEC_RECORD; 16 << 20];
        for number in 0..7 {
            writes.put(COLLECTION, &key(f64::from(number)), &document).unwrap();
        }
        let error = writes.put(COLLECTION, &key(7.0), &document).unwrap_err();
        assert_eq!((error.code, error.details.what), (ErrorCode::TooLarge, Some("commit")));
        assert_eq!(writes.len(), 7);
    }

    #[test]
    fn a_commit_over_the_limit_in_operations_is_refused() {
        let mut writes = WriteSet::new();
        let key = key(1.0);
        for _ in 0..MAX_COMMIT_OPS {
            writes.delete(COLLECTION, &key).unwrap();
        }
        let error = writes.delete(COLLECTION, &key).unwrap_err();
        assert_eq!((error.code, error.details.limit), (ErrorCode::Limit, Some(MAX_COMMIT_OPS as u64)));
    }
}
