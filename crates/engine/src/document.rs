//! A stored document: one byte that names its codec, and its bytes (`docs/format.md` §6.4).

use std::fmt;
use std::ops::Deref;

use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::kv::KvValue;
use crate::limits::{MAX_COMPUTED_BYTES, MAX_DOCUMENT_BYTES};
use crate::record::CODEC_RECORD;

/// A document as it was put, codec byte first; derefs to these bytes. Where storage has the document in memory
/// nothing is copied, and the memory is kept as long as this lives.
pub struct Document(KvValue);

impl Document {
    /// A document from what storage holds.
    pub(crate) fn from_stored(value: KvValue) -> Result<Self> {
        check_stored(&value)?;
        Ok(Self(value))
    }

    /// What storage holds of it: with its envelope in front of it, if it has one.
    pub(crate) fn stored(&self) -> &[u8] {
        &self.0
    }

    /// How the document is encoded; see [`CODEC_RECORD`].
    pub fn codec(&self) -> u8 {
        self.first().copied().unwrap_or(CODEC_RECORD)
    }

    /// The document without its codec byte.
    pub fn body(&self) -> &[u8] {
        self.get(1..).unwrap_or_default()
    }
}

impl Deref for Document {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        envelope::document(&self.0)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document(codec {}, {} bytes)", self.codec(), self.body().len())
    }
}

/// Checks codec and size of a document that is to be stored. The rest is checked by [`crate::record::check`] before it is
/// committed, off the caller's thread.
pub(crate) fn check_new(document: &[u8]) -> Result<()> {
    let parts = envelope::open(document);
    if let Some(values) = parts.values
        && values.len() > MAX_COMPUTED_BYTES
    {
        return Err(Error::too_large("values computed for indexes", values.len(), MAX_COMPUTED_BYTES));
    }
    match parts.document {
        [CODEC_RECORD, body @ ..] if body.len() <= MAX_DOCUMENT_BYTES => Ok(()),
        [CODEC_RECORD, body @ ..] => Err(Error::too_large("document", body.len(), MAX_DOCUMENT_BYTES)),
        [codec, ..] => {
            Err(Error::argument(format!("unknown document codec {codec}, expected {CODEC_RECORD}")))
        }
        [] => Err(Error::argument("a document begins with its codec byte, but there are no bytes")),
    }
}

/// Checks what storage returned for a record: a value this version cannot read must not pass for a document.
#[inline]
pub(crate) fn check_stored(value: &[u8]) -> Result<()> {
    // So begin all but envelopes.
    if value.first() == Some(&CODEC_RECORD) {
        return Ok(());
    }
    match envelope::document(value).first() {
        Some(&CODEC_RECORD) => Ok(()),
        Some(codec) => Err(Error::new(
            ErrorCode::NewerFormat,
            format!("a record is stored with codec {codec}, which this version does not know"),
        )),
        None => Err(Error::new(ErrorCode::Corrupt, "a record without a codec byte")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_document_is_its_codec_and_its_body() {
        let document = Document::from_stored(KvValue::Shared(Arc::from(&b"\x02{}"[..]))).unwrap();
        assert_eq!(
            (document.codec(), document.body(), &*document),
            (CODEC_RECORD, &b"{}"[..], &b"\x02{}"[..])
        );
    }

    #[test]
    fn what_cannot_be_read_back_is_not_stored() {
        assert!(check_new(b"\x02").is_ok());
        assert_eq!(check_new(b"").unwrap_err().code, ErrorCode::InvalidArgument);
        assert_eq!(check_new(b"\x01x").unwrap_err().code, ErrorCode::InvalidArgument);
        let mut large = vec![CODEC_RECORD; MAX_DOCUMENT_BYTES + 1];
        assert!(check_new(&large).is_ok());
        large.push(0);
        let error = check_new(&large).unwrap_err();
        assert_eq!((error.code, error.details.size), (ErrorCode::TooLarge, Some((16 << 20) + 1)));
        let values = vec![CODEC_RECORD; MAX_COMPUTED_BYTES + 1];
        assert_eq!(
            check_new(&envelope::with_values(b"\x02", &values)).unwrap_err().code,
            ErrorCode::TooLarge
        );
    }

    #[test]
    fn a_stored_value_that_is_no_document_is_an_error() {
        assert_eq!(check_stored(b"").unwrap_err().code, ErrorCode::Corrupt);
        assert_eq!(check_stored(b"\x09").unwrap_err().code, ErrorCode::NewerFormat);
    }
}
