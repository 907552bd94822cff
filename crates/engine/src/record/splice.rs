//! Records made of parts of other records, by copying bytes: a value takes a stretch of the structure and a stretch of the
//! text, and keeps both wherever it goes.
//!
//! What always holds: a splice takes parts of one record only, whose text is either wide or not; its size is at most that
//! of the record and a few bytes for each object, so it needs no limit of its own.

use std::ops::Range;

use super::writer::{assemble, push_head, push_short};
use super::{Reader, tag};
use crate::error::Result;

/// A record in the making. Reuse one for many records: beginning anew keeps its memory.
#[derive(Debug, Default)]
pub struct Splice {
    structure: Vec<u8>,
    text: Vec<u8>,
    wide: bool,
}

/// Where the number of an object's shape lies.
#[derive(Debug)]
pub struct ShapePlace(Range<usize>);

impl Splice {
    /// Begins a record of parts of the record that `source` reads.
    pub fn begin(&mut self, source: &Reader<'_>) {
        self.structure.clear();
        self.text.clear();
        self.wide = source.is_wide();
    }

    /// Copies the next `count` values with everything in them.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn copy(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<()> {
        let (structure, text) = reader.take_many(count)?;
        self.structure.extend_from_slice(structure);
        self.text.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Begins an array; this many values are to follow.
    pub fn array(&mut self, count: usize) {
        push_short(&mut self.structure, tag::ARRAY, tag::ARRAY_LAST, tag::LONG_ARRAY, count);
    }

    /// Begins an object of the shape with this id; one value for each of its names is to follow.
    pub fn object(&mut self, id: usize) -> ShapePlace {
        let start = self.structure.len();
        push_object(&mut self.structure, id);
        ShapePlace(start..self.structure.len())
    }

    /// Gives the object another shape than it began with. Only for the object that was begun last and those around it.
    pub fn set_shape(&mut self, ShapePlace(place): ShapePlace, id: usize) {
        let mut head = Vec::new();
        push_object(&mut head, id);
        self.structure.splice(place, head);
    }

    /// Begins an object that carries its names; this many pairs of a string and a value are to follow.
    pub fn named(&mut self, count: usize) {
        push_head(&mut self.structure, tag::NAMED_OBJECT, count);
    }

    /// Appends the record to `out`.
    pub fn finish(&self, out: &mut Vec<u8>) {
        assemble(self.wide, &self.structure, &self.text, out);
    }
}

fn push_object(structure: &mut Vec<u8>, id: usize) {
    push_short(structure, tag::OBJECT, tag::OBJECT_LAST, tag::LONG_OBJECT, id);
}
