//! Each rule, broken by one change that a store did not make, made too early or left out.

use std::path::Path;

use super::*;
use crate::crash::config::Config;
use crate::crash::explore::Recording;
use crate::crash::ledger::Ledger;
use crate::crash::script::Script;
use crate::crash::session::Session;
use crate::disk::SimFs;
use crate::model::Model;

/// What a store did to its disk, and the names of the files that it did it to.
struct Life {
    before: Disk,
    ops: Vec<Op>,
    names: Vec<String>,
}

impl Life {
    /// Of a store that does this. The seed is one whose tables are small and whose log has several segments.
    fn of(steps: &str) -> Self {
        let (config, before) = (Config::small(), Disk::default());
        let fs = SimFs::new(before.clone());
        fs.record();
        let mut session = Session::new(&config, fs, Model::default(), &Ledger::default(), 1);
        session.open(&Ledger::default()).unwrap();
        session.run(&steps.parse::<Script>().unwrap().0).unwrap();
        session.end(true).unwrap();
        let recording = Recording::of(session, before.clone(), Ledger::default(), Model::default());
        let (mut disk, mut protocol) = (before.clone(), Protocol::new(&before));
        let mut names = Vec::new();
        for op in &recording.ops {
            names.push(name_of(&protocol, &disk, op));
            protocol.check(&disk, op).unwrap();
            disk.apply(op);
        }
        Self { before, ops: recording.ops, names }
    }

    /// Where a change of a kind is made to a file whose name fits.
    fn at(&self, name: &str, kind: impl Fn(&Op) -> bool) -> impl DoubleEndedIterator<Item = usize> {
        let fits = move |index: &usize| self.names[*index].contains(name) && kind(&self.ops[*index]);
        (0..self.ops.len()).filter(fits)
    }

    /// The rule that is broken when this change is left out.
    fn without(&self, index: usize) -> String {
        let mut ops = self.ops.clone();
        ops.remove(index);
        self.broken_by(&ops)
    }

    /// The rule that is broken when these changes come at the end.
    fn and_then(&self, more: impl FnOnce(&Disk) -> Vec<Op>) -> String {
        let ops = [self.ops.clone(), more(&self.disk())].concat();
        self.broken_by(&ops)
    }

    fn broken_by(&self, ops: &[Op]) -> String {
        let (mut disk, mut protocol) = (self.before.clone(), Protocol::new(&self.before));
        for op in ops {
            if let Err(rule) = protocol.check(&disk, op) {
                return rule;
            }
            disk.apply(op);
        }
        "no rule is broken".to_owned()
    }

    fn disk(&self) -> Disk {
        let mut disk = self.before.clone();
        self.ops.iter().for_each(|op| disk.apply(op));
        disk
    }
}

fn name_of(protocol: &Protocol, disk: &Disk, op: &Op) -> String {
    let of_file = |file| protocol.files.get(file).map_or("", |known| &known.name);
    let name = match op {
        Op::Write { file, .. } | Op::SetLen { file, .. } | Op::Sync { file } => of_file(file),
        Op::Rename { from, .. } => from,
        Op::Create { name, .. } | Op::Remove { name, .. } => name,
        Op::SyncDir { dir } => protocol.name_of(disk, *dir).map_or("", |name| name),
        _ => "",
    };
    name.to_owned()
}

fn is_sync(op: &Op) -> bool {
    matches!(op, Op::Sync { .. } | Op::SyncDir { .. })
}

fn assert_breaks(rule: &str, expected: &str) {
    assert!(rule.contains(expected), "{rule}");
}

/// Where the store lies on a disk, and the first file in one of its directories with such a name.
fn find(disk: &Disk, dir: &str, part: &str) -> (FileId, Name, FileId) {
    let dir = disk.lookup(&Path::new(crate::crash::session::STORE).join(dir)).unwrap();
    let (name, file) = disk.entries(dir).find(|(name, _)| name.contains(part)).unwrap();
    (dir, Name::clone(name), file)
}

fn remove(disk: &Disk, dir: &str, part: &str) -> Vec<Op> {
    let (dir, name, _) = find(disk, dir, part);
    vec![Op::Remove { dir, name }]
}

fn write(file: FileId, at: u64, bytes: &[u8]) -> Vec<Op> {
    vec![Op::Write { file, at, bytes: bytes.into() }]
}

#[test]
fn a_table_is_synced_and_so_is_its_name_before_the_manifest_names_it() {
    let life = Life::of("put flush put flush compact put");
    for index in life.at(".sst", is_sync) {
        assert_breaks(&life.without(index), "the manifest names 0000");
        assert_breaks(&life.without(index), "which is not synced");
    }
    for index in life.at("tables", is_sync) {
        assert_breaks(&life.without(index), ".sst, whose name is not on disk");
    }
    assert!(life.at(".sst", is_sync).count() >= 3 && life.at("tables", is_sync).count() >= 3);
}

#[test]
fn a_segment_is_on_disk_with_its_name_before_a_manifest_names_it_or_a_commit_is_in_it() {
    let life = Life::of("put put flush put");
    let first = life.at("wal", |op| matches!(op, Op::SyncDir { .. })).next().unwrap();
    assert_breaks(&life.without(first), ".wal, whose name is not on disk");
    let mut found = Vec::new();
    for index in life.at("wal", is_sync) {
        found.push(life.without(index));
    }
    for rule in ["is used before its beginning and its name are on disk", "before that is synced to its end"]
    {
        assert!(found.iter().any(|found| found.contains(rule)), "{rule}: {found:?}");
    }
}

#[test]
fn current_is_replaced_by_a_file_that_is_on_disk_and_names_a_manifest_that_is() {
    let life = Life::of("put");
    let temp = life.at("CURRENT.tmp", is_sync).next().unwrap();
    assert_breaks(&life.without(temp), "CURRENT is replaced by a file that is not synced");
    let manifest = life.at("MANIFEST", is_sync).next().unwrap();
    assert_breaks(&life.without(manifest), "CURRENT names MANIFEST-000002, which is not synced");
    let named = life.at("store", is_sync).take_while(|&index| index < temp).last().unwrap();
    assert_breaks(&life.without(named), "CURRENT names MANIFEST-000002, whose name is not on disk");
}

#[test]
fn nothing_is_removed_that_the_manifest_on_disk_needs() {
    let life = Life::of("put flush put");
    for (dir, part) in [("tables", ".sst"), ("wal", ".wal"), ("", "MANIFEST"), ("", "CURRENT")] {
        let rule = life.and_then(|disk| remove(disk, dir, part));
        assert_breaks(&rule, "is removed, but the manifest on disk needs it");
    }
    let life = Life::of("put put flush put");
    let edit = life.at("MANIFEST", is_sync).nth(1).unwrap();
    assert_breaks(&life.without(edit), ".wal is removed, but the manifest on disk needs it");
    let switched = Life::of("put abandon");
    let current = switched.at("CURRENT", |op| matches!(op, Op::Rename { .. })).last().unwrap();
    let settled = switched.at("store", is_sync).find(|&index| index > current).unwrap();
    assert_breaks(&switched.without(settled), "is removed, but the manifest on disk needs it");
}

#[test]
fn an_empty_segment_for_later_and_what_a_checkpoint_left_may_be_removed() {
    let life = Life::of("put checkpoint");
    let rule = life.and_then(|disk| {
        let (dir, ..) = find(disk, "wal", ".wal");
        let (file, name) = (disk.next_id(), Name::from("000900.wal"));
        let mut ops = vec![Op::Create { dir, name: Name::clone(&name) }];
        ops.extend(write(file, 0, &[0; 96]));
        ops.push(Op::Remove { dir, name });
        ops
    });
    assert_eq!(rule, "no rule is broken");
    let named = life.at("copy0.tmp", |op| matches!(op, Op::Rename { .. })).last().unwrap();
    let unfinished = Life { ops: life.ops[..named].to_vec(), before: life.before.clone(), names: Vec::new() };
    let rule = unfinished.and_then(|disk| {
        let dir = disk.lookup(Path::new("/data/copy0.tmp")).unwrap();
        disk.entries(dir)
            .filter(|(_, file)| !disk.is_dir(*file))
            .map(|(name, _)| Op::Remove { dir, name: Name::clone(name) })
            .collect()
    });
    assert_eq!(rule, "no rule is broken");
}

#[test]
fn a_checkpoint_gets_its_name_when_all_of_it_is_on_disk() {
    let life = Life::of("put checkpoint");
    let named = life.at("copy0.tmp", |op| matches!(op, Op::Rename { .. })).last().unwrap();
    let last = life.at("copy0.tmp", is_sync).take_while(|&index| index < named).last().unwrap();
    assert_breaks(&life.without(last), "copy0 gets its name before its CURRENT and its manifest are on disk");
}

#[test]
fn a_number_is_used_once_and_a_finished_table_stays_as_it_is() {
    let life = Life::of("put flush put flush compact");
    let removed = life.at(".sst", |op| matches!(op, Op::Remove { .. })).next().unwrap();
    let again = Name::from(&*life.names[removed]);
    let rule = life.and_then(|disk| vec![Op::Create { dir: find(disk, "tables", ".sst").0, name: again }]);
    assert_breaks(&rule, ".sst was used before");
    let rule = life.and_then(|disk| write(find(disk, "tables", ".sst").2, 0, b"?"));
    assert_breaks(&rule, "is changed after it was finished");
}

#[test]
fn only_edits_are_appended_and_only_to_the_current_manifest() {
    let life = Life::of("put abandon put flush");
    let rule = life.and_then(|disk| {
        let (_, _, file) = find(disk, "", "MANIFEST");
        write(file, disk.bytes(file).unwrap().len() as u64, b"no edit")
    });
    assert_breaks(&rule, "a manifest has no edit at");
    let old = life.ops.iter().zip(&life.names).find_map(|(op, name)| match op {
        Op::Write { file, .. } if name.contains("MANIFEST") => Some(*file),
        _ => None,
    });
    assert_breaks(&life.and_then(|_| write(old.unwrap(), 500, b"x")), "is not the current one");
}

#[test]
fn an_edit_with_a_field_that_nobody_knows_breaks_a_rule() {
    let life = Life::of("put flush");
    let disk = life.disk();
    let (_, _, file) = find(&disk, "", "MANIFEST");
    let mut bytes = disk.bytes(file).unwrap().to_vec();
    let at = bytes.len() as u64;
    // One field, whose tag is 77.
    bytes.extend([0xE1, 1, 9, 0, 1, 0, 0, 0, 0, 77]);
    let place = crc32c::crc32c_append(crc32c::crc32c(&bytes[16..40]), &at.to_le_bytes());
    let crc = crc32c::crc32c_append(place, &bytes[at as usize..]);
    bytes.extend(crc.to_le_bytes());
    assert_breaks(&life.and_then(|_| write(file, at, &bytes[at as usize..])), "cannot be understood");
}

#[test]
fn manifests_of_all_golden_stores_are_read_and_name_the_tables_that_are_there() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lsm/tests/golden/v1");
    let names = |dir: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut tables = 0;
    for store in names(&golden) {
        let store = golden.join(store).join("store");
        let manifest = names(&store).into_iter().find(|name| name.starts_with("MANIFEST")).unwrap();
        let described = Described::written(&std::fs::read(store.join(manifest)).unwrap(), 0).unwrap();
        let mut expected: Vec<String> = described.live().map(|number| format!("{number:06}.sst")).collect();
        let mut found = if store.join("tables").exists() { names(&store.join("tables")) } else { Vec::new() };
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{}", store.display());
        let segment = format!("{:06}.wal", described.log_number.unwrap());
        assert!(names(&store.join("wal")).contains(&segment), "{}", store.display());
        tables += found.len();
    }
    assert!(tables >= 12, "{tables}");
}
