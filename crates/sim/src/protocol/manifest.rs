//! Reads what a manifest says, by the words of `docs/format.md`, section 4.

use std::collections::BTreeMap;

use crate::frames::{CHECKSUM, EDIT, Frame, PREAMBLE, frames_from};

/// The segment that a segment with this preamble continues.
pub(super) fn continued_segment(preamble: &[u8]) -> Option<u64> {
    let field = preamble.get(56..64)?.try_into().ok()?;
    Some(u64::from_le_bytes(field)).filter(|&number| number != 0)
}

/// What the edits of a manifest add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) log_number: Option<u64>,
    /// How often each table was added, less how often it was removed: a table that gets to another level is both.
    tables: BTreeMap<u64, i64>,
}

impl Described {
    /// What a manifest says as far as it can be read: a crash may have left half an edit at its end.
    ///
    /// # Errors
    /// Which edit verifies and cannot be understood.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        Self::read_from(bytes, PREAMBLE).map(|(described, _)| described)
    }

    /// What was just written to a manifest from an offset on, all of which must be edits.
    ///
    /// # Errors
    /// Where no edit can be read. To write none is an error, too.
    pub(super) fn written(bytes: &[u8], from: usize) -> Result<Self, String> {
        let from = from.max(PREAMBLE);
        match Self::read_from(bytes, from)? {
            (described, end) if end > from && end == bytes.len() => Ok(described),
            (_, end) => Err(format!("a manifest has no edit at {end}, though it was just written")),
        }
    }

    /// What the edits from an offset on say, and where they end.
    fn read_from(bytes: &[u8], from: usize) -> Result<(Self, usize), String> {
        let mut described = Self::default();
        let mut end = from;
        for frame in frames_from(bytes, from) {
            if frame.tag != EDIT || !verifies(bytes, &frame) {
                break;
            }
            let mut body = Reader(&bytes[frame.body()]);
            let read = (0..frame.count).try_for_each(|_| described.field(&mut body));
            if read.is_none() || !body.0.is_empty() {
                return Err(format!("a manifest has an edit at {} that cannot be understood", frame.at));
            }
            end = frame.end;
        }
        Ok((described, end))
    }

    /// Numbers of the tables that are in use after all edits.
    pub(super) fn live(&self) -> impl Iterator<Item = u64> {
        self.tables.iter().filter(|(_, times)| **times > 0).map(|(number, _)| *number)
    }

    /// Whether a table is in use after all edits.
    pub(super) fn has_table(&self, number: u64) -> bool {
        self.tables.get(&number).is_some_and(|times| *times > 0)
    }

    /// One field; nothing if it is not one that this reader knows, or not whole.
    fn field(&mut self, body: &mut Reader<'_>) -> Option<()> {
        match body.number()? {
            1 | 3 => body.numbers(1),
            2 => {
                self.log_number = Some(body.number()?);
                Some(())
            }
            4 => {
                body.skip_bytes()?;
                if body.number()? == 1 {
                    body.skip_bytes()?;
                }
                body.numbers(1)
            }
            5 => self.added(body),
            6 => {
                body.numbers(1)?;
                *self.tables.entry(body.number()?).or_default() -= 1;
                Some(())
            }
            7 => Some(()),
            8 => body.numbers(2),
            9 => {
                body.numbers(1)?;
                self.added(body)
            }
            _ => None,
        }
    }

    fn added(&mut self, body: &mut Reader<'_>) -> Option<()> {
        body.numbers(1)?;
        *self.tables.entry(body.number()?).or_default() += 1;
        body.numbers(6)?;
        body.skip_bytes()?;
        body.skip_bytes()?;
        body.numbers(1)
    }
}

/// Whether the checksum at the end of a frame is right; it begins with store, number and offset.
fn verifies(bytes: &[u8], frame: &Frame) -> bool {
    let (checked, crc) = bytes[frame.at..frame.end].split_at(frame.end - frame.at - CHECKSUM);
    let place = crc32c::crc32c_append(crc32c::crc32c(&bytes[16..40]), &(frame.at as u64).to_le_bytes());
    crc == crc32c::crc32c_append(place, checked).to_le_bytes()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn numbers(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }

    fn skip_bytes(&mut self) -> Option<()> {
        let len = usize::try_from(self.number()?).ok()?;
        self.0 = self.0.get(len..)?;
        Some(())
    }
}
