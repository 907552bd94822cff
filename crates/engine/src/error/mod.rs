//! The error of the document layer: a code from a closed list, a sentence, and the details as data.
//!
//! The sentence says what, where and what was expected; the details say the same to programs. Errors are cheap to
//! clone, so that one failure can answer every commit of a group.

mod code;

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value, json};

pub use code::ErrorCode;

/// Result of an operation on a store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed.
#[derive(Clone, Debug)]
pub struct Error {
    /// The code, for programs.
    pub code: ErrorCode,
    /// What, where and what was expected, for people.
    pub message: String,
    /// The same as data.
    pub details: Box<ErrorDetails>,
}

/// What is known about a failure; only what applies is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorDetails {
    /// The collection concerned.
    pub collection: Option<String>,
    /// The file or directory.
    pub path: Option<String>,
    /// What was attempted on the file, for example `"write"`.
    pub operation: Option<&'static str>,
    /// The operating system's error number.
    pub os_error: Option<i32>,
    /// Where in the file or key, in bytes.
    pub offset: Option<u64>,
    /// Process that holds the store.
    pub pid: Option<u32>,
    /// What was wrong or too large, in a word or two that never change.
    pub what: Option<&'static str>,
    /// The size or number found.
    pub size: Option<u64>,
    /// The limit that `size` is over.
    pub limit: Option<u64>,
    /// JSON pointer of the place in a query.
    pub pointer: Option<String>,
    /// The sequence asked for.
    pub requested: Option<u64>,
    /// The oldest sequence that can be read.
    pub floor: Option<u64>,
    /// The newest sequence.
    pub newest: Option<u64>,
    /// The record concerned, by its encoded key; in JSON as hexadecimal digits.
    pub key: Option<Vec<u8>>,
    /// Which operation of the commit, counted from 0.
    pub item: Option<u64>,
    /// The sequence of the record that is there, or of the commit that changed what was read.
    pub found: Option<u64>,
    /// The index concerned.
    pub index: Option<String>,
    /// The key in the index: a value, or one for each path of the index, as queries write values.
    pub index_key: Option<Value>,
    /// The key of the record that has the index key, as queries write values.
    pub holder: Option<Value>,
}

impl Error {
    /// An error without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Box::default() }
    }

    /// The same error with details filled in.
    #[must_use]
    pub fn with(mut self, fill: impl FnOnce(&mut ErrorDetails)) -> Self {
        fill(&mut self.details);
        self
    }

    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        self.code.retryable()
    }

    /// The error as one JSON object: `code`, `message`, `retryable`, and `details` with what is set, in camel case.
    pub fn to_json(&self) -> String {
        json!({
            "code": self.code.as_str(),
            "message": self.message,
            "retryable": self.retryable(),
            "details": self.details.to_json(),
        })
        .to_string()
    }

    /// The store is closed.
    pub(crate) fn closed() -> Self {
        Self::new(ErrorCode::Closed, "the store is closed")
    }

    /// A call that makes no sense as it was made.
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// `what` takes `size` bytes and may take `limit`.
    pub(crate) fn too_large(what: &'static str, size: usize, limit: usize) -> Self {
        Self::new(ErrorCode::TooLarge, format!("{what} of {size} bytes is over the limit of {limit} bytes"))
            .with(|details| details.set_limit(what, size, limit))
    }

    /// There are `size` of `what`, and may be `limit`.
    pub(crate) fn too_many(what: &'static str, size: usize, limit: usize) -> Self {
        Self::new(ErrorCode::Limit, format!("{size} {what} are over the limit of {limit}"))
            .with(|details| details.set_limit(what, size, limit))
    }
}

impl ErrorDetails {
    fn set_limit(&mut self, what: &'static str, size: usize, limit: usize) {
        self.what = Some(what);
        self.size = Some(size as u64);
        self.limit = Some(limit as u64);
    }

    fn to_json(&self) -> Value {
        let fields = [
            ("collection", self.collection.as_ref().map(|text| json!(text))),
            ("path", self.path.as_ref().map(|text| json!(text))),
            ("operation", self.operation.map(|text| json!(text))),
            ("osError", self.os_error.map(|number| json!(number))),
            ("offset", self.offset.map(|number| json!(number))),
            ("pid", self.pid.map(|number| json!(number))),
            ("what", self.what.map(|text| json!(text))),
            ("size", self.size.map(|number| json!(number))),
            ("limit", self.limit.map(|number| json!(number))),
            ("pointer", self.pointer.as_ref().map(|text| json!(text))),
            ("requested", self.requested.map(|number| json!(number))),
            ("floor", self.floor.map(|number| json!(number))),
            ("newest", self.newest.map(|number| json!(number))),
            ("key", self.key.as_ref().map(|key| json!(hexadecimal(key)))),
            ("item", self.item.map(|number| json!(number))),
            ("found", self.found.map(|number| json!(number))),
            ("index", self.index.as_ref().map(|text| json!(text))),
            ("indexKey", self.index_key.clone()),
            ("holder", self.holder.clone()),
        ];
        let set = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(set.collect::<Map<_, _>>())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<fountain_lsm::Error> for Error {
    fn from(error: fountain_lsm::Error) -> Self {
        use fountain_lsm::Error as E;
        let mapped = Self::new(code_of(&error), error.to_string());
        let name = |path: &Path| Some(path.to_string_lossy().into_owned());
        mapped.with(|details| match &error {
            E::Io { op, path, source } | E::DiskFull { op, path, source } => {
                details.operation = Some(op);
                details.path = name(path);
                details.os_error = source.raw_os_error();
            }
            E::Corrupt { path, offset, .. } => {
                details.path = name(path);
                details.offset = Some(*offset);
            }
            E::Locked { path, pid } => {
                details.path = name(path);
                details.pid = *pid;
            }
            E::NotAStore { path, .. } | E::Missing { path } | E::Newer { path, .. } => {
                details.path = name(path);
            }
            E::HistoryTruncated { requested, floor } => {
                details.requested = Some(requested.get());
                details.floor = Some(floor.get());
            }
            E::FutureSequence { requested, newest } => {
                details.requested = Some(requested.get());
                details.newest = Some(newest.get());
            }
            E::TooLarge { what, size, limit } => details.set_limit(what, *size, *limit),
            E::Unsorted { .. } | E::Poisoned { .. } | E::Closed | E::WouldBlock => {}
        })
    }
}

fn code_of(error: &fountain_lsm::Error) -> ErrorCode {
    use fountain_lsm::Error as E;
    match error {
        E::Io { .. } => ErrorCode::Io,
        E::DiskFull { .. } => ErrorCode::DiskFull,
        E::Corrupt { .. } => ErrorCode::Corrupt,
        E::Locked { .. } => ErrorCode::Locked,
        E::NotAStore { .. } => ErrorCode::NotAStore,
        E::Missing { .. } => ErrorCode::NotFound,
        E::Newer { .. } => ErrorCode::NewerFormat,
        E::Poisoned { .. } => ErrorCode::Poisoned,
        E::Closed => ErrorCode::Closed,
        E::HistoryTruncated { .. } => ErrorCode::HistoryTruncated,
        E::FutureSequence { .. } => ErrorCode::Sequence,
        E::TooLarge { .. } => ErrorCode::TooLarge,
        E::Unsorted { .. } => ErrorCode::InvalidArgument,
        E::WouldBlock => ErrorCode::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fountain_lsm::Seq;
    use std::io;
    use std::path::PathBuf;
    use std::sync::Arc;

    fn parsed(error: &Error) -> Value {
        serde_json::from_str(&error.to_json()).unwrap()
    }

    #[test]
    fn a_locked_store_names_the_owner_and_may_be_tried_again() {
        let error = Error::from(fountain_lsm::Error::Locked { path: PathBuf::from("s"), pid: Some(7) });
        assert_eq!(
            parsed(&error),
            json!({
                "code": "ERR_LOCKED",
                "message": "s is already open in process 7",
                "retryable": true,
                "details": { "path": "s", "pid": 7 },
            })
        );
    }

    #[test]
    fn a_full_disk_keeps_the_operation_and_the_number_of_the_system() {
        let source = Arc::new(io::Error::from_raw_os_error(28));
        let error =
            Error::from(fountain_lsm::Error::DiskFull { op: "write", path: PathBuf::from("w"), source });
        assert_eq!(error.code, ErrorCode::DiskFull);
        assert_eq!(parsed(&error)["details"], json!({ "path": "w", "operation": "write", "osError": 28 }));
    }

    #[test]
    fn a_read_before_the_history_names_what_can_be_read() {
        let (requested, floor) = (Seq::new(3).unwrap(), Seq::new(9).unwrap());
        let error = Error::from(fountain_lsm::Error::HistoryTruncated { requested, floor });
        assert_eq!(error.code.as_str(), "ERR_HISTORY_TRUNCATED");
        assert_eq!(parsed(&error)["details"], json!({ "requested": 3, "floor": 9 }));
        assert!(!error.retryable());
    }

    #[test]
    fn text_in_an_error_cannot_break_its_json() {
        let error = Error::new(ErrorCode::Io, "a \"quoted\"\nline").with(|details| {
            details.path = Some("C:\\a\u{1}".to_owned());
            details.key = Some(b"\x30a\xFF".to_vec());
        });
        assert_eq!(parsed(&error)["details"]["key"], "3061ff");
        assert_eq!(parsed(&error)["message"], "a \"quoted\"\nline");
        assert_eq!(parsed(&error)["details"]["path"], "C:\\a\u{1}");
    }
}
