//! The stage itself: every kind of damage is tried, the same case does the same, and what must not be is noticed.

use std::path::Path;
use std::sync::Arc;

use fountain_lsm::planted::{Bug, plant};

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
    let subjects = Subjects::all().unwrap();
    let names: std::collections::BTreeSet<_> =
        subjects.storage.iter().chain(&subjects.documents).map(|subject| &subject.plan.base().name).collect();
    assert_eq!(names.len(), subjects.storage.len() + subjects.documents.len());
    for subject in subjects.storage.iter().chain(&subjects.documents) {
        for number in 0..25 {
            let case = Case::of(subject, vec![spread(number, subject.plan.len())]);
            let again = Case::parse(&subjects, &case.name()).unwrap();
            assert_eq!(again.faults, case.faults);
            assert_eq!(case.check().unwrap(), again.check().unwrap(), "{}", case.name());
        }
    }
    for wrong in ["clean:999999999", "no such store:1"] {
        assert!(Case::parse(&subjects, wrong).is_none());
    }
}

#[test]
fn another_seed_begins_elsewhere_and_asks_more_of_others() {
    let subjects = Subjects::all().unwrap();
    let sampled = |seed: u64| {
        let of = |index| Case { asked: Asked::Some(seed), ..case_of(&subjects, seed, index, 0) };
        let names =
            |cases: Vec<Case<'_>>| cases.iter().map(Case::name).collect::<std::collections::BTreeSet<_>>();
        let singles: Vec<_> = (0..2000).map(of).filter(|case| case.faults.len() == 1).collect();
        let count = singles.len();
        let fixed = (0..2000)
            .map(|number| Case { asked: Asked::Some(seed), ..Case::single(&subjects.storage, number) });
        let salvaged: Vec<_> = fixed.filter(Case::is_salvaged).collect();
        assert!((80..260).contains(&salvaged.len()), "{}", salvaged.len());
        let met = names(singles);
        assert_eq!(met.len(), count, "no fault twice");
        (met, names(salvaged))
    };
    let ((one, salvaged_by_one), (two, salvaged_by_two)) = (sampled(1), sampled(2));
    assert!(one.intersection(&two).count() < 200);
    assert!(salvaged_by_one.intersection(&salvaged_by_two).count() < salvaged_by_one.len() / 4);
}

#[test]
fn undamaged_document_stores_say_what_they_must_and_a_wrong_answer_is_noticed() {
    for (base, mut expected) in golden::documents::all().unwrap() {
        let damaged = Damaged::new(base.files.clone());
        assert_eq!(documents::judge(&expected, &damaged).unwrap(), Verdict::Unaffected, "{}", base.name);
        documents::check_salvage(&base, &expected, &damaged).unwrap();
        // The newest version of a record that is there.
        let mut there = expected.collections.values_mut().filter(|it| it.dropped.is_none() && !it.expires);
        let mut newest = there.by_ref().flat_map(|it| it.records.values_mut()).filter_map(|it| it.last_mut());
        let document = newest.find_map(|(_, document)| document.as_mut());
        let Some(document) = document else { continue };
        document.push(' ');
        assert!(documents::judge(&expected, &damaged).is_err(), "{}", base.name);
        assert!(documents::check_salvage(&base, &expected, &damaged).is_err(), "{}", base.name);
    }
}

#[test]
fn a_salvage_that_is_cut_short_leaves_a_whole_store_or_none() {
    let subjects = Subjects::all().unwrap();
    for seed in 0..60 {
        cut::case(&subjects, seed).unwrap_or_else(|what| panic!("{seed}: {what}"));
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

#[test]
fn of_two_faults_the_one_that_is_enough_is_named() {
    let _planted = plant(Bug::FrameUnchecked);
    let subjects = Subjects::all().unwrap();
    let subject = subjects.named("unclean").unwrap();
    let single = |fault| Case::of(subject, vec![fault]);
    let fails = (0..subject.plan.len()).find(|&fault| single(fault).check().is_err()).unwrap();
    let both = (0..subject.plan.len())
        .filter(|&fault| single(fault).check().is_ok())
        .map(|harmless| Case::of(subject, vec![harmless, fails]))
        .find(|both| both.check().is_err())
        .unwrap();
    let failure = replay(&format!("1:{}", both.name())).unwrap_err();
    assert_eq!(failure.replay, format!("corruption/0000000000000001:{}", single(fails).name()));
}
