//! Cursors: where a page ended, as text that travels to the caller and back.
//!
//! A cursor names the sequence that the first page read, so that all pages show one state whatever is written or
//! expires meanwhile, and a hash of the query, so that it cannot go on with another one. Its seal finds whatever was not written here, for
//! this collection of this store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use fountain_lsm::Seq;
use twox_hash::XxHash3_64;

use super::request::Query;
use super::seal::{SEAL_BYTES, Seal};
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::Moment;
use crate::limits::MAX_CURSOR_BYTES;

/// The first byte of every cursor.
const VERSION: u8 = 3;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// The sequence that is read.
    pub seq: Seq,
    /// The time that decides what of it has expired, if that matters.
    pub moment: Option<Moment>,
    /// The sort key of the last record, without its key.
    pub sort_key: Vec<u8>,
    /// The key of the last record.
    pub key: Vec<u8>,
}

impl Token {
    /// The cursor for `query`.
    ///
    /// # Errors
    /// `ERR_TOO_LARGE` when the values that are sorted by are too long.
    pub fn encode(&self, query: &Query, seal: &Seal) -> Result<String> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&hash(query).to_le_bytes());
        bytes.extend_from_slice(&self.seq.get().to_le_bytes());
        // No time is NaN.
        bytes.extend_from_slice(&self.moment.unwrap_or(f64::NAN).to_le_bytes());
        bytes.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&self.sort_key);
        let code = seal.code(&bytes);
        bytes.extend_from_slice(&code);
        if bytes.len() > MAX_CURSOR_BYTES {
            return Err(Error::too_large("cursor", bytes.len(), MAX_CURSOR_BYTES));
        }
        Ok(BASE64.encode(bytes))
    }

    /// What a cursor says, if it is one of `query`.
    ///
    /// # Errors
    /// `ERR_BAD_CURSOR`.
    pub fn decode(text: &str, query: &Query, seal: &Seal) -> Result<Self> {
        let bytes = BASE64.decode(text).map_err(|_| refused("this is no cursor"))?;
        Self::read(&bytes, query, seal).ok_or_else(|| refused("this is no cursor"))?
    }

    fn read(bytes: &[u8], query: &Query, seal: &Seal) -> Option<Result<Self>> {
        let (body, code) = bytes.split_last_chunk::<SEAL_BYTES>()?;
        let (version, rest) = body.split_first()?;
        if *version != VERSION {
            return Some(Err(refused("this cursor was made by another version")));
        }
        if !seal.accepts(body, code) {
            return None;
        }
        let (of, rest) = rest.split_first_chunk()?;
        if u64::from_le_bytes(*of) != hash(query) {
            return Some(Err(refused("this cursor belongs to another query")));
        }
        let (seq, rest) = rest.split_first_chunk()?;
        let (moment, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (key, sort_key) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let seq = Seq::new(u64::from_le_bytes(*seq))?;
        let moment = Some(f64::from_le_bytes(*moment)).filter(|moment| !moment.is_nan());
        Some(Ok(Self { seq, moment, sort_key: sort_key.to_vec(), key: key.to_vec() }))
    }
}

fn hash(query: &Query) -> u64 {
    XxHash3_64::oneshot(query.normalised().to_string().as_bytes())
}

fn refused(what: &str) -> Error {
    Error::new(ErrorCode::BadCursor, what).with(|details| details.pointer = Some("/cursor".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::CollectionId;
    use crate::query::Rules;

    fn seal() -> Seal {
        Seal::new([3; 16], CollectionId::FIRST)
    }

    fn query(text: &str) -> Query {
        Query::parse(text, Rules::default()).unwrap()
    }

    #[test]
    fn a_cursor_goes_on_with_its_own_query_only() {
        let own = query(r#"{"where":{"a":1,"b":{"$gt":2}},"limit":5}"#);
        let (seq, moment) = (Seq::new(9).unwrap(), Some(1e12));
        let token = Token { seq, moment, sort_key: vec![1, 2], key: vec![3] };
        let text = token.encode(&own, &seal()).unwrap();
        let again = query(r#"{"limit":7,"where":{"b":{"$gt":2},"a":{"$eq":1}}}"#);
        assert_eq!(Token::decode(&text, &again, &seal()).unwrap(), token);
        let other = query(r#"{"where":{"a":1,"b":{"$gt":3}}}"#);
        let error = Token::decode(&text, &other, &seal()).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::BadCursor, "this cursor belongs to another query")
        );
    }

    #[test]
    fn a_changed_cursor_is_refused_and_so_is_one_of_another_collection() {
        let query = Query::default();
        let token = Token { seq: Seq::ZERO, moment: None, sort_key: Vec::new(), key: vec![3] };
        let text = token.encode(&query, &seal()).unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let error = Token::decode(&changed, &query, &seal()).unwrap_err();
            assert_eq!(error.code, ErrorCode::BadCursor);
        }
        assert_eq!(Token::decode("", &query, &seal()).unwrap_err().code, ErrorCode::BadCursor);
        let other = Seal::new([3; 16], CollectionId::new(17).unwrap());
        assert_eq!(Token::decode(&text, &query, &other).unwrap_err().code, ErrorCode::BadCursor);
    }
}
