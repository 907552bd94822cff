//! Opens a damaged store, reads all of it, and says what became of it.

use std::path::Path;

use fountain_lsm::{
    Db, Direction, Durability, Error, KeyRange, ReadTier, RecoveryReport, Seq, VerifyOptions, verify,
};

use super::mutant::Damaged;
use super::tail::{Left, ends_earlier, only_dead_bytes, what_is_left};
use crate::disk::SimFs;
use crate::golden::{Base, Change, Image, STORE, batch, disk_with, options};

/// What became of a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Opening it failed with an error that says why, and changed nothing.
    Refused,
    /// Reads were right, or failed with an error that says why.
    NoticedByReads,
    /// What was discarded was not needed: everything is there.
    Repaired,
    /// Everything is there, and nothing was noticed.
    Unaffected,
    /// The end of the log is gone, the group of commits that was synced last among it, and recovery says so.
    LostTail,
    /// The log ends earlier, and cannot tell that from a crash: the store is what it was at an earlier commit.
    CutTail,
    /// The checksums had been made right: nothing broke, whatever it said.
    Forged,
}

impl Verdict {
    pub(super) const ALL: [Self; 7] = [
        Self::Refused,
        Self::NoticedByReads,
        Self::Repaired,
        Self::Unaffected,
        Self::LostTail,
        Self::CutTail,
        Self::Forged,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NoticedByReads => "noticed by reads",
            Self::Repaired => "repaired exactly",
            Self::Unaffected => "unaffected",
            Self::LostTail => "ends of logs discarded and reported",
            Self::CutTail => "logs that end earlier",
            Self::Forged => "with right checksums, nothing broke",
        }
    }

    /// How often it is due in a run of 600 s: damage that is always met in the same way proves little.
    pub(super) const fn floor(self) -> u64 {
        match self {
            Self::Refused | Self::NoticedByReads => 60_000,
            Self::Repaired => 500,
            Self::Unaffected => 2_000,
            Self::LostTail => 1_500,
            Self::CutTail => 15,
            Self::Forged => 4_000,
        }
    }
}

/// Judges a damaged store; `Err` says what must not be.
pub(super) fn judge(base: &Base, damaged: &Damaged) -> Result<Verdict, String> {
    let fs = SimFs::new(disk_with(&damaged.files));
    let db = match Db::open(Path::new(STORE), options(&fs)) {
        Ok(db) => db,
        Err(error) => {
            check_refusal(&error)?;
            check_untouched(&fs, &damaged.files)?;
            return Ok(Verdict::Refused);
        }
    };
    if damaged.forged {
        // Whatever it says, it says it without breaking.
        let _ = Reader::of(&db).read_all(base, db.visible().get());
        return Ok(Verdict::Forged);
    }
    let last = db.visible().get();
    let loss = judge_loss(base, damaged, last, db.recovery())?;
    let mut reader = Reader::of(&db);
    reader.read_all(base, last)?;
    if reader.noticed.is_some() {
        return Ok(Verdict::NoticedByReads);
    }
    go_on(base, &fs, db, last)?;
    Ok(loss)
}

/// Whether the newest commit that is left may be that, and what it is called.
fn judge_loss(base: &Base, damaged: &Damaged, last: u64, report: &RecoveryReport) -> Result<Verdict, String> {
    let truth = &base.truth;
    let discarded = !report.discarded.is_empty();
    if last == truth.newest() {
        let noticed = discarded || !report.quarantined.is_empty() || (base.clean && !report.clean);
        return Ok(if noticed { Verdict::Repaired } else { Verdict::Unaffected });
    }
    if last > truth.newest() || base.clean {
        return Err(format!("opened with commit {last} as the newest, not {}", truth.newest()));
    }
    match what_is_left(base, &damaged.files) {
        Left::Ended(left) if left == last => Ok(Verdict::CutTail),
        Left::Torn(left) if left == last && discarded => Ok(Verdict::LostTail),
        left => {
            Err(format!("commits after {last} are lost; allowed: {left:?}; reported: {:?}", report.discarded))
        }
    }
}

pub(super) fn check_refusal(error: &Error) -> Result<(), String> {
    match error {
        Error::Corrupt { .. }
        | Error::Io { .. }
        | Error::Newer { .. }
        | Error::NotAStore { .. }
        | Error::Missing { .. } => Ok(()),
        other => Err(format!("refused for a wrong reason: {other}")),
    }
}

/// A store that was refused is as it was before.
pub(super) fn check_untouched(fs: &SimFs, files: &Image) -> Result<(), String> {
    fs.with_disk(|disk| {
        for (path, bytes) in files {
            let now = disk.lookup(&Path::new(STORE).join(path)).and_then(|file| disk.bytes(file));
            if now.is_none_or(|now| **now != **bytes) {
                return Err(format!("refused, but {} has been changed", path.display()));
            }
        }
        let tables = disk.lookup(&Path::new(STORE).join("tables")).map_or(0, |dir| disk.entries(dir).count());
        let before = files.keys().filter(|path| path.starts_with("tables")).count();
        if tables == before { Ok(()) } else { Err("refused, but tables have been added".to_owned()) }
    })
}

/// Reads everything; what cannot be read must be an error about damage.
struct Reader<'a> {
    db: &'a Db,
    noticed: Option<Error>,
    /// Reads that were answered without a wait for the disk.
    at_once: u64,
}

impl<'a> Reader<'a> {
    const fn of(db: &'a Db) -> Self {
        Self { db, noticed: None, at_once: 0 }
    }

    /// Reads keys from what memory has, that of the system included, one by one and all at once, and all from the disk: the
    /// truth, damage, or that it would have to wait.
    fn read_at_once(&mut self, base: &Base, last: u64) -> Result<(), String> {
        let at = Seq::new(last).unwrap_or(Seq::MAX);
        let history = base.truth.history(last);
        let keys: Vec<&Vec<u8>> = history.keys().collect();
        let expected: Vec<_> =
            history.values().map(|versions| versions.last().and_then(|(_, value)| value.clone())).collect();
        for (key, expected) in keys.iter().zip(&expected) {
            match self.db.get_newest(key, ReadTier::System) {
                Err(Error::WouldBlock) => {}
                found => {
                    self.at_once += 1;
                    let found = found.map(|value| value.map(|value| value.to_vec()));
                    self.compare(found, expected, &format!("at once, the value of {}", key.escape_ascii()))?;
                }
            }
        }
        for tier in [ReadTier::System, ReadTier::Disk] {
            match self.db.get_many(&keys, at, tier) {
                Err(Error::WouldBlock) if tier == ReadTier::System => {}
                found => {
                    let found =
                        found.map(|found| found.into_iter().map(|value| value.map(|value| value.to_vec())));
                    self.compare(
                        found.map(Iterator::collect),
                        &expected,
                        &format!("several keys, {tier:?}"),
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Compares what the store says with the truth as of commit `last`, which is the newest.
    fn read_all(&mut self, base: &Base, last: u64) -> Result<(), String> {
        let truth = &base.truth;
        self.read_at_once(base, last)?;
        let middle = truth.floor.max(last / 2).min(last);
        for (at, direction) in [(last, Direction::Forward), (middle, Direction::Reverse)] {
            let mut expected: Vec<_> = truth.records(at).into_iter().collect();
            if direction == Direction::Reverse {
                expected.reverse();
            }
            let found = self.scan(at, direction);
            self.compare(found, &expected, &format!("the records as of {at}"))?;
        }
        if truth.floor > 0 {
            let early = Seq::new(truth.floor - 1).unwrap_or_default();
            return match self.db.get(b"user/0001", early, ReadTier::Disk) {
                Err(Error::HistoryTruncated { .. }) => Ok(()),
                other => Err(format!("a read before the history floor gave {other:?}")),
            };
        }
        for (key, versions) in truth.history(last) {
            let found = self.versions(key, last);
            self.compare(found, versions, &format!("the versions of {}", key.escape_ascii()))?;
            let expected = versions.last().and_then(|(_, value)| value.clone());
            let found =
                self.db.get_newest(key, ReadTier::Disk).map(|value| value.map(|value| value.to_vec()));
            self.compare(found, &expected, &format!("the value of {}", key.escape_ascii()))?;
        }
        Ok(())
    }

    fn scan(&self, at: u64, direction: Direction) -> fountain_lsm::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let at = Seq::new(at).unwrap_or(Seq::MAX);
        let mut cursor = self.db.cursor(KeyRange::default(), at, direction, ReadTier::Disk)?;
        let mut records = Vec::new();
        while cursor.next()? {
            records.push((cursor.key().to_vec(), cursor.value().to_vec()));
        }
        Ok(records)
    }

    /// The versions of a key, oldest first, without deletions of nothing.
    fn versions(&self, key: &[u8], at: u64) -> fountain_lsm::Result<Vec<(u64, Option<Vec<u8>>)>> {
        let at = Seq::new(at).unwrap_or(Seq::MAX);
        let mut all = Vec::new();
        let mut versions = self.db.versions(key, at, ReadTier::Disk)?;
        while versions.next()? {
            all.push((versions.seq().get(), versions.value().map(<[u8]>::to_vec)));
        }
        all.reverse();
        let mut live = false;
        all.retain(|(_, value)| std::mem::replace(&mut live, value.is_some()) || value.is_some());
        Ok(all)
    }

    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        found: fountain_lsm::Result<T>,
        expected: &T,
        what: &str,
    ) -> Result<(), String> {
        match found {
            Ok(found) if found == *expected => Ok(()),
            Ok(found) => Err(format!("{what}: {found:?}, not {expected:?}")),
            Err(error @ (Error::Corrupt { .. } | Error::Io { .. })) => {
                self.noticed = Some(error);
                Ok(())
            }
            Err(error) => Err(format!("{what}: failed for a wrong reason: {error}")),
        }
    }
}

/// A store that was opened and says the truth takes another commit, closes, opens and still says the truth.
fn go_on(base: &Base, fs: &SimFs, db: Db, last: u64) -> Result<(), String> {
    let failed = |what: &str, error: Error| format!("{what} failed after it was opened: {error}");
    let extra =
        batch(&[Change::Put(b"zz/after".to_vec(), b"1".to_vec())]).map_err(|error| error.to_string())?;
    db.commit(extra, Durability::Disk).map_err(|error| failed("a commit", error))?;
    db.close().map_err(|error| failed("closing", error))?;
    drop(db);
    let db = Db::open(Path::new(STORE), options(fs)).map_err(|error| failed("opening again", error))?;
    if !db.recovery().clean {
        return Err("closed in good order, but opened unclean".to_owned());
    }
    if db.visible().get() != last + 1 {
        return Err(format!("commit {} after commit {last}", db.visible()));
    }
    let at = Seq::new(last).unwrap_or_default();
    if last >= base.truth.floor {
        let mut reader = Reader::of(&db);
        let expected: Vec<_> = base.truth.records(last).into_iter().collect();
        let found = reader.scan(at.get(), Direction::Forward);
        reader.compare(found, &expected, "the records after another commit")?;
        if let Some(error) = reader.noticed {
            return Err(failed("reading again", error));
        }
    }
    Ok(())
}

/// A store that is open finds by itself, too, what reads have noticed.
pub(super) fn check_scrub(damaged: &Damaged, verdict: Verdict) -> Result<(), String> {
    if verdict != Verdict::NoticedByReads {
        return Ok(());
    }
    let fs = SimFs::new(disk_with(&damaged.files));
    let failed =
        |error: Error| format!("a store that opened does not open again, or cannot be read: {error}");
    let db = Db::open(Path::new(STORE), options(&fs)).map_err(failed)?;
    if db.scrub().map_err(failed)?.is_sound() {
        return Err("a scrub found nothing wrong".to_owned());
    }
    Ok(())
}

/// What verification must have to say about a damaged store that was judged so.
pub(super) fn check_verify(base: &Base, damaged: &Damaged, verdict: Verdict) -> Result<(), String> {
    let fs = SimFs::new(disk_with(&damaged.files));
    let verify_options = VerifyOptions { fs: std::sync::Arc::new(fs.clone()), ..VerifyOptions::default() };
    let outcome = verify(Path::new(STORE), &verify_options);
    check_untouched(&fs, &damaged.files)?;
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            check_refusal(&error)?;
            let may = matches!(verdict, Verdict::Refused | Verdict::Forged);
            return if may { Ok(()) } else { Err(format!("verification refused what opens: {error}")) };
        }
    };
    let told = !report.is_sound() || !report.notes.is_empty();
    match verdict {
        Verdict::Forged => Ok(()),
        Verdict::Refused | Verdict::NoticedByReads if report.is_sound() => {
            Err("verification found nothing wrong".to_owned())
        }
        Verdict::LostTail if !told => Err("verification says nothing of a discarded tail".to_owned()),
        _ if told => Ok(()),
        _ if damaged.files == base.files
            || ends_earlier(base, &damaged.files)
            || only_dead_bytes(base, &damaged.files) =>
        {
            Ok(())
        }
        _ => Err("verification found nothing, though bytes that count are others".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::RECIPES;

    #[test]
    fn keys_are_also_read_at_once_from_stores_whose_cache_is_empty() {
        let mut answered = 0;
        for base in RECIPES.iter().map(|recipe| recipe.make().unwrap()) {
            let fs = SimFs::new(disk_with(&base.files));
            let db = Db::open(Path::new(STORE), options(&fs)).unwrap();
            let mut reader = Reader::of(&db);
            reader.read_at_once(&base, base.truth.newest()).unwrap();
            assert!(reader.noticed.is_none(), "{}", base.name);
            answered += reader.at_once;
        }
        assert!(answered > 20, "{answered}");
    }
}
