//! Reads of a script, and whether their answers are right.

use fountain_lsm::{Cursor, Db, Direction, Error, ReadTier, Versions};

use super::player::{Complaint, Player, key_range, same, sequence};
use super::script::{Range, Reach, Record, Step, VersionsWanted};
use super::universe::Bytes;

/// An answer, or that there can be none any more.
enum Found<T> {
    Answer(T),
    Gone,
}

impl Player<'_> {
    pub(super) fn read(&mut self, step: &Step) -> Result<(), Complaint> {
        match step {
            Step::Get { key, at, want, reach } => {
                let get = |db: &Db, tier| match at {
                    Some(at) => db.get(key, sequence(*at), tier),
                    None => db.get_newest(key, tier),
                };
                match self.ask(*reach, at.unwrap_or_default(), get)? {
                    Found::Answer(found) => same_value(key, found.as_deref(), want.as_deref()),
                    Found::Gone => Ok(()),
                }
            }
            Step::GetMany { keys, at, want, reach } => {
                let many = |db: &Db, tier| db.get_many(keys, sequence(*at), tier);
                let Found::Answer(found) = self.ask(*reach, *at, many)? else { return Ok(()) };
                same("the number of values", found.len(), want.len())?;
                let mut all = keys.iter().zip(found.iter().zip(want));
                all.try_for_each(|(key, (found, want))| same_value(key, found.as_deref(), want.as_deref()))
            }
            Step::Versions { key, at, want, reach } => {
                let list = |db: &Db, tier| versions(db.versions(key, sequence(*at), tier)?);
                match self.ask(*reach, *at, list)? {
                    Found::Answer(found) => check_versions(key, &found, want),
                    Found::Gone => Ok(()),
                }
            }
            Step::Scan { range, reverse, at, want, whole, reach } => {
                let limit = want.len() + usize::from(*whole);
                let scan = |db: &Db, tier| {
                    records(&mut open_cursor(db, range, *reverse, *at, tier)?, limit)
                        .map(|(records, _)| records)
                };
                match self.ask(*reach, *at, scan)? {
                    Found::Answer(found) => same_records(&found, want),
                    Found::Gone => Ok(()),
                }
            }
            Step::OpenCursor { slot, range, reverse, at, reach } => {
                let open = |db: &Db, tier| open_cursor(db, range, *reverse, *at, tier);
                self.cursors[*slot] = None;
                // A walk that goes on later must reach the disk.
                self.cursors[*slot] = match self.ask_at(ReadTier::Disk, *reach, *at, &open)? {
                    Some(Found::Answer(cursor)) => Some(cursor),
                    Some(Found::Gone) | None => None,
                };
                Ok(())
            }
            Step::WalkOn { slot, want, whole } => self.step_cursor(*slot, want, *whole),
            Step::SnapshotAt { slot, seq, reach } => {
                self.snapshots[*slot] = None;
                let pin = |db: &Db, _| db.snapshot_at(sequence(*seq));
                if let Some(Found::Answer(snapshot)) = self.ask_at(ReadTier::Disk, *reach, *seq, &pin)? {
                    same("the snapshot's sequence", snapshot.seq().get(), *seq)?;
                    self.snapshots[*slot] = Some(snapshot);
                }
                Ok(())
            }
            other => Err(format!("{other:?} is not a read")),
        }
    }

    fn step_cursor(&mut self, slot: usize, want: &[Record], whole: bool) -> Result<(), Complaint> {
        let Some(cursor) = &mut self.cursors[slot] else { return Ok(()) };
        let limit = want.len() + usize::from(whole);
        let (found, ended) =
            records(cursor, limit).map_err(|error| format!("a step of a cursor: {error}"))?;
        same_records(&found, want)?;
        if whole {
            same("whether the walk is over", ended, true)?;
            self.cursors[slot] = None;
        }
        Ok(())
    }

    /// Asks memory first if the configuration says so, that of the store alone or that of the system, too.
    fn ask<T>(
        &mut self,
        reach: Reach,
        at: u64,
        ask: impl Fn(&Db, ReadTier) -> fountain_lsm::Result<T>,
    ) -> Result<Found<T>, Complaint> {
        let tier = self.tier();
        let in_memory = self.ask_at(tier, reach, at, &ask)?;
        self.tally.at_once += u64::from(tier == ReadTier::System && in_memory.is_some());
        let answer = match in_memory {
            None => self.ask_at(ReadTier::Disk, reach, at, &ask)?,
            answer => answer,
        };
        answer.ok_or_else(|| "a read that may go to the disk says that it would block".to_owned())
    }

    /// Asks, and judges errors; `None` if the tier does not reach far enough.
    fn ask_at<T>(
        &mut self,
        tier: ReadTier,
        reach: Reach,
        at: u64,
        ask: &impl Fn(&Db, ReadTier) -> fountain_lsm::Result<T>,
    ) -> Result<Option<Found<T>>, Complaint> {
        match (ask(self.db()?, tier), reach) {
            (Err(Error::WouldBlock), _) if tier != ReadTier::Disk => Ok(None),
            (Err(Error::FutureSequence { requested, .. }), Reach::Future) if requested.get() == at => {
                Ok(Some(Found::Gone))
            }
            (Ok(_), Reach::Future) => Err(format!("a read at {at}, which has not happened, is answered")),
            (Err(Error::HistoryTruncated { requested, floor }), Reach::Perhaps(limit))
                if requested.get() == at && at < floor.get() && floor.get() <= limit =>
            {
                self.tally.truncated += 1;
                Ok(Some(Found::Gone))
            }
            (Ok(answer), Reach::Certain | Reach::Perhaps(_)) => Ok(Some(Found::Answer(answer))),
            (Err(error), _) => Err(format!("a read at {at} ({reach:?}) fails: {error}")),
        }
    }
}

/// Compares everything in a store, in both directions.
pub(super) fn scan_whole(db: &Db, at: u64, want: &[Record]) -> Result<(), Complaint> {
    let range = Range { from: [].into(), to: None };
    for reverse in [false, true] {
        let found = open_cursor(db, &range, reverse, at, ReadTier::Disk)
            .and_then(|mut cursor| records(&mut cursor, usize::MAX));
        let (mut found, _) = found.map_err(|error| format!("a scan: {error}"))?;
        if reverse {
            found.reverse();
        }
        same_records(&found, want)?;
    }
    Ok(())
}

fn open_cursor(
    db: &Db,
    range: &Range,
    reverse: bool,
    at: u64,
    tier: ReadTier,
) -> fountain_lsm::Result<Cursor> {
    let direction = if reverse { Direction::Reverse } else { Direction::Forward };
    db.cursor(key_range(range), sequence(at), direction, tier)
}

/// Records up to a number, and whether the walk ended before it.
fn records(cursor: &mut Cursor, limit: usize) -> fountain_lsm::Result<(Vec<Record>, bool)> {
    let mut records = Vec::new();
    while records.len() < limit {
        if !cursor.next()? {
            return Ok((records, true));
        }
        records.push((cursor.key().into(), cursor.value().into()));
    }
    Ok((records, false))
}

fn versions(mut cursor: Versions) -> fountain_lsm::Result<Vec<(u64, Option<Bytes>)>> {
    let mut versions = Vec::new();
    while cursor.next()? {
        versions.push((cursor.seq().get(), cursor.value().map(Bytes::from)));
    }
    Ok(versions)
}

fn check_versions(
    key: &[u8],
    found: &[(u64, Option<Bytes>)],
    want: &VersionsWanted,
) -> Result<(), Complaint> {
    let name = brief(key);
    if let Some(pair) = found.windows(2).find(|pair| pair[0].0 <= pair[1].0) {
        return Err(format!("versions of {name} at {} and {} are out of order", pair[0].0, pair[1].0));
    }
    if let Some((seq, value)) = found.iter().find(|version| !want.allowed.contains(version)) {
        return Err(format!("{name} never became {} at {seq}", brief_value(value.as_deref())));
    }
    if let Some((seq, value)) = want.required.iter().find(|version| !found.contains(version)) {
        return Err(format!("the version {} of {name} at {seq} is gone", brief_value(value.as_deref())));
    }
    if !want.is_certain {
        return Ok(());
    }
    same_value(key, found.first().and_then(|(_, value)| value.as_deref()), want.value.as_deref())
}

fn same_value(key: &[u8], found: Option<&[u8]>, want: Option<&[u8]>) -> Result<(), Complaint> {
    if found == want {
        return Ok(());
    }
    Err(format!("{} is {}, expected {}", brief(key), brief_value(found), brief_value(want)))
}

fn same_records(found: &[Record], want: &[Record]) -> Result<(), Complaint> {
    if found == want {
        return Ok(());
    }
    let place = found.iter().zip(want).take_while(|(found, want)| found == want).count();
    let show = |record: Option<&Record>| {
        record.map_or("nothing".to_owned(), |(key, value)| {
            format!("{}={}", brief(key), brief_value(Some(value)))
        })
    };
    let (found_there, wanted_there) = (show(found.get(place)), show(want.get(place)));
    Err(format!("record {place} of a scan is {found_there}, expected {wanted_there}"))
}

/// A key, short enough to read.
fn brief(key: &[u8]) -> String {
    let tail = &key[key.len().saturating_sub(12)..];
    format!("\"{}\"", tail.escape_ascii())
}

fn brief_value(value: Option<&[u8]>) -> String {
    value.map_or("nothing".to_owned(), |value| {
        let head = &value[..value.len().min(4)];
        format!("{} bytes {head:02x?}", value.len())
    })
}
