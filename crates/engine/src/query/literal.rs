//! Values as a query writes them: JSON, and `{"$date": …}`, `{"$bigint": …}`, `{"$bytes": …}` for what JSON has no type for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use super::pointer::Pointer;
use crate::error::Result;
use crate::keys::{BigInt, Key};
use crate::limits::MAX_BIGINT_BYTES;
use crate::record::{MAX_DATE_MILLIS, Value};

/// The value that `json` writes.
pub(super) fn parse(json: &Json, at: &Pointer<'_>) -> Result<Value> {
    match json {
        Json::Array(elements) => {
            let element = |(index, element)| parse(element, &at.index(index));
            Ok(Value::Array(elements.iter().enumerate().map(element).collect::<Result<_>>()?))
        }
        Json::Object(members) => match members.iter().find(|(name, _)| name.starts_with('$')) {
            Some((name, typed)) if members.len() == 1 => parse_typed(name, typed, &at.member(name)),
            Some((name, _)) => Err(at
                .member(name)
                .refused("stands alone if it is a typed value, and is no operator that can stand here")),
            None => {
                let member =
                    |(name, value): (&String, _)| Ok((name.clone(), parse(value, &at.member(name))?));
                Ok(Value::Object(members.iter().map(member).collect::<Result<_>>()?))
            }
        },
        scalar => Value::from_json(scalar).map_err(|error| at.refused(error.message)),
    }
}

fn parse_typed(name: &str, json: &Json, at: &Pointer<'_>) -> Result<Value> {
    match (name, json) {
        ("$date", Json::String(text)) => parse_date(text)
            .map(Value::Date)
            .ok_or_else(|| at.refused("expected a moment such as \"2026-01-31T12:00:00.000Z\"")),
        ("$date", Json::Number(number)) => number
            .as_f64()
            .filter(|millis| millis.fract() == 0.0 && millis.abs() <= MAX_DATE_MILLIS)
            .map(|millis| Value::Date(millis + 0.0))
            .ok_or_else(|| at.refused("expected whole milliseconds within ±8.64e15")),
        ("$bigint", Json::String(text)) => match text.parse::<BigInt>() {
            Ok(number) if number.magnitude().len() <= MAX_BIGINT_BYTES => Ok(Value::BigInt(number)),
            _ => Err(at.refused("expected an integer of at most 512 bits in decimal digits")),
        },
        ("$bytes", Json::String(text)) => {
            BASE64.decode(text).map(Value::Bytes).map_err(|_| at.refused("expected base64"))
        }
        ("$date" | "$bigint" | "$bytes", _) => Err(at.refused("expected text")),
        _ => Err(at.refused("not an operator that can stand here, nor $date, $bigint or $bytes")),
    }
}

/// How a query would write `value`. 32-bit numbers, which it cannot write, become an array.
pub(super) fn render(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Number(number) => json!(number),
        Value::String(text) => json!(text),
        Value::Date(millis) => json!({ "$date": millis }),
        Value::BigInt(number) => json!({ "$bigint": number.to_string() }),
        Value::Bytes(bytes) => json!({ "$bytes": BASE64.encode(bytes) }),
        Value::Floats(floats) => json!(floats),
        Value::Array(elements) => Json::Array(elements.iter().map(render).collect()),
        Value::Object(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.clone(), render(value))).collect())
        }
    }
}

/// A record key as a value.
pub(super) fn from_key(key: &Key) -> Value {
    match key {
        Key::Number(number) => Value::Number(*number),
        Key::BigInt(number) => Value::BigInt(number.clone()),
        Key::String(text) => Value::String(text.clone()),
        Key::Bytes(bytes) => Value::Bytes(bytes.clone()),
        Key::Array(elements) => Value::Array(elements.iter().map(from_key).collect()),
    }
}

/// Milliseconds since 1970 of `YYYY-MM-DD`, with `THH:MM[:SS[.sss]]` and `Z` or `±HH:MM` after it if wanted.
fn parse_date(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let (sign, digits) = match date.as_bytes().first()? {
        b'-' => (-1, &date[1..]),
        b'+' => (1, &date[1..]),
        _ => (1, date),
    };
    let mut parts = digits.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4..=6)?, number(parts.next()?, 2..=2)?, number(parts.next()?, 2..=2)?);
    if parts.next().is_some()
        || !(1..=12).contains(&month)
        || !(1..=days_in(sign * year, month)).contains(&day)
    {
        return None;
    }
    let millis =
        days_from_civil(sign * year, month, day) * 86_400_000 + time.map_or(Some(0), millis_of_day)?;
    #[expect(clippy::cast_precision_loss, reason = "years of six digits are far below 2^53 milliseconds")]
    let millis = millis as f64;
    (millis.abs() <= MAX_DATE_MILLIS).then_some(millis)
}

fn millis_of_day(time: &str) -> Option<i64> {
    let zone_at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?, 2..=2)?, number(parts.next()?, 2..=2)?);
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (number(seconds, 2..=2)?, 0),
            Some((seconds, fraction)) => {
                let scale = 10_i64.checked_pow(3 - u32::try_from(fraction.len().min(3)).ok()?)?;
                (number(seconds, 2..=2)?, number(fraction, 1..=3)? * scale)
            }
        },
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign, zone) => {
            let (hours, minutes) = zone.split_once(':')?;
            let (hours, minutes) = (number(hours, 2..=2)?, number(minutes, 2..=2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if sign == "-" { -1 } else { 1 }
        }
    };
    Some(((hour * 60 + minute - offset) * 60 + second) * 1000 + fraction)
}

fn number(digits: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let plain = lengths.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, as by Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_javascript_reads_them() {
        for (text, millis) in [
            ("1970-01-01", Some(0.0)),
            ("2023-11-14T22:13:20.123Z", Some(1_700_000_000_123.0)),
            ("2023-11-14T23:13:20.1+01:00", Some(1_700_000_000_100.0)),
            ("2024-02-29T00:00Z", Some(1_709_164_800_000.0)),
            ("-000001-01-01T00:00:00Z", Some(-62_198_755_200_000.0)),
            ("2023-02-29", None),
            ("2023-11-14T24:00Z", None),
            ("2023-11-14T22:13", None),
            ("2023-1-4", None),
            ("yesterday", None),
            ("", None),
            ("2023-11-14Té", None),
        ] {
            assert_eq!(parse_date(text), millis, "{text}");
        }
    }

    #[test]
    fn what_is_rendered_is_read_back() {
        let json =
            json!({ "a": [1, null, { "$date": 5.0 }, { "$bigint": "-12" }], "b": { "$bytes": "AQ==" } });
        let value = parse(&json, &Pointer::root()).unwrap();
        assert_eq!(parse(&render(&value), &Pointer::root()).unwrap(), value);
    }

    #[test]
    fn operators_are_no_values() {
        for (json, pointer) in [
            (json!({ "$gt": 1 }), "/$gt"),
            (json!({ "a": 1, "$b": 1 }), "/$b"),
            (json!([{ "$date": true }]), "/0/$date"),
            (json!({ "$bytes": "!" }), "/$bytes"),
            (json!({ "$date": 1, "x": 1 }), "/$date"),
        ] {
            let error = parse(&json, &Pointer::root()).unwrap_err();
            assert_eq!(error.details.pointer.as_deref(), Some(pointer), "{json}");
        }
    }
}
