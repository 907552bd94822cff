//! The stage that kills needs the real program, since it starts itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn killed_processes_lose_nothing() {
    let program = env!("CARGO_BIN_EXE_fountain-sim");
    let words = ["ci", "--only", "kill", "--budget-seconds", "4", "--json"];
    let run = Command::new(program).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    let report: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(report["stage"], "kill");
    assert!(report["done"].as_u64().unwrap() > 20, "{report}");
}

#[test]
fn a_child_that_cannot_open_its_store_ends_with_the_reason() {
    let program = env!("CARGO_BIN_EXE_fountain-sim");
    let nowhere = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml/store");
    let run = Command::new(program).args(["child", "open", nowhere, "1", "0"]).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("Cargo.toml"));
}
