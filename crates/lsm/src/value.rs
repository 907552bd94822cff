//! What a read found, without copying it: a value inside a cached block, or one of its own.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::table::Block;

/// The bytes of a value.
///
/// A value read from a table is a window into a cached block and keeps that block in memory while it lives: copy the
/// bytes to keep them for long. Nothing changes them meanwhile.
pub struct Value(Repr);

enum Repr {
    Block { block: Arc<Block>, start: u32, len: u32 },
    Owned(Box<[u8]>),
}

impl Value {
    /// A window into `block`. A window that does not lie in the block is empty.
    #[inline]
    pub(crate) fn in_block(block: Arc<Block>, start: u32, len: u32) -> Self {
        Self(Repr::Block { block, start, len })
    }

    /// A value of its own.
    pub(crate) fn owned(bytes: Box<[u8]>) -> Self {
        Self(Repr::Owned(bytes))
    }
}

impl Deref for Value {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Block { block, start, len } => block.slice(*start, *len),
            Repr::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The version of a key that a read at some sequence sees.
#[derive(Debug)]
pub(crate) enum Version {
    /// The key has this value.
    Put(Value),
    /// The key was deleted.
    Delete,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_value_is_its_bytes() {
        let value = Value::owned(Box::from(&b"abc"[..]));
        assert_eq!(&*value, b"abc");
        assert_eq!(value.as_ref(), b"abc");
        assert_eq!(format!("{value:?}"), "[97, 98, 99]");
    }
}
