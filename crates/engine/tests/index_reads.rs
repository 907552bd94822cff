//! Reads of one record through a unique index, beside commits that move its key and drop the index.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::Value;
use fountain_engine::{
    Bounds, CollectionId, Direction, Durability, Error, ErrorCode, IndexDefinition, IndexKind, IndexScan,
    Page, ReadTier, Store, StoreOptions, View, WriteSet,
};

const ROUNDS: u32 = 3000;
/// More than processors, so that they are interrupted in the middle of a read.
const READERS: usize = 4;

fn key(number: u32) -> Vec<u8> {
    encode(&Key::Number(f64::from(number))).unwrap()
}

fn define(store: &Store, collection: CollectionId) {
    let definition = IndexDefinition::new("email", IndexKind::Unique, &["email"]).unwrap();
    store.create_index(collection, definition, Durability::Memory).unwrap();
}

/// Encoded keys of the records that have this mail address now.
fn find(store: &Store, collection: CollectionId, email: &str) -> Result<Vec<Vec<u8>>, Error> {
    let request = IndexScan {
        collection,
        index: "email".to_owned(),
        bounds: Bounds::equal(&[Value::String(email.to_owned())]).unwrap(),
        direction: Direction::Forward,
        at: View::Newest,
        after: None,
        max_records: 10,
        max_bytes: usize::MAX,
    };
    let mut page = Page::new();
    store.scan_index(&request, ReadTier::Disk, &mut page)?;
    Ok(page.records().map(|(key, _)| key.to_vec()).collect())
}

/// Says that it is over when it goes, also by a panic: the readers have to end then, too.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs `read` on some threads until `write` has ended on another.
fn beside(write: impl FnOnce(), read: impl Fn() + Sync) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    read();
                }
            });
        }
        let _done = Done(&done);
        write();
    });
}

fn with_store(run: impl FnOnce(&Store, CollectionId)) {
    let directory = tempfile::TempDir::new().unwrap();
    let options = StoreOptions { memtable_bytes: 1 << 20, ..StoreOptions::default() };
    let store = Store::open(directory.path(), options).unwrap();
    let collection = store.collection("c").unwrap();
    define(&store, collection);
    run(&store, collection);
    store.close().unwrap();
}

fn document(store: &Store, email: &str) -> Vec<u8> {
    let members = vec![("email".to_owned(), Value::String(email.to_owned()))];
    store.encode(&Value::Object(members)).unwrap()
}

#[test]
fn a_key_that_goes_from_record_to_record_always_leads_to_one() {
    with_store(|store, collection| {
        let put = |number: u32| {
            let mut set = WriteSet::new();
            set.delete(collection, &key(number)).unwrap();
            set.put(collection, &key(number + 1), &document(store, "a@example.org")).unwrap();
            store.commit(set, Durability::Memory).unwrap();
        };
        put(0);
        let write = || {
            for number in 1..ROUNDS {
                put(number);
                if number.is_multiple_of(500) {
                    store.flush().unwrap();
                }
            }
        };
        beside(write, || {
            let (before, found) =
                (find(store, collection, "a@example.org"), find(store, collection, "b@example.org"));
            assert_eq!((before.unwrap().len(), found.unwrap().len()), (1, 0));
        });
        assert_eq!(find(store, collection, "a@example.org").unwrap(), [key(ROUNDS)]);
    });
}

#[test]
fn an_index_that_is_dropped_meanwhile_is_an_error_and_not_a_record_that_is_missing() {
    with_store(|store, collection| {
        let mut set = WriteSet::new();
        set.put(collection, &key(1), &document(store, "a@example.org")).unwrap();
        store.commit(set, Durability::Memory).unwrap();
        let write = || {
            for _ in 0..ROUNDS {
                store.drop_index(collection, "email", Durability::Memory).unwrap();
                define(store, collection);
            }
        };
        beside(write, || match find(store, collection, "a@example.org") {
            Ok(found) => assert_eq!(found, [key(1)]),
            Err(error) => {
                assert!(matches!(error.code, ErrorCode::NoIndex | ErrorCode::IndexBuilding), "{error}");
            }
        });
    });
}

#[test]
fn a_key_of_more_values_than_the_index_has_is_refused() {
    with_store(|store, collection| {
        let text = |text: &str| Value::String(text.to_owned());
        let two = [text("a"), text("b")];
        let bounds = [
            Bounds::equal(&two).unwrap(),
            Bounds::prefix(&two[..1], &two[1]).unwrap(),
            Bounds::tuple_range(&[], Bound::Included(&two[..]), Bound::Unbounded).unwrap(),
            Bounds::tuple_range(&[], Bound::Included(&two[..1]), Bound::Excluded(&two[..])).unwrap(),
        ];
        for bounds in bounds {
            let request = IndexScan {
                collection,
                index: "email".to_owned(),
                bounds,
                direction: Direction::Forward,
                at: View::Newest,
                after: None,
                max_records: 10,
                max_bytes: usize::MAX,
            };
            let refused = store.scan_index(&request, ReadTier::Disk, &mut Page::new()).unwrap_err();
            assert_eq!(
                (refused.code, refused.details.index.as_deref()),
                (ErrorCode::InvalidArgument, Some("email"))
            );
        }
    });
}
