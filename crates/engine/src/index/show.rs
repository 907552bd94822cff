//! Keys for people and for JSON, in which no two keys look the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use super::decode_tuple;
use crate::record::Value;

/// The values of a key of `count` values: the value itself if it is one, else a list. What is missing or no key is null.
/// Record keys are keys of one value.
pub(crate) fn tuple(key: &[u8], count: usize) -> Json {
    let Ok(values) = decode_tuple(key, count) else { return Json::Null };
    let mut values: Vec<Json> = values.iter().map(|value| value.as_ref().map_or(Json::Null, json)).collect();
    if count == 1 { values.pop().unwrap_or_default() } else { Json::Array(values) }
}

/// As queries are written in JSON; infinities, which only keys may be, are `{"$number": "Infinity"}` and with a sign.
fn json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Floats(_) | Value::Object(_) => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Number(number) if number.is_finite() => plain(*number),
        Value::Number(number) => json!({ "$number": if *number > 0.0 { "Infinity" } else { "-Infinity" } }),
        Value::Date(millis) => json!({ "$date": plain(*millis) }),
        Value::BigInt(number) => json!({ "$bigint": number.to_string() }),
        Value::String(text) => json!(text),
        Value::Bytes(bytes) => json!({ "$bytes": BASE64.encode(bytes) }),
        Value::Array(elements) => Json::Array(elements.iter().map(json).collect()),
    }
}

/// A number as it is usually written: a whole one without a fraction.
fn plain(number: f64) -> Json {
    let is_whole = number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER;
    if is_whole { json!(number as i64) } else { json!(number) }
}

/// Up to here every whole number is a number of its own.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::encode_tuple;

    #[test]
    fn keys_of_different_types_look_different() {
        let text = |text: &str| Value::String(text.to_owned());
        let shown = |value: Value| tuple(&encode_tuple(&[value]).unwrap(), 1);
        let values = [
            Value::Number(10.0),
            Value::BigInt("10".parse().unwrap()),
            text("10"),
            Value::Bytes(b"10".to_vec()),
            Value::Array(vec![text("10")]),
            Value::Number(f64::INFINITY),
            Value::Number(f64::NEG_INFINITY),
            Value::Null,
            Value::Number(1.7e12),
            Value::Date(1.7e12),
            text("Infinity"),
        ];
        let all: std::collections::BTreeSet<String> =
            values.iter().map(|value| shown(value.clone()).to_string()).collect();
        assert_eq!(all.len(), values.len(), "{all:?}");
        assert_eq!(shown(Value::BigInt("10".parse().unwrap())), json!({ "$bigint": "10" }));
    }

    #[test]
    fn whole_numbers_are_shown_without_a_fraction() {
        let shown = |number: f64| tuple(&encode_tuple(&[Value::Number(number)]).unwrap(), 1).to_string();
        let numbers = [0.0, -0.0, 1.0, -7.0, 9_007_199_254_740_991.0, 1.5, 1e300, 5e-324];
        let texts = ["0", "0", "1", "-7", "9007199254740991", "1.5", "1e+300", "5e-324"];
        assert_eq!(numbers.map(shown), texts);
        assert_eq!(tuple(&encode_tuple(&[Value::Date(5.0)]).unwrap(), 1).to_string(), r#"{"$date":5}"#);
    }
}
