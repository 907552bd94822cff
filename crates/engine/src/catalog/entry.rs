//! The entries of the catalog as bytes (`docs/format.md` §6.2).

use std::time::Duration;

use fountain_lsm::Seq;
use serde_json::{Map, Value, json};

use super::{COLLECTION_TAG, CollectionRetention, DROPPED_TAG, EXPIRY_TAG, INDEX_TAG, PROGRESS_TAG, damaged};
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::Expiry;
use crate::index::{Index, IndexDefinition, IndexId};
use crate::keyspace::CollectionId;
use crate::record::Path;

/// What is set about a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionOptions {
    /// The version of the schema that its records follow, as their writer counts.
    pub schema_version: Option<u64>,
    /// When its records expire.
    pub ttl: Option<Ttl>,
    /// Which old versions are kept; as the store keeps them if not set.
    pub retention: Option<CollectionRetention>,
}

/// One of the [`CollectionOptions`], as it is to be; `None` takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectionSetting {
    /// See [`CollectionOptions::schema_version`].
    SchemaVersion(Option<u64>),
    /// The schema version where none is set. Another one that is set is not changed: `ERR_DEFINITION`.
    DeclaredSchemaVersion(u64),
    /// See [`CollectionOptions::ttl`].
    Ttl(Option<Ttl>),
    /// See [`CollectionOptions::retention`].
    Retention(Option<CollectionRetention>),
}

impl CollectionSetting {
    /// Reads the members of a JSON object: `schemaVersion`, `ttl` and `retention`; null takes one back. Also
    /// `declaredSchemaVersion`, a whole number.
    ///
    /// # Errors
    /// `ERR_VALIDATION`.
    pub fn list(json: &Value) -> Result<Vec<Self>> {
        let Value::Object(members) = json else { return Err(refused(format!("{json} is no object"))) };
        members.iter().map(|(name, value)| Self::read(name, value)).collect()
    }

    fn read(name: &str, value: &Value) -> Result<Self> {
        let set = !value.is_null();
        match name {
            "schemaVersion" => Ok(Self::SchemaVersion(set.then(|| whole_number(name, value)).transpose()?)),
            "declaredSchemaVersion" => Ok(Self::DeclaredSchemaVersion(whole_number(name, value)?)),
            "ttl" => Ok(Self::Ttl(set.then(|| Ttl::from_json(value)).transpose()?)),
            "retention" => {
                Ok(Self::Retention(set.then(|| CollectionRetention::from_json(value)).transpose()?))
            }
            _ => Err(refused(format!("{name:?} is unknown"))),
        }
    }
}

fn whole_number(name: &str, value: &Value) -> Result<u64> {
    value.as_u64().ok_or_else(|| refused(format!("{name} {value} is no whole number")))
}

fn refused(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Validation, format!("options of a collection: {what}"))
}

/// When the records of a collection expire: a while after the moment that a field of each holds. Records without it, or with
/// something else in it, do not expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// The path of the moment: a date, or a number of milliseconds since 1970. It leads to one place, so it has no `[]`.
    pub field: Path,
    /// How long after that moment; whole milliseconds count.
    pub after: Duration,
}

impl Ttl {
    /// Reads a path, or `{"field":path,"after":milliseconds}`.
    ///
    /// # Errors
    /// `ERR_VALIDATION`, `ERR_LIMIT` (of paths).
    pub fn from_json(json: &Value) -> Result<Self> {
        let refused = || {
            let message = format!("a ttl is a path or {{\"field\":path,\"after\":milliseconds}}, not {json}");
            Error::new(ErrorCode::Validation, message)
        };
        let (field, after) = match json {
            Value::String(field) => (field.as_str(), 0),
            Value::Object(members) if members.keys().all(|name| name == "field" || name == "after") => {
                let field = members.get("field").and_then(Value::as_str).ok_or_else(refused)?;
                let after = members.get("after").map_or(Some(0), Value::as_u64);
                (field, after.ok_or_else(refused)?)
            }
            _ => return Err(refused()),
        };
        let field = Path::parse(field)?;
        if field.is_multiple() {
            let message = format!("the field of a ttl is one place, but {field} may be several");
            return Err(Error::new(ErrorCode::Validation, message));
        }
        Ok(Self { field, after: Duration::from_millis(after) })
    }

    /// As [`Ttl::from_json`] reads it.
    pub fn to_json(&self) -> Value {
        let field = self.field.to_string();
        match u64::try_from(self.after.as_millis()).unwrap_or(u64::MAX) {
            0 => json!(field),
            after => json!({ "field": field, "after": after }),
        }
    }
}

impl CollectionOptions {
    /// What is set, as members of a JSON object.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        if let Some(version) = self.schema_version {
            out.insert("schemaVersion".to_owned(), json!(version));
        }
        if let Some(ttl) = &self.ttl {
            out.insert("ttl".to_owned(), ttl.to_json());
        }
        if let Some(retention) = self.retention {
            out.insert("retention".to_owned(), retention.to_json());
        }
        out
    }

    /// Sets what a JSON object of options has, as [`CollectionSetting::list`] reads it.
    ///
    /// # Errors
    /// `ERR_VALIDATION`, and nothing was set then; `ERR_DEFINITION` as [`CollectionOptions::set`].
    pub fn update(&mut self, json: &Value) -> Result<()> {
        CollectionSetting::list(json)?.into_iter().try_for_each(|setting| self.set(setting))
    }

    /// Changes one setting.
    ///
    /// # Errors
    /// `ERR_DEFINITION` for a declared schema version where another one is set.
    pub fn set(&mut self, setting: CollectionSetting) -> Result<()> {
        match setting {
            CollectionSetting::SchemaVersion(version) => self.schema_version = version,
            CollectionSetting::DeclaredSchemaVersion(declared) => match self.schema_version {
                Some(found) if found != declared => return Err(other_version(declared, found)),
                _ => self.schema_version = Some(declared),
            },
            CollectionSetting::Ttl(ttl) => self.ttl = ttl,
            CollectionSetting::Retention(retention) => self.retention = retention,
        }
        Ok(())
    }

    /// The entry of a collection.
    pub(super) fn to_entry(&self, id: CollectionId) -> Vec<u8> {
        let mut out = self.to_json();
        out.insert("id".to_owned(), json!(id.get()));
        Value::Object(out).to_string().into_bytes()
    }
}

fn other_version(declared: u64, found: u64) -> Error {
    let message =
        format!("the documents of the collection follow version {found} of their schema, not {declared}");
    Error::new(ErrorCode::Definition, message).with(|details| {
        details.requested = Some(declared);
        details.found = Some(found);
    })
}

/// The key of a collection's entry.
pub(super) fn collection_key(name: &str) -> Vec<u8> {
    [&[COLLECTION_TAG], name.as_bytes()].concat()
}

/// Id and options in a collection's entry. Fields it does not know it leaves alone.
pub(crate) fn parse_collection(value: &[u8]) -> Option<(CollectionId, CollectionOptions)> {
    let entry: Value = serde_json::from_slice(value).ok()?;
    let id = CollectionId::new(entry.get("id")?.as_u64()?.try_into().ok()?)?;
    let options = CollectionOptions {
        schema_version: optional(&entry, "schemaVersion", Value::as_u64).ok()?,
        ttl: optional(&entry, "ttl", |json| Ttl::from_json(json).ok()).ok()?,
        retention: optional(&entry, "retention", |json| CollectionRetention::from_json(json).ok()).ok()?,
    };
    Some((id, options))
}

/// A member that may be absent, but not be anything else than `read` understands.
fn optional<T>(entry: &Value, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>> {
    entry.get(name).map(|value| read(value).ok_or_else(|| damaged(name))).transpose()
}

/// The key of an index's entry.
pub(super) fn index_key(index: &Index) -> Vec<u8> {
    if index.expiry.is_some() {
        return expiry_key(index.collection);
    }
    let name = index.definition.name().as_bytes();
    [&[INDEX_TAG][..], &index.collection.get().to_be_bytes(), name].concat()
}

/// The key of the expiry index of a collection.
pub(super) fn expiry_key(collection: CollectionId) -> Vec<u8> {
    [&[EXPIRY_TAG][..], &collection.get().to_be_bytes()].concat()
}

/// The entry of an index.
pub(super) fn index_entry(index: &Index) -> Vec<u8> {
    let mut out = match &index.expiry {
        Some(expiry) => expiry_json(expiry),
        None => index.definition.to_json(),
    };
    out.insert("id".to_owned(), json!(index.id.get()));
    if let Some(since) = index.since {
        out.insert("since".to_owned(), json!(since.get()));
    }
    Value::Object(out).to_string().into_bytes()
}

fn expiry_json(expiry: &Expiry) -> Map<String, Value> {
    let mut out = Map::new();
    if let Some(field) = &expiry.field {
        let ttl = Ttl { field: field.clone(), after: expiry.after };
        out.insert("ttl".to_owned(), ttl.to_json());
    }
    out
}

/// The expiry index that a stored entry describes; `key` is without the keyspace.
pub(super) fn load_expiry(key: &[u8], value: &[u8]) -> Result<Index> {
    parse_expiry(key, value).ok_or_else(|| {
        damaged(format_args!("the entry of expiry index {key:?} is {:?}", String::from_utf8_lossy(value)))
    })
}

fn parse_expiry(key: &[u8], value: &[u8]) -> Option<Index> {
    let collection = CollectionId::new(u32::from_be_bytes(key.get(1..)?.try_into().ok()?))?;
    let entry: Value = serde_json::from_slice(value).ok()?;
    let id = IndexId::new(entry.get("id")?.as_u64()?.try_into().ok()?);
    let since = optional(&entry, "since", |since| since.as_u64().and_then(Seq::new)).ok()?;
    let ttl = optional(&entry, "ttl", |ttl| Ttl::from_json(ttl).ok()).ok()?;
    let expiry = ttl.map(Expiry::from).unwrap_or_default();
    let definition = IndexDefinition::of_expiry();
    Some(Index { id, collection, definition, since, expiry: Some(expiry) })
}

impl From<Ttl> for Expiry {
    fn from(Ttl { field, after }: Ttl) -> Self {
        Self { field: Some(field), after }
    }
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
    Ok(Some(Index { id, collection, definition, since, expiry: None }))
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

/// The key of what is kept of a keyspace that was dropped.
pub(super) fn dropped_key(keyspace: u32) -> Vec<u8> {
    [&[DROPPED_TAG][..], &keyspace.to_be_bytes()].concat()
}

/// A keyspace that was dropped, and which versions of it are kept; `key` is without the catalog's keyspace.
pub(super) fn load_dropped(key: &[u8], value: &[u8]) -> Result<(u32, CollectionRetention)> {
    let keyspace = key.get(1..).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
    let kept = serde_json::from_slice(value).ok().and_then(|json| CollectionRetention::from_json(&json).ok());
    keyspace.zip(kept).ok_or_else(|| damaged(format_args!("{key:?} of a dropped keyspace is {value:?}")))
}
