//! Reads the parts of an encoded key, refusing everything that the encoder would not have written.

use super::{BIGINT_NEGATIVE, BIGINT_ZERO, tag};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{MAX_BIGINT_BYTES, MAX_ENCODED_KEY_BYTES, MAX_KEY_DEPTH};

/// A position in an encoded key. After an error the position does not matter any more.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The parts of a bigint as stored.
pub(crate) struct RawBigInt<'a> {
    pub negative: bool,
    /// Complemented if negative.
    pub bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins to read a key; one over the limit is refused at once.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() > MAX_ENCODED_KEY_BYTES {
            return Err(Error::too_large("key", bytes.len(), MAX_ENCODED_KEY_BYTES));
        }
        if bytes.is_empty() {
            return Err(fault("empty key", 0));
        }
        Ok(Self { bytes, at: 0 })
    }

    /// Nothing may follow a complete key.
    pub fn finish(&self) -> Result<()> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(fault("trailing bytes", self.at)) }
    }

    /// The next byte, which should be a tag.
    pub fn tag(&mut self) -> Result<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// The error for the tag just read.
    pub fn unknown_tag(&self) -> Error {
        fault("unknown tag", self.at - 1)
    }

    /// Whether the array being read ends here; if so, its end is consumed.
    pub fn array_ends(&mut self) -> Result<bool> {
        let ends = match self.bytes.get(self.at) {
            Some(&byte) => byte == tag::END,
            None => return Err(fault("truncated", self.at)),
        };
        self.at += usize::from(ends);
        Ok(ends)
    }

    /// Refuses an array that lies `depth` deep, counting itself, if that is too deep.
    pub fn check_depth(&self, depth: usize) -> Result<()> {
        if depth <= MAX_KEY_DEPTH {
            return Ok(());
        }
        Err(fault("nested too deep", self.at - 1).with(|details| {
            details.size = Some(depth as u64);
            details.limit = Some(MAX_KEY_DEPTH as u64);
        }))
    }

    pub fn number(&mut self) -> Result<f64> {
        const SIGN: u64 = 1 << 63;
        let start = self.at;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        let stored = u64::from_be_bytes(bytes);
        let bits = if stored & SIGN == 0 { !stored } else { stored ^ SIGN };
        let number = f64::from_bits(bits);
        if number.is_nan() {
            return Err(fault("not a number", start));
        }
        if bits == SIGN {
            return Err(fault("negative zero", start));
        }
        Ok(number)
    }

    pub fn bigint(&mut self) -> Result<RawBigInt<'a>> {
        let start = self.at;
        let length = self.take(1)?[0];
        let negative = length <= BIGINT_NEGATIVE;
        let count = usize::from(if negative { BIGINT_NEGATIVE - length } else { length - BIGINT_ZERO });
        if count > MAX_BIGINT_BYTES {
            return Err(fault("bigint too long", start).with(|details| {
                details.size = Some(count as u64);
                details.limit = Some(MAX_BIGINT_BYTES as u64);
            }));
        }
        if negative && count == 0 {
            return Err(fault("negative bigint zero", start));
        }
        let bytes = self.take(count)?;
        let leading_zero = if negative { 0xFF } else { 0x00 };
        if bytes.first() == Some(&leading_zero) {
            return Err(fault("bigint with leading zero", start + 1));
        }
        Ok(RawBigInt { negative, bytes })
    }

    /// The next piece of a string or of bytes, up to a zero byte, and whether the zero belongs to the data
    /// (then more pieces follow) or ends it.
    pub fn piece(&mut self) -> Result<(&'a [u8], bool)> {
        let rest = &self.bytes[self.at..];
        let Some(zero) = rest.iter().position(|&byte| byte == tag::END) else {
            return Err(fault("truncated", self.bytes.len()));
        };
        let escaped = rest.get(zero + 1) == Some(&tag::ESCAPE);
        self.at += zero + 1 + usize::from(escaped);
        Ok((&rest[..zero], escaped))
    }

    /// The next piece of a string; see [`Reader::piece`]. A zero byte is never a part of a longer UTF-8 sequence,
    /// so every piece of valid text is itself valid text.
    pub fn text_piece(&mut self) -> Result<(&'a str, bool)> {
        let start = self.at;
        let (bytes, escaped) = self.piece()?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok((text, escaped)),
            Err(error) => Err(fault("not UTF-8", start + error.valid_up_to())),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some(bytes) = self.bytes.get(self.at..self.at + count) else {
            return Err(fault("truncated", self.bytes.len()));
        };
        self.at += count;
        Ok(bytes)
    }
}

/// An encoded key is malformed at `offset`.
fn fault(what: &'static str, offset: usize) -> Error {
    Error::new(ErrorCode::InvalidKey, format!("malformed key: {what} at byte {offset}")).with(|details| {
        details.what = Some(what);
        details.offset = Some(offset as u64);
    })
}
