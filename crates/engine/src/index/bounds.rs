//! Conditions on the values of an index, as ranges of its keys.

use std::ops::Bound;

use fountain_lsm::KeyRange;

use super::definition::IndexDefinition;
use super::encode::{self, push_value, tag};
use crate::error::{Error, Result};
use crate::keys::{push_open_bytes, tag as key_tag};
use crate::record::Value;

/// A range of index keys: tuples that begin with given values, and whose next value lies in a range. Comparisons hold
/// between values of all types, in the order of types; use [`Bounds::of_type`] to stay within one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    start: Vec<u8>,
    /// `None` is no end, unless all keys begin with the same values.
    end: Option<Vec<u8>>,
    /// The number of values that are fixed, if nothing more is asked. The end follows from the start then; most often nobody
    /// asks for it.
    pub(super) equal: Option<usize>,
    /// How many of the first values of a key it says something about.
    values: usize,
}

impl Bounds {
    /// All keys.
    pub fn all() -> Self {
        Self { start: Vec::new(), end: None, equal: None, values: 0 }
    }

    /// The keys that begin with `values`; those of just these values, if the index has no more.
    ///
    /// # Errors
    /// As [`super::encode_tuple`].
    pub fn equal(values: &[Value]) -> Result<Self> {
        let start = encode::encode_tuple(values)?;
        Ok(Self { start, end: None, equal: Some(values.len()), values: values.len() })
    }

    /// The keys that begin with `values` and whose next value lies between two others.
    ///
    /// # Errors
    /// As [`super::encode_tuple`].
    pub fn range(values: &[Value], from: Bound<&Value>, to: Bound<&Value>) -> Result<Self> {
        Self::tuple_range(values, from.map(std::slice::from_ref), to.map(std::slice::from_ref))
    }

    /// The keys that begin with `values` and whose next values lie between two others, each a tuple of which the index may
    /// have more values: `Included(["a"])` as `to` includes everything that begins with `"a"`, `Excluded(["a"])` as `from`
    /// excludes all of it.
    ///
    /// # Errors
    /// As [`super::encode_tuple`].
    pub fn tuple_range(values: &[Value], from: Bound<&[Value]>, to: Bound<&[Value]>) -> Result<Self> {
        let prefix = encode::encode_tuple(values)?;
        let joined = |more: &[Value]| {
            let mut key = prefix.clone();
            more.iter().try_for_each(|value| push_value(value, &mut key))?;
            encode::check_size(key.len()).map(|()| key)
        };
        let start = match from {
            Bound::Unbounded => prefix.clone(),
            Bound::Included(more) => joined(more)?,
            Bound::Excluded(more) => after(&joined(more)?),
        };
        let end = match to {
            Bound::Unbounded => after(&prefix),
            Bound::Included(more) => after(&joined(more)?),
            Bound::Excluded(more) => joined(more)?,
        };
        let more = |bound: Bound<&[Value]>| match bound {
            Bound::Included(more) | Bound::Excluded(more) => more.len(),
            Bound::Unbounded => 0,
        };
        let count = values.len() + more(from).max(more(to));
        Ok(Self { start, end: Some(end), equal: None, values: count })
    }

    /// The keys that begin with `values` and whose next value is text or bytes beginning with `beginning`.
    ///
    /// # Errors
    /// As [`super::encode_tuple`]; `ERR_INVALID_ARGUMENT` when `beginning` is neither text nor bytes.
    pub fn prefix(values: &[Value], beginning: &Value) -> Result<Self> {
        let mut start = encode::encode_tuple(values)?;
        match beginning {
            Value::String(text) => push_open_bytes(key_tag::STRING, text.as_bytes(), &mut start),
            Value::Bytes(bytes) => push_open_bytes(key_tag::BYTES, bytes, &mut start),
            _ => return Err(Error::argument("only text and bytes can begin with something")),
        }
        encode::check_size(start.len())?;
        Ok(Self { end: KeyRange::prefix(&start).end, start, equal: None, values: values.len() + 1 })
    }

    /// The keys that begin with `values` and lack the next value.
    ///
    /// # Errors
    /// As [`super::encode_tuple`].
    pub fn missing(values: &[Value]) -> Result<Self> {
        Self::with_tags(values, tag::MISSING, tag::MISSING)
    }

    /// The keys that begin with `values` and have a next value, be it null or one that is no key.
    ///
    /// # Errors
    /// As [`super::encode_tuple`].
    pub fn present(values: &[Value]) -> Result<Self> {
        Self::with_tags(values, tag::NULL, tag::OTHER)
    }

    /// The keys that begin with `values` and whose next value has the type of `like`.
    ///
    /// # Errors
    /// As [`super::encode_tuple`].
    pub fn of_type(values: &[Value], like: &Value) -> Result<Self> {
        match like {
            Value::Null => Self::with_tags(values, tag::NULL, tag::NULL),
            Value::Bool(_) => Self::with_tags(values, tag::FALSE, tag::TRUE),
            Value::Number(_) => Self::with_tags(values, key_tag::NUMBER, key_tag::NUMBER),
            Value::BigInt(_) => Self::with_tags(values, key_tag::BIGINT, key_tag::BIGINT),
            Value::Date(_) => Self::with_tags(values, tag::DATE, tag::DATE),
            Value::String(_) => Self::with_tags(values, key_tag::STRING, key_tag::STRING),
            Value::Bytes(_) => Self::with_tags(values, key_tag::BYTES, key_tag::BYTES),
            Value::Array(_) => Self::with_tags(values, key_tag::ARRAY, key_tag::ARRAY),
            Value::Floats(_) | Value::Object(_) => Self::with_tags(values, tag::OTHER, tag::OTHER),
        }
    }

    /// What lies in both.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let values = self.values.max(other.values);
        let (one, other) = (self.keys(), other.keys());
        let end = match (one.end, other.end) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { start: one.start.max(other.start), end, equal: None, values }
    }

    /// Refuses a key of more values than the index has, which no record can have: most likely a list that was meant as one
    /// value.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT`.
    pub(crate) fn check_values(&self, index: &IndexDefinition) -> Result<()> {
        let (has, values) = (index.on().len(), self.values);
        if values <= has {
            return Ok(());
        }
        let name = index.name();
        let what = format!(
            "a key of {values} values, but index {name} has {has}; a value that is a list is written in a list"
        );
        Err(Error::argument(what).with(|details| details.index = Some(name.to_owned())))
    }

    /// The least key.
    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    /// The keys as bytes, without the keyspace: start included, end excluded.
    pub fn keys(&self) -> KeyRange {
        let end = if self.equal.is_some() { Some(after(&self.start)) } else { self.end.clone() };
        KeyRange { start: self.start.clone(), end }
    }

    fn with_tags(values: &[Value], first: u8, last: u8) -> Result<Self> {
        let mut start = encode::encode_tuple(values)?;
        let mut end = start.clone();
        start.push(first);
        end.push(last + 1);
        Ok(Self { start, end: Some(end), equal: None, values: values.len() + 1 })
    }
}

/// What comes after all keys that begin with the values of `tuple`. It cannot be the next larger bytes: those of `"a"`
/// also begin the encoding of `"a\0"`, which goes on with 0xFF where a value would have its tag.
fn after(tuple: &[u8]) -> Vec<u8> {
    [tuple, &[key_tag::ESCAPE]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::encode_tuple;
    use crate::keys::BigInt;
    use Bound::{Excluded, Included, Unbounded};

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    /// One value of every place in the order, in order.
    fn ladder() -> Vec<Value> {
        vec![
            Value::Null,
            Value::Bool(false),
            Value::Bool(true),
            Value::Number(-1e300),
            Value::Number(-1.5),
            Value::Number(0.0),
            Value::Number(2.0),
            Value::Number(10.0),
            Value::BigInt(BigInt::from(-300)),
            Value::BigInt(BigInt::from(7)),
            Value::Date(-1.0),
            Value::Date(1e12),
            text(""),
            text("a"),
            text("a\0"),
            text("a\0b"),
            text("ab"),
            text("b"),
            text("\u{10FFFF}"),
            Value::Bytes(vec![]),
            Value::Bytes(vec![0, 1]),
            Value::Bytes(vec![1]),
            Value::Array(vec![]),
            Value::Array(vec![Value::Null]),
            Value::Array(vec![Value::Null, Value::Bool(true)]),
            Value::Array(vec![text("a")]),
            Value::Array(vec![Value::Array(vec![])]),
        ]
    }

    #[test]
    fn the_order_of_bytes_is_the_order_of_values() {
        let keys: Vec<_> =
            ladder().iter().map(|value| encode_tuple(std::slice::from_ref(value)).unwrap()).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        for (key, value) in keys.iter().zip(ladder()) {
            assert_eq!(crate::index::decode_tuple(key, 1).unwrap(), [Some(value)]);
        }
    }

    #[test]
    fn a_range_holds_exactly_what_compares_so() {
        let ladder = ladder();
        for (low, from) in ladder.iter().enumerate() {
            for (high, to) in ladder.iter().enumerate() {
                for (bounds, first, end) in [
                    (Bounds::range(&[text("p")], Included(from), Included(to)), low, high + 1),
                    (Bounds::range(&[text("p")], Excluded(from), Excluded(to)), low + 1, high),
                    (Bounds::range(&[text("p")], Unbounded, Excluded(to)), 0, high),
                    (Bounds::range(&[text("p")], Included(from), Unbounded), low, ladder.len()),
                ] {
                    let keys = bounds.unwrap().keys();
                    for (place, value) in ladder.iter().enumerate() {
                        let key = encode_tuple(&[text("p"), value.clone(), text("z")]).unwrap();
                        assert_eq!(
                            keys.contains(&key),
                            place >= first && place < end,
                            "{from:?} {to:?} {value:?}"
                        );
                    }
                    assert!(!keys.contains(&encode_tuple(&[text("o"), text("a")]).unwrap()));
                    assert!(!keys.contains(&encode_tuple(&[text("q"), text("a")]).unwrap()));
                }
            }
        }
    }

    #[test]
    fn a_prefix_holds_what_begins_with_it() {
        let keys = Bounds::prefix(&[], &text("a\0")).unwrap().keys();
        let held: Vec<Value> = ladder()
            .into_iter()
            .filter(|value| keys.contains(&encode_tuple(std::slice::from_ref(value)).unwrap()))
            .collect();
        assert_eq!(held, [text("a\0"), text("a\0b")]);
        assert!(Bounds::prefix(&[], &Value::Null).is_err());
    }

    #[test]
    fn a_type_holds_its_values_and_bounds_intersect() {
        let of_type = Bounds::of_type(&[], &Value::Number(0.0)).unwrap();
        let both = Bounds::range(&[], Excluded(&Value::Number(0.0)), Unbounded).unwrap().and(&of_type).keys();
        let held: Vec<Value> = ladder()
            .into_iter()
            .filter(|value| both.contains(&encode_tuple(std::slice::from_ref(value)).unwrap()))
            .collect();
        assert_eq!(held, [Value::Number(2.0), Value::Number(10.0)]);
        let present = Bounds::present(&[]).unwrap().keys();
        assert!(
            ladder()
                .iter()
                .all(|value| present.contains(&encode_tuple(std::slice::from_ref(value)).unwrap()))
        );
        assert!(present.contains(&[tag::OTHER]) && !present.contains(&[tag::MISSING]));
        assert!(Bounds::missing(&[]).unwrap().keys().contains(&[tag::MISSING]));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for value in [Value::Number(f64::NAN), Value::Object(vec![]), Value::Floats(vec![1.0])] {
            assert!(encode_tuple(&[value]).is_err());
        }
        assert_eq!(
            encode_tuple(&[text(&"x".repeat(5000))]).unwrap_err().code,
            crate::error::ErrorCode::TooLarge
        );
    }
}
