//! Writes the valid inputs of every decoder to `corpus/<target>/`, for the fuzzer to start from.

use std::fs;
use std::path::Path;

use fountain_engine::keys::{BigInt, Key, encode};
use fountain_lsm::fuzz_entry::Decoder;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    for decoder in Decoder::ALL {
        write(&target(&format!("{decoder:?}")), &decoder.seeds()?)?;
    }
    let parts = vec![Key::Number(-1.5), Key::BigInt(BigInt::from(-300)), Key::String("a\0b".to_owned())];
    let keys = [Key::Bytes(vec![0, 255]), Key::Array(vec![]), Key::Array(parts)];
    write("record_key", &keys.iter().map(encode).collect::<Result<Vec<_>, _>>()?)
}

/// `SealedFooter` is the target `sealed_footer`.
fn target(decoder: &str) -> String {
    let mut name = String::new();
    for letter in decoder.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn write(target: &str, seeds: &[Vec<u8>]) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
