//! One change to the list of files, and the state that all changes together describe.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::format::varint;
use crate::limits::{FILE_NUMBER_LIMIT, LEVELS};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::retention::Floors;
use crate::table::TableMeta;
use crate::timeline::{Moment, Timeline};
use crate::types::{FileNumber, Seq};

const NEXT_FILE: u64 = 1;
const LOG_NUMBER: u64 = 2;
const LAST_SEQ: u64 = 3;
const FLOOR: u64 = 4;
const TABLE_ADDED: u64 = 5;
const TABLE_REMOVED: u64 = 6;
const CLOSED_CLEANLY: u64 = 7;
const MOMENT: u64 = 8;
const BASED_TABLE_ADDED: u64 = 9;
/// Bytes of any field without its keys, at most: that is a table with a base, a tag and twelve more numbers.
const FIELD_BYTES: usize = 13 * 10;

/// A change. Fields that are `None` stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Edit {
    pub(crate) next_file: Option<FileNumber>,
    /// The oldest WAL segment that recovery must read.
    pub(crate) log_number: Option<FileNumber>,
    /// The last sequence that tables cover.
    pub(crate) last_seq: Option<Seq>,
    /// Ranges of keys and the oldest sequence at which they can be read; floors are only raised.
    pub(crate) floors: Vec<(KeyRange, Seq)>,
    pub(crate) removed: Vec<(usize, FileNumber)>,
    pub(crate) added: Vec<(usize, TableMeta)>,
    pub(crate) closed_cleanly: bool,
    /// When commits were made that tables cover.
    pub(crate) moments: Vec<Moment>,
}

/// What a manifest describes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StoreState {
    pub(crate) next_file: FileNumber,
    pub(crate) log_number: FileNumber,
    pub(crate) last_seq: Seq,
    pub(crate) floors: Floors,
    pub(crate) tables: BTreeMap<FileNumber, (usize, TableMeta)>,
    pub(crate) closed_cleanly: bool,
    pub(crate) timeline: Timeline,
}

/// Why an edit could not be read or applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EditFault {
    /// A field this code does not know.
    UnknownField(u64),
    /// A field that cannot be read.
    Malformed(&'static str),
}

impl Edit {
    /// Appends the fields to `out` and returns how many there are.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> u32 {
        let mut fields = 0;
        let numbers = [
            (NEXT_FILE, self.next_file.map(|n| n.0)),
            (LOG_NUMBER, self.log_number.map(|n| n.0)),
            (LAST_SEQ, self.last_seq.map(Seq::get)),
        ];
        for (tag, value) in numbers {
            if let Some(value) = value {
                varint::put(out, tag);
                varint::put(out, value);
                fields += 1;
            }
        }
        for (range, floor) in self.floors.iter().filter(|_| !planted::active(Bug::FloorNotPersisted)) {
            varint::put(out, FLOOR);
            encode_floor(out, range, *floor);
            fields += 1;
        }
        for &(level, number) in &self.removed {
            for value in [TABLE_REMOVED, level as u64, number.0] {
                varint::put(out, value);
            }
            fields += 1;
        }
        for (level, meta) in &self.added {
            if meta.base > Seq::ZERO {
                varint::put(out, BASED_TABLE_ADDED);
                varint::put(out, meta.base.get());
            } else {
                varint::put(out, TABLE_ADDED);
            }
            varint::put(out, *level as u64);
            encode_meta(out, meta);
            fields += 1;
        }
        if self.closed_cleanly {
            varint::put(out, CLOSED_CLEANLY);
            fields += 1;
        }
        for moment in &self.moments {
            for value in [MOMENT, moment.time.millis(), moment.seq.get()] {
                varint::put(out, value);
            }
            fields += 1;
        }
        fields
    }

    /// Reads `fields` fields from a frame body; fewer than 8 zero bytes of padding may follow.
    pub(crate) fn decode(body: &[u8], fields: u32) -> Result<Self, EditFault> {
        let mut edit = Self::default();
        let mut input = body;
        for _ in 0..fields {
            let tag = varint::take(&mut input).ok_or(EditFault::Malformed("a field tag"))?;
            edit.decode_field(tag, &mut input)?;
        }
        if input.len() >= 8 || input.iter().any(|&byte| byte != 0) {
            return Err(EditFault::Malformed("padding"));
        }
        Ok(edit)
    }

    fn decode_field(&mut self, tag: u64, input: &mut &[u8]) -> Result<(), EditFault> {
        match tag {
            NEXT_FILE => self.next_file = Some(take_file(input)?),
            LOG_NUMBER => self.log_number = Some(take_file(input)?),
            LAST_SEQ => self.last_seq = Some(take_seq(input)?),
            FLOOR => self.floors.push(take_floor(input)?),
            TABLE_REMOVED => {
                let level = take_level(input)?;
                self.removed.push((level, take_file(input)?));
            }
            TABLE_ADDED => self.added.push(take_table(input)?),
            BASED_TABLE_ADDED => {
                let base = take_seq(input)?;
                let (level, meta) = take_table(input)?;
                if base == Seq::ZERO || meta.least_seq < base {
                    return Err(EditFault::Malformed("a base"));
                }
                self.added.push((level, TableMeta { base, ..meta }));
            }
            CLOSED_CLEANLY => self.closed_cleanly = true,
            MOMENT => self.moments.push(take_moment(input)?),
            unknown => return Err(EditFault::UnknownField(unknown)),
        }
        Ok(())
    }
}

impl StoreState {
    /// Carries out an edit, or nothing of it.
    pub(crate) fn apply(&mut self, edit: Edit) -> Result<(), EditFault> {
        self.check(&edit)?;
        self.carry_out(edit);
        Ok(())
    }

    /// Whether an edit can be carried out: what it removes is there, and what it adds is not.
    pub(crate) fn check(&self, edit: &Edit) -> Result<(), EditFault> {
        let mut removed = BTreeSet::new();
        for &(level, number) in &edit.removed {
            let is_there = self.tables.get(&number).is_some_and(|&(at, _)| at == level);
            if !is_there || !removed.insert(number) {
                return Err(EditFault::Malformed("the removal of a table that is not there"));
            }
        }
        let mut added = BTreeSet::new();
        for (_, TableMeta { number, .. }) in &edit.added {
            let is_there = self.tables.contains_key(number) && !removed.contains(number);
            if is_there || !added.insert(number) {
                return Err(EditFault::Malformed("the addition of a table that is already there"));
            }
        }
        Ok(())
    }

    /// Carries out as much of an edit as fits, which is all of it if [`StoreState::check`] has nothing against it.
    pub(crate) fn carry_out(&mut self, edit: Edit) {
        self.next_file = edit.next_file.unwrap_or(self.next_file);
        self.log_number = edit.log_number.unwrap_or(self.log_number);
        self.last_seq = edit.last_seq.unwrap_or(self.last_seq);
        for (range, floor) in edit.floors {
            self.floors.raise(&range, floor);
        }
        self.closed_cleanly = edit.closed_cleanly;
        for moment in edit.moments {
            self.timeline.record(moment);
        }
        for (_, number) in edit.removed {
            self.tables.remove(&number);
        }
        for (level, meta) in edit.added {
            self.tables.insert(meta.number, (level, meta));
        }
    }

    /// The edits that describe this state from nothing, in order and each of at most `limit` bytes as far as that can be;
    /// most often it is one. Without whether the store was closed cleanly, which only the last edit of a manifest can say.
    pub(crate) fn to_edits(&self, limit: usize) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut edit = Edit {
            next_file: Some(self.next_file),
            log_number: Some(self.log_number),
            last_seq: Some(self.last_seq),
            ..Edit::default()
        };
        let mut bytes = 3 * FIELD_BYTES;
        let mut room_for = |edit: &mut Edit, field: usize| {
            if bytes + field > limit {
                edits.push(std::mem::take(edit));
                bytes = 0;
            }
            bytes += field;
        };
        for (range, floor) in self.floors.raised() {
            room_for(&mut edit, range.start.len() + range.end.as_ref().map_or(0, Vec::len) + FIELD_BYTES);
            edit.floors.push((range, floor));
        }
        for (level, meta) in self.tables.values() {
            room_for(&mut edit, meta.smallest.len() + meta.largest.len() + FIELD_BYTES);
            edit.added.push((*level, meta.clone()));
        }
        for moment in self.timeline.moments() {
            room_for(&mut edit, FIELD_BYTES);
            edit.moments.push(*moment);
        }
        edits.push(edit);
        edits
    }
}

fn encode_meta(out: &mut Vec<u8>, meta: &TableMeta) {
    let numbers = [
        meta.number.0,
        meta.size,
        meta.entries,
        meta.tombstones,
        meta.superseded,
        meta.least_seq.get(),
        meta.greatest_seq.get(),
    ];
    for number in numbers {
        varint::put(out, number);
    }
    varint::put_bytes(out, &meta.smallest);
    varint::put_bytes(out, &meta.largest);
    varint::put(out, u64::from(meta.largest_exclusive));
}

fn take_table(input: &mut &[u8]) -> Result<(usize, TableMeta), EditFault> {
    let level = take_level(input)?;
    Ok((level, take_meta(input)?))
}

fn take_meta(input: &mut &[u8]) -> Result<TableMeta, EditFault> {
    let number = take_file(input)?;
    let mut count = || varint::take(input).ok_or(EditFault::Malformed("a table's numbers"));
    let (size, entries, tombstones, superseded) = (count()?, count()?, count()?, count()?);
    let (least_seq, greatest_seq) = (take_seq(input)?, take_seq(input)?);
    let mut key = || varint::take_bytes(input).ok_or(EditFault::Malformed("a table's bounds"));
    let (smallest, largest) = (key()?.into(), key()?.into());
    let largest_exclusive = match varint::take(input) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(EditFault::Malformed("a table's bounds")),
    };
    Ok(TableMeta {
        number,
        base: Seq::ZERO,
        size,
        entries,
        tombstones,
        superseded,
        least_seq,
        greatest_seq,
        smallest,
        largest,
        largest_exclusive,
    })
}

fn encode_floor(out: &mut Vec<u8>, range: &KeyRange, floor: Seq) {
    varint::put_bytes(out, &range.start);
    varint::put(out, u64::from(range.end.is_some()));
    if let Some(end) = &range.end {
        varint::put_bytes(out, end);
    }
    varint::put(out, floor.get());
}

fn take_floor(input: &mut &[u8]) -> Result<(KeyRange, Seq), EditFault> {
    let malformed = EditFault::Malformed("a history floor");
    let mut read = || {
        let start = varint::take_bytes(input)?.to_vec();
        let end = match varint::take(input)? {
            0 => None,
            1 => Some(varint::take_bytes(input)?.to_vec()),
            _ => return None,
        };
        Some(KeyRange { start, end })
    };
    let range = read().ok_or(malformed)?;
    Ok((range, take_seq(input)?))
}

fn take_file(input: &mut &[u8]) -> Result<FileNumber, EditFault> {
    let number = varint::take(input).filter(|&number| number < FILE_NUMBER_LIMIT);
    number.map(FileNumber).ok_or(EditFault::Malformed("a file number"))
}

fn take_seq(input: &mut &[u8]) -> Result<Seq, EditFault> {
    varint::take(input).and_then(Seq::new).ok_or(EditFault::Malformed("a sequence"))
}

fn take_moment(input: &mut &[u8]) -> Result<Moment, EditFault> {
    let time = varint::take(input).ok_or(EditFault::Malformed("a time"))?;
    Ok(Moment { time: Timestamp::from_millis(time), seq: take_seq(input)? })
}

fn take_level(input: &mut &[u8]) -> Result<usize, EditFault> {
    let level = varint::take(input).and_then(|level| usize::try_from(level).ok());
    level.filter(|&level| level < LEVELS).ok_or(EditFault::Malformed("a level"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta(number: u64) -> TableMeta {
        TableMeta {
            number: FileNumber(number),
            base: Seq::ZERO,
            size: 4096,
            entries: 10,
            tombstones: 2,
            superseded: 3,
            least_seq: Seq::new(3).unwrap(),
            greatest_seq: Seq::new(900).unwrap(),
            smallest: b"a"[..].into(),
            largest: b"zz"[..].into(),
            largest_exclusive: true,
        }
    }

    fn sample() -> Edit {
        Edit {
            next_file: Some(FileNumber(300)),
            log_number: Some(FileNumber(7)),
            last_seq: Seq::new(900),
            floors: vec![(KeyRange { start: b"b".to_vec(), end: None }, Seq::new(5).unwrap())],
            removed: vec![(1, FileNumber(4))],
            added: vec![(2, meta(12)), (0, meta(13)), (3, meta(14).based_on(Seq::new(7).unwrap()))],
            closed_cleanly: true,
            moments: vec![Moment {
                time: Timestamp::from_millis(1_790_000_000_000),
                seq: Seq::new(900).unwrap(),
            }],
        }
    }

    #[test]
    fn an_edit_round_trips_and_every_cut_is_refused() {
        let mut body = Vec::new();
        let fields = sample().encode(&mut body);
        assert_eq!(fields, 10);
        assert_eq!(Edit::decode(&body, fields), Ok(sample()));
        for cut in 0..body.len() {
            assert!(Edit::decode(&body[..cut], fields).is_err(), "cut to {cut}");
        }
        body.resize(body.len().next_multiple_of(8), 0);
        assert_eq!(Edit::decode(&body, fields), Ok(sample()));
    }

    /// The fields of an edit, each written out by hand from `docs/format.md`, section 4.
    const BY_HAND: [&[u8]; 10] = [
        b"\x01\xAC\x02",
        b"\x02\x07",
        b"\x03\x84\x07",
        b"\x04\x01b\x00\x05",
        b"\x06\x01\x04",
        b"\x05\x02\x0C\x80\x20\x0A\x02\x03\x03\x84\x07\x01a\x02zz\x01",
        b"\x05\x00\x0D\x80\x20\x0A\x02\x03\x03\x84\x07\x01a\x02zz\x01",
        b"\x09\x07\x03\x0E\x80\x20\x0A\x02\x03\x07\x07\x01a\x02zz\x01",
        b"\x07",
        b"\x08\x80\xD8\xC1\xA2\x8C\x34\x84\x07",
    ];

    #[test]
    fn an_edit_is_written_and_read_byte_by_byte_as_documented() {
        let mut body = Vec::new();
        sample().encode(&mut body);
        let by_hand = BY_HAND.concat();
        assert_eq!(body, by_hand);
        assert_eq!(Edit::decode(&by_hand, 10), Ok(sample()));
    }

    #[test]
    fn an_unknown_field_is_told_apart_from_a_malformed_one() {
        assert_eq!(Edit::decode(&[99, 1], 1), Err(EditFault::UnknownField(99)));
        assert_eq!(Edit::decode(&[6, 200, 1, 1], 1), Err(EditFault::Malformed("a level")));
    }

    #[test]
    fn a_state_is_rebuilt_from_its_own_edit() {
        let mut state = StoreState::default();
        state.apply(Edit { added: vec![(1, meta(4))], ..Edit::default() }).unwrap();
        state.apply(sample()).unwrap();
        let mut copy = StoreState::default();
        for edit in state.to_edits(usize::MAX) {
            copy.apply(edit).unwrap();
        }
        copy.closed_cleanly = state.closed_cleanly;
        assert_eq!(copy, state);
        assert!(state.apply(sample()).is_err(), "removes a table that is gone");
    }

    #[test]
    fn no_edit_that_describes_a_state_is_longer_than_asked_for_and_together_they_are_the_state() {
        let mut state = StoreState::default();
        for number in 20..60 {
            let smallest = vec![7; 40 * number as usize % 900];
            let meta = TableMeta { smallest: smallest.into(), ..meta(number) };
            let seq = Seq::new(1000 + number).unwrap();
            let end = Some(vec![number as u8, 9]);
            let floors = vec![(KeyRange { start: vec![number as u8], end }, seq)];
            let time = Timestamp::from_millis(number << 20);
            let moments = vec![Moment { time, seq }];
            let added = vec![(0, meta.based_on(seq))];
            state.apply(Edit { floors, added, moments, ..Edit::default() }).unwrap();
        }
        for limit in [1100, 5000, 1 << 20] {
            let mut copy = StoreState::default();
            let edits = state.to_edits(limit);
            assert_eq!(edits.len() == 1, limit == 1 << 20);
            for edit in edits {
                let mut body = Vec::new();
                edit.encode(&mut body);
                assert!(body.len() <= limit, "{} of {limit}", body.len());
                copy.apply(edit).unwrap();
            }
            assert_eq!(copy, state);
        }
    }

    fn few_tables() -> impl Strategy<Value = Vec<(usize, u64)>> {
        proptest::collection::vec((0..2usize, 0..6u64), 0..4)
    }

    proptest! {
        #[test]
        fn an_edit_is_carried_out_as_a_whole_or_not_at_all(
            there in few_tables(),
            removed in few_tables(),
            added in few_tables(),
        ) {
            let placed = |(level, number): (usize, u64)| (FileNumber(number), (level, meta(number)));
            let mut state = StoreState::default();
            state.tables.extend(there.into_iter().map(placed));
            let before = state.clone();
            let edit = Edit {
                log_number: Some(FileNumber(7)),
                removed: removed.iter().map(|&(level, number)| (level, FileNumber(number))).collect(),
                added: added.iter().map(|&(level, number)| (level, meta(number))).collect(),
                ..Edit::default()
            };
            // One after the other, as it is meant.
            let mut tables = before.tables.clone();
            let fits = removed.iter().all(|&(level, number)| {
                tables.remove(&FileNumber(number)).is_some_and(|(at, _)| at == level)
            }) && added.iter().all(|&table| {
                let (number, placed) = placed(table);
                tables.insert(number, placed).is_none()
            });
            prop_assert_eq!(state.apply(edit).is_ok(), fits);
            if fits {
                let log_number = FileNumber(7);
                let expected = StoreState { log_number, tables, ..before };
                prop_assert!(state == expected);
            } else {
                prop_assert!(state == before);
            }
        }
    }
}
