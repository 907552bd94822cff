//! How records are found: the plan of a query, and how it is told.

use fountain_lsm::KeyRange;
use serde_json::{Value as Json, json};

use super::ranges;

/// Where the records that are tested come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Access {
    /// Nowhere: no record can pass.
    Nothing,
    /// The collection, in the order of ids.
    Scan(KeyRange),
    /// The records under these encoded keys, in their order.
    Ids(Vec<Vec<u8>>),
    /// The entries of an index.
    Index(IndexAccess),
    /// What one of several finds, in the order of ids.
    Union(Vec<Access>),
    /// What all of several find, in the order of ids.
    Intersection(Vec<Access>),
}

/// Ranges of an index.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IndexAccess {
    /// Which of the source's indexes.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Ranges of encoded tuples, in order, without overlap.
    pub ranges: Vec<KeyRange>,
    /// What the order of the entries is.
    pub order: EntryOrder,
}

/// The order of an index access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryOrder {
    /// None that is of use.
    Any,
    /// That of ids: there is one range, of one tuple.
    Ids,
    /// That of the query; the bytes before it in every tuple are the same, and these are so many.
    Query(usize),
}

/// A plan.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub access: Access,
    /// Whether the records come in the order of the query.
    pub ordered: bool,
    /// Records and entries that it is guessed to read, weighed by what they cost.
    pub cost: f64,
    /// Records that are guessed to match.
    pub matches: f64,
    /// What else was thought of.
    pub considered: Vec<Json>,
    /// What could be better.
    pub warnings: Vec<String>,
}

impl Access {
    /// The tree of the plan, as `explain` shows it.
    pub fn to_json(&self) -> Json {
        let list = |parts: &[Self]| Json::Array(parts.iter().map(Self::to_json).collect());
        match self {
            Self::Nothing => json!({ "op": "nothing" }),
            Self::Scan(range) if range.start.is_empty() && range.end.is_none() => json!({ "op": "scan" }),
            Self::Scan(range) => json!({ "op": "idRange", "range": range_json(range) }),
            Self::Ids(keys) => json!({ "op": "ids", "ids": keys.len() }),
            Self::Index(access) => json!({
                "op": "indexRange",
                "index": access.name,
                "ranges": access.ranges.iter().map(range_json).collect::<Vec<_>>(),
                "ordered": access.order != EntryOrder::Any,
            }),
            Self::Union(parts) => json!({ "op": "union", "inputs": list(parts) }),
            Self::Intersection(parts) => json!({ "op": "intersection", "inputs": list(parts) }),
        }
    }

    /// Whether the whole collection may be read.
    pub fn is_full_scan(&self) -> bool {
        match self {
            Self::Scan(range) => range.start.is_empty() && range.end.is_none(),
            Self::Union(parts) => parts.iter().any(Self::is_full_scan),
            Self::Intersection(parts) => parts.iter().all(Self::is_full_scan),
            Self::Nothing | Self::Ids(_) | Self::Index(_) => false,
        }
    }

    /// Whether the index is read.
    pub fn uses(&self, name: &str) -> bool {
        match self {
            Self::Index(access) => access.name == name,
            Self::Union(parts) | Self::Intersection(parts) => parts.iter().any(|part| part.uses(name)),
            Self::Nothing | Self::Scan(_) | Self::Ids(_) => false,
        }
    }
}

fn range_json(range: &KeyRange) -> Json {
    let start = ranges::describe(&range.start);
    let end = range.end.as_ref().map(|end| ranges::describe(end));
    json!([start, end])
}
