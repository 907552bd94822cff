//! What was: the versions of one record, what commits changed, and how two moments differ.

use fountain_lsm::{Direction, KeyRange, ReadTier, Seq};

use crate::catalog::{Catalog, Names};
use crate::document;
use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::keys;
use crate::keyspace::CollectionId;
use crate::kv::KvVersions;
use crate::limits::{KEYSPACE_BYTES, MAX_PAGE_BYTES};
use crate::scan::ScanEnd;
use crate::store::Store;
use crate::versions::VersionPage;

/// The changes that a caller asks for.
#[derive(Clone, Debug)]
pub struct ChangesRequest {
    /// Of this collection; of all if `None`.
    pub collection: Option<CollectionId>,
    /// Made by commits after this one.
    pub after: Seq,
    /// And up to this one.
    pub upto: Seq,
    /// Bytes after which a page is full; at most [`MAX_PAGE_BYTES`] count.
    pub max_bytes: usize,
}

impl Store {
    /// Fills `page`, which is cleared first, with the versions of a record up to the commit `upto`, from the newest to the
    /// oldest that is kept, deletions included. When more may follow, ask again with one less than the last sequence; if the
    /// retention becomes shorter in between, less is left by then, whatever snapshots there are: they keep states, not what
    /// came before.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY`, `ERR_TOO_LARGE` (key), `ERR_SEQUENCE`, `ERR_CORRUPT`, `ERR_IO`, `ERR_CLOSED`.
    pub fn history(
        &self,
        collection: CollectionId,
        key: &[u8],
        upto: Option<Seq>,
        max_bytes: usize,
        page: &mut VersionPage,
    ) -> Result<ScanEnd> {
        page.clear();
        let _pass = self.inner.enter("reading history")?;
        keys::validate(key)?;
        let upto = upto.unwrap_or_else(|| self.inner.kv.visible());
        let mut versions = self.inner.kv.versions(&collection.storage_key(key), upto)?;
        while versions.next()? {
            push(page, versions.as_ref(), collection)?;
            if page.bytes().len() >= max_bytes.min(MAX_PAGE_BYTES) {
                return Ok(ScanEnd::More);
            }
        }
        Ok(ScanEnd::Done)
    }

    /// Fills `page`, which is cleared first, with what commits changed, in the order of commits and in each by collection
    /// and key; that a collection was dropped is told as the deletion of the empty key. Returns the commit up to which it goes, at most `upto`: all changes of a commit are in one page, however
    /// large. Go on after that one.
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED` when what came after `after` may be incomplete, whether a snapshot pins that or not;
    /// `ERR_INVALID_ARGUMENT` when `after` is later than `upto`; `ERR_SEQUENCE`, `ERR_CORRUPT`, `ERR_IO`, `ERR_CLOSED`.
    pub fn changes(&self, request: &ChangesRequest, page: &mut VersionPage) -> Result<Seq> {
        page.clear();
        let _pass = self.inner.enter("reading changes")?;
        self.try_changes(request, page).map_err(|error| self.in_request(error, request))
    }

    fn try_changes(&self, request: &ChangesRequest, page: &mut VersionPage) -> Result<Seq> {
        self.check_order(request)?;
        let mut limit = request.max_bytes.min(MAX_PAGE_BYTES);
        let mut upto = request.upto;
        let mut found = Vec::new();
        let mut bytes = 0;
        let (collections, drops) = self.collections_between(request)?;
        let (range, whole) = (range_of(request.collection), ranges_of(request.collection, &collections));
        let mut versions = self.inner.kv.changes(range, &whole, request.after, upto)?;
        let asked = |id: CollectionId| request.collection.is_none_or(|only| only == id);
        for &(seq, collection) in drops.iter().filter(|(_, id)| asked(*id)) {
            found.push(Found { seq, collection, key: Vec::new(), value: None });
        }
        while versions.next()? {
            let (seq, collection) = (versions.seq(), CollectionId::of_storage_key(versions.key()));
            let is_asked = |id: &CollectionId| seq <= upto && collections.contains_key(id);
            let Some(collection) = collection.filter(is_asked) else { continue };
            // Some storage keeps deleted ranges as deletions of their keys.
            if versions.value().is_none() && drops.contains(&(seq, collection)) {
                continue;
            }
            let one = Found::take(versions.as_ref(), collection)?;
            bytes += one.size();
            found.push(one);
            if bytes > limit {
                // What lies in the later half of the commits found so far is for another page.
                upto = median(&mut found);
                found.retain(|one: &Found| one.seq <= upto);
                bytes = found.iter().map(Found::size).sum();
                // A single commit may be larger than a page.
                limit = limit.max(2 * bytes);
            }
        }
        found.sort_by(|one, other| {
            (one.seq, one.collection, &one.key).cmp(&(other.seq, other.collection, &other.key))
        });
        for one in &found {
            page.push(one.seq, one.collection, &one.key, one.value.as_deref());
        }
        Ok(upto)
    }

    /// Fills `page`, which is cleared first, with the records that differ between two moments, by collection and key: each
    /// as it is at `upto` with the sequence that made it so, or as deleted, be it with its collection. Begins at `start`, the page's
    /// [`VersionPage::after_last`] of the page before.
    ///
    /// # Errors
    /// As [`Store::changes`], but a snapshot of either moment is enough for it to be kept.
    pub fn diff(
        &self,
        request: &ChangesRequest,
        start: Option<&[u8]>,
        page: &mut VersionPage,
    ) -> Result<ScanEnd> {
        page.clear();
        let _pass = self.inner.enter("comparing")?;
        self.try_diff(request, start, page).map_err(|error| self.in_request(error, request))
    }

    fn try_diff(
        &self,
        request: &ChangesRequest,
        start: Option<&[u8]>,
        page: &mut VersionPage,
    ) -> Result<ScanEnd> {
        self.check_order(request)?;
        let mut range = range_of(request.collection);
        if let Some(start) = start {
            range.start = range.start.max(start.to_vec());
        }
        let (before, after) = self.collections_around(request)?;
        // Collections are dropped as ranges of keys, of which the keys have no versions.
        for (id, name) in before.iter().filter(|(id, _)| !after.contains_key(id)) {
            let own = id.storage_range(&KeyRange::default());
            let Some(end) = own.end.clone().filter(|end| range.start < *end) else { continue };
            if range.end.as_ref().is_some_and(|end| *end <= own.start) {
                break;
            }
            let until = KeyRange { start: range.start.clone(), end: Some(own.start.clone()) };
            let dropped = KeyRange { start: range.start.clone().max(own.start), end: Some(end.clone()) };
            if self.push_differences(until, request, &after, page)? == ScanEnd::More
                || self.push_dropped(*id, name, dropped, request, page)? == ScanEnd::More
            {
                return Ok(ScanEnd::More);
            }
            range.start = end;
        }
        self.push_differences(range, request, &after, page)
    }

    /// The records in a range of which versions differ, in collections that there are at the end.
    fn push_differences(
        &self,
        range: KeyRange,
        request: &ChangesRequest,
        collections: &Names,
        page: &mut VersionPage,
    ) -> Result<ScanEnd> {
        if range.is_empty() {
            return Ok(ScanEnd::Done);
        }
        let kv = self.inner.kv.as_ref();
        let whole = ranges_of(request.collection, collections);
        let mut versions = kv.differences(range, &whole, request.after, request.upto)?;
        while versions.next()? {
            let collection = CollectionId::of_storage_key(versions.key());
            let Some(collection) = collection.filter(|id| collections.contains_key(id)) else { continue };
            let before = kv.get(versions.key(), Some(request.after), ReadTier::Disk)?;
            if before.as_deref() == versions.value() {
                continue;
            }
            push(page, versions.as_ref(), collection)?;
            if page.bytes().len() >= request.max_bytes.min(MAX_PAGE_BYTES) {
                return Ok(ScanEnd::More);
            }
        }
        Ok(ScanEnd::Done)
    }

    /// The records that a collection had which was dropped meanwhile, as deleted.
    fn push_dropped(
        &self,
        id: CollectionId,
        name: &str,
        range: KeyRange,
        request: &ChangesRequest,
        page: &mut VersionPage,
    ) -> Result<ScanEnd> {
        let kv = self.inner.kv.as_ref();
        let dropped = Catalog::dropped_at(kv, id, name, request.upto)?.unwrap_or(request.upto);
        let mut records = kv.cursor(range, request.after, Direction::Forward, ReadTier::Disk)?;
        while records.next()? {
            page.push(dropped, id, records.key().get(KEYSPACE_BYTES..).unwrap_or_default(), None);
            if page.bytes().len() >= request.max_bytes.min(MAX_PAGE_BYTES) {
                return Ok(ScanEnd::More);
            }
        }
        Ok(ScanEnd::Done)
    }

    /// The commit that was the newest at a time, in milliseconds since 1970. It may be up to about a second too early, and
    /// more for what is long ago.
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED` when nothing is known of that time, `ERR_CLOSED`.
    pub fn sequence_at(&self, millis: u64) -> Result<Seq> {
        let _pass = self.inner.enter("looking for a time")?;
        self.inner.kv.seq_at(millis).ok_or_else(|| {
            Error::new(
                ErrorCode::HistoryTruncated,
                format!(
                    "the store has no commit from before {millis} ms after 1970 that it knows the time of"
                ),
            )
        })
    }

    /// Refuses a request that goes backwards: nothing was made after its end, which would look like no difference. A beginning
    /// that has not happened yet is for storage to refuse.
    fn check_order(&self, request: &ChangesRequest) -> Result<()> {
        let ChangesRequest { after, upto, .. } = request;
        if after <= upto || *after > self.inner.kv.visible() {
            return Ok(());
        }
        Err(Error::argument(format!(
            "from sequence {after} to {upto} is backwards: the earlier moment comes first"
        )))
    }

    /// The collections that a request may be about, and which commits dropped some of them.
    fn collections_between(&self, request: &ChangesRequest) -> Result<(Names, Vec<(Seq, CollectionId)>)> {
        Catalog::between(self.inner.kv.as_ref(), request.after, request.upto)
            .or_else(|error| Ok((self.names_instead(error, request)?, Vec::new())))
    }

    /// The collections that there were at both ends of a request.
    fn collections_around(&self, request: &ChangesRequest) -> Result<(Names, Names)> {
        let at = |seq| Catalog::names_at(self.inner.kv.as_ref(), seq);
        at(request.after).and_then(|before| Ok((before, at(request.upto)?))).or_else(|error| {
            let now = self.names_instead(error, request)?;
            Ok((now.clone(), now))
        })
    }

    /// The collections that there are now, where the history of the catalog does not go back as far as that of the one that is
    /// asked for: it has not been dropped if it is among them. Else there is no telling, and the error comes back.
    fn names_instead(&self, error: Error, request: &ChangesRequest) -> Result<Names> {
        let asked = request.collection.filter(|_| error.code == ErrorCode::HistoryTruncated);
        let Some(asked) = asked else { return Err(error) };
        let kv = self.inner.kv.as_ref();
        let names = Catalog::names_at(kv, kv.visible())?;
        if names.contains_key(&asked) { Ok(names) } else { Err(error) }
    }

    /// Names the collection that a request is about.
    fn in_request(&self, error: Error, request: &ChangesRequest) -> Error {
        match request.collection {
            Some(collection) => self.in_collection(error, collection),
            None => error,
        }
    }

    /// The collection of a storage key, if it is that of a record.
    pub(crate) fn collection_of(&self, key: &[u8]) -> Option<CollectionId> {
        CollectionId::of_storage_key(key).filter(|&id| self.inner.catalog.name(id).is_some())
    }
}

/// A change, out of its walk.
struct Found {
    seq: Seq,
    collection: CollectionId,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Found {
    fn take(versions: &dyn KvVersions, collection: CollectionId) -> Result<Self> {
        let value = versions.value();
        value.map_or(Ok(()), document::check_stored)?;
        let key = versions.key().get(KEYSPACE_BYTES..).unwrap_or_default();
        let value = value.map(|value| envelope::document(value).to_vec());
        Ok(Self { seq: versions.seq(), collection, key: key.to_vec(), value })
    }

    fn size(&self) -> usize {
        VersionPage::HEADER + self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// The commit in the middle of those that made what was found; never the last, unless it is the only one.
fn median(found: &mut [Found]) -> Seq {
    found.sort_by_key(|one| one.seq);
    let last = found.last().map_or(Seq::ZERO, |one| one.seq);
    let earlier = found.partition_point(|one| one.seq < last);
    let middle = (found.len() / 2).min(earlier.saturating_sub(1));
    found.get(middle).map_or(last, |one| one.seq)
}

fn push(page: &mut VersionPage, versions: &dyn KvVersions, collection: CollectionId) -> Result<()> {
    let value = versions.value();
    value.map_or(Ok(()), document::check_stored)?;
    let key = versions.key().get(KEYSPACE_BYTES..).unwrap_or_default();
    page.push(versions.seq(), collection, key, value.map(envelope::document));
    Ok(())
}

/// The storage keys of a collection's records, or of all that may be records.
fn range_of(collection: Option<CollectionId>) -> KeyRange {
    match collection {
        Some(collection) => collection.storage_range(&KeyRange::default()),
        None => KeyRange { start: CollectionId::FIRST.prefix().to_vec(), end: None },
    }
}

/// The storage keys of whose versions none may be missing: those of the collection that is asked for, or of all that there are.
/// Of indexes, and of collections that are gone, nobody asks what storage has kept.
fn ranges_of(collection: Option<CollectionId>, collections: &Names) -> Vec<KeyRange> {
    let range = |id: &CollectionId| id.storage_range(&KeyRange::default());
    collection.map_or_else(|| collections.keys().map(range).collect(), |only| vec![range(&only)])
}
