//! Decides whether bytes are an encoded key, without building the key.

use super::reader::Reader;
use super::tag;
use crate::error::Result;

/// Checks that `key` is what [`super::encode`] would have written for some key.
///
/// Runs on every read and write that comes from outside, so it allocates nothing unless it fails.
///
/// # Errors
/// `ERR_TOO_LARGE` over [`crate::limits::MAX_ENCODED_KEY_BYTES`], else `ERR_INVALID_KEY` with the offset and, as
/// `what`, one of: `empty key`, `unknown tag`, `truncated`, `not a number`, `negative zero`, `bigint too long`,
/// `negative bigint zero`, `bigint with leading zero`, `not UTF-8`, `nested too deep`, `trailing bytes`.
pub fn validate(key: &[u8]) -> Result<()> {
    let mut reader = Reader::new(key)?;
    let mut depth = 0;
    loop {
        if depth > 0 && reader.array_ends()? {
            depth -= 1;
        } else {
            match reader.tag()? {
                tag::NUMBER => reader.number().map(drop)?,
                tag::BIGINT => reader.bigint().map(drop)?,
                tag::STRING => while reader.text_piece()?.1 {},
                tag::BYTES => while reader.piece()?.1 {},
                tag::ARRAY => {
                    depth += 1;
                    reader.check_depth(depth)?;
                }
                _ => return Err(reader.unknown_tag()),
            }
        }
        if depth == 0 {
            return reader.finish();
        }
    }
}
