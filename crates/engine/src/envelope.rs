//! What stands before the document in a stored record: the moment at which it expires, and the values that the program has
//! computed for indexes (`docs/format.md` §6.4). Both belong to the record, neither to the document: what is read is the
//! document alone.
//!
//! An envelope that is cut short is taken for a document with an unknown codec, which every reader refuses.

use fountain_lsm::Timestamp;

use crate::expiry::Moment;

/// The first byte of a record that carries its own moment: the milliseconds since 1970, then the rest.
const CODEC_EXPIRING: u8 = 3;
/// The first byte of a record with computed values: their length as a `u32`, the values, then the document.
const CODEC_COMPUTED: u8 = 4;

/// Most bytes before a document, computed values not counted.
pub(crate) const ENVELOPE_BYTES: usize = 9 + 5;

/// A stored record, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parts<'a> {
    /// When it expires, if it says so itself.
    pub expires_at: Option<Moment>,
    /// What was computed for indexes: a record.
    pub values: Option<&'a [u8]>,
    /// The document, codec byte first.
    pub document: &'a [u8],
}

/// A document for [`crate::WriteSet::put`] and its like, computed values included, that expires at a time of its own,
/// whatever the `ttl` of its collection says.
pub fn expiring(document: &[u8], at: Timestamp) -> Vec<u8> {
    [&[CODEC_EXPIRING][..], &at.millis().to_le_bytes(), document].concat()
}

/// A document for [`crate::WriteSet::put`] and its like with what was computed from it for indexes. `values` is a record: an
/// object with an array of values for each such index, under `name@version`.
pub fn with_values(document: &[u8], values: &[u8]) -> Vec<u8> {
    // Longer ones are refused when they are put.
    let length = u32::try_from(values.len()).unwrap_or(u32::MAX);
    [&[CODEC_COMPUTED][..], &length.to_le_bytes(), values, document].concat()
}

/// Takes a stored record apart.
pub(crate) fn open(stored: &[u8]) -> Parts<'_> {
    let (expires_at, rest) = split_moment(stored);
    let (values, document) = split_values(rest);
    Parts { expires_at, values, document }
}

/// The document of a stored record.
pub(crate) fn document(stored: &[u8]) -> &[u8] {
    open(stored).document
}

/// Whether a stored record says itself when it expires.
pub(crate) fn carries_moment(stored: &[u8]) -> bool {
    stored.first() == Some(&CODEC_EXPIRING)
}

/// Whether a value that begins with this byte is a record with something in front of its document.
pub(crate) const fn is_envelope(first: u8) -> bool {
    matches!(first, CODEC_EXPIRING | CODEC_COMPUTED)
}

#[expect(clippy::cast_precision_loss, reason = "exact for some 285,000 years")]
fn split_moment(stored: &[u8]) -> (Option<Moment>, &[u8]) {
    match stored {
        [CODEC_EXPIRING, rest @ ..] => match rest.split_first_chunk() {
            Some((millis, rest)) => (Some(u64::from_le_bytes(*millis) as Moment), rest),
            None => (None, stored),
        },
        _ => (None, stored),
    }
}

fn split_values(stored: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let [CODEC_COMPUTED, rest @ ..] = stored else { return (None, stored) };
    let parts = rest
        .split_first_chunk()
        .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
    parts.map_or((None, stored), |(values, document)| (Some(values), document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart_as_it_was_put_together() {
        let plain = Parts { expires_at: None, values: None, document: b"\x02abc" };
        assert_eq!(open(b"\x02abc"), plain);
        let moment = expiring(b"\x02abc", Timestamp::from_millis(500));
        assert_eq!(open(&moment), Parts { expires_at: Some(500.0), ..plain });
        let values = with_values(b"\x02abc", b"\x02v");
        assert_eq!(values, b"\x04\x02\0\0\0\x02v\x02abc");
        assert_eq!(open(&values), Parts { values: Some(b"\x02v"), ..plain });
        let both = expiring(&values, Timestamp::from_millis(7));
        assert_eq!(open(&both), Parts { expires_at: Some(7.0), values: Some(b"\x02v"), ..plain });
        assert_eq!(both.len(), 4 + 2 + ENVELOPE_BYTES);
        assert!(carries_moment(&both) && !carries_moment(&values));
    }

    #[test]
    fn what_is_cut_short_is_no_document() {
        let both = expiring(&with_values(b"", b"\x02v"), Timestamp::from_millis(7));
        for cut in 1..both.len() {
            let document = document(&both[..cut]);
            assert!(document.first().is_none_or(|&first| is_envelope(first)), "{cut}: {document:?}");
        }
    }
}
