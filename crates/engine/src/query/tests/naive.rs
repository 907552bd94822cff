//! Queries answered from their JSON alone, over documents as JSON, one after another, with nothing of the product.

use std::cmp::Ordering;

use serde_json::{Value as Json, json};

/// Whether a document passes.
pub fn matches(filter: &Json, document: &Json) -> bool {
    filter.as_object().unwrap().iter().all(|(name, condition)| match name.as_str() {
        "$and" => condition.as_array().unwrap().iter().all(|one| matches(one, document)),
        "$or" => condition.as_array().unwrap().iter().any(|one| matches(one, document)),
        "$not" => !matches(condition, document),
        path if path.starts_with('$') => place(condition, &beside(path, document)),
        path => place(condition, &at(path, document)),
    })
}

/// What is known of a document beside it; the commits are made up from its id.
pub fn beside(name: &str, document: &Json) -> Vec<Json> {
    let id = &document["id"];
    let found = match name {
        "$id" => Some(id.clone()),
        "$seq" => put_by(id).map(|seq| json!(seq)),
        "$createdSeq" => created_by(id).map(|seq| json!(seq)),
        other => panic!("{other}"),
    };
    found.into_iter().collect()
}

/// The commit that put the document with an id: one of few, so that there are equal ones. That of some is not known.
pub fn put_by(id: &Json) -> Option<u64> {
    let number = id.as_u64().unwrap_or(0);
    (number % 11 != 3).then_some(100 + number * 7 % 5)
}

/// The commit that created it, which is not known of others.
pub fn created_by(id: &Json) -> Option<u64> {
    let number = id.as_u64().unwrap_or(0);
    (number % 3 != 1).then_some(1 + number * 5 % 4)
}

/// The values at a path.
pub fn at(path: &str, document: &Json) -> Vec<Json> {
    let mut found = vec![document.clone()];
    for step in path.replace("[]", ".[]").split('.') {
        found = found
            .iter()
            .flat_map(|value| match (step, kind(value)) {
                ("[]", 8) => value.as_array().unwrap().clone(),
                (name, 9) if name != "[]" => value.get(name).cloned().into_iter().collect(),
                _ => Vec::new(),
            })
            .collect();
    }
    found
}

fn place(condition: &Json, values: &[Json]) -> bool {
    let operators = match condition {
        Json::Object(members) if kind(condition) == 9 && members.keys().any(|name| name.starts_with('$')) => {
            members
        }
        value => return values.iter().any(|own| equal(own, value)),
    };
    let negative = |name: &str| matches!(name, "$ne" | "$nin" | "$exists");
    let none = operators.iter().all(|(name, operand)| match name.as_str() {
        "$ne" => !values.iter().any(|value| equal(value, operand)),
        "$nin" => !operand.as_array().unwrap().iter().any(|one| values.iter().any(|value| equal(value, one))),
        "$exists" => operand.as_bool().unwrap() != values.is_empty(),
        _ => true,
    });
    let positive: Vec<_> = operators.iter().filter(|(name, _)| !negative(name)).collect();
    none && (positive.is_empty()
        || values.iter().any(|value| positive.iter().all(|(name, operand)| test(name, operand, value))))
}

fn test(name: &str, operand: &Json, value: &Json) -> bool {
    let order = |other: &Json| (kind(value) == kind(other)).then(|| compare(value, other));
    let text = || if kind(value) == 5 { value.as_str() } else { None };
    match name {
        "$eq" => equal(value, operand),
        "$in" => operand.as_array().unwrap().iter().any(|one| equal(value, one)),
        "$gt" => order(operand) == Some(Ordering::Greater),
        "$gte" => order(operand).is_some_and(Ordering::is_ge),
        "$lt" => order(operand) == Some(Ordering::Less),
        "$lte" => order(operand).is_some_and(Ordering::is_le),
        "$between" => test("$gte", &operand[0], value) && test("$lte", &operand[1], value),
        "$prefix" => text().is_some_and(|text| text.starts_with(operand.as_str().unwrap())),
        "$contains" => text().is_some_and(|text| text.contains(operand.as_str().unwrap())),
        "$ieq" => text().is_some_and(|text| text.to_lowercase() == operand.as_str().unwrap().to_lowercase()),
        "$size" => {
            value.as_array().is_some_and(|elements| elements.len() as u64 == operand.as_u64().unwrap())
        }
        "$all" => value.as_array().is_some_and(|elements| {
            operand.as_array().unwrap().iter().all(|one| elements.iter().any(|element| equal(element, one)))
        }),
        "$elem" => value.as_array().is_some_and(|elements| {
            let on_self = operand.as_object().unwrap().keys().any(|name| name.starts_with('$'));
            elements.iter().any(|element| {
                if on_self {
                    place(operand, std::slice::from_ref(element))
                } else {
                    matches(operand, element)
                }
            })
        }),
        "$type" => operand.as_str() == Some(NAMES[kind(value)]),
        other => panic!("{other}"),
    }
}

const NAMES: [&str; 10] =
    ["null", "bool", "number", "bigint", "date", "string", "bytes", "floats", "array", "object"];

fn kind(value: &Json) -> usize {
    match value {
        Json::Null => 0,
        Json::Bool(_) => 1,
        Json::Number(_) => 2,
        Json::String(_) => 5,
        Json::Array(_) => 8,
        Json::Object(members) if members.contains_key("$bigint") => 3,
        Json::Object(members) if members.contains_key("$date") => 4,
        Json::Object(_) => 9,
    }
}

fn equal(a: &Json, b: &Json) -> bool {
    kind(a) == kind(b)
        && match kind(a) {
            8 => {
                let (a, b) = (a.as_array().unwrap(), b.as_array().unwrap());
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
            }
            9 => {
                let (a, b) = (a.as_object().unwrap(), b.as_object().unwrap());
                a.len() == b.len()
                    && a.iter().all(|(name, own)| b.get(name).is_some_and(|other| equal(own, other)))
            }
            _ => compare(a, b).is_eq(),
        }
}

/// The order of sorting, of the values that the test makes.
pub fn compare(a: &Json, b: &Json) -> Ordering {
    let number = |value: &Json| value.as_f64().unwrap();
    kind(a).cmp(&kind(b)).then_with(|| match kind(a) {
        1 => a.as_bool().cmp(&b.as_bool()),
        2 => number(a).partial_cmp(&number(b)).unwrap(),
        3 => {
            let whole = |value: &Json| value["$bigint"].as_str().unwrap().parse::<i128>().unwrap();
            whole(a).cmp(&whole(b))
        }
        4 => number(&a["$date"]).partial_cmp(&number(&b["$date"])).unwrap(),
        5 => a.as_str().cmp(&b.as_str()),
        8 => {
            let (a, b) = (a.as_array().unwrap(), b.as_array().unwrap());
            let unequal = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => Ordering::Equal,
    })
}

/// The ids of the documents that pass, in the order asked for.
pub fn answer(query: &Json, documents: &[Json]) -> Vec<Json> {
    let empty = json!({});
    let filter = query.get("where").unwrap_or(&empty);
    let mut found: Vec<&Json> = documents.iter().filter(|document| matches(filter, document)).collect();
    let none = Vec::new();
    let terms = query.get("orderBy").and_then(Json::as_array).unwrap_or(&none);
    let descends = |term: &Json| term.get("dir").is_some_and(|dir| dir == "desc");
    found.sort_by(|a, b| {
        let turn = |order: Ordering, down: bool| if down { order.reverse() } else { order };
        let by_term = |term: &Json| {
            let path = term["path"].as_str().unwrap();
            let value = |document: &Json| match path {
                path if path.starts_with('$') => beside(path, document).first().cloned(),
                path => at(path, document).first().cloned(),
            };
            let order = match (value(a), value(b)) {
                (Some(a), Some(b)) => {
                    ordering_of_arrays_with_objects(&a, &b).unwrap_or_else(|| compare(&a, &b))
                }
                (a, b) => a.is_some().cmp(&b.is_some()),
            };
            turn(order, descends(term))
        };
        let by_id = turn(compare(&a["id"], &b["id"]), terms.last().is_some_and(descends));
        terms.iter().map(by_term).find(|order| order.is_ne()).unwrap_or(by_id)
    });
    found.into_iter().map(|document| document["id"].clone()).collect()
}

/// An array that holds an object is sorted as an object is.
fn ordering_of_arrays_with_objects(a: &Json, b: &Json) -> Option<Ordering> {
    match (holds_object(a), holds_object(b)) {
        (false, false) => None,
        (a, b) => Some(a.cmp(&b)),
    }
}

/// Whether a value is an object or an array that holds one.
pub fn holds_object(value: &Json) -> bool {
    kind(value) == 9 || (kind(value) == 8 && value.as_array().unwrap().iter().any(holds_object))
}
