//! What the operators mean, case by case, as `docs/query.md` says it.

use super::*;

fn documents() -> Vec<Json> {
    vec![
        json!({ "id": 1, "a": 1, "s": "Ähre", "tags": ["x", "y"], "o": { "p": 1, "q": [1, 2] } }),
        json!({ "id": 2, "a": null, "s": "ähre 2", "tags": [], "o": { "q": [1, 2], "p": 1 } }),
        json!({ "id": 3, "s": "b", "tags": "x", "items": [{ "k": 1, "v": 9 }, { "k": 2, "v": 1 }] }),
        json!({ "id": 4, "a": "1", "tags": ["y", { "z": 1 }], "items": [{ "k": 2, "v": 9 }] }),
        json!({ "id": 5, "a": true, "d": { "$date": "2026-01-01" }, "n": { "$bigint": "1" }, "items": [5, 7] }),
        json!({ "id": 6, "a": [1, 2], "d": { "$date": 0 }, "b": { "$bytes": "AQI=" }, "n": 1 }),
    ]
}

#[test]
fn operators_mean_what_the_documentation_says() {
    let source = MemorySource::new(&documents(), Vec::new());
    for (filter, expected) in [
        (json!({}), vec![1, 2, 3, 4, 5, 6]),
        // Types are never mixed, and null is not missing.
        (json!({ "a": 1 }), vec![1]),
        (json!({ "a": "1" }), vec![4]),
        (json!({ "a": true }), vec![5]),
        (json!({ "a": null }), vec![2]),
        (json!({ "a": [1, 2] }), vec![6]),
        (json!({ "a": { "$gt": 0 } }), vec![1]),
        (json!({ "a": { "$lt": "2" } }), vec![4]),
        (json!({ "a": { "$gte": [1] } }), vec![6]),
        (json!({ "n": 1 }), vec![6]),
        (json!({ "n": { "$bigint": "1" } }), vec![5]),
        (json!({ "d": { "$gt": { "$date": 5 } } }), vec![5]),
        (json!({ "d": { "$gt": 5 } }), vec![]),
        (json!({ "b": { "$bytes": "AQI=" } }), vec![6]),
        (json!({ "a": { "$between": [0, 1] } }), vec![1]),
        (json!({ "a": { "$in": [null, 1, "1", [1, 2]] } }), vec![1, 2, 4, 6]),
        (json!({ "a": { "$in": [] } }), vec![]),
        // What is denied is also true where nothing is.
        (json!({ "a": { "$ne": 1 } }), vec![2, 3, 4, 5, 6]),
        (json!({ "a": { "$nin": [1, null] } }), vec![3, 4, 5, 6]),
        (json!({ "$not": { "a": { "$gt": 0 } } }), vec![2, 3, 4, 5, 6]),
        (json!({ "a": { "$ne": 1, "$exists": true } }), vec![2, 4, 5, 6]),
        (json!({ "a": { "$exists": false } }), vec![3]),
        (json!({ "a": { "$exists": true } }), vec![1, 2, 4, 5, 6]),
        (json!({ "a": { "$type": "null" } }), vec![2]),
        (json!({ "a": { "$type": ["number", "array"] } }), vec![1, 6]),
        // Objects are equal whatever the order of their members.
        (json!({ "o": { "p": 1, "q": [1, 2] } }), vec![1, 2]),
        (json!({ "o": { "p": 1 } }), vec![]),
        (json!({ "o.p": 1 }), vec![1, 2]),
        // Text.
        (json!({ "s": { "$prefix": "Ä" } }), vec![1]),
        (json!({ "s": { "$contains": "hre" } }), vec![1, 2]),
        (json!({ "s": { "$ieq": "ÄHRE" } }), vec![1]),
        (json!({ "s": { "$regex": "^.hre( [0-9])?$" } }), vec![1, 2]),
        (json!({ "a": { "$contains": "1" } }), vec![4]),
        // Arrays: the array itself, any element, one element that is all of it.
        (json!({ "tags[]": "x" }), vec![1]),
        (json!({ "tags": "x" }), vec![3]),
        (json!({ "tags[]": { "$in": ["x", "y"] } }), vec![1, 4]),
        (json!({ "tags[]": { "$ne": "x" } }), vec![2, 3, 4, 5, 6]),
        (json!({ "tags[]": { "$gt": "x", "$lt": "y" } }), vec![]),
        (json!({ "$and": [{ "tags[]": { "$gt": "x" } }, { "tags[]": { "$lt": "y" } }] }), vec![1]),
        (json!({ "tags[]": { "$exists": true } }), vec![1, 4]),
        (json!({ "tags": { "$size": 0 } }), vec![2]),
        (json!({ "tags": { "$all": ["y", "x"] } }), vec![1]),
        (json!({ "tags": { "$all": ["y", { "z": 1 }] } }), vec![4]),
        (json!({ "tags": { "$all": [] } }), vec![1, 2, 4]),
        (json!({ "items": { "$elem": { "k": 2, "v": { "$gt": 5 } } } }), vec![4]),
        (json!({ "items[].k": 2, "items[].v": { "$gt": 5 } }), vec![3, 4]),
        (json!({ "items": { "$elem": { "$gt": 5, "$lt": 8 } } }), vec![5]),
        (json!({ "items": { "$elem": { "$not": { "k": 1 } } } }), vec![3, 4, 5]),
        (json!({ "items": { "$elem": { "$ne": 5 } } }), vec![3, 4, 5]),
        // Logic.
        (json!({ "$or": [{ "a": 1 }, { "s": "b" }], "tags[]": { "$exists": true } }), vec![1]),
        (json!({ "$not": { "$or": [{ "a": 1 }, { "s": "b" }] } }), vec![2, 4, 5, 6]),
        // Ids.
        (json!({ "$id": 3 }), vec![3]),
        (json!({ "$id": { "$in": [5, 3, "3"] } }), vec![3, 5]),
        (json!({ "$id": { "$gt": 4 } }), vec![5, 6]),
        (json!({ "$id": { "$ne": 4, "$between": [3, 5] } }), vec![3, 5]),
        (json!({ "$or": [{ "$id": 1 }, { "$id": { "$gte": 6 } }] }), vec![1, 6]),
        (json!({ "$id": null }), vec![]),
        (json!({ "$id": { "$prefix": "a" } }), vec![]),
    ] {
        let answer = find(&source, &query(&json!({ "where": filter.clone() }))).unwrap();
        let expected: Vec<Json> = expected.into_iter().map(|id| json!(id)).collect();
        assert_eq!(ids(&answer), expected, "{filter}");
    }
}

#[test]
fn values_of_all_types_have_one_order() {
    let values = [
        json!(null),
        json!(false),
        json!(true),
        json!(-1.5),
        json!(2),
        json!({ "$bigint": "-9" }),
        json!({ "$bigint": "3" }),
        json!({ "$date": 0 }),
        json!(""),
        json!("a"),
        json!("a\u{0}"),
        json!("b"),
        json!({ "$bytes": "" }),
        json!([]),
        json!([1]),
        json!([1, null]),
        json!({ "any": 1 }),
    ];
    // The ids run against the order, so that only the order can explain the result.
    let last = values.len();
    let mut documents: Vec<Json> =
        values.iter().enumerate().map(|(place, value)| json!({ "id": last - place, "v": value })).collect();
    documents.push(json!({ "id": last + 1 }));
    let source = MemorySource::new(&documents, vec![index("v", &["v"])]);
    let mut expected: Vec<Json> = vec![json!(last + 1)];
    expected.extend((1..=last).rev().map(|id| json!(id)));
    for (dir, hint) in [("asc", true), ("asc", false), ("desc", true), ("desc", false)] {
        let mut body = json!({ "orderBy": [{ "path": "v", "dir": dir }] });
        if hint {
            body["hint"] = json!({ "index": "v" });
        }
        let answer = find(&source, &query(&body)).unwrap();
        let mut expected = expected.clone();
        if dir == "desc" {
            expected.reverse();
        }
        assert_eq!(ids(&answer), expected, "{body}");
    }
}

#[test]
fn ties_are_broken_by_id_in_the_direction_of_the_last_term() {
    let documents: Vec<Json> = (0..9).map(|id| json!({ "id": id, "a": id % 2, "b": id % 3 })).collect();
    let source = MemorySource::new(&documents, Vec::new());
    for (order, expected) in [
        (json!([{ "path": "a" }]), [0, 2, 4, 6, 8, 1, 3, 5, 7]),
        (json!([{ "path": "a", "dir": "desc" }]), [7, 5, 3, 1, 8, 6, 4, 2, 0]),
        (json!([{ "path": "a", "dir": "desc" }, { "path": "$id" }]), [1, 3, 5, 7, 0, 2, 4, 6, 8]),
        (json!([{ "path": "a", "dir": "desc" }, { "path": "b" }]), [3, 1, 7, 5, 0, 6, 4, 2, 8]),
        (json!([{ "path": "$id", "dir": "desc" }]), [8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ] {
        let answer = find(&source, &query(&json!({ "orderBy": order.clone() }))).unwrap();
        assert_eq!(ids(&answer), expected.map(|id| json!(id)), "{order}");
    }
}
