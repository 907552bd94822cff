//! Queries: requests in JSON about the documents of a collection. They always run on a read thread, as nobody knows before
//! how much they will read.
//!
//! An answer is `u32 length ‖ JSON ‖ records`, the records as in a page of a scan. The JSON says what else there is: `next`,
//! `count`, `explain`, `changed`, `sequence`, and `shapes`, those that only the answer has: the number of the first, and the
//! names of each. In an answer that is to be JSON altogether, the documents are in it.

use fountain_engine::query::{Answer, Body};
use fountain_engine::record::{self, Node, Value};
use fountain_engine::{CollectionId, Durability, Page, Result, Store, View};
use napi::Env;
use napi_derive::napi;
use serde_json::json;

use crate::arguments::{collection, durability, number};
use crate::errors::{answer, thrown};
use crate::mailbox::Outcome;
use crate::thread::{ticket_for, view};

/// How to carry out a query.
#[napi(object)]
pub struct QueryArguments {
    /// The sequence to read at, or what stands for the newest state or a transaction.
    pub at: f64,
    /// Whether `$regex` may be used.
    pub regex: bool,
    /// Whether the answer is to be JSON altogether.
    pub json: bool,
    /// How durable a change is to be.
    pub durability: u32,
}

/// What a request is about and how it is carried out, checked.
struct Request {
    collection: CollectionId,
    view: View,
    regex: bool,
    json: bool,
    durability: Durability,
}

/// Carries out a request on a read thread. Answers with the number of documents and the length of what is to be collected.
#[napi(catch_unwind)]
pub fn query(
    env: Env,
    ticket: u32,
    store: u32,
    collection_id: u32,
    body: String,
    arguments: QueryArguments,
) -> answer::Result<()> {
    let start = || {
        let request = Request {
            collection: collection(collection_id)?,
            view: view(arguments.at)?,
            regex: arguments.regex,
            json: arguments.json,
            durability: durability(arguments.durability)?,
        };
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        ticket.answer_later(&engine, move |engine| run(engine, &body, request));
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

fn run(engine: &Store, body: &str, request: Request) -> Result<Outcome> {
    let Request { collection, view, regex, json, durability } = request;
    match engine.parse_query(collection, body, regex)? {
        Body::Find(query) => {
            let answer = engine.query(collection, &query, view)?;
            let records = answer.page.len() as u32;
            let bytes = if json { answer.to_json()? } else { frame(&meta(&answer), &answer.page) };
            Ok(Outcome::bytes(f64::from(records), bytes))
        }
        Body::Count(query) => {
            let count = engine.count(collection, &query, view)?;
            Ok(reply(&json!({ "count": count }), json))
        }
        Body::Distinct(query, path) => {
            let values = engine.distinct(collection, &query, &path, view)?;
            let (records, page) = (values.len() as u32, distinct_page(values)?);
            let bytes = if json { values_json(&page)? } else { frame(&json!({}), &page) };
            Ok(Outcome::bytes(f64::from(records), bytes))
        }
        Body::Change(query, change) => {
            let changed = engine.change(collection, &query, &change, durability)?;
            Ok(reply(&json!({ "changed": changed.records, "sequence": changed.sequence.map(number) }), json))
        }
    }
}

fn meta(answer: &Answer) -> serde_json::Value {
    let (first, own) = answer.own_shapes();
    let mut meta = json!({
        "next": answer.next, "count": answer.count, "explain": answer.explain, "sequence": number(answer.seq),
    });
    if !own.is_empty() {
        let names: Vec<_> = own.iter().map(|shape| shape.names()).collect();
        meta["shapes"] = json!({ "first": first, "names": names });
    }
    meta
}

/// Each value as a record `{ value }`: together they may be larger than a record may be.
fn distinct_page(values: Vec<Value>) -> Result<Page> {
    let mut page = Page::new();
    for value in values {
        page.push(&[], &record::write_named(&Value::Object(vec![("value".to_owned(), value)]))?);
    }
    Ok(page)
}

fn reply(meta: &serde_json::Value, as_json: bool) -> Outcome {
    let bytes = if as_json { meta.to_string().into_bytes() } else { frame(meta, &Page::new()) };
    Outcome::bytes(0.0, bytes)
}

fn values_json(page: &Page) -> Result<Vec<u8>> {
    let mut out = b"{\"values\":[".to_vec();
    for (index, (_, record)) in page.records().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let mut reader = record::Reader::new(record, &[])?;
        let Node::Named(_) = reader.next()? else { continue };
        reader.skip()?;
        record::to_json(&mut reader, &mut out)?;
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn frame(meta: &serde_json::Value, page: &Page) -> Vec<u8> {
    let meta = meta.to_string();
    [&(meta.len() as u32).to_le_bytes(), meta.as_bytes(), page.bytes()].concat()
}
