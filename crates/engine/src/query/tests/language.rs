//! What is a query, and what is refused where.

use super::*;
use crate::error::ErrorCode;
use crate::limits::{MAX_FILTER_DEPTH, MAX_FILTER_TESTS, MAX_QUERY_VALUES};

fn refusal(json: &Json) -> (ErrorCode, String) {
    let error = Query::from_json(json, Rules::default()).unwrap_err();
    (error.code, error.details.pointer.clone().unwrap_or_else(|| "none".to_owned()))
}

#[test]
fn what_is_no_query_is_refused_where_it_is_wrong() {
    for (json, pointer) in [
        (json!([]), ""),
        (json!({ "type": "find", "wear": {} }), "/wear"),
        (json!({ "type": "drop" }), "/type"),
        (json!({ "where": [] }), "/where"),
        (json!({ "where": { "a": { "$near": 1 } } }), "/where/a/$near"),
        (json!({ "where": { "a": { "$gt": 1, "b": 2 } } }), "/where/a/b"),
        (json!({ "where": { "$where": "x" } }), "/where/$where"),
        (json!({ "where": { "a..b": 1 } }), "/where/a..b"),
        (json!({ "where": { "a/b": 1 } }), "/where/a~1b"),
        (json!({ "where": { "$or": [] } }), "/where/$or"),
        (json!({ "where": { "$or": [{}, 3] } }), "/where/$or/1"),
        (json!({ "where": { "$not": { "a": { "$in": 1 } } } }), "/where/$not/a/$in"),
        (json!({ "where": { "a": { "$between": [1] } } }), "/where/a/$between"),
        (json!({ "where": { "a": { "$between": [1, null] } } }), "/where/a/$between/1"),
        (json!({ "where": { "a": { "$gt": { "b": 1 } } } }), "/where/a/$gt"),
        (json!({ "where": { "a": { "$gt": true } } }), "/where/a/$gt"),
        (json!({ "where": { "a": { "$lt": [1, [{}]] } } }), "/where/a/$lt"),
        (json!({ "where": { "a": { "$prefix": 1 } } }), "/where/a/$prefix"),
        (json!({ "where": { "a": { "$regex": "a" } } }), "/where/a/$regex"),
        (json!({ "where": { "a": { "$size": -1 } } }), "/where/a/$size"),
        (json!({ "where": { "a": { "$exists": 1 } } }), "/where/a/$exists"),
        (json!({ "where": { "a": { "$type": "text" } } }), "/where/a/$type"),
        (json!({ "where": { "a": { "$elem": { "b": { "$x": 1 } } } } }), "/where/a/$elem/b/$x"),
        (json!({ "where": { "a": { "$elem": { "$x": 1 } } } }), "/where/a/$elem/$x"),
        (json!({ "where": { "a": { "$eq": { "$date": "now" } } } }), "/where/a/$eq/$date"),
        (json!({ "orderBy": [{ "path": "a[]" }] }), "/orderBy/0/path"),
        (json!({ "orderBy": [{ "path": "a" }, { "path": "a", "dir": "desc" }] }), "/orderBy/1"),
        (json!({ "orderBy": [{ "path": "a", "dir": "up" }] }), "/orderBy/0/dir"),
        (json!({ "orderBy": [{ "path": "$score" }] }), "/orderBy/0/path"),
        (json!({ "select": [1] }), "/select/0"),
        (json!({ "select": { "only": [] } }), "/select"),
        (json!({ "select": ["a", "$deleted"] }), "/select/1"),
        (json!({ "select": ["$id.a"] }), "/select/0"),
        (json!({ "select": ["[\"$seq\"].a", "$seq"] }), "/select"),
        (json!({ "select": { "omit": ["a", "$id"] } }), "/select/omit/1"),
        (json!({ "limit": 0 }), "/limit"),
        (json!({ "limit": 1e9 }), "/limit"),
        (json!({ "limit": "1" }), "/limit"),
        (json!({ "cursor": 1 }), "/cursor"),
        (json!({ "count": true }), "/count"),
        (json!({ "hint": { "index": 1 } }), "/hint/index"),
        (json!({ "explain": true }), "/explain"),
        (json!({ "asOf": 0.5 }), "/asOf"),
    ] {
        assert_eq!(refusal(&json), (ErrorCode::Validation, pointer.to_owned()), "{json}");
    }
}

#[test]
fn limits_of_queries_hold() {
    let deep = (0..MAX_FILTER_DEPTH).fold(json!({}), |inner, _| json!({ "$not": inner }));
    assert_eq!(refusal(&json!({ "where": deep })).0, ErrorCode::Limit);
    let deep = (0..MAX_FILTER_DEPTH)
        .fold(json!({ "$gt": 1 }), |inner, _| json!({ "$elem": { "a": { "$elem": inner } } }));
    assert_eq!(refusal(&json!({ "where": { "a": deep } })).0, ErrorCode::Limit);
    let wide: serde_json::Map<_, _> = (0..=MAX_FILTER_TESTS).map(|n| (format!("a{n}"), json!(1))).collect();
    assert_eq!(refusal(&json!({ "where": wide })).0, ErrorCode::Limit);
    assert_eq!(
        refusal(&json!({ "where": { "a": { "$in": vec![1; MAX_QUERY_VALUES + 1] } } })).0,
        ErrorCode::Limit
    );
    let long = json!({ "where": { "a": { "$regex": "a".repeat(300) } } });
    assert_eq!(
        Query::from_json(&long, Rules { regex: true, ..Rules::default() }).unwrap_err().code,
        ErrorCode::Limit
    );
    let bomb = json!({ "where": { "a": { "$regex": "((a{100}){100}){100}" } } });
    assert_eq!(
        Query::from_json(&bomb, Rules { regex: true, ..Rules::default() }).unwrap_err().code,
        ErrorCode::Validation
    );
    let text = format!("{{\"where\":{}", "{\"$not\":".repeat(100_000));
    assert_eq!(Query::parse(&text, Rules::default()).unwrap_err().code, ErrorCode::Validation);
    let text = format!("\"{}\"", "a".repeat(1 << 20));
    assert_eq!(Query::parse(&text, Rules::default()).unwrap_err().code, ErrorCode::TooLarge);
}

#[test]
fn legacy_bodies_are_the_same_as_what_they_are_rewritten_to() {
    let rules =
        Rules { index_path: &|name| (name == "byCity").then(|| "city".to_owned()), ..Rules::default() };
    for (legacy, modern) in [
        (json!({ "type": "byId", "id": "x" }), json!({ "where": { "$id": "x" }, "limit": 1 })),
        (
            json!({ "type": "indexEquals", "index": "byCity", "key": "Oslo", "pageSize": 7 }),
            json!({ "where": { "city": "Oslo" }, "orderBy": [{ "path": "$id" }], "limit": 7, "hint": { "index": "byCity" } }),
        ),
        (
            json!({ "type": "scan", "prefix": "a", "startAfter": "ab", "limit": null }),
            json!({ "where": { "$id": { "$prefix": "a", "$gt": "ab" } }, "orderBy": [{ "path": "$id" }], "limit": 100 }),
        ),
        (json!({ "type": "scan" }), json!({ "where": {}, "orderBy": [{ "path": "$id" }], "limit": 100 })),
    ] {
        let read = |json: &Json| Query::from_json(json, rules).unwrap();
        let (old, new) = (read(&legacy), read(&modern));
        assert_eq!(old.normalised(), new.normalised(), "{legacy}");
        assert_eq!((old.limit, old.hints.index), (new.limit, new.hints.index), "{legacy}");
    }
    for (json, code) in [
        (json!({ "type": "byId" }), ErrorCode::Validation),
        (json!({ "type": "byId", "id": "x", "where": {} }), ErrorCode::Validation),
        (json!({ "type": "indexEquals", "index": "none", "key": "x" }), ErrorCode::NoIndex),
    ] {
        assert_eq!(Query::from_json(&json, rules).unwrap_err().code, code, "{json}");
    }
}
