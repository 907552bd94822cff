//! The decoders of the two logs: segments of the write-ahead log, and manifests.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{Decoded, Disk, digest};
use crate::batch::{OpKind, WriteBatch};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::files::StorePaths;
use crate::format::{FrameTag, LogKind, LogScan, PREAMBLE_BYTES, Preamble, append_frame};
use crate::fs::Fs;
use crate::manifest::{Edit, ManifestLog, StoreState, load, read_current};
use crate::metrics::Counters;
use crate::range::KeyRange;
use crate::table::TableMeta;
use crate::timeline::{Moment, Stamp};
use crate::types::{FileNumber, Seq, StoreId};
use crate::wal::{Replay, ReplayEnd, WalWriter, replay_segments};

pub(super) const STORE: StoreId = StoreId([0xF5; 16]);
pub(super) const FIRST: FileNumber = FileNumber(1);
pub(super) const SECOND: FileNumber = FileNumber(2);
/// Larger than every body that a mutation makes.
const MAX_BODY_BYTES: usize = 1 << 20;

pub(super) fn paths() -> StorePaths {
    StorePaths::new(Path::new("store"))
}

pub(super) fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap_or(Seq::MAX)
}

fn batches() -> Result<Vec<WriteBatch>> {
    let (mut small, mut large, mut ranges) = (WriteBatch::new(), WriteBatch::new(), WriteBatch::new());
    small.put(b"a", b"1")?;
    for number in 0..20u8 {
        large.put(&[b'k', number], &[number; 40])?;
        large.delete(&[b'd', number])?;
    }
    ranges.delete_range(&KeyRange { start: b"d".to_vec(), end: Some(b"e".to_vec()) })?;
    Ok(vec![small, large, WriteBatch::new(), ranges])
}

/// A log of one segment or, if `rotated`, of two; with `closed`, the second one ends with the record of a clean close.
fn log(rotated: bool, closed: bool) -> Result<Arc<Disk>> {
    let disk = Arc::new(Disk::default());
    let fs = Arc::clone(&disk) as Arc<dyn Fs>;
    let mut wal = WalWriter::create(fs, paths(), STORE, Arc::new(Counters::default()), (FIRST, seq(1)))?;
    let mut last = 0;
    let mut commit = |wal: &mut WalWriter, batch: &WriteBatch| {
        last += 1;
        let stamp = Stamp {
            settled: Timestamp::from_millis(1000 * last),
            at: Timestamp::from_millis(1000 * last + 500),
        };
        wal.encode(batch, seq(last), (last % 3 == 1).then_some(stamp));
        wal.write_out()?;
        // Later frames then vouch for this one.
        wal.file().sync_upto(wal.file().written(), &Counters::default())
    };
    for batch in &batches()? {
        commit(&mut wal, batch)?;
    }
    if !rotated {
        return Ok(disk);
    }
    wal.rotate(SECOND, seq(5))?;
    for batch in &batches()? {
        commit(&mut wal, batch)?;
    }
    if closed {
        wal.encode_clean_close(seq(8));
    }
    wal.write_out()?;
    Ok(disk)
}

pub(super) fn segment(number: FileNumber, closed: bool) -> Result<Vec<u8>> {
    log(true, closed)?.get(&paths().wal(number))
}

pub(super) fn segments() -> Result<Vec<Vec<u8>>> {
    Ok(vec![log(false, false)?.get(&paths().wal(FIRST))?])
}

pub(super) fn sealed_segments() -> Result<Vec<Vec<u8>>> {
    Ok(vec![segment(FIRST, false)?])
}

/// Everything that replay said.
#[derive(Default)]
pub(super) struct Told(pub(super) Vec<String>);

impl Replay for Told {
    fn time(&mut self, seq: Seq, stamp: Stamp) {
        self.0.push(format!("{seq} {stamp:?}"));
    }

    fn op(&mut self, seq: Seq, kind: OpKind, key: &[u8], value: &[u8]) {
        self.0.push(format!("{seq} {kind:?} {key:02x?} {value:02x?}"));
    }

    fn commit(&mut self, seq: Seq) -> Result<()> {
        self.0.push(format!("{seq}"));
        Ok(())
    }
}

fn replayed(disk: &Disk, numbers: &[FileNumber]) -> Decoded {
    let mut told = Told::default();
    let end: ReplayEnd = replay_segments(disk, &paths(), STORE, numbers, Seq::ZERO, &mut told).ok()?;
    Some(digest((told.0, end.last_seq, end.commits, end.clean_close)))
}

pub(super) fn run_segment(input: &[u8]) -> Decoded {
    replayed(&Disk::with(paths().wal(FIRST), input), &[FIRST])
}

pub(super) fn run_sealed_segment(input: &[u8]) -> Decoded {
    static NEXT: OnceLock<Vec<u8>> = OnceLock::new();
    let disk = Disk::with(paths().wal(FIRST), input);
    disk.put(paths().wal(SECOND), NEXT.get_or_init(|| segment(SECOND, true).unwrap_or_default()));
    replayed(&disk, &[FIRST, SECOND])
}

/// The bodies of the frames of a log file, each behind the number of things in it.
fn bodies(file: &[u8], number: FileNumber, kind: LogKind) -> Vec<Vec<u8>> {
    let salt = Preamble { kind, ..Preamble::manifest(STORE, number) }.salt();
    let mut scan = LogScan::new(file, salt, MAX_BODY_BYTES);
    let mut found = Vec::new();
    while let Some(frame) = scan.next() {
        found.push([&[frame.count as u8], frame.body].concat());
    }
    found
}

pub(super) fn commit_bodies() -> Result<Vec<Vec<u8>>> {
    Ok(bodies(&segment(FIRST, false)?, FIRST, LogKind::Wal))
}

pub(super) fn run_commit_body(input: &[u8]) -> Decoded {
    let (&count, body) = input.split_first()?;
    let preamble = Preamble { kind: LogKind::Wal, ..Preamble::manifest(STORE, FIRST) };
    let mut file = preamble.encode().to_vec();
    let head = (FrameTag::Commit, 1, u32::from(count));
    append_frame(&mut file, preamble.salt(), PREAMBLE_BYTES as u64, head, 0, |out| {
        out.extend_from_slice(body);
    });
    run_segment(&file)
}

/// A manifest with several edits.
pub(super) fn manifests() -> Result<Vec<Vec<u8>>> {
    Ok(vec![manifest_disk()?.get(&paths().manifest(FIRST))?])
}

pub(super) fn manifest_disk() -> Result<Arc<Disk>> {
    let disk = Arc::new(Disk::default());
    let state = StoreState { next_file: FileNumber(9), log_number: FileNumber(2), ..StoreState::default() };
    let (fs, counters) = (Arc::clone(&disk) as Arc<dyn Fs>, Arc::new(Counters::default()));
    let mut log = ManifestLog::create(fs, paths(), STORE, counters, FIRST, state)?;
    let meta = |number: u64| TableMeta {
        number: FileNumber(number),
        base: Seq::ZERO,
        size: 1000 * number,
        entries: 100,
        tombstones: 7,
        superseded: 3,
        least_seq: seq(10 * number),
        greatest_seq: seq(10 * number + 9),
        smallest: Box::from(&b"aaa"[..]),
        largest: Box::from(&b"zzz"[..]),
        largest_exclusive: number.is_multiple_of(2),
    };
    let all = KeyRange { start: b"f".to_vec(), end: Some(b"g".to_vec()) };
    let moment = |time, number| Moment { time: Timestamp::from_millis(time), seq: seq(number) };
    let edits = [
        Edit { added: vec![(0, meta(3)), (0, meta(4))], last_seq: Some(seq(50)), ..Edit::default() },
        Edit {
            removed: vec![(0, FileNumber(3))],
            added: vec![(6, meta(5)), (5, meta(6).based_on(seq(48)))],
            ..Edit::default()
        },
        Edit { floors: vec![(all, seq(40))], next_file: Some(FileNumber(12)), ..Edit::default() },
        Edit { moments: vec![moment(3_000, 40), moment(5_000, 50)], ..Edit::default() },
        Edit { log_number: Some(FileNumber(8)), closed_cleanly: true, ..Edit::default() },
    ];
    for edit in &edits {
        log.install(edit, || FileNumber(99))?;
    }
    Ok(disk)
}

pub(super) fn run_manifest(input: &[u8]) -> Decoded {
    static CURRENT: OnceLock<Vec<u8>> = OnceLock::new();
    let named = || manifest_disk().and_then(|disk| disk.get(&paths().current())).unwrap_or_default();
    let disk = Disk::with(paths().manifest(FIRST), input);
    disk.put(paths().current(), CURRENT.get_or_init(named));
    let loaded = load(&disk, &paths()).ok()?;
    Some(digest(format!("{:?} {} {:?}", loaded.store, loaded.number, loaded.state)))
}

pub(super) fn currents() -> Result<Vec<Vec<u8>>> {
    Ok(vec![manifest_disk()?.get(&paths().current())?])
}

pub(super) fn run_current(input: &[u8]) -> Decoded {
    let path = paths().current();
    let disk = Disk::with(path.clone(), input);
    read_current(&disk, &path).ok().map(|number| number.0)
}

pub(super) fn edits() -> Result<Vec<Vec<u8>>> {
    let manifests = manifests()?;
    Ok(manifests.iter().flat_map(|manifest| bodies(manifest, FIRST, LogKind::Manifest)).collect())
}

pub(super) fn run_edit(input: &[u8]) -> Decoded {
    let (&fields, body) = input.split_first()?;
    let edit = Edit::decode(body, u32::from(fields)).ok()?;
    let mut again = Vec::new();
    let count = edit.encode(&mut again);
    assert_eq!(Edit::decode(&again, count).as_ref(), Ok(&edit), "an edit is read as it was written");
    let applied = StoreState::default().apply(edit.clone());
    Some(digest(format!("{edit:?} {applied:?}")))
}

pub(super) fn preambles() -> Result<Vec<Vec<u8>>> {
    let mut found = segments()?;
    for file in &mut found {
        file.truncate(PREAMBLE_BYTES);
    }
    Ok(found)
}

pub(super) fn run_preamble(input: &[u8]) -> Decoded {
    let found = Preamble::decode(Path::new("log"), input, LogKind::Wal, FIRST, Some(STORE)).ok()?;
    Some(digest(format!("{found:?}")))
}

pub(super) fn run_frames(input: &[u8]) -> u64 {
    let mut scan = LogScan::new(input, Preamble::manifest(STORE, FIRST).salt(), MAX_BODY_BYTES);
    let mut found = Vec::new();
    while let Some(frame) = scan.next() {
        found.push(format!("{frame:?}"));
    }
    let _ = scan.end();
    digest(found)
}
