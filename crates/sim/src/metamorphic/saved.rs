//! Failing lists as files, so that they are run again for ever.
//!
//! A seed means another list when the generator changes; a saved list stays what it is. They lie in
//! `regressions/lists`, shrunk, with the configuration under which they failed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::storage::config::Config;
use super::storage::list::List;

/// A list that failed once.
pub struct Saved {
    /// The configuration under which it did.
    pub config: Config,
    /// What decided how crashes went.
    pub seed: u64,
    /// The list.
    pub list: List,
}

/// Where saved lists are, if this machine has the sources.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join("lists")
}

impl Saved {
    /// As text, with a line about what went wrong.
    ///
    /// # Errors
    /// Never for a configuration, which is plain data.
    pub fn to_text(&self, complaint: &str) -> serde_json::Result<String> {
        let head = serde_json::to_string(&(&self.config, self.seed))?;
        Ok(format!("# {}\n{head}\n{}", complaint.replace('\n', " "), self.list.to_text()))
    }

    /// From text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn from_text(text: &str) -> serde_json::Result<Self> {
        let text = text.trim_start_matches('\n');
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let mut lines = lines.map(str::to_owned);
        let (config, seed) = serde_json::from_str(&lines.next().unwrap_or_default())?;
        let rest: Vec<String> = lines.collect();
        Ok(Self { config, seed, list: List::from_text(&rest.join("\n"))? })
    }

    /// Writes it beside the others and gives back its name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, name: &str, complaint: &str) -> io::Result<PathBuf> {
        let path = directory().join(format!("{name}.list"));
        fs::create_dir_all(directory())?;
        fs::write(&path, self.to_text(complaint)?)?;
        Ok(path)
    }

    /// Reads one by its name.
    ///
    /// # Errors
    /// When there is no such list or it cannot be read.
    pub fn read(name: &str) -> io::Result<Self> {
        let text = fs::read_to_string(directory().join(format!("{name}.list")))?;
        Ok(Self::from_text(&text)?)
    }
}

/// The names of all saved lists, sorted; none on a machine without the sources.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(directory()).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".list")?.to_owned()))
        .collect();
    names.sort();
    names
}
