//! Opening a store with a full log: how often that is read, and the tables that become of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fountain_lsm::{Db, Direction, Durability, Error, KeyRange, Options, WriteBatch};
use support::{Asked, TestFs, fast_dir, files, killed, scan, seq, small};

/// Commits of each kind, in several segments.
const COMMITS: u64 = 2000;

/// A store that died with all of [`COMMITS`] in its log.
fn with_full_log(dir: &Path) {
    let live = dir.join("live");
    let db = Db::open(&live, Options { memtable_bytes: 8 << 20, ..small() }).unwrap();
    for number in 0..COMMITS {
        let mut batch = WriteBatch::new();
        let key = |of: u64| format!("key {:04}", of % 700).into_bytes();
        match number % 50 {
            13 => batch.delete(&key(number * 7)).unwrap(),
            31 => {
                let range = KeyRange { start: key(number), end: Some(key(number + 9)) };
                batch.delete_range(&range).unwrap();
            }
            _ => {
                batch.put(&key(number * 31), &[number as u8; 100]).unwrap();
                batch.put(&key(number * 17 + 1), number.to_string().as_bytes()).unwrap();
            }
        }
        db.commit(batch, Durability::Os).unwrap();
    }
    killed(&live, &dir.join("dead"));
}

/// Everything as it was after some of the commits, and all versions of some keys.
fn dump(db: &Db) -> Vec<(Vec<u8>, Vec<u8>)> {
    assert_eq!(db.visible(), seq(COMMITS));
    let mut found = Vec::new();
    for at in (1..=COMMITS).step_by(333) {
        found.extend(scan(db, KeyRange::default(), seq(at), Direction::Forward));
    }
    found
}

fn parallel() -> Options {
    Options { background: true, ..small() }
}

#[test]
fn what_several_threads_make_of_a_log_is_what_one_makes_of_it() {
    let dir = fast_dir();
    with_full_log(dir.path());
    let (one, several) = (dir.path().join("one"), dir.path().join("several"));
    for copy in [&one, &several] {
        killed(&dir.path().join("dead"), copy);
    }
    let expected = Db::open(&one, small()).unwrap();
    let db = Db::open(&several, parallel()).unwrap();
    assert!(files(&one.join("tables")).len() > 1);
    assert_eq!(db.recovery().replayed_commits, COMMITS);
    assert_eq!(dump(&db), dump(&expected));
    db.verify().unwrap();
    let again = dir.path().join("again");
    killed(&several, &again);
    assert_eq!(dump(&Db::open(&again, small()).unwrap()), dump(&expected));
}

#[test]
fn if_one_of_several_tables_cannot_be_written_all_are_taken_back_and_the_log_still_has_everything() {
    let dir = fast_dir();
    with_full_log(dir.path());
    let (store, sound) = (dir.path().join("store"), dir.path().join("sound"));
    for copy in [&store, &sound] {
        killed(&dir.path().join("dead"), copy);
    }
    let expected = dump(&Db::open(&sound, small()).unwrap());
    for nth in 0..4 {
        let fs = TestFs::new();
        let options = Options { fs: fs.clone(), ..parallel() };
        let count = AtomicUsize::new(0);
        fs.fail_when(move |asked| {
            let is_table = matches!(asked, Asked::Sync(name) if name.ends_with(".sst"));
            (is_table && count.fetch_add(1, Ordering::SeqCst) == nth).then_some(ErrorKind::Other)
        });
        assert!(matches!(Db::open(&store, options).err(), Some(Error::Io { op: "sync", .. })), "{nth}");
        assert_eq!(files(&store.join("tables")), Vec::<std::path::PathBuf>::new(), "{nth}");
    }
    assert_eq!(dump(&Db::open(&store, parallel()).unwrap()), expected);
}

/// How often a segment is opened to be read, per segment.
fn reads(store: &Path, options: Options, look: bool) -> usize {
    let segments = files(&store.join("wal")).len();
    let (fs, count) = (TestFs::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    fs.fail_when(move |asked| {
        let is_log = matches!(asked, Asked::Open(name) if name.ends_with(".wal"));
        counted.fetch_add(usize::from(is_log), Ordering::SeqCst);
        None
    });
    let options = Options { fs, ..options };
    let db = if look {
        let keys = KeyRange { start: b"key 0003".to_vec(), end: Some(b"key 0004".to_vec()) };
        Db::open_if(store, options, &keys, |preview| {
            assert_eq!(preview.sequence(), seq(COMMITS));
            preview.get(b"key 0003").map(|_| ())
        })
    } else {
        Db::open(store, options)
    };
    assert_eq!(db.unwrap().recovery().replayed_commits, COMMITS);
    let count = count.load(Ordering::SeqCst);
    assert_eq!(count % segments, 0);
    count / segments
}

#[test]
fn who_looks_before_a_store_is_changed_has_the_log_read_once_unless_it_is_longer_than_a_few_memtables() {
    let dir = fast_dir();
    with_full_log(dir.path());
    let copy = |name: &str| {
        let copy = dir.path().join(name);
        killed(&dir.path().join("dead"), &copy);
        copy
    };
    let expected = {
        let sound = copy("sound");
        dump(&Db::open(&sound, small()).unwrap())
    };
    // Once for its preamble, and once for all of it.
    let options = || Options { memtable_bytes: 1 << 20, ..small() };
    assert_eq!(reads(&copy("plain"), options(), false), 2);
    assert_eq!(reads(&copy("seen"), options(), true), 2);
    let long = Options { memtable_bytes: 16 << 10, ..small() };
    assert_eq!(reads(&copy("long"), long, true), 4);
    for name in ["plain", "seen", "long"] {
        assert_eq!(dump(&Db::open(&dir.path().join(name), small()).unwrap()), expected, "{name}");
    }
}
