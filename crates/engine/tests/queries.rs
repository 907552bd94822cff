//! Queries of open stores: pages that show one state while others write, changes of all that match, transactions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "numbers in tests are small")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fountain_engine::keys::{Key, encode};
use fountain_engine::query::{Body, Query};
use fountain_engine::record::Path;
use fountain_engine::record::from_json;
use fountain_engine::{
    CollectionId, Durability, ErrorCode, IndexDefinition, IndexKind, Isolation, LocalKv, ManualClock, Seq,
    StorageOptions, Store, StoreOptions, Timestamp, View,
};
use serde_json::{Value as Json, json};
use support::queries::{change, each_home, find, ids, index, put};
use support::{Home, MemoryHome};

/// Every page sees the state of the first one, each record of it exactly once, though all records change meanwhile.
#[test]
fn pages_show_one_state_while_others_write() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        put(store, collection, (0..300).map(|id| json!({ "id": id, "n": id * 7 % 300, "round": 0 })));
        for body in [
            json!({ "where": { "round": 0 }, "limit": 17 }),
            json!({ "where": { "round": 0 }, "orderBy": [{ "path": "n", "dir": "desc" }], "limit": 17 }),
            json!({ "where": { "round": 0 }, "orderBy": [{ "path": "$id", "dir": "desc" }], "limit": 17 }),
        ] {
            put(store, collection, (0..300).map(|id| json!({ "id": id, "n": id * 7 % 300, "round": 0 })));
            let done = AtomicBool::new(false);
            let mut query = find(store, collection, &body);
            let (mut seen, mut pages) = (Vec::new(), 0);
            let first = store.query(collection, &query, View::Newest).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for round in 1.. {
                        if done.load(Ordering::SeqCst) {
                            break;
                        }
                        let changed = |id| json!({ "id": id, "n": (id + round) % 300, "round": round });
                        put(store, collection, (0..400).step_by(3).map(changed));
                    }
                });
                let mut answer = first;
                loop {
                    pages += 1;
                    seen.extend(ids(&answer));
                    query.cursor = answer.next.clone();
                    if query.cursor.is_none() {
                        break;
                    }
                    answer = store.query(collection, &query, View::Newest).unwrap();
                }
                done.store(true, Ordering::SeqCst);
            });
            assert_eq!((seen.len(), pages), (300, 18));
            let n = |id: &f64| (*id as i64) * 7 % 300;
            match body["orderBy"][0]["path"].as_str() {
                Some("n") => assert!(seen.is_sorted_by(|a, b| n(a) > n(b))),
                Some(_) => assert!(seen.is_sorted_by(|a, b| a > b)),
                None => assert!(seen.is_sorted_by(|a, b| a < b)),
            }
        }
    });
}

#[test]
fn a_cursor_of_another_query_is_refused() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        put(store, collection, (0..5).map(|id| json!({ "id": id })));
        let first = find(store, collection, &json!({ "limit": 2 }));
        let cursor = store.query(collection, &first, View::Newest).unwrap().next.unwrap();
        let other = find(store, collection, &json!({ "where": { "a": 1 }, "limit": 2, "cursor": cursor }));
        let error = store.query(collection, &other, View::Newest).unwrap_err();
        assert_eq!((error.code, error.details.collection.as_deref()), (ErrorCode::BadCursor, Some("c")));
    });
}

#[test]
fn a_transaction_sees_its_own_writes_in_queries() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        put(store, collection, (0..5).map(|id| json!({ "id": id, "n": id })));
        let transaction = store.begin(Isolation::Snapshot).unwrap();
        let key = encode(&Key::Number(9.0)).unwrap();
        let record = store.encode(&from_json(r#"{"id":9,"n":2.5}"#).unwrap()).unwrap();
        transaction.put(collection, &key, &record).unwrap();
        transaction.delete(collection, &encode(&Key::Number(3.0)).unwrap()).unwrap();
        let query = find(
            store,
            collection,
            &json!({ "where": { "n": { "$gte": 2 } }, "orderBy": [{ "path": "n" }] }),
        );
        assert_eq!(ids(&store.query(collection, &query, &transaction).unwrap()), [2.0, 9.0, 4.0]);
        assert_eq!(ids(&store.query(collection, &query, View::Newest).unwrap()), [2.0, 3.0, 4.0]);
    });
}

#[test]
fn the_past_is_queried_as_it_was() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        put(store, collection, (0..5).map(|id| json!({ "id": id, "n": 1 })));
        let before = store.sequence();
        put(store, collection, (0..3).map(|id| json!({ "id": id, "n": 2 })));
        let query = find(store, collection, &json!({ "where": { "n": 1 }, "asOf": before.get() }));
        assert_eq!(store.query(collection, &query, View::Newest).unwrap().page.len(), 5);
        assert_eq!(store.count(collection, &query, View::Newest).unwrap(), 5);
        let now = find(store, collection, &json!({ "where": { "n": 1 } }));
        assert_eq!(store.count(collection, &now, View::Newest).unwrap(), 2);
        let values = store.distinct(collection, &now, &Path::parse("id").unwrap(), View::Newest).unwrap();
        assert_eq!(values.len(), 2);
    });
}

#[test]
fn a_query_may_name_its_state_by_a_time_and_no_other_than_what_is_read() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
    let options = StorageOptions { clock: clock.clone(), ..StorageOptions::default() };
    let home = tempfile::TempDir::new().unwrap();
    let kv = LocalKv::open(home.path(), options).unwrap();
    let store = Store::with_kv(Arc::new(kv), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    put(&store, collection, (0..5).map(|id| json!({ "id": id, "n": 1 })));
    clock.set(Timestamp::from_millis(1_100_000));
    put(&store, collection, (0..3).map(|id| json!({ "id": id, "n": 2 })));
    let as_of =
        |moment: Json| find(&store, collection, &json!({ "where": { "n": 1 }, "asOf": moment, "limit": 2 }));
    let count = |moment: Json| store.count(collection, &as_of(moment), View::Newest);
    assert_eq!(count(json!({ "$date": 1_050_000 })).unwrap(), 5);
    assert_eq!(count(json!({ "$date": "1970-01-01T00:20:00Z" })).unwrap(), 2);
    assert_eq!(count(json!({ "$date": 5 })).unwrap_err().code, ErrorCode::HistoryTruncated);
    assert_eq!(count(json!(3)).unwrap_err().code, ErrorCode::Sequence);
    // The pages behind a cursor are of the state of the first one, however that was named.
    let first = store.query(collection, &as_of(json!({ "$date": 1_050_000 })), View::Newest).unwrap();
    let second = |moment: Json| {
        let query = Query { cursor: first.next.clone(), ..as_of(moment) };
        store.query(collection, &query, View::Newest)
    };
    for moment in [json!(1), json!({ "$date": 1_050_000 })] {
        assert_eq!(ids(&second(moment).unwrap()), [2.0, 3.0]);
    }
    assert_eq!(second(json!(2)).unwrap_err().code, ErrorCode::InvalidArgument);
    let read = |view: View| store.count(collection, &as_of(json!(1)), view).map_err(|error| error.code);
    assert_eq!(read(View::At(Seq::new(1).unwrap())), Ok(5));
    assert_eq!(read(View::At(store.sequence())), Err(ErrorCode::InvalidArgument));
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    assert_eq!(read(View::Transaction(transaction)), Err(ErrorCode::InvalidArgument));
    store.close().unwrap();
}

#[test]
fn all_that_match_are_changed_in_one_commit_or_only_counted() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        put(store, collection, (0..10).map(|id| json!({ "id": id, "n": id })));
        let count = |filter: Json| {
            let query = find(store, collection, &json!({ "where": filter }));
            store.count(collection, &query, View::Newest).unwrap()
        };
        let old = json!({ "n": { "$gte": 6 } });
        let update = |dry: bool| json!({ "type": "update", "where": old, "set": { "at": { "$date": 5 }, "n": 0 }, "dryRun": dry });
        assert_eq!(change(store, collection, &update(true)), (4, false));
        assert_eq!(count(json!({ "at": { "$exists": true } })), 0);
        let before = store.sequence();
        assert_eq!(change(store, collection, &update(false)), (4, true));
        assert_eq!(store.sequence().get(), before.get() + 1);
        assert_eq!(count(json!({ "at": { "$date": 5 }, "n": 0 })), 4);
        assert_eq!(change(store, collection, &update(false)), (0, false));
        let delete = json!({ "type": "delete", "where": { "n": 0 }, "limit": 3 });
        assert_eq!(change(store, collection, &delete), (3, true));
        assert_eq!((count(json!({ "n": 0 })), count(json!({}))), (2, 7));
    });
}

/// Increments by read and conditional write run beside a change of all records; every record ends with both.
#[test]
fn a_change_of_all_never_overwrites_what_it_did_not_see() {
    let home = MemoryHome::default();
    let store = home.open();
    let collection = store.collection("c").unwrap();
    put(&store, collection, (0..50).map(|id| json!({ "id": id, "n": 0 })));
    let unseen = json!({ "n": 1, "seen": { "$exists": false } });
    let update = json!({ "type": "update", "where": unseen, "set": { "seen": true } });
    let mark = || change(&store, collection, &update).0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0..50 {
                put(&store, collection, std::iter::once(json!({ "id": id, "n": 1 })));
            }
        });
        while mark() > 0 || !all_are_one(&store, collection) {}
    });
    // What was put between the last change and the look.
    mark();
    let query = find(&store, collection, &json!({ "where": { "n": 1, "seen": true } }));
    assert_eq!(store.count(collection, &query, View::Newest).unwrap(), 50);
}

fn all_are_one(store: &Store, collection: CollectionId) -> bool {
    let query = find(store, collection, &json!({ "where": { "n": { "$ne": 1 } } }));
    store.count(collection, &query, View::Newest).unwrap() == 0
}

#[test]
fn bodies_that_make_no_sense_are_refused_where_they_are_wrong() {
    let store = MemoryHome::default().open();
    let collection = store.collection("c").unwrap();
    for (body, pointer) in [
        (json!({ "type": "update", "where": {} }), "/set"),
        (json!({ "type": "update", "set": {} }), "/set"),
        (json!({ "type": "update", "set": { "a": { "$inc": 1 } } }), "/set/a/$inc"),
        (json!({ "type": "delete", "dryRun": 1 }), "/dryRun"),
        (json!({ "type": "delete", "orderBy": [] }), "/orderBy"),
        (json!({ "type": "count", "limit": 1 }), "/limit"),
        (json!({ "type": "distinct" }), "/path"),
        (json!({ "type": "distinct", "path": "a." }), "/path"),
        (json!({ "type": "distinct", "path": "$id" }), "/path"),
        (json!({ "type": "distinct", "path": "a", "where": { "b": { "$x": 1 } } }), "/where/b/$x"),
    ] {
        let error = store.parse_query(collection, &body.to_string(), false).unwrap_err();
        assert_eq!(
            (error.code, error.details.pointer.as_deref()),
            (ErrorCode::Validation, Some(pointer)),
            "{body}"
        );
    }
}

fn plan(store: &Store, collection: CollectionId, body: &Json) -> String {
    let mut body = body.clone();
    body["explain"] = json!("plan");
    let answer = store.query(collection, &find(store, collection, &body), View::Newest).unwrap();
    answer.explain.unwrap()["plan"].to_string()
}

/// With and without indexes, at every sequence and in a transaction, the answers are the same.
#[test]
fn indexes_change_plans_and_no_answers() {
    each_home(|store| {
        let (plain, indexed) = (store.collection("plain").unwrap(), store.collection("indexed").unwrap());
        let document = |id: i64, round: i64| {
            json!({ "id": id, "a": (id + round) % 7, "b": (["x", "y", "z"][(id * round % 3) as usize]),
                    "tags": [format!("t{}", id % 5), format!("t{}", (id + round) % 4)] })
        };
        let bodies = [
            json!({ "where": { "a": 3 } }),
            json!({ "where": { "a": { "$gte": 2, "$lt": 5 }, "b": "x" } }),
            json!({ "where": { "b": "y" }, "orderBy": [{ "path": "a", "dir": "desc" }], "limit": 20 }),
            json!({ "where": { "tags[]": { "$in": ["t1", "t3"] } }, "orderBy": [{ "path": "$id", "dir": "desc" }] }),
            json!({ "where": { "$or": [{ "a": 1 }, { "tags[]": "t4" }] } }),
            json!({ "orderBy": [{ "path": "a" }], "limit": 30 }),
        ];
        let mut sequences = Vec::new();
        for round in 0..4 {
            for collection in [plain, indexed] {
                put(store, collection, (0..60).filter(|id| id % 4 != round).map(|id| document(id, round)));
            }
            if round == 1 {
                index(store, indexed, "a", &["a"]);
                index(store, indexed, "ba", &["b", "a"]);
                index(store, indexed, "tags", &["tags[]"]);
            }
            sequences.push(store.sequence());
        }
        assert!(plan(store, indexed, &bodies[0]).contains("\"index\":\"a\""));
        assert!(plan(store, indexed, &bodies[2]).contains("\"index\":\"ba\""));
        let transaction = store.begin(Isolation::Serializable).unwrap();
        for collection in [plain, indexed] {
            for id in 50..70 {
                let record = store.encode(&from_json(&document(id, 9).to_string()).unwrap()).unwrap();
                transaction.put(collection, &encode(&Key::Number(id as f64)).unwrap(), &record).unwrap();
            }
        }
        for body in &bodies {
            let mut found = 0;
            let query = find(store, plain, body);
            let views =
                sequences.iter().map(|seq| View::At(*seq)).chain([View::from(&transaction), View::Newest]);
            for view in views {
                let expected = ids(&store.query(plain, &query, view.clone()).unwrap());
                found += expected.len();
                assert_eq!(
                    ids(&store.query(indexed, &query, view.clone()).unwrap()),
                    expected,
                    "{body} in {view:?}"
                );
            }
            assert!(found > 0, "{body}");
        }
    });
}

#[test]
fn pages_in_the_order_of_an_index_show_one_state_while_others_write() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        put(store, collection, (0..200).map(|id| json!({ "id": id, "n": id * 7 % 50, "round": 0 })));
        index(store, collection, "n", &["n"]);
        let body = json!({ "orderBy": [{ "path": "n", "dir": "desc" }], "limit": 9, "requireIndex": true });
        let mut query = find(store, collection, &body);
        let mut seen = Vec::new();
        loop {
            let answer = store.query(collection, &query, View::Newest).unwrap();
            seen.extend(ids(&answer));
            put(
                store,
                collection,
                (0..200).step_by(3).map(|id| json!({ "id": id, "n": seen.len() % 50, "round": 1 })),
            );
            match answer.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        let mut expected: Vec<i64> = (0..200).collect();
        expected.sort_by_key(|id| std::cmp::Reverse((id * 7 % 50, *id)));
        assert_eq!(seen.iter().map(|id| *id as i64).collect::<Vec<_>>(), expected);
    });
}

#[test]
fn the_legacy_body_of_an_index_finds_its_records() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        put(
            store,
            collection,
            (0..9).map(|id| json!({ "id": id, "city": (["Oslo", "Bonn"][id as usize % 2]) })),
        );
        index(store, collection, "byCity", &["city"]);
        let query =
            find(store, collection, &json!({ "type": "indexEquals", "index": "byCity", "key": "Bonn" }));
        assert_eq!(ids(&store.query(collection, &query, View::Newest).unwrap()), [1.0, 3.0, 5.0, 7.0]);
    });
}

/// What a collection is guessed to have does not depend on others, and what an index finds is guessed by the index.
#[test]
fn estimates_are_of_the_collection_and_of_the_range_that_is_asked_for() {
    each_home(|store| {
        let (large, small) = (store.collection("large").unwrap(), store.collection("small").unwrap());
        let on_n = IndexDefinition::new("n", IndexKind::Multi, &["n"]).unwrap();
        let id = store.create_index(large, on_n, Durability::Memory).unwrap();
        store.wait_for_index(id).unwrap();
        put(store, large, (0..3000).map(|id| json!({ "id": id, "n": id / 2 })));
        put(store, small, (0..20).map(|id| json!({ "id": id })));
        let check = |factor: u64| {
            let count = |collection, body: Json| {
                let Body::Count(query) = store.parse_query(collection, &body.to_string(), false).unwrap()
                else {
                    panic!("{body}")
                };
                store.count(collection, &query, View::Newest).unwrap()
            };
            let estimate = |collection, filter: Json| {
                count(collection, json!({ "type": "count", "where": filter, "count": "estimate" }))
            };
            assert_eq!(estimate(small, json!({})), 20);
            for (filter, real) in [
                (json!({}), 3000),
                (json!({ "n": { "$lt": 1000 } }), 2000),
                (json!({ "n": { "$gte": 1200 } }), 600),
                (json!({ "$id": { "$lt": 500 } }), 500),
            ] {
                let found = estimate(large, filter.clone());
                assert!((real / factor..=real * factor).contains(&found), "{found} of {real}: {filter}");
                assert_eq!(count(large, json!({ "type": "count", "where": filter })), real);
            }
            assert_eq!(estimate(large, json!({ "n": 77 })), 2);
        };
        check(2);
        store.flush().unwrap();
        check(3);
    });
}

/// A query of a small collection beside a large one is planned as what it is.
#[test]
fn a_small_collection_is_read_as_a_whole_though_others_are_large() {
    each_home(|store| {
        let (large, small) = (store.collection("large").unwrap(), store.collection("small").unwrap());
        put(store, large, (0..5000).map(|id| json!({ "id": id, "n": 1 })));
        put(store, small, (0..40).map(|id| json!({ "id": id, "n": id % 2 })));
        let query = find(store, small, &json!({ "where": { "n": 1 }, "explain": "plan" }));
        let answer = store.query(small, &query, View::Newest).unwrap();
        let plan = answer.explain.as_ref().unwrap().to_string();
        assert!(plan.contains("\"cost\":40"), "{plan}");
    });
}
