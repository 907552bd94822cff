//! What verification says of the documents: what is wrong in a store whose files are sound.

use serde_json::{Value, json};

use crate::limits::MAX_CONTENT_FAULTS;

/// What the documents of a store were found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentReport {
    /// Collections in the catalog.
    pub collections: u64,
    /// Records in them.
    pub records: u64,
    /// Entries in their indexes, expiry indexes included.
    pub index_entries: u64,
    /// What is wrong; at most [`MAX_CONTENT_FAULTS`].
    pub faults: Vec<ContentFault>,
    /// How many faults there are beyond those.
    pub more_faults: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentFault {
    /// Which rule does not hold.
    pub code: ContentFaultCode,
    /// The collection that it concerns, if it is one.
    pub collection: Option<String>,
    /// The index that it concerns, if it is one; `$ttl` is the expiry index.
    pub index: Option<String>,
    /// The key of the record as queries write values in JSON, `{"$bigint": "10"}` and `{"$bytes": "base64"}`, with
    /// `{"$number": "Infinity"}` for what only keys may be, if it concerns one and the key can be read.
    pub key: Option<Value>,
    /// What was found instead.
    pub found: String,
}

/// A rule that the contents of a store follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentFaultCode {
    /// The entries of the catalog can be read and agree with each other.
    Catalog,
    /// The shapes can be read, are without gaps, and no two are the same.
    Shapes,
    /// Everything belongs to a collection or an index that there is.
    Keyspace,
    /// A record has a valid key, can be unpacked, and can be indexed.
    Record,
    /// A record has every entry that it should have.
    MissingEntry,
    /// An entry of an index leads to a record that has it.
    StrayEntry,
    /// A key of a unique index is that of one record.
    Unique,
}

impl ContentFaultCode {
    /// The code as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Shapes => "shapes",
            Self::Keyspace => "keyspace",
            Self::Record => "record",
            Self::MissingEntry => "missing_entry",
            Self::StrayEntry => "stray_entry",
            Self::Unique => "unique",
        }
    }
}

impl ContentReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn add(&mut self, fault: ContentFault) {
        if self.faults.len() < MAX_CONTENT_FAULTS {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "collections": self.collections,
            "records": self.records,
            "indexEntries": self.index_entries,
            "faults": self.faults.iter().map(ContentFault::to_json).collect::<Vec<_>>(),
            "moreFaults": self.more_faults,
        })
    }
}

impl ContentFault {
    fn to_json(&self) -> Value {
        json!({
            "code": self.code.as_str(),
            "collection": self.collection,
            "index": self.index,
            "key": self.key,
            "found": self.found,
        })
    }
}
