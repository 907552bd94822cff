//! Records from and to JSON text, without a document being built in JavaScript.
//!
//! What JSON has no type for is written as text: a date as ISO 8601, a bigint in decimal digits, bytes in base64. Text
//! read from JSON stays text.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::reader::malformed;
use super::value::floats;
use super::{Node, Reader, Value};
use crate::error::{Error, ErrorCode, Result};
use crate::keys::BigInt;
use crate::limits::MAX_JSON_BYTES;

impl Value {
    /// A value from JSON text. When an object has a name twice, the last member counts, in the place of the first.
    ///
    /// # Errors
    /// `ERR_VALIDATION` that names line and column; also for nesting deeper than 127 and for numbers that are too large.
    pub fn parse_json(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::new(ErrorCode::Validation, format!("this is not JSON: {error}")))
    }

    /// A value from JSON that was parsed elsewhere.
    ///
    /// # Errors
    /// `ERR_VALIDATION` for numbers that no value can hold.
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        Self::deserialize(json)
            .map_err(|error| Error::new(ErrorCode::Validation, format!("not a value: {error}")))
    }
}

/// The document in JSON text.
///
/// # Errors
/// `ERR_VALIDATION` that names line and column, also when it is not an object.
pub fn from_json(text: &str) -> Result<Value> {
    match Value::parse_json(text)? {
        document @ Value::Object(_) => Ok(document),
        _ => Err(Error::new(ErrorCode::Validation, "a document is a JSON object")),
    }
}

/// Appends the next value of a record as JSON text.
///
/// # Errors
/// `ERR_CORRUPT`; `ERR_TOO_LARGE` when the text becomes longer than [`MAX_JSON_BYTES`].
pub fn to_json(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<()> {
    push_value(reader, out, MAX_JSON_BYTES)
}

/// A few bytes of a record can stand for many members with long names, so `out` is limited, not the record.
pub(super) fn push_value(reader: &mut Reader<'_>, out: &mut Vec<u8>, limit: usize) -> Result<()> {
    if out.len() > limit {
        return Err(Error::too_large("JSON text", out.len(), limit));
    }
    match reader.next()? {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(true) => out.extend_from_slice(b"true"),
        Node::Bool(false) => out.extend_from_slice(b"false"),
        Node::Number(number) => push_number(number, out),
        Node::String(text) => push_string(text, out),
        Node::Date(millis) => push_string(&iso_8601(millis), out),
        Node::BigInt(negative, magnitude) => push_string(&BigInt::new(negative, magnitude).to_string(), out),
        Node::Bytes(bytes) => push_string(&BASE64.encode(bytes), out),
        Node::Floats(bytes) => push_floats(bytes, out),
        Node::Array(count) => {
            out.push(b'[');
            for index in 0..count {
                comma(index, out);
                push_value(reader, out, limit)?;
            }
            out.push(b']');
        }
        Node::Object(shape) => {
            out.push(b'{');
            for (index, name) in shape.names().iter().enumerate() {
                comma(index, out);
                push_string(name, out);
                out.push(b':');
                push_value(reader, out, limit)?;
            }
            out.push(b'}');
        }
        Node::Named(count) => {
            out.push(b'{');
            for index in 0..count {
                comma(index, out);
                let Node::String(name) = reader.next()? else { return Err(malformed("a name is not text")) };
                push_string(name, out);
                out.push(b':');
                push_value(reader, out, limit)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn comma(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn push_string(text: &str, out: &mut Vec<u8>) {
    // Writing text into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[expect(clippy::cast_possible_truncation, reason = "compared with what it was before")]
#[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "compared with what it was before")]
fn push_number(number: f64, out: &mut Vec<u8>) {
    let whole = number as i64;
    if whole as f64 == number && whole.unsigned_abs() < 1 << 53 {
        out.extend_from_slice(whole.to_string().as_bytes());
    } else {
        let _ = serde_json::to_writer(out, &number);
    }
}

/// 32-bit numbers as JSON numbers; those that are not finite, which JSON has not, as `null`.
fn push_floats(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, number) in floats(bytes).enumerate() {
        comma(index, out);
        if number.is_finite() { push_number(f64::from(number), out) } else { out.extend_from_slice(b"null") }
    }
    out.push(b']');
}

/// A moment as JavaScript's `toISOString` writes it. The days are counted as by Howard Hinnant's `civil_from_days`.
#[expect(clippy::cast_possible_truncation, reason = "dates in records are whole and within ±8.64e15")]
pub(crate) fn iso_8601(millis: f64) -> String {
    let millis = millis as i64;
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let sign = if year < 0 { "-" } else { "+" };
    let year = if (0..=9999).contains(&year) {
        format!("{year:04}")
    } else {
        format!("{sign}{:06}", year.unsigned_abs())
    };
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", rest / 1000 % 60, rest % 1000)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

#[expect(clippy::cast_precision_loss, reason = "numbers in JSON are as JavaScript reads them")]
impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<Value, E> {
        // Adding 0 turns −0 into 0 and changes nothing else.
        Ok(Value::Number(number + 0.0))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(Seed)?;
            if let Some(&place) = places.get(&name) {
                let member: &mut (String, Value) = &mut members[place];
                member.1 = value;
            } else {
                places.insert(name.clone(), members.len());
                members.push((name, value));
            }
        }
        Ok(Value::Object(members))
    }
}

struct Seed;

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }
}
