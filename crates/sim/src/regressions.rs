//! Cases that failed once, one a line in `regressions/seeds.txt`: `ci` replays them before anything else, and `soak` adds
//! what it finds. Lines that begin with `#` are remarks.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The cases that were known when this program was built.
const KNOWN: &str = include_str!("../regressions/seeds.txt");
/// What all stages miss together is no case.
const NO_CASES: &str = "marks/";

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
    if case.starts_with(NO_CASES) || cases(&fs::read_to_string(file)?).any(|known| known == case) {
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
        for case in ["crash/01:put", "faults/02", "crash/01:put", "marks/03"] {
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
