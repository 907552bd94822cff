//! Errors on their way into JavaScript: `code` is the code, the message is the whole error as JSON.

use fountain_engine::{Error, ErrorCode};
use napi::Status;

/// The text of `error.code` in JavaScript.
pub struct Code(&'static str);

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl From<Status> for Code {
    fn from(_: Status) -> Self {
        Self(ErrorCode::Internal.as_str())
    }
}

/// What an exported function answers or throws. The macro that exports functions wants the name `Result`.
pub mod answer {
    /// The answer, or an error with one of the engine's codes.
    pub type Result<T> = std::result::Result<T, napi::Error<super::Code>>;
}

/// The engine's error as JavaScript will see it.
pub fn thrown(error: &Error) -> napi::Error<Code> {
    napi::Error::new(Code(error.code.as_str()), error.to_json())
}

/// A failure of Node-API itself.
pub fn host_failure(error: &napi::Error) -> napi::Error<Code> {
    thrown(&failure_of_host(error))
}

/// The same as one of the engine's errors.
pub fn failure_of_host(error: &napi::Error) -> Error {
    Error::new(ErrorCode::Internal, format!("Node-API: {error}"))
}

/// A handle that is not, or no longer, open in this environment.
pub fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the store is closed")
}

/// An argument that the facade should never have passed.
pub fn bad_argument(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}
