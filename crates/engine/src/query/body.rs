//! What a caller may ask for in one JSON document: records, their number, their values, or that they be changed.

use serde_json::{Map, Value as Json};

use super::parse_filter::parse_path;
use super::pointer::Pointer;
use super::request::{boolean, members, parse_json, string};
use super::{Query, Rules, literal};
use crate::error::Result;
use crate::limits::MAX_SELECT_PATHS;
use crate::record::{Path, Value};

/// A request about the records that match a filter.
#[derive(Clone, Debug)]
pub enum Body {
    /// A page of them: `find`, and the legacy bodies.
    Find(Query),
    /// How many there are: `count`.
    Count(Query),
    /// The different values at a path: `distinct`.
    Distinct(Query, Path),
    /// That they be changed: `update` and `delete`.
    Change(Query, Change),
}

/// A change of records.
#[derive(Clone, Debug)]
pub struct Change {
    /// Members that get new values, or `None` to delete the records.
    pub set: Option<Vec<(String, Value)>>,
    /// Only count what would be changed.
    pub dry_run: bool,
}

impl Body {
    /// Reads a request from JSON text.
    ///
    /// # Errors
    /// As [`Query::parse`].
    pub fn parse(text: &str, rules: Rules<'_>) -> Result<Self> {
        let json = parse_json(text)?;
        let root = Pointer::root();
        let mut body = members(&json, &root)?.clone();
        let kind = body.get("type").and_then(Json::as_str).unwrap_or("find").to_owned();
        match kind.as_str() {
            "count" => {
                let query = part(
                    body,
                    &["where", "hint", "requireIndex", "maxScanned", "timeoutMs", "asOf", "count"],
                    rules,
                )?;
                Ok(Self::Count(query))
            }
            "distinct" => {
                let at = root.member("path");
                let path = body.remove("path").ok_or_else(|| at.refused("expected a path"))?;
                let text = string(&path, &at)?;
                if text.starts_with('$') {
                    let message =
                        "expected a path into documents (a member of such a name is written [\"$name\"])";
                    return Err(at.refused(message));
                }
                let path = parse_path(&text, &at)?;
                let known = ["where", "hint", "requireIndex", "maxScanned", "timeoutMs", "asOf", "limit"];
                Ok(Self::Distinct(part(body, &known, rules)?, path))
            }
            "update" | "delete" => {
                let set = match kind.as_str() {
                    "update" => Some(new_values(&mut body, &root)?),
                    _ => None,
                };
                let dry_run = match body.remove("dryRun") {
                    Some(json) => boolean(&json, &root.member("dryRun"))?,
                    None => false,
                };
                let known = ["where", "hint", "requireIndex", "maxScanned", "timeoutMs", "limit"];
                Ok(Self::Change(part(body, &known, rules)?, Change { set, dry_run }))
            }
            _ => Query::from_json(&json, rules).map(Self::Find),
        }
    }
}

/// The query in the rest of a body, which may have only some of the members of a query.
fn part(mut body: Map<String, Json>, known: &[&str], rules: Rules<'_>) -> Result<Query> {
    body.remove("type");
    if let Some(name) = body.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Pointer::root().member(name).refused("unknown member of this kind of query"));
    }
    Query::from_json(&Json::Object(body), rules)
}

fn new_values(body: &mut Map<String, Json>, root: &Pointer<'_>) -> Result<Vec<(String, Value)>> {
    let at = root.member("set");
    let set = body.remove("set").ok_or_else(|| at.refused("expected an object of new values"))?;
    let set = members(&set, &at)?;
    if set.is_empty() {
        return Err(at.refused("expected at least one new value"));
    }
    if set.len() > MAX_SELECT_PATHS {
        return Err(at.too_many("new values", set.len(), MAX_SELECT_PATHS));
    }
    set.iter().map(|(name, json)| Ok((name.clone(), literal::parse(json, &at.member(name))?))).collect()
}
