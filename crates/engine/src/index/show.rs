//! Keys for people and for JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use super::decode_tuple;
use crate::record::{Value, iso_8601};

/// The values of a key of `count` values: the value itself if it is one, else a list. What is missing or no key is null.
/// Record keys are keys of one value.
pub(crate) fn tuple(key: &[u8], count: usize) -> Json {
    let Ok(values) = decode_tuple(key, count) else { return Json::Null };
    let mut values: Vec<Json> = values.iter().map(|value| value.as_ref().map_or(Json::Null, json)).collect();
    if count == 1 { values.pop().unwrap_or_default() } else { Json::Array(values) }
}

/// As records are written in JSON.
fn json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Floats(_) | Value::Object(_) => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Number(number) => json!(number),
        Value::Date(millis) => json!(iso_8601(*millis)),
        Value::BigInt(number) => json!(number.to_string()),
        Value::String(text) => json!(text),
        Value::Bytes(bytes) => json!(BASE64.encode(bytes)),
        Value::Array(elements) => Json::Array(elements.iter().map(json).collect()),
    }
}
