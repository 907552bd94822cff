//! Golden tests of the picker: `testdata/*.txt` hold stores as text and the task that is expected for each.
//!
//! A case begins with `== name`. Then come, in any order:
//! - `L5 12:800 c..f 3-40 100/60/20`: table 12 of level 5 with 800 bytes, the keys c to f, the sequences 3 to 40, and,
//!   if said, 100 versions of which 60 are tombstones and 20 are superseded by newer ones of their keys. The latter have
//!   their share of the bytes, or as many as a fourth number says. `del c..f@30` at the end of the line is the deletion of a
//!   range at 30 in the table;
//! - `base 1000`: bytes that level 0 delivers at once; `newest 90`; `pins 3 7`; `compress`, `compress above the bottom`;
//! - `retain latest`, `retain since 50`, `retain versions 3`, each also for some keys: `retain latest c..f` (f excluded);
//! - `range c..f`: asks for the task of a range (f excluded) instead of the most urgent one.
//!
//! A line that begins with `>` is the answer. With `REWRITE_GOLDEN=1` in the environment the answers are rewritten, to
//! be read in the diff.

use std::fmt::Write;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Needed, Packing, Picker, Task};
use crate::cache::BlockCache;
use crate::fs::RealFs;
use crate::manifest::Version;
use crate::range::KeyRange;
use crate::retention::{Retention, RetentionRules};
use crate::table::{Compression, Table, TableMeta, TableWriter};
use crate::tombstones::RangeTombstones;
use crate::types::{FileNumber, Kind, Seq, StoreId, Trailer};

const STORE: StoreId = StoreId([3; 16]);

/// A store as a case describes it.
struct Case {
    tables: Vec<(usize, Described)>,
    base_bytes: u64,
    rules: RetentionRules,
    needed: Needed,
    packing: Packing,
    range: Option<KeyRange>,
}

/// A table as a line describes it.
struct Described {
    meta: TableMeta,
    history_bytes: u64,
    deleted: RangeTombstones,
}

/// One real table, from which tables with any description are made: the picker looks at nothing else.
struct Template {
    path: PathBuf,
    meta: TableMeta,
    _dir: tempfile::TempDir,
}

impl Template {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let mut writer =
            TableWriter::create(&RealFs, path.clone(), STORE, FileNumber(1), Compression::None).unwrap();
        writer.add(b"k", Trailer::new(seq("1"), Kind::Put), b"").unwrap();
        Self { path, meta: writer.finish().unwrap(), _dir: dir }
    }

    fn table(&self, described: &Described) -> Arc<Table> {
        let meta = &described.meta;
        let cache = Arc::new(BlockCache::new(0));
        let real = Table::open(&RealFs, self.path.clone(), STORE, self.meta.clone(), cache).unwrap();
        Arc::new(real.described_as(meta.clone(), described.history_bytes, described.deleted.clone()))
    }
}

impl Case {
    fn new() -> Self {
        Self {
            tables: Vec::new(),
            base_bytes: 1000,
            rules: RetentionRules::default(),
            needed: Needed { pins: Vec::new(), newest: seq("1000") },
            packing: Packing { lower: Compression::None, bottom: Compression::None },
            range: None,
        }
    }

    /// Takes one line; false if it cannot be understood.
    fn take(&mut self, template: &TableMeta, line: &str) -> bool {
        let words: Vec<&str> = line.split_whitespace().collect();
        match &words[..] {
            ["base", bytes] => self.base_bytes = bytes.parse().unwrap(),
            ["newest", number] => self.needed.newest = seq(number),
            ["pins", pins @ ..] => self.needed.pins = pins.iter().copied().map(seq).collect(),
            ["compress"] => self.packing = Packing { lower: Compression::Lz4, bottom: Compression::Lz4 },
            ["compress", "above", "the", "bottom"] => self.packing.lower = Compression::Lz4,
            ["range", keys] => self.range = Some(range(keys)),
            ["retain", what @ ..] => self.retain(what),
            [level, name, keys, seqs, rest @ ..] if level.starts_with('L') => {
                let (counts, deleted) = match rest {
                    [rest @ .., "del", deleted] => (rest, deletion(deleted)),
                    rest => (rest, RangeTombstones::default()),
                };
                let (meta, history_bytes) = described(template, name, keys, seqs, counts.first().copied());
                let described = Described { meta, history_bytes, deleted };
                self.tables.push((level[1..].parse().unwrap(), described));
            }
            _ => return false,
        }
        true
    }

    fn retain(&mut self, what: &[&str]) {
        let (retention, rest) = match what {
            ["latest", rest @ ..] => (Retention::LatestOnly, rest),
            ["since", number, rest @ ..] => (Retention::Since(seq(number)), rest),
            ["versions", count, rest @ ..] => {
                (Retention::Versions(count.parse::<NonZeroU32>().unwrap()), rest)
            }
            _ => panic!("no such retention: {what:?}"),
        };
        self.rules.set(&rest.first().map_or_else(KeyRange::default, |keys| range(keys)), retention);
    }

    fn answer(&self, template: &Template) -> String {
        let version = Version::new(self.tables.iter().map(|(level, table)| (*level, template.table(table))));
        let picker = Picker::new(&version, self.base_bytes, &self.rules, &self.needed, self.packing);
        let task = match &self.range {
            Some(range) => picker.pick_range(range),
            None => picker.pick(),
        };
        task.map_or_else(|| "nothing".to_owned(), |task| told(&task))
    }
}

fn seq(text: &str) -> Seq {
    Seq::new(text.parse().unwrap()).unwrap()
}

/// `c..f` with f excluded; either side may be missing.
fn range(text: &str) -> KeyRange {
    let (start, end) = text.split_once("..").unwrap();
    let end = (!end.is_empty()).then(|| end.as_bytes().to_vec());
    KeyRange { start: start.as_bytes().to_vec(), end }
}

/// `c..f@30`, f excluded.
fn deletion(text: &str) -> RangeTombstones {
    let (keys, number) = text.split_once('@').unwrap();
    let range = range(keys);
    RangeTombstones::one(&range.start, &range.end.unwrap(), seq(number))
}

fn described(
    template: &TableMeta,
    name: &str,
    keys: &str,
    seqs: &str,
    counts: Option<&str>,
) -> (TableMeta, u64) {
    let (number, size) = name.split_once(':').unwrap();
    let (smallest, largest) = keys.split_once("..").unwrap();
    let (least, greatest) = seqs.split_once('-').unwrap();
    let counts: Vec<u64> =
        counts.unwrap_or("100/0/0").split('/').map(|count| count.parse().unwrap()).collect();
    let size = size.parse().unwrap();
    let (entries, tombstones, superseded, history_bytes) = match counts[..] {
        [entries, tombstones, superseded] => {
            (entries, tombstones, superseded, size * superseded / entries.max(1))
        }
        [entries, tombstones, superseded, bytes] => (entries, tombstones, superseded, bytes),
        _ => panic!("three or four counts, not {counts:?}"),
    };
    let meta = TableMeta {
        number: FileNumber(number.parse().unwrap()),
        size,
        entries,
        tombstones,
        superseded,
        least_seq: seq(least),
        greatest_seq: seq(greatest),
        smallest: Box::from(smallest.as_bytes()),
        largest: Box::from(largest.as_bytes()),
        ..template.clone()
    };
    (meta, history_bytes)
}

/// A task as the files write it: `merge into L6: L0 9 8 7, L6 3`.
fn told(task: &Task) -> String {
    let verb = if task.trivial_move { "move" } else { "merge" };
    let mut text = format!("{verb} into L{}:", task.target);
    let mut last = None;
    for (level, table) in &task.inputs {
        if last.replace(level) != Some(level) {
            let comma = if text.ends_with(':') { "" } else { "," };
            write!(text, "{comma} L{level}").unwrap();
        }
        write!(text, " {}", table.meta().number.0).unwrap();
    }
    text
}

/// The file with the answers that the picker gives now, and how many there are.
fn answered(path: &Path, text: &str, template: &Template) -> (String, usize) {
    let (mut out, mut case, mut answers) = (String::new(), Case::new(), 0);
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("==") {
            case = Case::new();
        } else if line.starts_with('>') {
            answers += 1;
            writeln!(out, "> {}", case.answer(template)).unwrap();
            continue;
        } else if !line.is_empty() && !line.starts_with('#') {
            let understood = case.take(&template.meta, line);
            assert!(understood, "{}:{}: cannot be read: {line}", path.display(), index + 1);
        }
        writeln!(out, "{line}").unwrap();
    }
    (out, answers)
}

#[test]
fn the_picker_answers_as_the_golden_files_say() {
    let template = Template::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compaction/testdata");
    let mut total = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let expected = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        let (found, answers) = answered(&path, &expected, &template);
        total += answers;
        if std::env::var_os("REWRITE_GOLDEN").is_some() {
            std::fs::write(&path, &found).unwrap();
            continue;
        }
        for (index, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
            assert_eq!(found, expected, "{}:{}", path.display(), index + 1);
        }
    }
    assert!(total >= 30, "the files hold {total} cases");
}
