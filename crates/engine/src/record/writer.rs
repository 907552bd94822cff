//! From a value to a record.

use super::{CODEC_RECORD, Shapes, Value, flag, tag};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{MAX_BIGINT_BYTES, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH};

/// The record of a document, codec byte first. New shapes are reserved in `shapes`; an object whose names make no shape
/// there carries them itself.
///
/// # Errors
/// `ERR_VALIDATION` when `document` is not an object or holds what records cannot: numbers that are not finite, bigints
/// over 512 bits, too deep nesting. `ERR_TOO_LARGE`.
pub fn write(document: &Value, shapes: &Shapes) -> Result<Vec<u8>> {
    write_with(document, Some(shapes))
}

/// As [`write()`], with every object carrying the names of its members: for what is not stored.
///
/// # Errors
/// As [`write()`].
pub fn write_named(document: &Value) -> Result<Vec<u8>> {
    write_with(document, None)
}

fn write_with(document: &Value, shapes: Option<&Shapes>) -> Result<Vec<u8>> {
    if !matches!(document, Value::Object(_)) {
        return Err(refused("a document is an object"));
    }
    let mut writer = Writer::new(false, shapes);
    writer.value(document, 1)?;
    if !writer.text.is_ascii() {
        // The lengths of strings depend on it, and only the end of the document tells.
        writer = Writer::new(true, shapes);
        writer.value(document, 1)?;
    }
    writer.finish()
}

/// The structure and the text of one value of a record that is not stored: its numbers may be infinite, as those of keys are.
///
/// # Errors
/// As [`write()`].
pub(super) fn write_part(value: &Value, wide: bool) -> Result<(Vec<u8>, String)> {
    let mut writer = Writer { infinite: true, ..Writer::new(wide, None) };
    writer.value(value, 1)?;
    Ok((writer.structure, writer.text))
}

struct Writer<'a> {
    structure: Vec<u8>,
    text: String,
    wide: bool,
    /// Whether numbers may be infinite.
    infinite: bool,
    shapes: Option<&'a Shapes>,
}

impl<'a> Writer<'a> {
    fn new(wide: bool, shapes: Option<&'a Shapes>) -> Self {
        Self { structure: Vec::new(), text: String::new(), wide, infinite: false, shapes }
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        match value {
            Value::Null => self.structure.push(tag::NULL),
            Value::Bool(false) => self.structure.push(tag::FALSE),
            Value::Bool(true) => self.structure.push(tag::TRUE),
            Value::Number(number) => self.number(*number)?,
            Value::BigInt(number) if number.magnitude().len() > MAX_BIGINT_BYTES => {
                return Err(refused("a bigint has at most 512 bits"));
            }
            Value::BigInt(number) => {
                self.head(tag::BIGINT, number.magnitude().len() << 1 | usize::from(number.is_negative()));
                self.structure.extend_from_slice(number.magnitude());
            }
            Value::Date(millis) => self.fixed(tag::DATE, &(millis + 0.0).to_le_bytes()),
            Value::String(text) => self.string(text),
            Value::Bytes(bytes) => {
                self.head(tag::BYTES, bytes.len());
                self.structure.extend_from_slice(bytes);
            }
            Value::Floats(floats) => {
                self.head(tag::FLOATS, floats.len());
                self.structure.extend(floats.iter().flat_map(|number| number.to_le_bytes()));
            }
            Value::Array(_) | Value::Object(_) if depth > MAX_DOCUMENT_DEPTH => {
                return Err(refused("a document nests at most 128 deep"));
            }
            Value::Array(elements) => {
                self.short(tag::ARRAY, tag::ARRAY_LAST, tag::LONG_ARRAY, elements.len());
                elements.iter().try_for_each(|element| self.value(element, depth + 1))?;
            }
            Value::Object(members) => self.object(members, depth)?,
        }
        self.check_size()
    }

    #[expect(
        clippy::float_cmp,
        clippy::cast_sign_loss,
        reason = "what a cast would lose is ruled out before"
    )]
    fn number(&mut self, number: f64) -> Result<()> {
        if !number.is_finite() && !self.infinite {
            return Err(refused("a document holds only finite numbers"));
        }
        let whole = number as i32;
        if f64::from(whole) != number {
            self.fixed(tag::FLOAT, &number.to_le_bytes());
            return Ok(());
        }
        match whole {
            0..=63 => self.structure.push(whole as u8),
            64..=319 => self.fixed(tag::INT_8, &[(whole - 64) as u8]),
            -32768..=32767 => self.fixed(tag::INT_16, &(whole as i16).to_le_bytes()),
            _ => self.fixed(tag::INT_32, &whole.to_le_bytes()),
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        let units = if self.wide { text.encode_utf16().count() } else { text.len() };
        self.short(tag::STRING, tag::STRING_LAST, tag::LONG_STRING, units);
        if self.wide {
            self.varint(text.len());
        }
        self.text.push_str(text);
    }

    fn object(&mut self, members: &[(String, Value)], depth: usize) -> Result<()> {
        let names = || members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        match self.shapes.map(|shapes| shapes.reserve(&names())) {
            Some(Ok(id)) => {
                self.short(tag::OBJECT, tag::OBJECT_LAST, tag::LONG_OBJECT, id.0 as usize);
                members.iter().try_for_each(|(_, value)| self.value(value, depth + 1))
            }
            Some(Err(error)) if !matches!(error.code, ErrorCode::Limit | ErrorCode::TooLarge) => Err(error),
            _ => {
                self.head(tag::NAMED_OBJECT, members.len());
                members.iter().try_for_each(|(name, value)| {
                    self.string(name);
                    self.value(value, depth + 1)
                })
            }
        }
    }

    fn short(&mut self, first: u8, last: u8, long: u8, number: usize) {
        push_short(&mut self.structure, first, last, long, number);
    }

    fn head(&mut self, tag: u8, number: usize) {
        push_head(&mut self.structure, tag, number);
    }

    fn fixed(&mut self, tag: u8, bytes: &[u8]) {
        self.structure.push(tag);
        self.structure.extend_from_slice(bytes);
    }

    fn varint(&mut self, number: usize) {
        push_varint(&mut self.structure, number);
    }

    fn check_size(&self) -> Result<()> {
        let size = self.structure.len() + self.text.len();
        if size <= MAX_DOCUMENT_BYTES {
            return Ok(());
        }
        Err(Error::too_large("document", size, MAX_DOCUMENT_BYTES))
    }

    fn finish(self) -> Result<Vec<u8>> {
        let mut record = Vec::new();
        assemble(self.wide, &self.structure, self.text.as_bytes(), &mut record);
        if record.len() > MAX_DOCUMENT_BYTES + 1 {
            return Err(Error::too_large("document", record.len() - 1, MAX_DOCUMENT_BYTES));
        }
        Ok(record)
    }
}

/// Appends a record of both its streams.
pub(super) fn assemble(wide: bool, structure: &[u8], text: &[u8], out: &mut Vec<u8>) {
    let long = u16::try_from(structure.len()).is_err();
    let flags = if wide { flag::WIDE } else { 0 } | if long { flag::LONG } else { 0 };
    out.reserve(6 + structure.len() + text.len());
    out.extend_from_slice(&[CODEC_RECORD, flags]);
    let length = (structure.len() as u32).to_le_bytes();
    out.extend_from_slice(if long { &length } else { &length[..2] });
    out.extend_from_slice(structure);
    out.extend_from_slice(text);
}

/// `number` inside the tag if there is room between `first` and `last`, else after the tag `long`.
pub(super) fn push_short(structure: &mut Vec<u8>, first: u8, last: u8, long: u8, number: usize) {
    if number <= usize::from(last - first) {
        structure.push(first + number as u8);
    } else {
        push_head(structure, long, number);
    }
}

/// A tag and a number.
pub(super) fn push_head(structure: &mut Vec<u8>, tag: u8, number: usize) {
    structure.push(tag);
    push_varint(structure, number);
}

/// A LEB128 number.
pub(super) fn push_varint(structure: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        structure.push(number as u8 | 0x80);
        number >>= 7;
    }
    structure.push(number as u8);
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Validation, message)
}
