//! Records made of parts of other records, by copying bytes: a value takes a stretch of the structure and a stretch of the
//! text, and keeps both wherever it goes.
//!
//! What always holds: a splice takes parts of one record only, and besides those no more than a few small values; its size is
//! at most that of the record and a few bytes for each object and each string, so it needs no limit of its own.

use std::ops::Range;

use super::writer::{assemble, push_head, push_short, push_varint, write_part};
use super::{Node, Reader, Value, tag};
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
    /// Begins a record of parts of the record that `source` reads, and of `others`.
    pub fn begin<'a>(&mut self, source: &Reader<'_>, mut others: impl Iterator<Item = &'a Value>) {
        self.structure.clear();
        self.text.clear();
        self.wide = source.is_wide() || !others.all(is_ascii);
    }

    /// Copies the next `count` values with everything in them.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    #[inline]
    pub fn copy(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<()> {
        if self.wide != reader.is_wide() {
            return self.copy_widened(reader, count);
        }
        let (structure, text) = reader.take_many(count)?;
        self.structure.extend_from_slice(structure);
        self.text.extend_from_slice(text);
        Ok(())
    }

    /// As [`Splice::copy`], from a record whose text is not wide: strings then tell their bytes, too.
    fn copy_widened(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let mut behind = reader.clone();
            let node = behind.next()?;
            left = left - 1 + node.children();
            match node {
                Node::String(text) => self.wide_string(text),
                _ => self.structure.extend_from_slice(reader.structure_before(&behind)),
            }
            *reader = behind;
        }
        Ok(())
    }

    fn wide_string(&mut self, text: &str) {
        let units = text.encode_utf16().count();
        push_short(&mut self.structure, tag::STRING, tag::STRING_LAST, tag::LONG_STRING, units);
        push_varint(&mut self.structure, text.len());
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Appends a value that is no part of the record, one of those with which this began.
    ///
    /// # Errors
    /// As [`super::write()`].
    pub fn value(&mut self, value: &Value) -> Result<()> {
        let (structure, text) = write_part(value, self.wide)?;
        self.structure.extend_from_slice(&structure);
        self.text.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Appends the name of a member of an object that carries its names.
    pub fn name(&mut self, name: &str) {
        if self.wide {
            self.wide_string(name);
        } else {
            push_short(&mut self.structure, tag::STRING, tag::STRING_LAST, tag::LONG_STRING, name.len());
            self.text.extend_from_slice(name.as_bytes());
        }
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

/// Whether all text in a value that is no object is ASCII.
fn is_ascii(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_ascii(),
        Value::Array(elements) => elements.iter().all(is_ascii),
        _ => true,
    }
}

fn push_object(structure: &mut Vec<u8>, id: usize) {
    push_short(structure, tag::OBJECT, tag::OBJECT_LAST, tag::LONG_OBJECT, id);
}
