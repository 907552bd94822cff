//! The golden vectors of the key encoding, shared with the tests of the TypeScript facade: if one of them changes,
//! stores written before cannot be read any more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use fountain_engine::keys::{BigInt, Key, decode, encode, validate};
use serde_json::Value;

fn vectors() -> Vec<(Key, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../__test__/vectors/keys.json");
    let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    vectors.iter().map(|vector| (key(&vector["key"]), hex(vector["encoded"].as_str().unwrap()))).collect()
}

fn key(description: &Value) -> Key {
    let (kind, value) = description.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "number" => Key::Number(value.as_str().unwrap().parse().unwrap()),
        "bigint" => Key::BigInt(decimal(value.as_str().unwrap())),
        "string" => Key::String(value.as_str().unwrap().to_owned()),
        "bytes" => Key::Bytes(hex(value.as_str().unwrap())),
        "array" => Key::Array(value.as_array().unwrap().iter().map(key).collect()),
        other => panic!("unknown kind of key: {other}"),
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn decimal(text: &str) -> BigInt {
    let digits = text.trim_start_matches('-');
    let mut magnitude = vec![0u8; 80];
    for digit in digits.bytes() {
        let mut carry = u32::from(digit - b'0');
        for byte in magnitude.iter_mut().rev() {
            carry += u32::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
    }
    BigInt::new(text.starts_with('-'), &magnitude)
}

#[test]
fn every_golden_key_has_the_recorded_encoding() {
    let vectors = vectors();
    assert!(vectors.len() >= 60);
    for (key, encoded) in vectors {
        assert_eq!(encode(&key).unwrap(), encoded, "{key:?}");
        assert_eq!(decode(&encoded).unwrap(), key);
        validate(&encoded).unwrap();
    }
}

#[test]
fn the_golden_encodings_ascend() {
    let vectors = vectors();
    for pair in vectors.windows(2) {
        assert!(pair[0].1 < pair[1].1, "{:?} before {:?}", pair[0].0, pair[1].0);
    }
}
