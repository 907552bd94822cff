//! Tests of single values, on records as they are stored and on unpacked values.

use std::cmp::Ordering;

use super::filter::{Test, Type};
use crate::error::Result;
use crate::keys::BigInt;
use crate::record::{Node, Reader, Value};

/// Whether the value in front of `reader` passes. `$elem` is not decided here.
pub(super) fn holds(test: &Test, reader: &Reader<'_>) -> Result<bool> {
    let mut ahead = reader.clone();
    let node = ahead.next()?;
    match (test, node) {
        (Test::Type(types), node) => return Ok(types.contains(&node_type(&node))),
        (Test::Size(size), Node::Array(count)) => return Ok(count as u64 == *size),
        (Test::Size(_), _) => return Ok(false),
        (Test::AllOf(_), Node::Array(_)) | (_, Node::Array(_) | Node::Object(_) | Node::Named(_)) => {
            return Ok(match test {
                // Nothing but another container is equal to a container, and most values are compared with scalars.
                Test::Eq(value) | Test::Gt(value) | Test::Gte(value) | Test::Lt(value) | Test::Lte(value)
                    if type_of(value) != node_type(&node) =>
                {
                    false
                }
                // They are in the order of types.
                Test::In(values)
                    if values
                        .binary_search_by_key(&(node_type(&node) as u8), |value| type_of(value) as u8)
                        .is_err() =>
                {
                    false
                }
                Test::AllOf(_) if node_type(&node) != Type::Array => false,
                Test::Prefix(_) | Test::Contains(_) | Test::EqIgnoreCase(_) | Test::Regex(_) => false,
                _ => holds_value(test, &Value::read(&mut reader.clone())?),
            });
        }
        _ => {}
    }
    Ok(holds_scalar(test, &node))
}

fn holds_scalar(test: &Test, node: &Node<'_>) -> bool {
    let ordering = |value: &Value| order(node, value);
    match test {
        Test::Eq(value) => ordering(value) == Some(Ordering::Equal),
        Test::Gt(value) => ordering(value) == Some(Ordering::Greater),
        Test::Lt(value) => ordering(value) == Some(Ordering::Less),
        Test::Gte(value) => ordering(value).is_some_and(Ordering::is_ge),
        Test::Lte(value) => ordering(value).is_some_and(Ordering::is_le),
        Test::In(values) => {
            let position = |value: &Value| {
                order(node, value)
                    .map_or_else(|| (type_of(value) as u8).cmp(&(node_type(node) as u8)), Ordering::reverse)
            };
            values.binary_search_by(position).is_ok()
        }
        Test::Prefix(prefix) => text(node).is_some_and(|text| text.starts_with(prefix.as_str())),
        Test::Contains(part) => text(node).is_some_and(|text| text.contains(part.as_str())),
        Test::EqIgnoreCase(lower) => text(node).is_some_and(|text| is_lower_case_of(lower, text)),
        Test::Regex(pattern) => text(node).is_some_and(|text| pattern.0.is_match(text)),
        Test::AllOf(_) | Test::Size(_) | Test::Elem(_) => false,
        Test::Type(types) => types.contains(&node_type(node)),
    }
}

/// Whether an unpacked value passes. `$elem` is not decided here.
pub(super) fn holds_value(test: &Test, value: &Value) -> bool {
    let ordering = |other: &Value| (type_of(value) == type_of(other)).then(|| value.order(other));
    match (test, value) {
        (Test::Eq(other), _) => equal(value, other),
        (Test::In(others), _) => others.iter().any(|other| equal(value, other)),
        (Test::Gt(other), _) => ordering(other) == Some(Ordering::Greater),
        (Test::Lt(other), _) => ordering(other) == Some(Ordering::Less),
        (Test::Gte(other), _) => ordering(other).is_some_and(Ordering::is_ge),
        (Test::Lte(other), _) => ordering(other).is_some_and(Ordering::is_le),
        (Test::AllOf(others), Value::Array(elements)) => {
            others.iter().all(|other| elements.iter().any(|element| equal(element, other)))
        }
        (Test::Size(size), Value::Array(elements)) => elements.len() as u64 == *size,
        (Test::Type(types), _) => types.contains(&type_of(value)),
        (_, Value::String(text)) => holds_scalar(test, &Node::String(text)),
        _ => false,
    }
}

/// Equality: objects are equal when they have the same members, in whatever order.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(members), Value::Object(others)) => {
            members.len() == others.len()
                && members.iter().all(|(name, value)| b.member(name).is_some_and(|other| equal(value, other)))
        }
        _ => a == b,
    }
}

/// The order of a scalar beside a value, if they are of one type.
fn order(node: &Node<'_>, value: &Value) -> Option<Ordering> {
    Some(match (node, value) {
        (Node::Null, Value::Null) => Ordering::Equal,
        (Node::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Node::Number(a), Value::Number(b)) | (Node::Date(a), Value::Date(b)) => a.total_cmp(b),
        (Node::BigInt(negative, magnitude), Value::BigInt(b)) => BigInt::new(*negative, magnitude).order(b),
        (Node::String(a), Value::String(b)) => (*a).cmp(b),
        (Node::Bytes(a), Value::Bytes(b)) => (*a).cmp(b),
        _ => return None,
    })
}

fn text<'a>(node: &Node<'a>) -> Option<&'a str> {
    match node {
        Node::String(text) => Some(text),
        _ => None,
    }
}

fn is_lower_case_of(lower: &str, text: &str) -> bool {
    if lower.is_ascii() && text.is_ascii() {
        return lower.eq_ignore_ascii_case(text);
    }
    text.to_lowercase() == lower
}

fn node_type(node: &Node<'_>) -> Type {
    match node {
        Node::Null => Type::Null,
        Node::Bool(_) => Type::Bool,
        Node::Number(_) => Type::Number,
        Node::BigInt(..) => Type::BigInt,
        Node::Date(_) => Type::Date,
        Node::String(_) => Type::String,
        Node::Bytes(_) => Type::Bytes,
        Node::Floats(_) => Type::Floats,
        Node::Array(_) => Type::Array,
        Node::Object(_) | Node::Named(_) => Type::Object,
    }
}

/// The type of a value.
pub(super) fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::BigInt(_) => Type::BigInt,
        Value::Date(_) => Type::Date,
        Value::String(_) => Type::String,
        Value::Bytes(_) => Type::Bytes,
        Value::Floats(_) => Type::Floats,
        Value::Array(_) => Type::Array,
        Value::Object(_) => Type::Object,
    }
}
