//! A query as it was understood, and how it is read from its JSON document.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::filter::{Filter, Place};
use super::legacy;
use super::literal;
use super::parse_filter::{FilterParser, parse_path};
use super::pointer::Pointer;
use super::projection::Projection;
use crate::error::Error;
use crate::error::Result;
use crate::limits::{MAX_ORDER_TERMS, MAX_QUERY_BYTES, MAX_QUERY_LIMIT};
use crate::record::Value;
use fountain_lsm::{Seq, Timestamp};

/// What a reader of queries may allow and has to know.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Whether `$regex` may be used. Default: false.
    pub regex: bool,
    /// The first path of the index with this name, for the legacy body `indexEquals`.
    pub index_path: &'a dyn Fn(&str) -> Option<String>,
}

impl Default for Rules<'_> {
    fn default() -> Self {
        Self { regex: false, index_path: &|_| None }
    }
}

/// A query: which records, in which order, what of them, how many at once.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which records.
    pub filter: Filter,
    /// In which order; ties, and everything without terms, are in the order of ids.
    pub order: Vec<Order>,
    /// What of them.
    pub projection: Projection,
    /// Most records in a page. Default: as many as a page holds.
    pub limit: Option<usize>,
    /// Where to go on: the cursor that came with the page before.
    pub cursor: Option<String>,
    /// Whether and how to count all records that match.
    pub count: Count,
    /// The state to read. Default: the one that the caller gives.
    pub at: Option<AsOf>,
    /// How to find the records.
    pub hints: Hints,
    /// Whether to report how the records are found.
    pub explain: Explain,
}

/// A state of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// That which the commit with this sequence left.
    Sequence(Seq),
    /// That of a time.
    Time(Timestamp),
}

/// One term of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What to order by: a path without `[]`, the id, or a commit.
    pub place: Place,
    /// From the largest to the smallest.
    pub descending: bool,
}

/// What the caller knows or demands about how records are found.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// The index to use.
    pub index: Option<String>,
    /// Refuse to read the whole collection.
    pub require_index: bool,
    /// Most records and index entries to read.
    pub max_scanned: Option<u64>,
    /// Longest time to take.
    pub timeout: Option<Duration>,
}

/// Whether and how to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// Not at all.
    #[default]
    None,
    /// As the planner guesses.
    Estimate,
    /// One by one.
    Exact,
}

/// Whether to report how records are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    /// No.
    #[default]
    No,
    /// The plan only; nothing is read.
    Plan,
    /// The plan, and what carrying it out took.
    Analyze,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            filter: Filter::always(),
            order: Vec::new(),
            projection: Projection::All,
            limit: None,
            cursor: None,
            count: Count::None,
            at: None,
            hints: Hints::default(),
            explain: Explain::No,
        }
    }
}

impl Query {
    /// Reads a query from JSON text.
    ///
    /// # Errors
    /// `ERR_VALIDATION` for what is not a query, with the JSON pointer of the place in the details; `ERR_LIMIT`,
    /// `ERR_TOO_LARGE`.
    pub fn parse(text: &str, rules: Rules<'_>) -> Result<Self> {
        Self::from_json(&parse_json(text)?, rules)
    }

    /// Reads a query from a JSON document: `find`, or one of the legacy bodies `byId`, `indexEquals` and `scan`.
    ///
    /// # Errors
    /// As [`Query::parse`].
    pub fn from_json(json: &Json, rules: Rules<'_>) -> Result<Self> {
        let root = Pointer::root();
        let body = members(json, &root)?;
        match legacy::rewrite(body, rules, &root)? {
            Some(modern) => Self::find(members(&modern, &root)?, rules, &root),
            None => Self::find(body, rules, &root),
        }
    }

    fn find(body: &Map<String, Json>, rules: Rules<'_>, root: &Pointer<'_>) -> Result<Self> {
        let mut query = Self::default();
        for (name, json) in body {
            let at = root.member(name);
            match name.as_str() {
                "type" if json == "find" => {}
                "type" => return Err(at.refused("expected \"find\", \"byId\", \"indexEquals\" or \"scan\"")),
                "where" => query.filter = FilterParser::new(rules.regex).filter(json, &at, 0)?,
                "orderBy" => query.order = order(json, &at)?,
                "select" => query.projection = Projection::parse(json, &at)?,
                "limit" => query.limit = Some(limit(json, &at)?),
                "cursor" => query.cursor = Some(string(json, &at)?),
                "count" => query.count = count(json, &at)?,
                "asOf" => query.at = Some(as_of(json, &at)?),
                "hint" => query.hints.index = Some(hint(json, &at)?),
                "requireIndex" => query.hints.require_index = boolean(json, &at)?,
                "maxScanned" => query.hints.max_scanned = Some(whole(json, &at)?),
                "timeoutMs" => query.hints.timeout = Some(Duration::from_millis(whole(json, &at)?)),
                "explain" => query.explain = explain(json, &at)?,
                _ => return Err(at.refused("unknown member of a query")),
            }
        }
        Ok(query)
    }

    /// What must be the same from page to page, in JSON: the filter, the order and the projection.
    pub(super) fn normalised(&self) -> Json {
        let order = |term: &Order| json!([term.place.to_string(), term.descending]);
        json!({
            "where": self.filter.to_json(),
            "orderBy": self.order.iter().map(order).collect::<Vec<_>>(),
            "select": self.projection.to_json(),
        })
    }
}

/// JSON text as a value.
pub(super) fn parse_json(text: &str) -> Result<Json> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(Error::too_large("query", text.len(), MAX_QUERY_BYTES));
    }
    serde_json::from_str(text).map_err(|error| Pointer::root().refused(format!("this is not JSON: {error}")))
}

pub(super) fn members<'a>(json: &'a Json, at: &Pointer<'_>) -> Result<&'a Map<String, Json>> {
    json.as_object().ok_or_else(|| at.refused("expected an object"))
}

pub(super) fn string(json: &Json, at: &Pointer<'_>) -> Result<String> {
    json.as_str().map(str::to_owned).ok_or_else(|| at.refused("expected text"))
}

pub(super) fn boolean(json: &Json, at: &Pointer<'_>) -> Result<bool> {
    json.as_bool().ok_or_else(|| at.refused("expected true or false"))
}

pub(super) fn whole(json: &Json, at: &Pointer<'_>) -> Result<u64> {
    json.as_u64().ok_or_else(|| at.refused("expected a whole number from 0 on"))
}

pub(super) fn limit(json: &Json, at: &Pointer<'_>) -> Result<usize> {
    match whole(json, at)? {
        0 => Err(at.refused("expected at least 1")),
        number => match usize::try_from(number) {
            Ok(number) if number <= MAX_QUERY_LIMIT => Ok(number),
            _ => Err(at.refused(format!("expected at most {MAX_QUERY_LIMIT}"))),
        },
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a date is whole; bounded below")]
fn as_of(json: &Json, at: &Pointer<'_>) -> Result<AsOf> {
    let expected = "expected a sequence, at most 2^53 - 1, or a moment, { \"$date\": … }";
    match literal::parse(json, at)? {
        Value::Date(millis) => Ok(AsOf::Time(Timestamp::from_millis(millis.max(0.0) as u64))),
        _ => json.as_u64().and_then(Seq::new).map(AsOf::Sequence).ok_or_else(|| at.refused(expected)),
    }
}

fn order(json: &Json, at: &Pointer<'_>) -> Result<Vec<Order>> {
    let Json::Array(terms) = json else { return Err(at.refused("expected an array of { path, dir }")) };
    if terms.len() > MAX_ORDER_TERMS {
        return Err(at.too_many("terms of an order", terms.len(), MAX_ORDER_TERMS));
    }
    let mut order: Vec<Order> = Vec::new();
    for (index, json) in terms.iter().enumerate() {
        let term = order_term(json, &at.index(index))?;
        if order.iter().any(|earlier| earlier.place == term.place) {
            return Err(at.index(index).refused("this path is in the order already"));
        }
        order.push(term);
    }
    Ok(order)
}

fn order_term(json: &Json, at: &Pointer<'_>) -> Result<Order> {
    let (mut place, mut descending) = (None, false);
    for (name, json) in members(json, at)? {
        let at = at.member(name);
        match name.as_str() {
            "path" => place = Some(order_place(&string(json, &at)?, &at)?),
            "dir" => {
                descending = match json.as_str() {
                    Some("asc") => false,
                    Some("desc") => true,
                    _ => return Err(at.refused("expected \"asc\" or \"desc\"")),
                }
            }
            _ => return Err(at.refused("expected path or dir")),
        }
    }
    let place = place.ok_or_else(|| at.refused("expected a path"))?;
    Ok(Order { place, descending })
}

fn order_place(text: &str, at: &Pointer<'_>) -> Result<Place> {
    match text {
        meta if meta.starts_with('$') => match Place::beside(meta) {
            None | Some(Place::Deleted) => {
                Err(at.refused("unknown; expected a path, $id, $seq or $createdSeq"))
            }
            Some(place) => Ok(place),
        },
        path => {
            let path = parse_path(path, at)?;
            if path.is_multiple() {
                return Err(
                    at.refused("records cannot be ordered by a path with []: it leads to several values")
                );
            }
            Ok(Place::Path(path))
        }
    }
}

fn count(json: &Json, at: &Pointer<'_>) -> Result<Count> {
    match json.as_str() {
        Some("none") => Ok(Count::None),
        Some("estimate") => Ok(Count::Estimate),
        Some("exact") => Ok(Count::Exact),
        _ => Err(at.refused("expected \"none\", \"estimate\" or \"exact\"")),
    }
}

fn explain(json: &Json, at: &Pointer<'_>) -> Result<Explain> {
    match json.as_str() {
        Some("plan") => Ok(Explain::Plan),
        Some("analyze") => Ok(Explain::Analyze),
        _ => Err(at.refused("expected \"plan\" or \"analyze\"")),
    }
}

fn hint(json: &Json, at: &Pointer<'_>) -> Result<String> {
    match members(json, at)?.iter().collect::<Vec<_>>().as_slice() {
        [(name, index)] if *name == "index" => string(index, &at.member("index")),
        _ => Err(at.refused("expected { \"index\": name }")),
    }
}
