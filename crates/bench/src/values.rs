//! Values that prove themselves: each one says which record and which generation it is, and its other bytes follow
//! from that, so every byte an engine gives back is checked.

use crate::Outcome;
use crate::keys;
use crate::random::{Rng, mix};

/// Bytes of record id and generation at the start of a value.
pub const HEADER_BYTES: usize = 16;
const POOL_BYTES: usize = 1 << 20;
/// Where values shall compress, each run of this many random bytes comes twice.
const RUN_BYTES: usize = 32;

/// The source of all values of a run.
pub struct Values {
    pool: Vec<u8>,
    value_bytes: usize,
}

impl Values {
    /// Values of `value_bytes` bytes (at least [`HEADER_BYTES`]): incompressible, or compressible to about a half.
    pub fn new(value_bytes: usize, compressible: bool) -> Self {
        let mut rng = Rng::new(7);
        let mut pool: Vec<u8> = (0..POOL_BYTES + value_bytes).map(|_| rng.next() as u8).collect();
        if compressible {
            for pair in pool.chunks_exact_mut(2 * RUN_BYTES) {
                let (first, second) = pair.split_at_mut(RUN_BYTES);
                second.copy_from_slice(first);
            }
        }
        Self { pool, value_bytes }
    }

    /// Writes the value of record `id` in `generation` over `out`.
    pub fn write(&self, id: u64, generation: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&generation.to_le_bytes());
        out.extend_from_slice(self.body(id, generation));
    }

    /// Checks that `value` is one of record `id` and gives its generation.
    ///
    /// # Errors
    /// When a byte differs from what was written.
    pub fn check(&self, id: u64, value: &[u8]) -> Outcome<u64> {
        let (found, generation) = header(value)?;
        if found != id {
            return Err(format!("the value of record {id} is one of record {found}").into());
        }
        if value[HEADER_BYTES..] != *self.body(id, generation) {
            return Err(format!("the value of record {id} in generation {generation} is damaged").into());
        }
        Ok(generation)
    }

    /// Checks a record met in a scan and gives its id and generation.
    ///
    /// # Errors
    /// When key and value do not belong together or a byte differs from what was written.
    pub fn check_record(&self, key: &[u8], value: &[u8]) -> Outcome<(u64, u64)> {
        let (id, _) = header(value)?;
        if key != keys::present(id) {
            return Err(format!("the value of record {id} lies under the key {}", key.escape_ascii()).into());
        }
        Ok((id, self.check(id, value)?))
    }

    fn body(&self, id: u64, generation: u64) -> &[u8] {
        let start = mix(id ^ generation.rotate_left(40)) as usize % POOL_BYTES;
        &self.pool[start..start + self.value_bytes - HEADER_BYTES]
    }
}

fn header(value: &[u8]) -> Outcome<(u64, u64)> {
    let words = value.first_chunk::<8>().zip(value.get(8..).and_then(|rest| rest.first_chunk::<8>()));
    match words {
        Some((id, generation)) => Ok((u64::from_le_bytes(*id), u64::from_le_bytes(*generation))),
        None => Err(format!("a value of {} bytes is shorter than any written", value.len()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_accepted_only_whole_and_under_its_own_key() {
        let values = Values::new(100, false);
        let mut value = Vec::new();
        values.write(5, 3, &mut value);
        assert_eq!(value.len(), 100);
        assert_eq!(values.check(5, &value).unwrap(), 3);
        assert_eq!(values.check_record(&keys::present(5), &value).unwrap(), (5, 3));
        assert!(values.check(6, &value).is_err());
        assert!(values.check_record(&keys::present(6), &value).is_err());
        assert!(values.check(5, &value[..99]).is_err());
        assert!(values.check(5, &value[..9]).is_err());
        value[99] ^= 1;
        assert!(values.check(5, &value).is_err());
    }
}
