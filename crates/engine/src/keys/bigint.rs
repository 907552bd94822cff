//! Integers of any size, as far as a store needs them: to be kept, compared, written and read.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::limits::MAX_BIGINT_BYTES;

/// Decimal digits are worked on nine at a time: the largest power of ten in 32 bits.
const NINE_DIGITS: u64 = 1_000_000_000;

/// An integer as sign and magnitude.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigInt {
    negative: bool,
    magnitude: Vec<u8>,
}

impl BigInt {
    /// An integer from its sign and its big-endian magnitude. Leading zero bytes are dropped, and zero is never
    /// negative, so equal integers are equal values.
    pub fn new(negative: bool, magnitude: &[u8]) -> Self {
        let first = magnitude.iter().position(|&byte| byte != 0).unwrap_or(magnitude.len());
        let magnitude = magnitude[first..].to_vec();
        Self { negative: negative && !magnitude.is_empty(), magnitude }
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The big-endian magnitude, without leading zero bytes; empty for zero.
    pub fn magnitude(&self) -> &[u8] {
        &self.magnitude
    }
}

impl From<i64> for BigInt {
    fn from(number: i64) -> Self {
        Self::new(number < 0, &number.unsigned_abs().to_be_bytes())
    }
}

impl BigInt {
    /// The order of numbers.
    pub fn order(&self, other: &Self) -> Ordering {
        let size = |number: &Self| (number.magnitude.len(), number.magnitude.clone());
        match (self.negative, other.negative) {
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
            (own, others) => others.cmp(&own),
        }
    }
}

/// Decimal digits, after a minus if it is negative.
impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.magnitude.clone();
        let mut groups = Vec::new();
        while rest.iter().any(|&byte| byte != 0) {
            let mut carry = 0u64;
            for byte in &mut rest {
                let number = carry << 8 | u64::from(*byte);
                *byte = (number / NINE_DIGITS) as u8;
                carry = number % NINE_DIGITS;
            }
            groups.push(carry);
        }
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{}", groups.pop().unwrap_or(0))?;
        groups.iter().rev().try_for_each(|group| write!(f, "{group:09}"))
    }
}

impl FromStr for BigInt {
    type Err = Error;

    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` for anything but digits after an optional minus; `ERR_TOO_LARGE` above
    /// [`MAX_BIGINT_BYTES`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::argument(format!("{text:?} is not an integer in decimal digits")));
        }
        // 512 bits have at most 155 digits; more cannot fit whatever they are, and are not worked through.
        let significant = digits.trim_start_matches('0');
        let mut magnitude = vec![0u8; MAX_BIGINT_BYTES];
        let fits = significant.len() <= 155
            && significant.bytes().all(|digit| times_ten_plus(&mut magnitude, digit - b'0'));
        if !fits {
            return Err(Error::too_large("bigint", significant.len() * 10 / 24, MAX_BIGINT_BYTES));
        }
        Ok(Self::new(text.starts_with('-'), &magnitude))
    }
}

/// Appends a decimal digit; `false` if the number then needs more bytes.
fn times_ten_plus(magnitude: &mut [u8], digit: u8) -> bool {
    let mut carry = u16::from(digit);
    for byte in magnitude.iter_mut().rev() {
        let number = u16::from(*byte) * 10 + carry;
        *byte = number as u8;
        carry = number >> 8;
    }
    carry == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn a_bigint_is_written_and_read_in_decimal_digits() {
        for number in [0, 1, -1, 999_999_999, 1_000_000_000, -1_000_000_000_000_000_001, i64::MAX, i64::MIN] {
            let big = BigInt::from(number);
            assert_eq!(big.to_string(), number.to_string());
            assert_eq!(number.to_string().parse::<BigInt>().unwrap(), big);
        }
        let largest = BigInt::new(true, &[0xFF; MAX_BIGINT_BYTES]);
        assert_eq!(largest.to_string().parse::<BigInt>().unwrap(), largest);
        assert_eq!("-000".parse::<BigInt>().unwrap(), BigInt::from(0));
    }

    #[test]
    fn what_is_not_an_integer_or_too_large_is_refused() {
        for text in ["", "-", "+1", "1.0", "0x1", " 1", "１"] {
            assert_eq!(text.parse::<BigInt>().unwrap_err().code, ErrorCode::InvalidArgument, "{text:?}");
        }
        let one_more = "13407807929942597099574024998205846127479365820592393377723561443721764030073546976801874298166903427690031858186486050853753882811946569946433649006084096";
        for text in [one_more, &"9".repeat(100_000)] {
            assert_eq!(text.parse::<BigInt>().unwrap_err().code, ErrorCode::TooLarge);
        }
    }

    #[test]
    fn bigints_are_ordered_as_numbers() {
        let numbers = [i64::MIN, -257, -256, -1, 0, 1, 255, 256, i64::MAX];
        for a in numbers {
            for b in numbers {
                assert_eq!(BigInt::from(a).order(&BigInt::from(b)), a.cmp(&b));
            }
        }
    }
}
