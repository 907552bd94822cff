//! The decoder of record keys under tens of thousands of mutated inputs: what it accepts is valid, and has one encoding.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../../lsm/tests/support/mutate.rs"]
mod mutate;

use fountain_engine::keys::{BigInt, Key, decode, encode, validate};
use mutate::Mutator;

const CASES: usize = 20_000;

fn seeds() -> Vec<Vec<u8>> {
    let parts = vec![
        Key::Number(-1.5),
        Key::BigInt(BigInt::from(-300)),
        Key::String("a\0b€".to_owned()),
        Key::Array(vec![Key::Number(0.0), Key::Array(vec![])]),
    ];
    let keys = [
        Key::Number(1e300),
        Key::BigInt(BigInt::from(0)),
        Key::BigInt(BigInt::from(i64::MAX)),
        Key::String(String::new()),
        Key::Bytes(vec![0, 255, 0]),
        Key::Array(parts),
    ];
    keys.iter().map(|key| encode(key).unwrap()).collect()
}

#[test]
fn record_keys() {
    let seeds = seeds();
    let mut mutator = Mutator::new(0x0F0A_57A1);
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES {
        let input = mutator.mutate(&seeds);
        let decoded = decode(&input);
        assert_eq!(decoded.is_ok(), validate(&input).is_ok(), "case {case}: {input:02x?}");
        match decoded {
            Ok(key) => assert_eq!(encode(&key).unwrap(), input, "case {case}: another encoding of {key:?}"),
            Err(_) => refused += 1,
        }
        accepted += usize::from(!seeds.contains(&input) && decode(&input).is_ok());
    }
    assert!(accepted > CASES / 50 && refused > CASES / 10, "{accepted} accepted, {refused} refused");
}
