//! Every workload runs on every engine that is built in, on few records, and finds nothing wrong.

use std::time::Duration;

use super::*;
use crate::context::{Settings, Task};
use crate::space::copy_dir;

#[test]
fn every_workload_runs_on_every_engine_and_says_what_it_did() {
    let settings = Settings { keys: 300, limit: Duration::from_millis(20), ..Settings::default() };
    for kind in Kind::ALL {
        for workload in Workload::ALL.iter().filter(|workload| workload.suits(kind)) {
            let dir = tempfile::tempdir().unwrap();
            let task = |name| Task {
                kind: *kind,
                workload,
                round: 0,
                store: dir.path().join(name),
                settings: settings.clone(),
            };
            task("built").load().unwrap();
            if !workload.start.is_empty() {
                copy_dir(&dir.path().join("built"), &dir.path().join("store")).unwrap();
            }
            let rows =
                task("store").measure().unwrap_or_else(|e| panic!("{} on {}: {e}", workload.name, kind.name));
            for row in rows {
                assert!(row.ops > 0 && row.ops_per_s > 0.0 && row.p50 <= row.max, "{row:?}");
                assert!(row.space_amp.unwrap() > 0.0, "{row:?}");
            }
        }
    }
}

#[test]
fn workloads_have_names_of_their_own() {
    let mut names: Vec<_> = Workload::ALL.iter().map(|workload| workload.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Workload::ALL.len());
}
