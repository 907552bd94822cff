//! Queries of what is known of records beside their documents: their keys, and the commits that made them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "numbers in tests are small")]

mod support;

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::from_json;
use fountain_engine::{
    CollectionOptions, CollectionRetention, CollectionSetting, Durability, ErrorCode, Isolation, Seq, View,
    WriteSet,
};
use serde_json::{Value as Json, json};
use support::queries::{change, each_home, find, ids, index, items, put};
use support::{Home, LocalHome};

#[test]
fn conditions_and_orders_may_ask_for_the_commits_of_a_record() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        // Put by 1, 2, 3 and 4; then 0 again by 5, 1 deleted by 6 and put anew by 7.
        (0..4).for_each(|id| put(store, collection, std::iter::once(json!({ "id": id, "n": 1 }))));
        put(store, collection, std::iter::once(json!({ "id": 0, "n": 2 })));
        let mut delete = WriteSet::new();
        delete.delete(collection, &encode(&Key::Number(1.0)).unwrap()).unwrap();
        store.commit(delete, Durability::Memory).unwrap();
        put(store, collection, std::iter::once(json!({ "id": 1, "n": 2 })));
        let by_seq = json!([{ "path": "$seq", "dir": "desc" }]);
        let found = |condition: Json, order: &Json, view: View| {
            let query = find(store, collection, &json!({ "where": condition, "orderBy": order }));
            ids(&store.query(collection, &query, view).unwrap())
        };
        assert_eq!(found(json!({}), &by_seq, View::Newest), [1.0, 0.0, 3.0, 2.0]);
        assert_eq!(
            found(json!({ "$seq": { "$between": [3, 5] } }), &json!([]), View::Newest),
            [0.0, 2.0, 3.0]
        );
        assert_eq!(found(json!({ "$createdSeq": { "$lte": 2 } }), &json!([]), View::Newest), [0.0]);
        assert_eq!(found(json!({}), &json!([{ "path": "$createdSeq" }]), View::Newest), [0.0, 2.0, 3.0, 1.0]);
        let third = View::At(Seq::new(3).unwrap());
        assert_eq!(found(json!({ "$seq": { "$exists": true } }), &by_seq, third), [2.0, 1.0, 0.0]);
        assert_eq!(found(json!({ "$deleted": true }), &json!([]), View::Newest), [0.0; 0]);
        assert_eq!(found(json!({ "$deleted": false, "n": 1 }), &json!([]), View::Newest), [2.0, 3.0]);
        // No commit has put yet what a transaction has written.
        let transaction = store.begin(Isolation::Snapshot).unwrap();
        let record = store.encode(&from_json(r#"{"id":2,"n":9}"#).unwrap()).unwrap();
        transaction.put(collection, &encode(&Key::Number(2.0)).unwrap(), &record).unwrap();
        let own =
            json!({ "$or": [{ "$seq": { "$exists": false } }, { "$createdSeq": { "$exists": false } }] });
        assert_eq!(found(own, &json!([]), View::from(&transaction)), [2.0]);
    });
}

#[test]
fn what_is_known_beside_a_document_is_selected_in_every_state_and_by_every_plan() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        // Put by 1, 2 and 3, then 0 again by 4; the index is the fifth commit.
        (0..3).for_each(|id| put(store, collection, std::iter::once(json!({ "id": id, "n": 1 }))));
        put(store, collection, std::iter::once(json!({ "id": 0, "n": 1 })));
        index(store, collection, "n", &["n"]);
        let body = json!({ "where": { "n": 1 }, "select": ["$seq", "n", "$id", "$createdSeq"] });
        let selected = |more: &Json, view: View| {
            let mut body = body.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            items(&store.query(collection, &find(store, collection, &body), view).unwrap())
        };
        let item = |id, seq, created| json!({ "n": 1, "$id": id, "$seq": seq, "$createdSeq": created });
        let newest = json!([item(0, 4, 1), item(1, 2, 2), item(2, 3, 3)]);
        for plan in [
            json!({}),
            json!({ "hint": { "index": "n" } }),
            json!({ "limit": 5, "orderBy": [{ "path": "n" }] }),
        ] {
            assert_eq!(selected(&plan, View::Newest), newest, "{plan}");
        }
        let third = json!([item(0, 1, 1), item(1, 2, 2), item(2, 3, 3)]);
        assert_eq!(selected(&json!({ "asOf": 3 }), View::Newest), third);
        assert_eq!(selected(&json!({}), View::At(Seq::new(3).unwrap())), third);
        // What a transaction has written has been put by no commit yet.
        let transaction = store.begin(Isolation::Serializable).unwrap();
        let record = store.encode(&from_json(r#"{"id":1,"n":1}"#).unwrap()).unwrap();
        transaction.put(collection, &encode(&Key::Number(1.0)).unwrap(), &record).unwrap();
        let own = json!([item(0, 4, 1), { "n": 1, "$id": 1 }, item(2, 3, 3)]);
        assert_eq!(selected(&json!({}), View::from(&transaction)), own);
    });
}

#[test]
fn pages_ordered_by_commits_show_one_state_while_records_are_put_again() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        (0..20).for_each(|id| put(store, collection, std::iter::once(json!({ "id": id * 7 % 20 }))));
        for (dir, step) in [("asc", 1), ("desc", -1)] {
            let order = json!([{ "path": "$seq", "dir": dir }]);
            let mut query =
                find(store, collection, &json!({ "orderBy": order, "select": ["$seq"], "limit": 3 }));
            let mut seen = Vec::new();
            loop {
                let answer = store.query(collection, &query, View::Newest).unwrap();
                seen.extend(
                    items(&answer).as_array().unwrap().iter().map(|item| item["$seq"].as_i64().unwrap()),
                );
                query.cursor = answer.next;
                if query.cursor.is_none() {
                    break;
                }
                put(store, collection, std::iter::once(json!({ "id": seen.len() })));
            }
            assert_eq!(seen.len(), 20);
            assert!(seen.windows(2).all(|pair| (pair[1] - pair[0]) * step > 0), "{dir}: {seen:?}");
        }
    });
}

#[test]
fn members_that_are_called_as_what_is_beside_a_document_are_asked_for_in_brackets() {
    each_home(|store| {
        let collection = store.collection("c").unwrap();
        put(store, collection, (1..4).map(|id| json!({ "id": id, "$id": -id, "$seq": { "a": id } })));
        let answer = |body: Json| {
            items(&store.query(collection, &find(store, collection, &body), View::Newest).unwrap())
        };
        let own = answer(json!({
            "where": { "[\"$id\"]": { "$lt": -1 } }, "orderBy": [{ "path": "[\"$id\"]" }],
            "select": ["[\"$id\"]", "[\"$seq\"].a", "$createdSeq"],
        }));
        let item = |id: i64| json!({ "$id": -id, "$seq": { "a": id }, "$createdSeq": 1 });
        assert_eq!(own, json!([item(3), item(2)]));
        assert_eq!(
            answer(json!({ "where": { "$id": 2 }, "select": ["$id", "$seq"] })),
            json!([{ "$id": 2, "$seq": 1 }])
        );
        let rest = answer(json!({ "where": { "$id": 2 }, "select": { "omit": ["[\"$id\"]"] } }));
        assert_eq!(rest, json!([{ "id": 2, "$seq": { "a": 2 } }]));
        // An index on such a member is one on the member.
        index(store, collection, "own", &["[\"$id\"]"]);
        let hinted = json!({ "where": { "[\"$id\"]": -3 }, "hint": { "index": "own" }, "select": ["$id"] });
        assert_eq!(answer(hinted), json!([{ "$id": 3 }]));
        let cursor =
            |body: &Json| store.query(collection, &find(store, collection, body), View::Newest).unwrap().next;
        let key = json!({ "orderBy": [{ "path": "$id" }], "limit": 1 });
        let mut member = json!({ "orderBy": [{ "path": "[\"$id\"]" }], "limit": 1 });
        member["cursor"] = json!(cursor(&key));
        let error = store.query(collection, &find(store, collection, &member), View::Newest).unwrap_err();
        assert_eq!(error.code, ErrorCode::BadCursor);
    });
}

#[test]
fn who_created_a_record_is_unknown_where_that_history_is_gone() {
    let home = LocalHome::new();
    let store = home.open();
    let collection = store.create_collection("c", CollectionOptions::default(), Durability::Memory).unwrap();
    (0..3).for_each(|n| put(&store, collection, std::iter::once(json!({ "id": 1, "n": n }))));
    let created = |condition: Json| {
        let query = find(&store, collection, &json!({ "where": { "$createdSeq": condition } }));
        store.count(collection, &query, View::Newest).unwrap()
    };
    assert_eq!(created(json!(2)), 1);
    let latest = CollectionSetting::Retention(Some(CollectionRetention::LatestOnly));
    store.alter_collection("c", vec![latest], Durability::Memory).unwrap();
    store.flush().unwrap();
    store.compact().unwrap();
    assert_eq!((created(json!({ "$exists": true })), created(json!({ "$exists": false }))), (0, 1));
    store.close().unwrap();
}

#[test]
fn who_created_a_record_is_unknown_where_versions_of_it_are_missing() {
    for held in [false, true] {
        let home = LocalHome::new();
        let store = home.open();
        let latest = CollectionOptions {
            retention: Some(CollectionRetention::LatestOnly),
            ..CollectionOptions::default()
        };
        let collection = store.create_collection("c", latest, Durability::Memory).unwrap();
        let put = |n: u32| put(&store, collection, std::iter::once(json!({ "id": 1, "n": n })));
        let delete = || {
            let all = json!({ "type": "delete", "where": {} });
            assert_eq!(change(&store, collection, &all), (1, true));
        };
        put(1);
        if !held {
            delete();
            store.flush().unwrap();
            put(2);
        }
        let first = held.then(|| store.snapshot().unwrap());
        if held {
            delete();
        }
        let second = held.then(|| store.snapshot().unwrap());
        put(3);
        store.flush().unwrap();
        let created = find(&store, collection, &json!({ "where": { "$createdSeq": { "$exists": true } } }));
        let newest = store.snapshot().unwrap().sequence();
        let right =
            find(&store, collection, &json!({ "where": { "$createdSeq": newest.get() - u64::from(!held) } }));
        let count = |query| store.count(collection, query, View::Newest).unwrap();
        assert!(
            count(&created) == count(&right),
            "another commit than the one that created it; held: {held}"
        );
        drop((first, second));
        store.close().unwrap();
    }
}
