//! The stage itself: every kind of damage is tried, the same case does the same, and what must not be is noticed.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::golden::named;

#[test]
fn a_leap_through_all_numbers_meets_each_once() {
    let mut met: Vec<_> = (0..1000).map(|index| spread(index, 1000)).collect();
    met.sort_unstable();
    assert_eq!(met, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_sample_of_every_store_is_good_and_named_so_that_it_is_found_again() {
    let plans = plans().unwrap();
    for plan in &plans {
        for number in 0..25 {
            let case = Case { plan, faults: vec![spread(number, plan.len())] };
            let again = Case::parse(&plans, &case.name()).unwrap();
            assert_eq!(again.faults, case.faults);
            assert_eq!(case.check().unwrap(), again.check().unwrap(), "{}", case.name());
        }
    }
    for wrong in ["clean:999999999", "no such store:1"] {
        assert!(Case::parse(&plans, wrong).is_none());
    }
}

#[test]
fn blocks_of_a_table_change_places() {
    let even = even().unwrap();
    let pairs = mutant::block_pairs(&even.files[Path::new("tables/000004.sst")]);
    assert_eq!(pairs.len(), 3);
}

#[test]
fn a_store_that_lost_something_is_not_taken_for_a_good_one() {
    let good = named("unclean").unwrap().make().unwrap();
    let damaged = mutant::Damaged::new(good.files.clone());
    assert_eq!(judge(&good, &damaged).unwrap(), Verdict::Unaffected);
    let mut more = good.clone();
    more.truth.commit(vec![Change::Put(b"lost".to_vec(), b"1".to_vec())]);
    assert!(judge(&more, &damaged).unwrap_err().contains("lost"));
    let mut other = named("unclean").unwrap().make().unwrap();
    other.files.insert("CURRENT".into(), Arc::new(b"nonsense".to_vec()));
    let damaged = mutant::Damaged::new(other.files);
    assert_eq!(judge(&good, &damaged).unwrap(), Verdict::Refused);
    assert!(check_verify(&good, &damaged, Verdict::Refused).is_ok());
}
