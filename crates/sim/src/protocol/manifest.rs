//! Reads what a manifest says, by the words of `docs/format.md`, section 4. Checksums are not looked at: what is read
//! here was just written.

/// Bytes before the first frame.
pub(super) const PREAMBLE_BYTES: usize = 96;
const BEGIN_BYTES: usize = 32;
const COMMIT_BYTES: usize = 8;
const EDIT: u8 = 0xE1;

/// The segment that a segment with this preamble continues.
pub(super) fn continued_segment(preamble: &[u8]) -> Option<u64> {
    let field = preamble.get(56..64)?.try_into().ok()?;
    Some(u64::from_le_bytes(field)).filter(|&number| number != 0)
}

/// What the edits of a manifest add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) log_number: Option<u64>,
    pub(super) added: Vec<u64>,
    pub(super) removed: Vec<u64>,
    /// A field that this reader does not know, which ends the reading.
    pub(super) unknown: Option<u64>,
}

impl Described {
    /// All of a manifest.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self::read_frames(bytes, 0)
    }

    /// What is written at an offset of a manifest.
    pub(super) fn read_frames(bytes: &[u8], at: u64) -> Self {
        let mut described = Self::default();
        let preamble = if at == 0 { PREAMBLE_BYTES } else { 0 };
        let mut rest = bytes.get(preamble..).unwrap_or_default();
        while let Some(begin) = rest.get(..BEGIN_BYTES).filter(|begin| begin[0] == EDIT) {
            let number_at =
                |at: usize| u32::from_le_bytes([begin[at], begin[at + 1], begin[at + 2], begin[at + 3]]);
            let (len, fields) = (number_at(4) as usize, number_at(24));
            let Some(body) = rest.get(BEGIN_BYTES..BEGIN_BYTES + len) else { break };
            described.edit(&mut Reader(body), fields);
            rest = rest.get(BEGIN_BYTES + len + COMMIT_BYTES..).unwrap_or_default();
        }
        described
    }

    /// Numbers of the tables that are in use after all edits. A table may be removed from one level and added to
    /// another in one edit; its last mention counts, which these lists do not tell, so that counts decide.
    pub(super) fn live(&self) -> Vec<u64> {
        let times = |list: &[u64], number: u64| list.iter().filter(|&&other| other == number).count();
        let alive = |number: &u64| times(&self.added, *number) > times(&self.removed, *number);
        self.added.iter().copied().filter(alive).collect()
    }

    fn edit(&mut self, body: &mut Reader<'_>, fields: u32) {
        for _ in 0..fields {
            match body.number() {
                1 | 3 => drop(body.number()),
                2 => self.log_number = Some(body.number()),
                4 => {
                    body.skip_bytes();
                    if body.number() == 1 {
                        body.skip_bytes();
                    }
                    body.number();
                }
                5 => {
                    body.number();
                    self.added.push(body.number());
                    for _ in 0..6 {
                        body.number();
                    }
                    body.skip_bytes();
                    body.skip_bytes();
                    body.number();
                }
                6 => {
                    body.number();
                    self.removed.push(body.number());
                }
                7 => {}
                8 => {
                    body.number();
                    body.number();
                }
                tag => {
                    self.unknown = Some(tag);
                    return;
                }
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 || shift > 63 {
                break;
            }
        }
        number
    }

    fn skip_bytes(&mut self) {
        let len = self.number() as usize;
        self.0 = self.0.get(len..).unwrap_or_default();
    }
}
