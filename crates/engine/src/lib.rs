//! The document store.
pub mod error;
pub mod keys;
pub mod limits;
pub use error::{Error,ErrorCode,Result};
