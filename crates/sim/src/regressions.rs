//! Cases that failed once, one a line in `regressions/seeds.txt`: `ci` replays them before anything else, and `ci` and `soak` add
//! what they find. Lines that begin with `#` are remarks.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The cases that were known when this program was built.
const KNOWN: &str = include_str!("../regressions/seeds.txt");
/// What all cases miss together is no case.
const NO_CASES: [&str; 2] = ["marks/", "planted/"];
/// Nor is what all cases of a stage miss; failures of that kind end so.
pub const NO_CASE: &str = "places";

/// The cases to replay.
pub fn known() -> Vec<&'static str> {
    cases(KNOWN).collect()
}

/// Where the file is, if this machine has the sources.
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join("seeds.txt")
}

fn cases(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Adds a case to the file, unless it is there.
///
/// # Errors
/// When the file cannot be read or written.
pub fn add(file: &Path, case: &str) -> io::Result<()> {
    let is_none = case.ends_with(NO_CASE) || NO_CASES.iter().any(|stage| case.starts_with(stage));
    if is_none || cases(&fs::read_to_string(file)?).any(|known| known == case) {
        return Ok(());
    }
    let mut file = OpenOptions::new().append(true).open(file)?;
    writeln!(file, "{case}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_added_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seeds.txt");
        fs::write(&file, "# a remark\n\n").unwrap();
        for case in ["crash/01:put", "faults/02", "crash/01:put", "marks/03", "faults/04:places"] {
            add(&file, case).unwrap();
        }
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(cases(&text).collect::<Vec<_>>(), ["crash/01:put", "faults/02"]);
        assert!(text.starts_with("# a remark\n"));
    }

    #[test]
    fn every_known_case_names_a_stage() {
        for case in known() {
            let (stage, _) = case.split_once('/').unwrap();
            assert!(crate::stages::named(stage).is_some(), "{case}");
        }
    }
}
