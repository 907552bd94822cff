//! Every plan of random queries over random documents answers as the naive evaluator does, on one page and on many.

use proptest::prelude::*;

use super::naive;
use super::*;

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        (-2i32..3).prop_map(|number| json!(number)),
        Just(json!(0.5)),
        prop::sample::select(vec!["", "a", "ab", "a\u{0}", "a\u{0}b", "B", "é"]).prop_map(|text| json!(text)),
        (-1i32..2).prop_map(|millis| json!({ "$date": millis })),
        (-1i32..2).prop_map(|number| json!({ "$bigint": number.to_string() })),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            prop::collection::btree_map("[abc]", inner, 0..3).prop_map(|members| json!(members)),
        ]
    })
}

fn documents() -> impl Strategy<Value = Vec<Json>> {
    let document = prop::collection::btree_map("[abc]", value(), 0..4);
    prop::collection::vec(document, 0..24).prop_map(|documents| {
        let document = |(id, members): (usize, std::collections::BTreeMap<String, Json>)| {
            let mut document = json!(members);
            document["id"] = json!(id);
            document
        };
        documents.into_iter().enumerate().map(document).collect()
    })
}

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "a.b", "a[]", "b[]", "a[].c", "a.b[]", "id"])
        .prop_map(str::to_owned)
}

fn ordered() -> impl Strategy<Value = Json> {
    value().prop_filter("can be compared", |value| {
        !(value.is_null() || value.is_boolean() || naive::holds_object(value))
    })
}

fn operators() -> impl Strategy<Value = Json> {
    let text = || prop::sample::select(vec!["", "a", "b", "É"]).prop_map(|text| json!(text));
    let list = || prop::collection::vec(value(), 0..4).prop_map(Json::Array);
    let one = prop_oneof![
        value().prop_map(|value| ("$eq", value)),
        value().prop_map(|value| ("$ne", value)),
        ordered().prop_map(|value| ("$gt", value)),
        ordered().prop_map(|value| ("$gte", value)),
        ordered().prop_map(|value| ("$lt", value)),
        ordered().prop_map(|value| ("$lte", value)),
        (ordered(), ordered()).prop_map(|(from, to)| ("$between", json!([from, to]))),
        list().prop_map(|values| ("$in", values)),
        list().prop_map(|values| ("$nin", values)),
        list().prop_map(|values| ("$all", values)),
        text().prop_map(|text| ("$prefix", text)),
        text().prop_map(|text| ("$contains", text)),
        text().prop_map(|text| ("$ieq", text)),
        (0..3).prop_map(|size| ("$size", json!(size))),
        any::<bool>().prop_map(|exists| ("$exists", json!(exists))),
        prop::sample::select(vec!["null", "number", "date", "array", "object"])
            .prop_map(|name| ("$type", json!(name))),
        value().prop_map(|value| ("$elem", json!({ "$eq": value }))),
        value().prop_map(|value| ("$elem", json!({ "a": value }))),
    ];
    prop::collection::vec(one, 1..3).prop_map(|members| {
        let members: serde_json::Map<_, _> =
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Json::Object(members)
    })
}

fn filter() -> impl Strategy<Value = Json> {
    let condition = prop_oneof![
        3 => (path(), operators()).prop_map(|(path, tests)| json!({ path: tests })),
        2 => (path(), value()).prop_map(|(path, value)| json!({ path: value })),
        1 => operators().prop_map(|tests| json!({ "$id": tests })),
        1 => (0..24).prop_map(|id| json!({ "$id": { "$gte": id } })),
        1 => (100..106).prop_map(|seq| json!({ "$seq": { "$lte": seq } })),
        1 => (1..5).prop_map(|seq| json!({ "$createdSeq": seq })),
    ];
    condition.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({ "$and": parts })),
            2 => prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({ "$or": parts })),
            1 => inner.prop_map(|part| json!({ "$not": part })),
        ]
    })
}

fn order() -> impl Strategy<Value = Json> {
    let term = (prop::sample::select(vec!["a", "b", "a.b", "$id", "$seq", "$createdSeq"]), any::<bool>())
        .prop_map(|(path, down)| json!({ "path": path, "dir": if down { "desc" } else { "asc" } }));
    prop::collection::vec(term, 0..3).prop_map(|mut terms| {
        if terms.len() == 2 && terms[0]["path"] == terms[1]["path"] {
            terms.pop();
        }
        Json::Array(terms)
    })
}

fn indexes() -> Vec<IndexInfo> {
    let mut sparse = index("sparse", &["a", "b"]);
    sparse.sparse = true;
    let mut unique = index("unique", &["id"]);
    unique.unique = true;
    vec![
        index("a", &["a"]),
        index("b", &["b"]),
        index("elements", &["a[]"]),
        index("pair", &["a", "b"]),
        index("mixed", &["b[]", "a"]),
        sparse,
        unique,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 1500 }))]

    #[test]
    fn every_plan_answers_as_the_naive_evaluator(
        documents in documents(), filter in filter(), order in order(), size in 1usize..5,
    ) {
        let body = json!({ "where": filter, "orderBy": order, "select": ["id", "$id", "$seq", "$createdSeq"] });
        let expected = naive::answer(&body, &documents);
        let selected = |id: &Json| {
            let mut members = serde_json::Map::from_iter([("id".to_owned(), id.clone())]);
            for name in ["$id", "$seq", "$createdSeq"] {
                let value = naive::beside(name, &json!({ "id": id })).pop();
                members.extend(value.map(|value| (name.to_owned(), value)));
            }
            Json::Object(members)
        };
        let items: Vec<Json> = expected.iter().map(selected).collect();
        let source = MemorySource::new(&documents, indexes());
        let whole = query(&body);
        prop_assert_eq!(ids(&find(&source, &whole).unwrap()), expected.clone());
        prop_assert_eq!(count(&source, &whole).unwrap(), expected.len() as u64);
        for plan in planner::every_plan(&source, &whole).unwrap() {
            let answer = find_by(&source, &whole, &plan).unwrap();
            prop_assert_eq!(ids(&answer), expected.clone(), "{:?}", plan);
            let json: Json = serde_json::from_slice(&answer.to_json().unwrap()).unwrap();
            prop_assert_eq!(&json["items"], &json!(items), "{:?}", plan);
            let mut paged = Vec::new();
            let mut page = Query { limit: Some(size), ..whole.clone() };
            loop {
                let answer = find_by(&source, &page, &plan).unwrap();
                prop_assert!(answer.next.is_none() || answer.page.len() == size);
                paged.extend(ids(&answer));
                match answer.next {
                    Some(next) => page.cursor = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(&paged, &expected, "in pages of {}: {:?}", size, plan);
        }
    }
}
