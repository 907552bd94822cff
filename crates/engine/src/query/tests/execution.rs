//! Plans, limits and reports.

use super::*;
use crate::error::ErrorCode;

fn people() -> MemorySource {
    let cities = ["Oslo", "Bonn", "Rome", "Lima"];
    let documents: Vec<Json> = (0..400)
        .map(|id| json!({ "id": id, "city": cities[id % 4], "age": id % 50, "tags": [format!("t{}", id % 7)], "n": id }))
        .collect();
    let mut email = index("byN", &["n"]);
    email.unique = true;
    let indexes = vec![
        index("byCity", &["city"]),
        index("byAge", &["age"]),
        index("cityAge", &["city", "age"]),
        index("byTag", &["tags[]"]),
        email,
    ];
    MemorySource::new(&documents, indexes)
}

fn explained(source: &MemorySource, body: &Json) -> Json {
    let mut body = body.clone();
    body["explain"] = json!("analyze");
    find(source, &query(&body)).unwrap().explain.unwrap()
}

/// The innermost operation of a plan.
fn access(explain: &Json) -> &Json {
    let mut node = &explain["plan"];
    while let Some(input) = node.get("input") {
        node = input;
    }
    node
}

#[test]
fn the_cheapest_access_is_chosen() {
    let source = people();
    for (body, op, index) in [
        (json!({}), "scan", json!(null)),
        (json!({ "where": { "n": 7 } }), "indexRange", json!("byN")),
        (
            json!({ "where": { "city": "Oslo", "age": { "$between": [10, 12] } } }),
            "indexRange",
            json!("cityAge"),
        ),
        (
            json!({ "where": { "city": "Oslo" }, "orderBy": [{ "path": "age" }], "limit": 3 }),
            "indexRange",
            json!("cityAge"),
        ),
        (json!({ "orderBy": [{ "path": "age", "dir": "desc" }], "limit": 3 }), "indexRange", json!("byAge")),
        (json!({ "where": { "$id": { "$in": [1, 2] } } }), "ids", json!(null)),
        (json!({ "where": { "$id": { "$gt": 390 } } }), "idRange", json!(null)),
        (json!({ "where": { "$or": [{ "n": 3 }, { "$id": 4 }] } }), "union", json!(null)),
        (json!({ "where": { "age": 3, "tags[]": "t3" } }), "indexRange", json!("byAge")),
        (json!({ "where": { "city": { "$in": [] } } }), "nothing", json!(null)),
        (json!({ "where": { "city": { "$contains": "s" } } }), "scan", json!(null)),
    ] {
        let explain = explained(&source, &body);
        let found = access(&explain);
        assert_eq!((&found["op"], &found["index"]), (&json!(op), &index), "{body}: {explain}");
    }
}

#[test]
fn two_indexes_are_read_together_where_that_pays() {
    // Each value of `a` and of `b` is that of 64 documents, and one document has both; half of all are `old`.
    let documents: Vec<Json> = (0..4096)
        .map(|id| json!({ "id": id, "a": id % 64, "b": id / 64, "old": id % 2, "one": id }))
        .collect();
    let indexes =
        vec![index("byA", &["a"]), index("byB", &["b"]), index("byOld", &["old"]), index("byOne", &["one"])];
    let source = MemorySource::new(&documents, indexes);
    let both = explained(&source, &json!({ "where": { "a": 3, "b": 5 } }));
    assert_eq!(access(&both)["op"], "intersection", "{both}");
    assert_eq!((&both["analyze"]["docsRead"], &both["analyze"]["returned"]), (&json!(1), &json!(1)));
    // Half of all entries would have to be read to spare half of 64 documents, or none of one.
    for (body, index) in [
        (json!({ "where": { "a": 3, "old": 1 } }), "byA"),
        (json!({ "where": { "one": 67, "a": 3 } }), "byOne"),
    ] {
        let explain = explained(&source, &body);
        assert_eq!(access(&explain)["index"], index, "{body}: {explain}");
    }
    // Without the other index, one serves.
    let without = MemorySource::new(&documents, vec![index("byA", &["a"])]);
    let one = explained(&without, &json!({ "where": { "a": 3, "b": 5 } }));
    assert_eq!((&access(&one)["index"], &one["analyze"]["docsRead"]), (&json!("byA"), &json!(64)));
}

#[test]
fn a_page_in_the_order_of_an_index_reads_no_more_than_it_returns() {
    let explain = explained(
        &people(),
        &json!({ "where": { "city": "Oslo" }, "orderBy": [{ "path": "age" }], "limit": 3 }),
    );
    assert_eq!(explain["analyze"]["docsRead"], 4);
    assert_eq!(explain["analyze"]["returned"], 3);
    assert_eq!(explain["warnings"], json!([]));
}

#[test]
fn a_scan_is_warned_of_and_can_be_forbidden() {
    let source = people();
    let body = json!({ "where": { "name": "x", "born": { "$gt": 5 } }, "orderBy": [{ "path": "name" }] });
    let warnings = explained(&source, &body)["warnings"].to_string();
    assert!(warnings.contains("an index on [name, born]"), "{warnings}");
    let mut forbidden = body.clone();
    forbidden["requireIndex"] = json!(true);
    let error = find(&source, &query(&forbidden)).unwrap_err();
    assert_eq!(error.code, ErrorCode::NoIndex);
    assert!(error.message.contains("[name, born]"), "{}", error.message);
}

#[test]
fn a_hint_is_followed_or_refused() {
    let source = people();
    let hinted = |index: &str, filter: Json| json!({ "where": filter, "hint": { "index": index } });
    let explain = explained(&source, &hinted("byAge", json!({ "city": "Oslo", "age": 4 })));
    assert_eq!(access(&explain)["index"], "byAge");
    assert_eq!(explained(&source, &hinted("byAge", json!({ "n": 1 })))["analyze"]["returned"], 1);
    let error = find(&source, &query(&hinted("none", json!({})))).unwrap_err();
    assert_eq!((error.code, error.details.pointer.as_deref()), (ErrorCode::NoIndex, Some("/hint/index")));
}

#[test]
fn a_query_reads_no_more_than_it_may() {
    let source = people();
    let error = find(&source, &query(&json!({ "where": { "x": 1 }, "maxScanned": 100 }))).unwrap_err();
    assert_eq!((error.code, error.details.limit), (ErrorCode::Limit, Some(100)));
    let error = find(&source, &query(&json!({ "where": { "x": 1 }, "timeoutMs": 0 }))).unwrap_err();
    assert_eq!(error.code, ErrorCode::Timeout);
}

#[test]
fn planning_counts_only_so_much_and_keeps_to_the_time() {
    let source = people();
    // Each branch has hundreds of ranges, most of them empty.
    let branch = |start: usize| json!({ "age": { "$in": (start..start + 200).collect::<Vec<_>>() } });
    let branches: Vec<Json> = (0..20).map(|n| branch(30 + n)).collect();
    let body = json!({ "where": { "$or": branches } });
    let answer = find(&source, &query(&body)).unwrap();
    assert!(source.sampled.get() <= 256, "{} ranges", source.sampled.get());
    assert_eq!(answer.page.len(), 160);

    let many: Vec<Json> = (0..200).map(|age| json!({ "age": age, "city": "Oslo" })).collect();
    let few = json!({ "$or": many, "n": 8 });
    let explain = explained(&source, &json!({ "where": few }));
    assert_eq!(
        (access(&explain)["index"].clone(), explain["analyze"]["returned"].clone()),
        (json!("byN"), json!(1))
    );

    let body = json!({ "where": { "age": 3 }, "timeoutMs": 0, "explain": "plan" });
    assert_eq!(find(&source, &query(&body)).unwrap_err().code, ErrorCode::Timeout);
}

#[test]
fn explaining_reads_no_records() {
    let answer = find(&people(), &query(&json!({ "where": { "city": "Oslo" }, "explain": "plan" }))).unwrap();
    let explain = answer.explain.unwrap();
    assert!(answer.page.is_empty() && explain.get("analyze").is_none());
    assert!(explain["considered"].as_array().unwrap().len() >= 3);
}

#[test]
fn counts_and_distinct_values_are_of_all_records_that_match() {
    let source = people();
    let body = json!({ "where": { "age": { "$lt": 10 } }, "limit": 3, "count": "exact" });
    let answer = find(&source, &query(&body)).unwrap();
    assert_eq!((answer.page.len(), answer.count), (3, Some(80)));
    let values = distinct(
        &source,
        &query(&json!({ "where": { "n": { "$lt": 5 } } })),
        &Path::parse("tags[]").unwrap(),
    )
    .unwrap();
    assert_eq!(values.iter().map(literal::render).collect::<Vec<_>>(), ["t0", "t1", "t2", "t3", "t4"]);
}

#[test]
fn a_page_can_be_written_as_json() {
    let source = people();
    let body = json!({ "select": ["id", "city"], "limit": 2, "orderBy": [{ "path": "n", "dir": "desc" }] });
    let answer = find(&source, &query(&body)).unwrap();
    let json: Json = serde_json::from_slice(&answer.to_json().unwrap()).unwrap();
    assert_eq!(json["items"], json!([{ "id": 399, "city": "Lima" }, { "id": 398, "city": "Rome" }]));
    assert_eq!(json["next"], json!(answer.next.unwrap()));
}

#[test]
fn sorting_that_does_not_fit_in_memory_is_refused() {
    let long = "x".repeat(1 << 20);
    let documents: Vec<Json> =
        (0..70).map(|id| json!({ "id": id, "text": long, "r": (id * 37) % 70 })).collect();
    let source = MemorySource::new(&documents, Vec::new());
    let sorted = json!({ "orderBy": [{ "path": "r" }] });
    let error = find(&source, &query(&sorted)).unwrap_err();
    assert_eq!((error.code, error.details.what), (ErrorCode::Limit, Some("bytes to sort")));
    for (name, value) in [("limit", json!(5)), ("select", json!(["id"]))] {
        let mut smaller = sorted.clone();
        smaller[name] = value;
        assert!(find(&source, &query(&smaller)).is_ok());
    }
}

/// A value of another type than all of the list is not unpacked: here that would be too much.
#[test]
fn containers_are_compared_only_with_containers() {
    let mut source = MemorySource::new(&[json!({ "id": 1 })], Vec::new());
    let shape = source.shapes.reserve(&[&"x".repeat(2000)]).unwrap();
    // {"a": [{"xxx…": null}, …]}, 200,000 of them.
    let elements = [0xA0 + shape.get() as u8, 0xE0].repeat(200_000);
    let structure = [&[0xEA, 1, 0x41, 0xE8, 0xC0, 0x9A, 0x0C][..], &elements].concat();
    let record = [&[2, 2][..], &(structure.len() as u32).to_le_bytes(), &structure, b"a"].concat();
    source.records.values_mut().for_each(|own| own.clone_from(&record));
    for test in
        [json!({ "$in": [1, "x", { "y": 1 }] }), json!({ "$nin": [1] }), json!({ "$elem": { "$all": [1] } })]
    {
        let body = json!({ "where": { "a": test } });
        assert!(find(&source, &query(&body)).is_ok(), "{test}");
    }
    let same = json!({ "where": { "a": { "$in": [1, []] } } });
    assert_eq!(find(&source, &query(&same)).unwrap_err().code, ErrorCode::TooLarge);
}

#[test]
fn ids_between_terms_of_one_value_order_every_page() {
    let documents: Vec<Json> = (0..7).map(|id| json!({ "id": id, "a": 1, "b": 2 })).collect();
    let source = MemorySource::new(&documents, vec![index("ab", &["a", "b"]), index("a", &["a"])]);
    let term = |path: &str, dir: &str| json!({ "path": path, "dir": dir });
    for (id_dir, last_dir) in [("desc", "asc"), ("asc", "desc")] {
        let order = json!([term("a", "asc"), term("$id", id_dir), term("b", last_dir)]);
        let whole = query(&json!({ "where": { "a": 1, "b": 2 }, "orderBy": order, "limit": 2 }));
        let mut expected: Vec<Json> = (0..7).map(|id| json!(id)).collect();
        if id_dir == "desc" {
            expected.reverse();
        }
        for plan in planner::every_plan(&source, &whole).unwrap() {
            let (mut page, mut seen) = (whole.clone(), Vec::new());
            loop {
                let answer = find_by(&source, &page, &plan).unwrap();
                seen.extend(ids(&answer));
                match answer.next {
                    Some(next) => page.cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(seen, expected, "{id_dir} {last_dir}: {plan:?}");
        }
    }
}
