//! Numbers from JavaScript, checked.

use fountain_engine::{CollectionId, Durability, Error, ErrorCode, ReadTier, Result, Seq, Store};

use crate::errors::bad_argument;

/// A sequence, which must be a whole number that JavaScript holds exactly.
#[expect(clippy::cast_sign_loss, reason = "checked to be a whole number from 0 to 2^53 - 1")]
pub fn sequence(number: f64) -> Result<Seq> {
    let whole = number >= 0.0 && number.fract() == 0.0;
    let seq = if whole { Seq::new(number as u64) } else { None };
    seq.ok_or_else(|| Error::new(ErrorCode::Sequence, format!("{number} is not a sequence")))
}

/// A sequence as JavaScript holds it, exactly.
#[expect(clippy::cast_precision_loss, reason = "sequences never exceed 2^53 - 1")]
pub fn number(seq: Seq) -> f64 {
    seq.get() as f64
}

/// The levels as the facade numbers them.
pub fn durability(level: u32) -> Result<Durability> {
    match level {
        0 => Ok(Durability::Memory),
        1 => Ok(Durability::Os),
        2 => Ok(Durability::Disk),
        _ => Err(bad_argument(format!("durability {level}, expected 0, 1 or 2"))),
    }
}

/// How far a read of `engine` may go.
pub fn tier(engine: &Store, at_once: bool) -> ReadTier {
    if at_once { engine.tier_at_once() } else { ReadTier::Disk }
}

/// A collection's id as `collection` gave it.
pub fn collection(id: u32) -> Result<CollectionId> {
    CollectionId::new(id).ok_or_else(|| bad_argument(format!("{id} is not the id of a collection")))
}

/// `len` bytes of `block` from `start`.
pub fn slice(block: &[u8], start: u32, len: u32) -> Result<&[u8]> {
    let found = block.get(start as usize..).and_then(|rest| rest.get(..len as usize));
    found.ok_or_else(|| {
        bad_argument(format!("{len} bytes at {start} are outside of a block of {}", block.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_whole_and_exact() {
        assert_eq!(sequence(0.0).unwrap(), Seq::ZERO);
        assert_eq!(sequence(9_007_199_254_740_991.0).unwrap(), Seq::MAX);
        for wrong in [0.5, -1.0, 9_007_199_254_740_992.0, f64::NAN, f64::INFINITY] {
            assert_eq!(sequence(wrong).unwrap_err().code, ErrorCode::Sequence, "{wrong}");
        }
    }

    #[test]
    fn a_slice_outside_of_its_block_is_an_error() {
        assert_eq!(slice(b"abc", 1, 2).unwrap(), b"bc");
        assert!(slice(b"abc", 1, 3).is_err() && slice(b"abc", 4, 0).is_err());
        assert!(slice(b"abc", u32::MAX, u32::MAX).is_err());
    }
}
