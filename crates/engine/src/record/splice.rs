//! Records made of parts of other records, by copying bytes: a value takes a stretch of the structure and a stretch of the
//! text, and keeps both wherever it goes.
//!
//! What always holds: a splice takes parts of one record only, whose text is either wide or not; its size is at most that
//! of the record and a few bytes for each object, so it needs no limit of its own.

use super::writer::{assemble, push_head, push_short};
use super::{Reader, tag};
use crate::error::Result;

/// A record in the making.
#[derive(Debug)]
pub struct Splice {
    structure: Vec<u8>,
    text: String,
    wide: bool,
}

impl Splice {
    /// An empty one for parts of the record that `source` reads.
    pub fn of(source: &Reader<'_>) -> Self {
        Self { structure: Vec::with_capacity(64), text: String::new(), wide: source.is_wide() }
    }

    /// Copies the next value with everything in it.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn copy(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let before = reader.clone();
        reader.skip()?;
        self.structure.extend_from_slice(before.structure_until(reader));
        self.text.push_str(before.text_until(reader));
        Ok(())
    }

    /// Begins an array; this many values are to follow.
    pub fn array(&mut self, count: usize) {
        push_short(&mut self.structure, tag::ARRAY, tag::ARRAY_LAST, tag::LONG_ARRAY, count);
    }

    /// Begins an object of the shape with this id; one value for each of its names is to follow.
    pub fn object(&mut self, id: usize) {
        push_short(&mut self.structure, tag::OBJECT, tag::OBJECT_LAST, tag::LONG_OBJECT, id);
    }

    /// Begins an object that carries its names; this many pairs of a string and a value are to follow.
    pub fn named(&mut self, count: usize) {
        push_head(&mut self.structure, tag::NAMED_OBJECT, count);
    }

    /// The record.
    pub fn finish(self) -> Vec<u8> {
        assemble(self.wide, &self.structure, &self.text)
    }
}
