//! The query bodies of the original system, rewritten to `find`.

use serde_json::{Map, Value as Json, json};

use super::pointer::Pointer;
use super::request::Rules;
use crate::error::{ErrorCode, Result};

/// The `find` that a legacy body asks for; `None` for a body that is none.
pub(super) fn rewrite(
    body: &Map<String, Json>,
    rules: Rules<'_>,
    root: &Pointer<'_>,
) -> Result<Option<Json>> {
    let find = match body.get("type").and_then(Json::as_str) {
        Some("byId") => {
            let body = Body::new(body, root, &["id"])?;
            json!({ "where": { "$id": body.text("id")? }, "limit": 1 })
        }
        Some("indexEquals") => {
            let body = Body::new(body, root, &["index", "key", "pageSize", "pageToken"])?;
            let index = body.text("index")?;
            let path = (rules.index_path)(index).ok_or_else(|| {
                root.member("index").error(ErrorCode::NoIndex, &format!("there is no index {index:?}"))
            })?;
            let mut find = json!({
                "where": { path: body.text("key")? },
                "orderBy": [{ "path": "$id" }],
                "hint": { "index": index },
                "limit": body.get("pageSize").cloned().unwrap_or(json!(DEFAULT_PAGE)),
            });
            copy(&body, "pageToken", &mut find, "cursor");
            find
        }
        Some("scan") => {
            let body = Body::new(body, root, &["prefix", "startAfter", "limit"])?;
            let mut id = json!({});
            copy(&body, "prefix", &mut id, "$prefix");
            copy(&body, "startAfter", &mut id, "$gt");
            let empty = id.as_object().is_none_or(Map::is_empty);
            json!({
                "where": if empty { json!({}) } else { json!({ "$id": id }) },
                "orderBy": [{ "path": "$id" }],
                "limit": body.get("limit").cloned().unwrap_or(json!(DEFAULT_PAGE)),
            })
        }
        _ => return Ok(None),
    };
    Ok(Some(find))
}

/// Records in a page when a legacy body does not say.
const DEFAULT_PAGE: u32 = 100;

struct Body<'a> {
    members: &'a Map<String, Json>,
    root: &'a Pointer<'a>,
}

impl<'a> Body<'a> {
    fn new(members: &'a Map<String, Json>, root: &'a Pointer<'a>, known: &[&str]) -> Result<Self> {
        match members.keys().find(|name| *name != "type" && !known.contains(&name.as_str())) {
            Some(name) => Err(root.member(name).refused("unknown member of a query")),
            None => Ok(Self { members, root }),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Json> {
        self.members.get(name).filter(|json| !json.is_null())
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        let text = self.get(name).and_then(Json::as_str);
        text.ok_or_else(|| self.root.member(name).refused("expected text"))
    }
}

fn copy(body: &Body<'_>, from: &str, find: &mut Json, to: &str) {
    if let Some(json) = body.get(from) {
        find[to] = json.clone();
    }
}
