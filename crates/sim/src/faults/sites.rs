//! Every place in the storage engine at which an error of the disk can arrive, found by reading its source.
//!
//! The engine notes at which of these places an error has arrived (`fountain_lsm::sites`). The list does not depend on
//! that: a place that no test ever reaches is on it, and is missed.

use std::fs;
use std::path::{Path, PathBuf};

/// What such a place looks like.
const CALLS: [&str; 5] = ["Error::io(", "Error::sync(", "Error::sync_dir(", "Error::truncate(", "tolerate("];

/// Where the source of the engine is.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lsm/src")
}

/// All places, as the end of a path below `src` and a line.
///
/// # Errors
/// When the source is not there.
pub fn all() -> std::io::Result<Vec<(String, u32)>> {
    let mut places = Vec::new();
    visit(&source(), "", &mut places)?;
    places.sort();
    Ok(places)
}

/// The places at which no error has arrived in this process.
///
/// # Errors
/// When the source is not there.
pub fn missed() -> std::io::Result<Vec<(String, u32)>> {
    let seen = fountain_lsm::sites::seen();
    let is_missed = |(file, line): &(String, u32)| {
        let end = format!("lsm/src/{file}");
        !seen.iter().any(|(path, at)| at == line && path.replace('\\', "/").ends_with(&end))
    };
    Ok(all()?.into_iter().filter(is_missed).collect())
}

fn visit(dir: &Path, prefix: &str, places: &mut Vec<(String, u32)>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if name != "tests" && name != "fuzz_entry" {
                visit(&entry.path(), &format!("{prefix}{name}/"), places)?;
            }
        } else if name.ends_with(".rs") && name != "fuzz.rs" {
            scan(&fs::read_to_string(entry.path())?, &format!("{prefix}{name}"), places);
        }
    }
    Ok(())
}

fn scan(text: &str, file: &str, places: &mut Vec<(String, u32)>) {
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("mod tests") {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        let is_definition = code.contains("fn tolerate") || code.trim_start().starts_with("use ");
        if !is_definition && CALLS.iter().any(|call| code.contains(call)) {
            places.push((file.to_owned(), index as u32 + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_the_engine_is_read() {
        let all = all().unwrap();
        assert!(all.len() > 60, "{} places", all.len());
        for file in ["wal/file.rs", "manifest/log.rs", "db/open.rs", "fs/mod.rs"] {
            assert!(all.iter().any(|(path, _)| path == file), "{file}");
        }
    }

    #[test]
    fn calls_count_and_definitions_comments_and_tests_do_not() {
        let mut places = Vec::new();
        let text = "use x::tolerate;\n// Error::io( here\nfs.open().map_err(|e| Error::io(\"open\"))\ntolerate(x);\nmod tests {\nError::sync(";
        scan(text, "f.rs", &mut places);
        assert_eq!(places, [("f.rs".to_owned(), 3), ("f.rs".to_owned(), 4)]);
    }
}
