//! Golden stores as files, with what they must say beside each.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use twox_hash::XxHash3_64;

use super::maker::Base;
use super::recipes::RECIPES;
use super::truth::Truth;
use crate::Outcome;

/// No golden store is larger.
const MOST_BYTES: usize = 64 << 10;

/// Writes every golden store into a directory of its own below `dir`, where none of them may be yet.
///
/// # Errors
/// When a store cannot be made, is too large, or cannot be written.
pub fn write_all(dir: &Path) -> Outcome<()> {
    for recipe in RECIPES {
        let base = recipe.make()?;
        let bytes: usize = base.files.values().map(|bytes| bytes.len()).sum();
        if bytes > MOST_BYTES {
            return Err(format!("{}: {bytes} bytes", base.name).into());
        }
        write(&base, recipe.about, &dir.join(recipe.name))?;
        println!("{:<12} {bytes:>6} bytes in {:>2} files: {}", recipe.name, base.files.len(), recipe.about);
    }
    Ok(())
}

fn write(base: &Base, about: &str, dir: &Path) -> Outcome<()> {
    if dir.exists() {
        return Err(format!("{} is there already", dir.display()).into());
    }
    for (path, bytes) in &base.files {
        let path = dir.join("store").join(path);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(path, &**bytes)?;
    }
    fs::write(dir.join("expected.json"), format!("{:#}\n", expected(base, about)))?;
    Ok(())
}

/// What the store must say: every version of every key, and all records as of every sequence, values as their digests.
fn expected(base: &Base, about: &str) -> Value {
    let truth = &base.truth;
    let versions = |versions: &Vec<(u64, Option<Vec<u8>>)>| -> Vec<Value> {
        versions.iter().map(|(seq, value)| json!([seq, value.as_deref().map(digest)])).collect()
    };
    let keys: serde_json::Map<_, _> = truth
        .history(truth.newest())
        .iter()
        .map(|(key, history)| (String::from_utf8_lossy(key).into_owned(), json!(versions(history))))
        .collect();
    let states: Vec<_> = (truth.floor..=truth.newest()).map(|at| json!([at, state(truth, at)])).collect();
    json!({
        "about": about,
        "clean": base.clean,
        "sequence": truth.newest(),
        "floor": truth.floor,
        "versions": keys,
        "states": states,
    })
}

/// A digest of all records as of a sequence: each as `key NUL value NUL`.
fn state(truth: &Truth, at: u64) -> String {
    let mut bytes = Vec::new();
    for (key, value) in truth.records(at) {
        bytes.extend_from_slice(&key);
        bytes.push(0);
        bytes.extend_from_slice(&value);
        bytes.push(0);
    }
    digest(&bytes)
}

fn digest(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash3_64::oneshot(bytes))
}
