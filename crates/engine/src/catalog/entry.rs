//! The entries of the catalog as bytes (`docs/format.md` §6.2).

use std::time::Duration;

use fountain_lsm::Seq;
use serde_json::{Map, Value, json};

use super::{COLLECTION_TAG, INDEX_TAG, PROGRESS_TAG, damaged};
use crate::error::{Error, ErrorCode, Result};
use crate::index::{Index, IndexDefinition, IndexId};
use crate::keyspace::CollectionId;
use crate::record::Path;

/// What is set about a collection. Expiry and retention are kept, but nothing acts on them yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionOptions {
    /// The version of the schema that its records follow, as their writer counts.
    pub schema_version: Option<u64>,
    /// The path of the moment at which a record expires.
    pub ttl: Option<Path>,
    /// Which old versions are kept; as the store keeps them if not set.
    pub retention: Option<CollectionRetention>,
}

/// Which old versions of a collection's records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionRetention {
    /// All.
    Unbounded,
    /// None.
    LatestOnly,
    /// The newest ones of each record, this many.
    Count(u64),
    /// Those that were the newest at some moment in this span before now; whole milliseconds count.
    Since(Duration),
}

impl CollectionOptions {
    /// The entry of a collection.
    pub(super) fn to_entry(&self, id: CollectionId) -> Vec<u8> {
        let mut out = Map::new();
        out.insert("id".to_owned(), json!(id.get()));
        if let Some(version) = self.schema_version {
            out.insert("schemaVersion".to_owned(), json!(version));
        }
        if let Some(path) = &self.ttl {
            out.insert("ttl".to_owned(), json!(path.to_string()));
        }
        if let Some(retention) = self.retention {
            out.insert("retention".to_owned(), retention.to_json());
        }
        Value::Object(out).to_string().into_bytes()
    }
}

impl CollectionRetention {
    fn to_json(self) -> Value {
        match self {
            Self::Unbounded => json!("unbounded"),
            Self::LatestOnly => json!("latestOnly"),
            Self::Count(count) => json!({ "count": count }),
            Self::Since(span) => {
                json!({ "since": u64::try_from(span.as_millis()).unwrap_or(u64::MAX) })
            }
        }
    }

    fn from_json(json: &Value) -> Option<Self> {
        match (json.as_str(), json.get("count"), json.get("since")) {
            (Some("unbounded"), ..) => Some(Self::Unbounded),
            (Some("latestOnly"), ..) => Some(Self::LatestOnly),
            (None, Some(count), None) => count.as_u64().map(Self::Count),
            (None, None, Some(span)) => span.as_u64().map(Duration::from_millis).map(Self::Since),
            _ => None,
        }
    }
}

/// The key of a collection's entry.
pub(super) fn collection_key(name: &str) -> Vec<u8> {
    [&[COLLECTION_TAG], name.as_bytes()].concat()
}

/// Id and options in a collection's entry. Fields it does not know it leaves alone.
pub(super) fn parse_collection(value: &[u8]) -> Option<(CollectionId, CollectionOptions)> {
    let entry: Value = serde_json::from_slice(value).ok()?;
    let id = CollectionId::new(entry.get("id")?.as_u64()?.try_into().ok()?)?;
    let options = CollectionOptions {
        schema_version: optional(&entry, "schemaVersion", Value::as_u64).ok()?,
        ttl: optional(&entry, "ttl", |path| Path::parse(path.as_str()?).ok()).ok()?,
        retention: optional(&entry, "retention", CollectionRetention::from_json).ok()?,
    };
    Some((id, options))
}

/// A member that may be absent, but not be anything else than `read` understands.
fn optional<T>(entry: &Value, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>> {
    entry.get(name).map(|value| read(value).ok_or_else(|| damaged(name))).transpose()
}

/// The key of an index's entry.
pub(super) fn index_key(index: &Index) -> Vec<u8> {
    let name = index.definition.name().as_bytes();
    [&[INDEX_TAG][..], &index.collection.get().to_be_bytes(), name].concat()
}

/// The entry of an index.
pub(super) fn index_entry(index: &Index) -> Vec<u8> {
    let mut out = index.definition.to_json();
    out.insert("id".to_owned(), json!(index.id.get()));
    if let Some(since) = index.since {
        out.insert("since".to_owned(), json!(since.get()));
    }
    Value::Object(out).to_string().into_bytes()
}

/// The index that a stored entry describes; `key` is without the keyspace.
pub(super) fn load_index(key: &[u8], value: &[u8]) -> Result<Index> {
    parse_index_key(key)
        .and_then(|(collection, name)| Some((collection, name, serde_json::from_slice(value).ok()?)))
        .and_then(|(collection, name, entry)| load_parsed_index(collection, name, entry).transpose())
        .unwrap_or_else(|| {
            let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
            Err(damaged(format_args!("the entry of index {key:?} is {value:?}")))
        })
}

fn parse_index_key(key: &[u8]) -> Option<(CollectionId, &str)> {
    let (id, name) = key.get(1..)?.split_first_chunk()?;
    Some((CollectionId::new(u32::from_be_bytes(*id))?, std::str::from_utf8(name).ok()?))
}

/// `None` if it is damaged, an error if it cannot be understood.
fn load_parsed_index(collection: CollectionId, name: &str, entry: Value) -> Result<Option<Index>> {
    let Value::Object(mut entry) = entry else { return Ok(None) };
    let id = entry.remove("id").and_then(|id| id.as_u64()?.try_into().ok()).map(IndexId::new);
    let since = match entry.remove("since") {
        Some(since) => match since.as_u64().and_then(Seq::new) {
            Some(since) => Some(since),
            None => return Ok(None),
        },
        None => None,
    };
    let Some(id) = id else { return Ok(None) };
    // What it does not know it cannot keep up to date.
    let definition = IndexDefinition::from_json(name, &Value::Object(entry)).map_err(|error| {
        Error::new(
            ErrorCode::NewerFormat,
            format!("an index that this version does not know: {}", error.message),
        )
    })?;
    Ok(Some(Index { id, collection, definition, since }))
}

/// The key of the progress of a build.
pub(super) fn progress_key(id: IndexId) -> Vec<u8> {
    [&[PROGRESS_TAG][..], &id.get().to_be_bytes()].concat()
}

/// The progress of a build: how many records were passed, and the last of them.
pub(super) fn progress_value(records: u64, last: &[u8]) -> Vec<u8> {
    [&records.to_le_bytes()[..], last].concat()
}

/// Reads what [`progress_value`] writes.
pub(super) fn parse_progress(value: &[u8]) -> Result<(u64, Vec<u8>)> {
    match value.split_first_chunk() {
        Some((records, last)) => Ok((u64::from_le_bytes(*records), last.to_vec())),
        None => Err(damaged(format_args!("{value:?} is not the progress of a build"))),
    }
}
