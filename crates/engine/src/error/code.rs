//! The closed list of error codes, the same in Rust, TypeScript, HTTP and MCP.

use std::fmt;

/// What went wrong, as a code that programs may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The store was closed.
    Closed,
    /// Another handle or process has the store open.
    Locked,
    /// An earlier write failed; no more writes until the store is reopened.
    Poisoned,
    /// No space left on the device, or a quota was reached.
    DiskFull,
    /// The operating system refused an operation.
    Io,
    /// Bytes on disk are not what was written.
    Corrupt,
    /// The directory exists, but is not a store.
    NotAStore,
    /// What was asked for does not exist.
    NotFound,
    /// The store was written by a newer version.
    NewerFormat,
    /// The sequence lies before the history that is kept.
    HistoryTruncated,
    /// The sequence has not happened yet, or is not a sequence.
    Sequence,
    /// The value cannot be a record key.
    InvalidKey,
    /// The text cannot be a collection name.
    InvalidName,
    /// Something is over its limit in bytes.
    TooLarge,
    /// Something is over its limit in number.
    Limit,
    /// There is already something where nothing was to be: a record, or another index of the name.
    Exists,
    /// Another record has the key of a unique index.
    Unique,
    /// The index is still being built.
    IndexBuilding,
    /// Another commit came first: what this one depends on has changed.
    Conflict,
    /// The transaction was open too long, or too much was written meanwhile.
    TransactionTooOld,
    /// Something took longer than it was given.
    Timeout,
    /// A read limited to memory would have needed the disk.
    WouldBlock,
    /// A cursor is not one, or belongs to another query.
    BadCursor,
    /// There is no such index, or none can be used and one is required.
    NoIndex,
    /// A document does not fit its schema, or a query its language.
    Validation,
    /// What a program says of a collection is not what the store has.
    Definition,
    /// A call makes no sense as it was made.
    InvalidArgument,
    /// A defect of the store itself.
    Internal,
    /// The JavaScript runtime is not supported. Used by the facade.
    UnsupportedRuntime,
    /// There is no native binary for this platform. Used by the facade.
    NoBinary,
}

impl ErrorCode {
    /// The code as text, for example `"ERR_CLOSED"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "ERR_CLOSED",
            Self::Locked => "ERR_LOCKED",
            Self::Poisoned => "ERR_POISONED",
            Self::DiskFull => "ERR_DISK_FULL",
            Self::Io => "ERR_IO",
            Self::Corrupt => "ERR_CORRUPT",
            Self::NotAStore => "ERR_NOT_A_STORE",
            Self::NotFound => "ERR_NOT_FOUND",
            Self::NewerFormat => "ERR_NEWER_FORMAT",
            Self::HistoryTruncated => "ERR_HISTORY_TRUNCATED",
            Self::Sequence => "ERR_SEQUENCE",
            Self::InvalidKey => "ERR_INVALID_KEY",
            Self::InvalidName => "ERR_INVALID_NAME",
            Self::TooLarge => "ERR_TOO_LARGE",
            Self::Limit => "ERR_LIMIT",
            Self::Exists => "ERR_EXISTS",
            Self::Unique => "ERR_UNIQUE",
            Self::IndexBuilding => "ERR_INDEX_BUILDING",
            Self::Conflict => "ERR_CONFLICT",
            Self::TransactionTooOld => "ERR_TRANSACTION_TOO_OLD",
            Self::Timeout => "ERR_TIMEOUT",
            Self::WouldBlock => "ERR_WOULD_BLOCK",
            Self::BadCursor => "ERR_BAD_CURSOR",
            Self::NoIndex => "ERR_NO_INDEX",
            Self::Validation => "ERR_VALIDATION",
            Self::Definition => "ERR_DEFINITION",
            Self::InvalidArgument => "ERR_INVALID_ARGUMENT",
            Self::Internal => "ERR_INTERNAL",
            Self::UnsupportedRuntime => "ERR_UNSUPPORTED_RUNTIME",
            Self::NoBinary => "ERR_NO_BINARY",
        }
    }

    /// Whether the same work may succeed later, without anything about it being changed. What read before it wrote, as a
    /// transaction does, has to read again.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::Locked
                | Self::DiskFull
                | Self::WouldBlock
                | Self::Conflict
                | Self::TransactionTooOld
                | Self::IndexBuilding
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
