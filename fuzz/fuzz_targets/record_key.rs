//! Record keys: what is accepted is valid, and has one encoding only.
#![no_main]

use fountain_engine::keys::{decode, encode, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let decoded = decode(input);
    assert_eq!(decoded.is_ok(), validate(input).is_ok(), "decoding and validation agree");
    if let Ok(key) = decoded {
        assert_eq!(encode(&key).ok().as_deref(), Some(input), "a key has one encoding");
    }
});
