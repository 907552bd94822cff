//! See `Decoder::RemainsOfUnnamedTable`.
#![no_main]

use fountain_lsm::fuzz_entry::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    Decoder::RemainsOfUnnamedTable.run(input);
});
