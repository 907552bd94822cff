//! What the catalog promises, on storage in memory.

use fountain_lsm::Durability;

use super::*;
use crate::kv::MemoryKv;

fn commit(kv: &MemoryKv, batch: Batch) {
    kv.commit_many(&[batch], Durability::Memory).unwrap();
}

/// Commits a batch that writes to `ids`, with what the catalog adds to it.
fn write_to(catalog: &Catalog, kv: &MemoryKv, ids: &[CollectionId]) {
    let (mut batch, mut claims) = (Batch::default(), Claims::default());
    catalog.claim(ids, &mut batch, &mut claims);
    if !batch.is_empty() {
        commit(kv, batch);
    }
    catalog.confirm(claims);
}

fn stored(entries: &[(&[u8], &[u8])]) -> Result<Catalog> {
    let kv = MemoryKv::default();
    let mut batch = Batch::default();
    for (key, value) in entries {
        batch.push(&CATALOG, key, Some(value));
    }
    commit(&kv, batch);
    Catalog::load(&kv)
}

#[test]
fn a_name_keeps_its_id_and_is_listed_once_it_is_stored() {
    let kv = MemoryKv::default();
    let catalog = Catalog::load(&kv).unwrap();
    let (b, a) = (catalog.reserve("b").unwrap(), catalog.reserve("a").unwrap());
    assert_eq!((b.get(), a.get(), catalog.reserve("b").unwrap()), (16, 17, b));
    assert!(catalog.stored_names().is_empty());

    write_to(&catalog, &kv, &[a]);
    assert_eq!(catalog.stored_names(), ["a"]);
    write_to(&catalog, &kv, &[a, b]);
    assert_eq!(catalog.stored_names(), ["a", "b"]);

    let again = Catalog::load(&kv.reopen()).unwrap();
    assert_eq!((again.reserve("a").unwrap(), again.reserve("b").unwrap()), (a, b));
    assert_eq!(again.reserve("c").unwrap().get(), 18);
}

#[test]
fn an_id_below_a_stored_one_is_not_given_out_again_after_a_reopen() {
    let kv = MemoryKv::default();
    let catalog = Catalog::load(&kv).unwrap();
    let (_forgotten, kept) = (catalog.reserve("forgotten").unwrap(), catalog.reserve("kept").unwrap());
    write_to(&catalog, &kv, &[kept]);
    let again = Catalog::load(&kv.reopen()).unwrap();
    assert_eq!(again.reserve("other").unwrap().get(), kept.get() + 1);
}

#[test]
fn the_next_id_never_goes_back() {
    let kv = MemoryKv::default();
    let catalog = Catalog::load(&kv).unwrap();
    let (low, high) = (catalog.reserve("low").unwrap(), catalog.reserve("high").unwrap());
    write_to(&catalog, &kv, &[high]);
    write_to(&catalog, &kv, &[low]);
    assert_eq!(Catalog::load(&kv.reopen()).unwrap().reserve("new").unwrap().get(), high.get() + 1);
}

#[test]
fn an_entry_is_carried_once_per_group_and_again_after_a_failed_one() {
    let catalog = Catalog::load(&MemoryKv::default()).unwrap();
    let id = catalog.reserve("a").unwrap();
    let carried = |claims: &mut Claims| {
        let mut batch = Batch::default();
        catalog.claim(&[id, id], &mut batch, claims);
        batch.len()
    };
    let mut failed = Claims::default();
    assert_eq!((carried(&mut failed), carried(&mut failed)), (2, 0));
    drop(failed);
    let mut committed = Claims::default();
    assert_eq!(carried(&mut committed), 2);
    catalog.confirm(committed);
    assert_eq!(carried(&mut Claims::default()), 0);
}

#[test]
fn names_outside_the_rule_are_refused() {
    let longest = "x".repeat(MAX_NAME_CHARS);
    for name in ["a", "A.b_c-9", ".", longest.as_str()] {
        assert!(check_name("a name", name).is_ok(), "{name}");
    }
    let over = "x".repeat(MAX_NAME_CHARS + 1);
    for name in ["", "a b", "a/b", "ä", "a\0", "a\n", over.as_str()] {
        assert_eq!(check_name("a name", name).unwrap_err().code, ErrorCode::InvalidName, "{name:?}");
    }
    assert_eq!(check_name("a name", "ab/").unwrap_err().details.offset, Some(2));
    assert_eq!(check_name("a name", &over).unwrap_err().details.limit, Some(128));
}

#[test]
fn more_collections_than_the_limit_are_refused() {
    let catalog = Catalog::load(&MemoryKv::default()).unwrap();
    for number in 0..MAX_COLLECTIONS {
        catalog.reserve(&number.to_string()).unwrap();
    }
    let error = catalog.reserve("one-more").unwrap_err();
    assert_eq!((error.code, error.details.limit), (ErrorCode::Limit, Some(MAX_COLLECTIONS as u64)));
    assert!(catalog.reserve("0").is_ok());
}

#[test]
fn a_damaged_catalog_is_an_error() {
    let next: &[u8] = &18u32.to_le_bytes();
    assert!(stored(&[(b"\x01a", b"{\"id\":16,\"later\":1}"), (b"\x02", next)]).is_ok());
    let damaged: &[&[(&[u8], &[u8])]] = &[
        &[(b"\x01a", b"{\"id\":16}")],
        &[(b"\x01a", b"{\"id\":18}"), (b"\x02", next)],
        &[(b"\x01a", b"{\"id\":15}"), (b"\x02", next)],
        &[(b"\x01a", b"{\"id\":-1}"), (b"\x02", next)],
        &[(b"\x01a", b"{\"id\":4294967312}"), (b"\x02", next)],
        &[(b"\x01a", b"{"), (b"\x02", next)],
        &[(b"\x01a", b"{\"id\":16}"), (b"\x01b", b"{\"id\":16}"), (b"\x02", next)],
        &[(b"\x01a\xFF", b"{\"id\":16}"), (b"\x02", next)],
        &[(b"\x01", b"{\"id\":16}"), (b"\x02", next)],
        &[(b"\x02", b"\x12\0\0")],
        &[(b"\x03", b"{}")],
        &[(b"\x03\0\0\0\x10x", b"{\"id\":17,\"kind\":\"multi\",\"on\":[\"a\"]}"), (b"\x02", next)],
        &[(b"\x02", &3u32.to_le_bytes())],
    ];
    for entries in damaged {
        assert_eq!(stored(entries).unwrap_err().code, ErrorCode::Corrupt, "{entries:?}");
    }
    assert_eq!(stored(&[(b"\x09", b"")]).unwrap_err().code, ErrorCode::NewerFormat);
}
