//! What a golden document store must say, and where it lies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::recipes::RECIPES;
use crate::Outcome;
use crate::golden::{Base, Image, Truth};

/// The stores of each version of the format, each version in a directory of its own.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/golden");
/// No golden store is larger.
const MOST_BYTES: usize = 64 << 10;

/// The versions of a record, ascending: the sequence of the commit, and the document as JSON, or nothing where it was deleted.
pub type Versions = Vec<(u64, Option<String>)>;

/// What a store must say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Expected {
    /// What is special about it.
    pub about: String,
    /// Whether it was closed in good order.
    pub clean: bool,
    /// The newest sequence.
    pub sequence: u64,
    /// By what time has expired what is said to have, in milliseconds since 1970.
    pub now: u64,
    /// Every collection that there ever was, by its number.
    pub collections: BTreeMap<u32, Collection>,
}

/// What a collection must say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// The commit that made it.
    pub since: u64,
    /// The commit that dropped it.
    pub dropped: Option<u64>,
    /// Only the newest versions of its records are kept.
    pub latest_only: bool,
    /// Its records can expire, so that only the newest state is the same whenever it is read.
    pub expires: bool,
    /// Its records by their keys, which are strings.
    pub records: BTreeMap<String, Versions>,
    /// Those that are there but have expired.
    pub expired: Vec<String>,
    /// For each index the keys of the records that its entries lead to, in its order.
    pub indexes: BTreeMap<String, Vec<String>>,
}

impl Collection {
    /// Whether it is there as of a sequence.
    pub fn is_there(&self, at: u64) -> bool {
        self.since <= at && self.dropped.is_none_or(|dropped| dropped > at)
    }

    /// Its documents as of a sequence, by key.
    pub fn records_at(&self, at: u64) -> BTreeMap<&str, &str> {
        let mut found = BTreeMap::new();
        for (key, versions) in &self.records {
            let newest = versions.iter().rev().find(|(seq, _)| *seq <= at);
            if let Some((_, Some(document))) = newest {
                found.insert(key.as_str(), document.as_str());
            }
        }
        found
    }

    /// As [`Collection::records_at`], without what has expired.
    pub fn live_at(&self, at: u64) -> BTreeMap<&str, &str> {
        let mut live = self.records_at(at);
        live.retain(|key, _| !self.expired.iter().any(|expired| expired == key));
        live
    }
}

/// Every golden document store, as a store whose files can be damaged, and what it must say.
///
/// # Errors
/// When one cannot be read.
pub fn all() -> Outcome<Vec<(Base, Expected)>> {
    let mut found = Vec::new();
    for version in sorted(Path::new(GOLDEN))?.into_iter().filter(|path| path.is_dir()) {
        for store in sorted(&version)? {
            let expected: Expected = serde_json::from_slice(&fs::read(store.join("expected.json"))?)?;
            let mut files = Image::new();
            read_below(&store.join("store"), Path::new(""), &mut files)?;
            let name = store.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (earlier, truth, clean) = (Vec::new(), Truth::default(), expected.clean);
            found.push((Base { name, files, earlier, truth, clean }, expected));
        }
    }
    Ok(found)
}

fn sorted(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn read_below(dir: &Path, name: &Path, files: &mut Image) -> Outcome<()> {
    for path in sorted(dir)? {
        let name = name.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            read_below(&path, &name, files)?;
        } else {
            files.insert(name, Arc::new(fs::read(path)?));
        }
    }
    Ok(())
}

/// Writes every golden document store into a directory of its own below `dir`, where none of them may be yet.
///
/// # Errors
/// When a store cannot be made, does not say what it must, is too large, or cannot be written.
pub fn write_all(dir: &Path) -> Outcome<()> {
    for recipe in RECIPES {
        let (files, expected) = recipe.make().map_err(|error| format!("{}: {error}", recipe.name))?;
        let bytes: usize = files.values().map(|bytes| bytes.len()).sum();
        if bytes > MOST_BYTES {
            return Err(format!("{}: {bytes} bytes", recipe.name).into());
        }
        let place = dir.join(recipe.name);
        if place.exists() {
            return Err(format!("{} is there already", place.display()).into());
        }
        for (path, bytes) in &files {
            let path = place.join("store").join(path);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            fs::write(path, &**bytes)?;
        }
        fs::write(place.join("expected.json"), format!("{:#}\n", serde_json::to_value(&expected)?))?;
        println!("{:<12} {bytes:>6} bytes in {:>2} files: {}", recipe.name, files.len(), recipe.about);
    }
    Ok(())
}
