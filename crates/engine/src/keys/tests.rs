//! What the encoding promises: order, one spelling per key, refusal of everything else.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::error::{Error, ErrorCode};
use crate::limits::{MAX_BIGINT_BYTES, MAX_ENCODED_KEY_BYTES, MAX_KEY_DEPTH};

/// The documented order, written independently of the encoding.
fn order(a: &Key, b: &Key) -> Ordering {
    match (a, b) {
        (Key::Number(a), Key::Number(b)) => a.partial_cmp(b).unwrap(),
        (Key::BigInt(a), Key::BigInt(b)) => order_bigints(a, b),
        (Key::String(a), Key::String(b)) => a.chars().cmp(b.chars()),
        (Key::Bytes(a), Key::Bytes(b)) => a.cmp(b),
        (Key::Array(a), Key::Array(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| order(a, b))
            .find(|order| order.is_ne())
            .unwrap_or(a.len().cmp(&b.len())),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn order_bigints(a: &BigInt, b: &BigInt) -> Ordering {
    let size = |number: &BigInt| (number.magnitude().len(), number.magnitude().to_vec());
    match (a.is_negative(), b.is_negative()) {
        (false, false) => size(a).cmp(&size(b)),
        (true, true) => size(b).cmp(&size(a)),
        (a, b) => b.cmp(&a),
    }
}

fn rank(key: &Key) -> u8 {
    match key {
        Key::Number(_) => 0,
        Key::BigInt(_) => 1,
        Key::String(_) => 2,
        Key::Bytes(_) => 3,
        Key::Array(_) => 4,
    }
}

fn any_key() -> impl Strategy<Value = Key> {
    // Few distinct letters, so that keys often share beginnings and meet zero bytes at their ends.
    let letters = prop::sample::select(vec!['\0', '\u{1}', 'a', 'b', '\u{7f}', 'é', '\u{ffff}', '😀']);
    let scalar = prop_oneof![
        any::<f64>().prop_filter("NaN is not a key", |n| !n.is_nan()).prop_map(Key::Number),
        (-3i32..3).prop_map(|n| Key::Number(f64::from(n))),
        any::<i64>().prop_map(|n| Key::BigInt(BigInt::from(n))),
        (any::<bool>(), prop::collection::vec(any::<u8>(), 0..MAX_BIGINT_BYTES))
            .prop_map(|(negative, magnitude)| Key::BigInt(BigInt::new(negative, &magnitude))),
        prop::collection::vec(letters, 0..5).prop_map(|letters| Key::String(letters.into_iter().collect())),
        any::<String>().prop_map(Key::String),
        prop::collection::vec(prop::sample::select(vec![0, 1, 0x7f, 0xfe, 0xff]), 0..5).prop_map(Key::Bytes),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Key::Bytes),
    ];
    scalar.prop_recursive(MAX_KEY_DEPTH as u32 - 1, 12, 3, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(Key::Array)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_are_ordered_as_keys_are(a in any_key(), b in any_key()) {
        let (a_bytes, b_bytes) = (encode(&a).unwrap(), encode(&b).unwrap());
        prop_assert_eq!(a_bytes.cmp(&b_bytes), order(&a, &b));
    }

    #[test]
    fn a_key_survives_encoding(key in any_key()) {
        let bytes = encode(&key).unwrap();
        validate(&bytes).unwrap();
        prop_assert_eq!(decode(&bytes).unwrap(), key);
    }

    /// Half of the bytes are structural, so that random input gets past the first tag.
    #[test]
    fn any_bytes_are_refused_or_are_the_one_encoding_of_a_key(bytes in prop::collection::vec(
        prop_oneof![
            any::<u8>(),
            prop::sample::select(vec![0x00, 0x20, 0x28, 0x30, 0x38, 0x40, 0x7f, 0x7e, 0x80, 0x81, 0xff]),
        ],
        0..24,
    )) {
        match decode(&bytes) {
            Ok(key) => {
                validate(&bytes).unwrap();
                prop_assert_eq!(encode(&key).unwrap(), bytes);
            }
            Err(error) => prop_assert_eq!(validate(&bytes).unwrap_err().to_json(), error.to_json()),
        }
    }

    #[test]
    fn a_changed_byte_never_gives_a_second_spelling(
        key in any_key(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode(&key).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(other) = decode(&bytes) {
            prop_assert_eq!(encode(&other).unwrap(), bytes);
        } else {
            prop_assert!(validate(&bytes).is_err());
        }
    }
}

fn refusal(bytes: &[u8]) -> (&'static str, u64) {
    let error = validate(bytes).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidKey);
    assert_eq!(decode(bytes).unwrap_err().to_json(), error.to_json());
    (error.details.what.unwrap(), error.details.offset.unwrap())
}

fn nested(depth: usize) -> Key {
    (0..depth).fold(Key::Number(1.0), |key, _| Key::Array(vec![key]))
}

fn limits_in(error: &Error) -> (Option<u64>, Option<u64>) {
    (error.details.size, error.details.limit)
}

#[test]
fn no_bytes_are_not_a_key() {
    assert_eq!(refusal(&[]), ("empty key", 0));
}

#[test]
fn an_unknown_tag_is_refused() {
    assert_eq!(refusal(&[0x21, 1]), ("unknown tag", 0));
    assert_eq!(refusal(&[0x00]), ("unknown tag", 0));
    assert_eq!(refusal(&[0x40, 0x30, 0x00, 0x41, 0x00]), ("unknown tag", 3));
}

#[test]
fn a_key_that_stops_early_is_refused() {
    assert_eq!(refusal(&[0x20, 0xBF, 0xF0]), ("truncated", 3));
    assert_eq!(refusal(&[0x28]), ("truncated", 1));
    assert_eq!(refusal(&[0x28, 0x82, 0x01]), ("truncated", 3));
    assert_eq!(refusal(b"\x30abc"), ("truncated", 4));
    assert_eq!(refusal(b"\x30abc\x00\xFF"), ("truncated", 6));
    assert_eq!(refusal(&[0x38, 0xFF]), ("truncated", 2));
    assert_eq!(refusal(&[0x40]), ("truncated", 1));
    assert_eq!(refusal(&[0x40, 0x30, 0x00]), ("truncated", 3));
}

#[test]
fn bytes_after_a_key_are_refused() {
    assert_eq!(refusal(&[0x30, 0x00, 0x00]), ("trailing bytes", 2));
    assert_eq!(refusal(&[0x20, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]), ("trailing bytes", 9));
    assert_eq!(refusal(&[0x40, 0x00, 0x30]), ("trailing bytes", 2));
}

#[test]
fn nan_is_refused_in_all_its_forms() {
    for bits in
        [f64::NAN.to_bits(), f64::NAN.to_bits() | 1, f64::NAN.to_bits() | 1 << 63, 0x7FF0_0000_0000_0001]
    {
        let stored = if bits >> 63 == 0 { bits ^ (1 << 63) } else { !bits };
        let mut bytes = vec![0x20];
        bytes.extend_from_slice(&stored.to_be_bytes());
        assert_eq!(refusal(&bytes), ("not a number", 1));
    }
    assert_eq!(encode(&Key::Number(f64::NAN)).unwrap_err().code, ErrorCode::InvalidKey);
}

#[test]
fn negative_zero_is_stored_as_zero_and_refused_as_itself() {
    assert_eq!(encode(&Key::Number(-0.0)).unwrap(), encode(&Key::Number(0.0)).unwrap());
    assert_eq!(refusal(&[0x20, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), ("negative zero", 1));
}

#[test]
fn a_bigint_has_one_spelling() {
    assert_eq!(refusal(&[0x28, 0x7F]), ("negative bigint zero", 1));
    assert_eq!(refusal(&[0x28, 0x81, 0x00]), ("bigint with leading zero", 2));
    assert_eq!(refusal(&[0x28, 0x82, 0x00, 0x01]), ("bigint with leading zero", 2));
    assert_eq!(refusal(&[0x28, 0x7E, 0xFF]), ("bigint with leading zero", 2));
    assert_eq!(BigInt::new(true, &[0, 0]), BigInt::from(0));
    assert_eq!(BigInt::new(false, &[0, 7]), BigInt::from(7));
}

#[test]
fn a_bigint_over_its_limit_is_refused() {
    for length in [0x80 + 65, 0xFF, 0x7F - 65, 0x00] {
        assert_eq!(refusal(&[0x28, length, 1, 2, 3]), ("bigint too long", 1));
    }
    for negative in [false, true] {
        let longest = Key::BigInt(BigInt::new(negative, &[0xFF; MAX_BIGINT_BYTES]));
        assert_eq!(decode(&encode(&longest).unwrap()).unwrap(), longest);
        let error = encode(&Key::BigInt(BigInt::new(negative, &[0xFF; MAX_BIGINT_BYTES + 1]))).unwrap_err();
        assert_eq!((error.code, limits_in(&error)), (ErrorCode::InvalidKey, (Some(65), Some(64))));
    }
}

#[test]
fn a_string_that_is_not_utf8_is_refused_where_it_breaks() {
    assert_eq!(refusal(b"\x30ab\xFFc\x00"), ("not UTF-8", 3));
    assert_eq!(refusal(b"\x30a\x00\xFFb\xC3\x00"), ("not UTF-8", 5));
    // A surrogate half, an overlong zero, and a character cut in two by an escaped zero.
    assert_eq!(refusal(b"\x30\xED\xA0\x80\x00"), ("not UTF-8", 1));
    assert_eq!(refusal(b"\x30\xC0\x80\x00"), ("not UTF-8", 1));
    assert_eq!(refusal(b"\x30\xC3\x00\xFF\xA9\x00"), ("not UTF-8", 1));
}

#[test]
fn arrays_nest_to_the_limit_and_no_deeper() {
    let deepest = nested(MAX_KEY_DEPTH);
    assert_eq!(decode(&encode(&deepest).unwrap()).unwrap(), deepest);

    let error = encode(&nested(MAX_KEY_DEPTH + 1)).unwrap_err();
    assert_eq!((error.code, limits_in(&error)), (ErrorCode::InvalidKey, (Some(9), Some(8))));

    let bytes = [[0x40].repeat(9), [0x00].repeat(9)].concat();
    assert_eq!(refusal(&bytes), ("nested too deep", 8));
    assert_eq!(limits_in(&validate(&bytes).unwrap_err()), (Some(9), Some(8)));
}

#[test]
fn a_key_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let longest = Key::String("x".repeat(MAX_ENCODED_KEY_BYTES - 2));
    let bytes = encode(&longest).unwrap();
    assert_eq!(bytes.len(), MAX_ENCODED_KEY_BYTES);
    assert_eq!(decode(&bytes).unwrap(), longest);

    let over = "x".repeat(MAX_ENCODED_KEY_BYTES - 1);
    let error = encode(&Key::String(over.clone())).unwrap_err();
    assert_eq!((error.code, limits_in(&error)), (ErrorCode::TooLarge, (Some(4097), Some(4096))));
    let error = validate(&[b"\x30", over.as_bytes(), b"\x00"].concat()).unwrap_err();
    assert_eq!((error.code, limits_in(&error)), (ErrorCode::TooLarge, (Some(4097), Some(4096))));

    let escaped = Key::Bytes(vec![0; MAX_ENCODED_KEY_BYTES / 2]);
    assert_eq!(encode(&escaped).unwrap_err().code, ErrorCode::TooLarge);
    let many = Key::Array(vec![Key::Number(1.0); 500]);
    assert_eq!(encode(&many).unwrap_err().code, ErrorCode::TooLarge);
}

#[test]
fn a_refused_key_leaves_the_buffer_as_it_was() {
    let mut out = b"before".to_vec();
    let key = Key::Array(vec![Key::String("written".to_owned()), Key::Number(f64::NAN)]);
    assert!(encode_into(&key, &mut out).is_err());
    assert_eq!(out, b"before");
    encode_into(&Key::Bytes(vec![0]), &mut out).unwrap();
    assert_eq!(out, b"before\x38\x00\xFF\x00");
}

#[test]
fn a_prefix_range_holds_exactly_what_begins_with_the_prefix() {
    let text = |text: &str| encode(&Key::String(text.to_owned())).unwrap();
    let range = string_prefix("ab").unwrap();
    assert!(range.contains(&text("ab")) && range.contains(&text("ab\0")) && range.contains(&text("ab😀")));
    assert!(!range.contains(&text("a")) && !range.contains(&text("ac")) && !range.contains(&text("aa😀")));
    let range = string_prefix("a\0").unwrap();
    assert!(range.contains(&text("a\0")) && range.contains(&text("a\0b")));
    assert!(!range.contains(&text("a")) && !range.contains(&text("a\u{1}")));
    assert!(string_prefix("").unwrap().contains(&text("")));

    let range = bytes_prefix(&[0xFF]).unwrap();
    let bytes = |bytes: &[u8]| encode(&Key::Bytes(bytes.to_vec())).unwrap();
    assert!(range.contains(&bytes(&[0xFF])) && range.contains(&bytes(&[0xFF, 0xFF])));
    assert!(!range.contains(&bytes(&[0xFE, 0xFF])) && !range.contains(&text("\u{10ffff}")));

    let one = || Key::Number(1.0);
    let array = |elements: &[Key]| encode(&Key::Array(elements.to_vec())).unwrap();
    let range = array_prefix(&[one()]).unwrap();
    assert!(range.contains(&array(&[one()])) && range.contains(&array(&[one(), one()])));
    assert!(!range.contains(&array(&[])) && !range.contains(&array(&[Key::Number(1.5)])));
    let text = |text: &str| Key::String(text.to_owned());
    let range = array_prefix(&[text("a")]).unwrap();
    assert!(
        range.contains(&array(&[text("a"), text("\u{10FFFF}")])) && !range.contains(&array(&[text("a\0b")]))
    );
}

#[test]
fn nothing_lies_between_a_key_and_the_bound_after_it() {
    let key = encode(&Key::String("a".to_owned())).unwrap();
    let next = encode(&Key::String("a\0".to_owned())).unwrap();
    assert!(key < after(&key) && after(&key) <= next);
}
