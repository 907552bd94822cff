//! From tests of one place to ranges of encoded values: what an index or the order of ids can find at once.
//!
//! A range holds at least what passes the tests; every record found is tested again.

use std::fmt::Write as _;

use fountain_lsm::KeyRange;
use serde_json::{Value as Json, json};

use super::filter::{Filter, Place, Test};
use super::literal;
use crate::index::{decode_tuple, encode_tuple};
use crate::keys;
use crate::limits::{MAX_INDEX_PATHS, MAX_PLAN_POINTS};
use crate::record::Value;

/// What the parts of a filter that must all hold say about one place.
#[derive(Clone, Debug)]
pub(super) enum Bounds {
    /// One of these encoded values, in order, each once.
    Points(Vec<Vec<u8>>),
    /// A range of encoded values.
    Range(KeyRange),
}

/// The bounds of a place that some part demands; `None` if no part does. Points come before ranges. Where a path leads to
/// one value at most the ranges of all parts count, else, as each may be about another value, only the first.
pub(super) fn bounds(parts: &[&Filter], place: &Place) -> Option<Bounds> {
    let single = !matches!(place, Place::Path(path) if path.is_multiple());
    let mut range: Option<KeyRange> = None;
    for part in parts {
        let Filter::Some(own, tests) = part else { continue };
        if own != place {
            continue;
        }
        match of_tests(tests) {
            Some(points @ Bounds::Points(_)) => return Some(points),
            Some(Bounds::Range(found)) => {
                range = Some(match range {
                    Some(range) if single => intersection(&range, &found),
                    Some(range) => range,
                    None => found,
                });
            }
            None => {}
        }
    }
    range.map(Bounds::Range)
}

/// The bounds of values that pass all tests.
fn of_tests(tests: &[Test]) -> Option<Bounds> {
    for test in tests {
        match test {
            Test::Eq(value) => {
                if let Some(point) = encode(value) {
                    return Some(Bounds::Points(vec![point]));
                }
            }
            Test::In(values) if values.len() <= MAX_PLAN_POINTS => {
                if let Some(mut points) = values.iter().map(encode).collect::<Option<Vec<_>>>() {
                    points.sort_unstable();
                    points.dedup();
                    return Some(Bounds::Points(points));
                }
            }
            _ => {}
        }
    }
    let mut range: Option<KeyRange> = None;
    for test in tests {
        if let Some(found) = of_test(test) {
            range = Some(match range {
                Some(range) => intersection(&range, &found),
                None => found,
            });
        }
    }
    range.map(Bounds::Range)
}

/// The range of encoded values that can pass a test; within the type of the value, as comparisons do not cross types. An
/// index does not order arrays that hold objects, so arrays have no ranges, and false and true are tags of their own.
fn of_test(test: &Test) -> Option<KeyRange> {
    match test {
        Test::Gt(value) | Test::Gte(value) | Test::Lt(value) | Test::Lte(value)
            if matches!(value, Value::Array(_) | Value::Bool(_)) =>
        {
            None
        }
        Test::Gt(value) | Test::Gte(value) => {
            let start = encode(value)?;
            let start = if matches!(test, Test::Gt(_)) { after_all(&start) } else { start };
            Some(KeyRange { start, end: Some(vec![tag_of(value)? + 1]) })
        }
        Test::Lt(value) | Test::Lte(value) => {
            let end = encode(value)?;
            let end = if matches!(test, Test::Lte(_)) { after_all(&end) } else { end };
            Some(KeyRange { start: vec![tag_of(value)?], end: Some(end) })
        }
        Test::Prefix(prefix) => keys::string_prefix(prefix).ok(),
        _ => None,
    }
}

/// The tuples that begin with encoded values: no tag is 0xFF, while in text 0xFF comes after a zero that is a part of it.
pub(super) fn beginning_with(point: &[u8]) -> KeyRange {
    KeyRange { start: point.to_vec(), end: Some(after_all(point)) }
}

/// The first bound after all tuples that begin with encoded values.
pub(super) fn after_all(point: &[u8]) -> Vec<u8> {
    [point, &[0xFF]].concat()
}

/// What lies in both ranges.
pub(super) fn intersection(a: &KeyRange, b: &KeyRange) -> KeyRange {
    let start = a.start.clone().max(b.start.clone());
    let end = match (&a.end, &b.end) {
        (Some(a), Some(b)) => Some(a.min(b).clone()),
        (a, b) => a.clone().or_else(|| b.clone()),
    };
    KeyRange { start, end }
}

/// Whether nothing can lie in a range.
pub(super) fn is_empty(range: &KeyRange) -> bool {
    range.end.as_ref().is_some_and(|end| *end <= range.start)
}

fn tag_of(value: &Value) -> Option<u8> {
    encode(value)?.first().copied()
}

/// A value as an index encodes it; `None` for what an index cannot tell from other values.
pub(super) fn encode(value: &Value) -> Option<Vec<u8>> {
    encode_tuple(std::slice::from_ref(value)).ok()
}

/// A bound for people: its values, or, as bounds need not be whole values, its bytes in hexadecimal.
pub(super) fn describe(bound: &[u8]) -> Json {
    let values = |bytes: &[u8]| {
        let decoded = (1..=MAX_INDEX_PATHS).find_map(|count| decode_tuple(bytes, count).ok())?;
        let value = |value: &Option<Value>| value.as_ref().map_or(Json::Null, literal::render);
        Some(Json::Array(decoded.iter().map(value).collect()))
    };
    if let Some(values) = values(bound) {
        return values;
    }
    if let Some((0xFF, rest)) = bound.split_last()
        && let Some(values) = values(rest)
    {
        return json!({ "after": values });
    }
    let mut text = String::with_capacity(2 * bound.len());
    for byte in bound {
        // Writing text into memory cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Json::String(text)
}
