//! Collections and indexes come and go, and records are read through indexes.
//!
//! What is rare crosses as JSON text.

use std::ops::Bound;

use fountain_engine::record::Value;
use fountain_engine::{
    Bounds, BuildStatus, CollectionOptions, CollectionSetting, Direction, Durability, Index, IndexDefinition,
    IndexId, IndexScan, Page, ReadTier, Result, Store, VersionPage,
};
use napi::Env;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;
use serde_json::{Map, Value as Json, json};

use crate::arguments::{collection, number, slice};
use crate::errors::{answer, bad_argument, thrown};
use crate::mailbox::Outcome;
use crate::pages;
use crate::stores::run;
use crate::thread::{ticket_for, view, with_store};

/// A page of records read through an index. The position behind which it begins lies at the start of the block.
#[napi(object)]
pub struct IndexScanArguments {
    /// The index and the keys, as JSON text; see [`parse_query`].
    pub query: String,
    /// Bytes of the position; 0 to begin at the first entry.
    pub after: u32,
    /// From the last entry to the first.
    pub reverse: bool,
    /// What to read, see [`view`].
    pub at: f64,
    /// Most records in the page.
    pub max_records: u32,
    /// Bytes after which the page is full.
    pub max_bytes: u32,
}

/// Changes what collections and indexes there are. Answers with the id of an index that was defined, else with a sequence.
#[napi(catch_unwind)]
pub fn change_schema(env: Env, ticket: u32, store: u32, change: String) -> answer::Result<()> {
    let start = || {
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        run("fountain-schema", ticket, move || apply(&engine, &change).map(Outcome::number))
    };
    start().map_err(|error| thrown(&error))
}

/// Answers when an index is ready, or with why it will not be.
#[napi(catch_unwind)]
pub fn wait_for_index(env: Env, ticket: u32, store: u32, index: u32) -> answer::Result<()> {
    let start = || {
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        run("fountain-schema", ticket, move || {
            engine.wait_for_index(IndexId::new(index)).map(|()| Outcome::default())
        })
    };
    start().map_err(|error| thrown(&error))
}

/// Goes on with the build of an index whose values the program computes, and has now put where they were missing.
#[napi(catch_unwind)]
pub fn resume_index(store: u32, index: u32) -> answer::Result<()> {
    with_store(store, |engine| engine.resume_index(IndexId::new(index))).map_err(|error| thrown(&error))
}

/// Reads records that lack the values of an index, behind the key in the first `after` bytes of `io`, as a page of versions.
/// Answers with the length of the key behind which to go on, 0 at the end, which comes before the page in what is to be
/// collected.
#[napi(catch_unwind)]
pub fn records_without_values(
    env: Env,
    ticket: u32,
    store: u32,
    io: &[u8],
    index: u32,
    after: u32,
) -> answer::Result<()> {
    let start = || {
        let after = slice(io, 0, after)?.to_vec();
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        run("fountain-schema", ticket, move || {
            let mut page = VersionPage::new();
            let next = engine.records_without_values(IndexId::new(index), &after, &mut page)?;
            let next = next.unwrap_or_default();
            Ok(Outcome::bytes(f64::from(next.len() as u32), [&next, page.bytes()].concat()))
        })
    };
    start().map_err(|error| thrown(&error))
}

/// The indexes of a collection, as a JSON array.
#[napi(catch_unwind)]
pub fn indexes(store: u32, name: String) -> answer::Result<String> {
    let list = |engine: &Store| {
        let info = engine.collection_info(&name)?;
        let indexes = info.map(|info| info.indexes).unwrap_or_default();
        indexes.iter().map(|index| describe(engine, index)).collect::<Result<Vec<_>>>()
    };
    Ok(json!(with_store(store, list).map_err(|error| thrown(&error))?).to_string())
}

/// Fills `io` with the next page as far as memory has it. Returns its length, `TOO_SMALL` or `WOULD_BLOCK`.
#[napi(catch_unwind)]
pub fn scan_index_sync(
    store: u32,
    collection_id: u32,
    mut io: BufferSlice<'_>,
    request: IndexScanArguments,
) -> answer::Result<i32> {
    let request = request.checked(collection_id, &io).map_err(|error| thrown(&error))?;
    pages::at_once(store, &mut io, |engine, tier, page| engine.scan_index(&request, tier, page))
}

/// Reads the next page on a read thread. Answers with the length of the page to collect as the second number.
#[napi(catch_unwind)]
pub fn scan_index(
    env: Env,
    ticket: u32,
    store: u32,
    collection_id: u32,
    io: &[u8],
    request: IndexScanArguments,
) -> answer::Result<()> {
    let request = request.checked(collection_id, io);
    let read = request.map(|request| {
        move |engine: &Store, tier: ReadTier, page: &mut Page| engine.scan_index(&request, tier, page)
    });
    pages::later(env, ticket, store, read)
}

impl IndexScanArguments {
    fn checked(&self, collection_id: u32, io: &[u8]) -> Result<IndexScan> {
        let (index, bounds) = parse_query(&self.query)?;
        let after = slice(io, 0, self.after)?;
        Ok(IndexScan {
            collection: collection(collection_id)?,
            index,
            bounds,
            direction: if self.reverse { Direction::Reverse } else { Direction::Forward },
            at: view(self.at)?,
            after: (!after.is_empty()).then(|| after.to_vec()),
            max_records: self.max_records as usize,
            max_bytes: self.max_bytes as usize,
        })
    }
}

/// A collection with its options and indexes, as a JSON object; null if there is none.
#[napi(catch_unwind)]
pub fn collection_info(store: u32, name: String) -> answer::Result<String> {
    let info = |engine: &Store| {
        let Some(info) = engine.collection_info(&name)? else { return Ok(Json::Null) };
        let indexes = info.indexes.iter().map(|index| describe(engine, index)).collect::<Result<Vec<_>>>()?;
        let mut out = info.options.to_json();
        out.insert("name".to_owned(), json!(name));
        out.insert("indexes".to_owned(), json!(indexes));
        Ok(Json::Object(out))
    };
    Ok(with_store(store, info).map_err(|error| thrown(&error))?.to_string())
}

/// Carries out `{ op, collection, options?, index?, definition? }`.
fn apply(engine: &Store, change: &str) -> Result<f64> {
    let change: Json =
        serde_json::from_str(change).map_err(|error| bad_argument(format!("change: {error}")))?;
    let text = |name: &str| {
        let text = change.get(name).and_then(Json::as_str);
        text.ok_or_else(|| bad_argument(format!("change: there is no {name}")))
    };
    let (name, durability) = (text("collection")?, Durability::Disk);
    match text("op")? {
        "createCollection" => create_collection(engine, name, change.get("options")),
        "alterCollection" => {
            let settings = CollectionSetting::list(change.get("options").unwrap_or(&Json::Null))?;
            engine.alter_collection(name, settings, durability).map(number)
        }
        "dropCollection" => engine.drop_collection(name, durability).map(number),
        "createIndex" => {
            let json = change.get("definition").unwrap_or(&Json::Null);
            let definition = IndexDefinition::from_json(text("index")?, json)?;
            let id = engine.create_index(engine.collection(name)?, definition, durability)?;
            Ok(f64::from(id.get()))
        }
        "dropIndex" => engine.drop_index(engine.collection(name)?, text("index")?, durability).map(number),
        other => Err(bad_argument(format!("change: {other:?} is unknown"))),
    }
}

/// Without options one that is there is fine, whatever its options.
fn create_collection(engine: &Store, name: &str, options: Option<&Json>) -> Result<f64> {
    let mut wanted = CollectionOptions::default();
    if let Some(options) = options {
        wanted.update(options)?;
    }
    if options.is_some() || engine.collection_info(name)?.is_none() {
        engine.create_collection(name, wanted, Durability::Disk)?;
    }
    Ok(number(engine.sequence()))
}

fn describe(engine: &Store, index: &Index) -> Result<Json> {
    let mut out = index.definition.to_json();
    out.insert("name".to_owned(), json!(index.definition.name()));
    let (state, progress, error) = match engine.build_status(index.id)? {
        Some(BuildStatus::Building { records, total, trouble }) => {
            ("building", Some((records, total)), trouble)
        }
        Some(BuildStatus::Failed(error)) => ("failed", None, Some(error)),
        // Dropped since it was listed.
        None => ("failed", None, None),
        Some(BuildStatus::Ready) => ("ready", None, None),
    };
    out.insert("state".to_owned(), json!(state));
    if let Some((records, total)) = progress {
        out.insert("records".to_owned(), json!(records));
        out.insert("total".to_owned(), json!(total));
    }
    if let Some(error) = error {
        out.insert("error".to_owned(), json!(error.to_json()));
    }
    Ok(Json::Object(out))
}

/// The index and the keys of `{ index, equal }`, `{ index, prefix }` or `{ index, range: { gt?, gte?, lt?, lte? } }`, each a
/// list of values for the first paths of the index. Of a prefix the last value is text or bytes that keys begin with. One of
/// the three must be there: a key that got lost on the way must not read the whole index.
fn parse_query(query: &str) -> Result<(String, Bounds)> {
    let query: Json = serde_json::from_str(query).map_err(|error| bad_argument(format!("query: {error}")))?;
    let index = query.get("index").and_then(Json::as_str).ok_or_else(|| bad_argument("query: no index"))?;
    let bounds = match (query.get("equal"), query.get("prefix"), query.get("range")) {
        (Some(values), None, None) => Bounds::equal(&parse_values(values)?)?,
        (None, Some(values), None) => match parse_values(values)?.split_last() {
            Some((last, values)) => Bounds::prefix(values, last)?,
            None => Bounds::all(),
        },
        (None, None, Some(Json::Object(range))) => parse_range(range)?,
        _ => return Err(bad_argument("query: keys are one of equal, prefix and range")),
    };
    Ok((index.to_owned(), bounds))
}

fn parse_range(range: &Map<String, Json>) -> Result<Bounds> {
    let list = |name: &str| range.get(name).map(parse_values).transpose();
    let bound = |open: &str, closed: &str| -> Result<Bound<Vec<Value>>> {
        Ok(match (list(open)?, list(closed)?) {
            (Some(values), _) => Bound::Excluded(values),
            (None, Some(values)) => Bound::Included(values),
            (None, None) => Bound::Unbounded,
        })
    };
    let (from, to) = (bound("gt", "gte")?, bound("lt", "lte")?);
    Bounds::tuple_range(&[], as_slice(&from), as_slice(&to))
}

fn as_slice(bound: &Bound<Vec<Value>>) -> Bound<&[Value]> {
    match bound {
        Bound::Included(values) => Bound::Included(values),
        Bound::Excluded(values) => Bound::Excluded(values),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn parse_values(json: &Json) -> Result<Vec<Value>> {
    let Json::Array(values) = json else { return Err(bad_argument("query: keys are lists of values")) };
    values.iter().map(parse_value).collect()
}

/// A value as the facade writes it: what JSON has not is `{ "date": milliseconds }`, `{ "bigint": digits }` and
/// `{ "bytes": numbers }`.
fn parse_value(json: &Json) -> Result<Value> {
    let refused = || bad_argument(format!("query: {json} is no value of a key"));
    match json {
        Json::Array(elements) => elements.iter().map(parse_value).collect::<Result<_>>().map(Value::Array),
        Json::Object(members) => match members.iter().next() {
            Some((kind, Json::Number(millis))) if kind == "date" => {
                millis.as_f64().map(Value::Date).ok_or_else(refused)
            }
            Some((kind, Json::String(digits))) if kind == "bigint" => digits.parse().map(Value::BigInt),
            Some((kind, Json::Array(bytes))) if kind == "bytes" => {
                let byte = |byte: &Json| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
                bytes.iter().map(byte).collect::<Option<_>>().map(Value::Bytes).ok_or_else(refused)
            }
            _ => Err(refused()),
        },
        scalar => Value::from_json(scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fountain_engine::ErrorCode;

    #[test]
    fn queries_name_the_index_and_its_keys() {
        let (index, bounds) = parse_query(r#"{"index":"x","equal":["a",{"date":5}]}"#).unwrap();
        let values = [Value::String("a".to_owned()), Value::Date(5.0)];
        assert_eq!((index.as_str(), bounds), ("x", Bounds::equal(&values).unwrap()));
        let (_, bounds) =
            parse_query(r#"{"index":"x","range":{"gt":[{"bigint":"7"}],"lte":[{"bytes":[1,255]}]}}"#)
                .unwrap();
        let (from, to) = ([Value::BigInt(7.into())], [Value::Bytes(vec![1, 255])]);
        let expected = Bounds::tuple_range(&[], Bound::Excluded(&from), Bound::Included(&to)).unwrap();
        assert_eq!(bounds, expected);
    }

    #[test]
    fn what_is_no_query_is_an_error() {
        for query in ["", "{}", r#"{"index":"x","equal":1}"#, r#"{"index":"x","equal":[{"bytes":[256]}]}"#] {
            assert_eq!(parse_query(query).unwrap_err().code, ErrorCode::InvalidArgument, "{query}");
        }
        let error = parse_query(r#"{"index":"x","prefix":[1]}"#).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
    }

    #[test]
    fn the_whole_index_is_read_only_if_that_is_said() {
        let (_, bounds) = parse_query(r#"{"index":"x","range":{}}"#).unwrap();
        assert_eq!(bounds, Bounds::tuple_range(&[], Bound::Unbounded, Bound::Unbounded).unwrap());
        for query in
            [r#"{"index":"x"}"#, r#"{"index":"x","range":null}"#, r#"{"index":"x","equal":[1],"range":{}}"#]
        {
            assert_eq!(parse_query(query).unwrap_err().code, ErrorCode::InvalidArgument, "{query}");
        }
    }
}
