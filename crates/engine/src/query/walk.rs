//! Carries out an access: passes every record that it finds to a visitor, in order and each once.

use std::collections::BTreeSet;

use fountain_lsm::{Direction, KeyRange};

use super::meter::Meter;
use super::plan::{Access, EntryOrder, IndexAccess};
use super::source::{Passed, Source};
use crate::error::{Error, Result};
use crate::keys;
use crate::limits::MAX_GATHERED_KEY_BYTES;

/// Whether a visitor wants more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next record.
    More,
    /// No more.
    Stop,
}

/// Takes a record: its encoded key and its bytes as they are stored.
pub(super) type Visitor<'a> = dyn FnMut(&mut Meter, &[u8], &[u8]) -> Result<Flow> + 'a;

/// Where an ordered walk goes on.
pub(super) struct Resume<'a> {
    /// The key of the last record.
    pub key: &'a [u8],
    /// The values of the last record in the order of an index.
    pub tuple: &'a [u8],
}

/// A walk through a state.
pub(super) struct Walk<'a> {
    pub source: &'a dyn Source,
    pub direction: Direction,
    /// Only what comes after this; a few records before it may be visited again.
    pub resume: Option<Resume<'a>>,
}

impl Walk<'_> {
    pub fn run(&self, access: &Access, meter: &mut Meter, visit: &mut Visitor<'_>) -> Result<()> {
        match access {
            Access::Nothing => Ok(()),
            Access::Scan(range) => self.scan(range, meter, visit),
            Access::Index(index) if index.order != EntryOrder::Any => self.entries(index, meter, visit),
            _ => {
                let keys: Vec<Vec<u8>> = self.gather(access, meter)?.into_iter().collect();
                self.fetch(&keys, meter, visit)
            }
        }
    }

    fn scan(&self, range: &KeyRange, meter: &mut Meter, visit: &mut Visitor<'_>) -> Result<()> {
        let range = match &self.resume {
            Some(resume) => self.beyond(range, resume.key),
            None => range.clone(),
        };
        let mut records = self.source.scan(&range, self.direction)?;
        while let Some(Passed { key, record, is_live }) = records.next()? {
            meter.key()?;
            if is_live && visit(meter, key, record)? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    fn entries(&self, access: &IndexAccess, meter: &mut Meter, visit: &mut Visitor<'_>) -> Result<()> {
        let Some(range) = access.ranges.first() else { return Ok(()) };
        let range = match (&self.resume, access.order) {
            (Some(resume), EntryOrder::Query(fixed)) => {
                let last = [range.start.get(..fixed).unwrap_or_default(), resume.tuple, resume.key].concat();
                self.beyond(range, &last)
            }
            (Some(resume), _) => self.beyond(range, &[range.start.as_slice(), resume.key].concat()),
            (None, _) => range.clone(),
        };
        let mut entries = self.source.entries(access.index, &range, self.direction)?;
        while entries.next()? {
            meter.key()?;
            let key = entries.record_key();
            if let Some(record) = self.source.get(key)?
                && visit(meter, key, record.stored())? == Flow::Stop
            {
                break;
            }
        }
        Ok(())
    }

    /// The part of a range that comes after `last`.
    fn beyond(&self, range: &KeyRange, last: &[u8]) -> KeyRange {
        let mut range = range.clone();
        match self.direction {
            Direction::Forward => range.start = range.start.max(keys::after(last)),
            Direction::Reverse => {
                let last = last.to_vec();
                range.end = Some(range.end.map_or(last.clone(), |end| end.min(last)));
            }
        }
        // Storage takes only bounds that are in order.
        range.end = range.end.map(|end| end.max(range.start.clone()));
        range
    }

    fn fetch(&self, keys: &[Vec<u8>], meter: &mut Meter, visit: &mut Visitor<'_>) -> Result<()> {
        let mut forward = keys.iter();
        let mut reverse = keys.iter().rev();
        let iter: &mut dyn Iterator<Item = &Vec<u8>> = match self.direction {
            Direction::Forward => &mut forward,
            Direction::Reverse => &mut reverse,
        };
        for key in iter {
            let passed = self.resume.as_ref().is_some_and(|resume| match self.direction {
                Direction::Forward => key.as_slice() <= resume.key,
                Direction::Reverse => key.as_slice() >= resume.key,
            });
            if passed {
                continue;
            }
            meter.key()?;
            if let Some(record) = self.source.get(key)?
                && visit(meter, key, record.stored())? == Flow::Stop
            {
                break;
            }
        }
        Ok(())
    }

    /// The keys that an access finds.
    fn gather(&self, access: &Access, meter: &mut Meter) -> Result<BTreeSet<Vec<u8>>> {
        let mut gathered = Gathered::default();
        match access {
            Access::Nothing => {}
            Access::Ids(keys) => keys.iter().try_for_each(|key| gathered.add(key))?,
            Access::Scan(range) => {
                let mut records = self.source.scan(range, Direction::Forward)?;
                while let Some(passed) = records.next()? {
                    meter.key()?;
                    if passed.is_live {
                        gathered.add(passed.key)?;
                    }
                }
            }
            Access::Index(access) => {
                for range in &access.ranges {
                    // There may be many, and nothing in them.
                    meter.check_time()?;
                    let mut entries = self.source.entries(access.index, range, Direction::Forward)?;
                    while entries.next()? {
                        meter.key()?;
                        gathered.add(entries.record_key())?;
                    }
                }
            }
            Access::Union(parts) => {
                for part in parts {
                    self.gather(part, meter)?.iter().try_for_each(|key| gathered.add(key))?;
                }
            }
            Access::Intersection(parts) => {
                let mut sets = parts.iter().map(|part| self.gather(part, meter));
                let Some(first) = sets.next() else { return Ok(BTreeSet::new()) };
                let mut common = first?;
                for set in sets {
                    let set = set?;
                    common.retain(|key| set.contains(key));
                }
                return Ok(common);
            }
        }
        Ok(gathered.keys)
    }
}

/// Keys in memory, not too many.
#[derive(Default)]
struct Gathered {
    keys: BTreeSet<Vec<u8>>,
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, key: &[u8]) -> Result<()> {
        if self.keys.insert(key.to_vec()) {
            self.bytes += key.len() + size_of::<Vec<u8>>();
        }
        if self.bytes <= MAX_GATHERED_KEY_BYTES {
            return Ok(());
        }
        Err(Error::too_large("the keys that the indexes of a query find", self.bytes, MAX_GATHERED_KEY_BYTES))
    }
}
