//! Scenarios as text: one word for each step, so that a failure can be repeated years later from what it printed.
//!
//! A word says what is done; with which keys and values follows from the seed and the place of the word.

use std::fmt;
use std::str::FromStr;

use fountain_lsm::Durability;

/// One step of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A commit of one kind with one durability.
    Commit(Commit, Durability),
    /// Memtables to tables.
    Flush,
    /// Everything into one sorted run.
    Compact,
    /// A range of keys into one sorted run.
    CompactRange,
    /// Pins the newest sequence.
    Snapshot,
    /// Lets go of the oldest pin.
    Release,
    /// A copy of the store beside it.
    Checkpoint,
    /// Sorted records straight into tables.
    Ingest,
    /// Close, and open again.
    Reopen,
    /// The end of the process without closing, and open again.
    Abandon,
    /// One piece of background work: the beginning of a log segment, and the oldest full memtable to a table.
    StepFlush,
    /// One piece of background work: the most urgent compaction.
    StepCompact,
    /// Another retention for some keys.
    Retain(Keep),
}

/// What a commit changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// A value for a key.
    Put,
    /// A key goes.
    Delete,
    /// A range of keys goes, and one of them comes back.
    DeleteRange,
    /// Several changes at once.
    Batch,
    /// Several commits at once.
    Many,
    /// A value of several blocks and more than a log segment.
    Big,
    /// Nothing.
    Empty,
}

/// A retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The newest version only.
    Latest,
    /// Two versions.
    Two,
    /// From the newest sequence of that moment on.
    Since,
    /// What is not older than a few seconds.
    Age,
}

const STEPS: [(&str, Step); 15] = [
    ("flush", Step::Flush),
    ("compact", Step::Compact),
    ("compact-range", Step::CompactRange),
    ("snapshot", Step::Snapshot),
    ("release", Step::Release),
    ("checkpoint", Step::Checkpoint),
    ("ingest", Step::Ingest),
    ("reopen", Step::Reopen),
    ("abandon", Step::Abandon),
    ("latest", Step::Retain(Keep::Latest)),
    ("two", Step::Retain(Keep::Two)),
    ("since", Step::Retain(Keep::Since)),
    ("age", Step::Retain(Keep::Age)),
    ("step-flush", Step::StepFlush),
    ("step-compact", Step::StepCompact),
];

const COMMITS: [(&str, Commit); 7] = [
    ("put", Commit::Put),
    ("delete", Commit::Delete),
    ("delete-range", Commit::DeleteRange),
    ("batch", Commit::Batch),
    ("many", Commit::Many),
    ("big", Commit::Big),
    ("empty", Commit::Empty),
];

const DURABILITIES: [(&str, Durability); 3] =
    [("", Durability::Disk), (".os", Durability::Os), (".memory", Durability::Memory)];

impl Step {
    /// Every step there is.
    pub fn all() -> Vec<Self> {
        let commits = COMMITS.iter().flat_map(|(_, commit)| {
            DURABILITIES.iter().map(|(_, durability)| Self::Commit(*commit, *durability))
        });
        STEPS.iter().map(|(_, step)| *step).chain(commits).collect()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Commit(commit, durability) = self {
            let commit = COMMITS.iter().find(|(_, known)| known == commit);
            let durability = DURABILITIES.iter().find(|(_, known)| known == durability);
            let (word, suffix) = commit.zip(durability).map_or(("", ""), |(word, suffix)| (word.0, suffix.0));
            return write!(f, "{word}{suffix}");
        }
        f.write_str(STEPS.iter().find(|(_, known)| known == self).map_or("", |(word, _)| word))
    }
}

/// The steps of a scenario, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(pub Vec<Step>);

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(","))
    }
}

impl FromStr for Script {
    type Err = String;

    /// Words separated by commas or white space; `3*put` stands for three times the word.
    fn from_str(text: &str) -> Result<Self, String> {
        let all = Step::all();
        let mut steps = Vec::new();
        for word in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()) {
            let (count, word) = word.split_once('*').unwrap_or(("1", word));
            let count: usize = count.parse().map_err(|_| format!("'{count}' is not a number"))?;
            let step = all.iter().find(|step| step.to_string() == word);
            let step = *step.ok_or_else(|| format!("there is no step '{word}'"))?;
            steps.extend(std::iter::repeat_n(step, count));
        }
        Ok(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_read_back_from_its_word() {
        let script = Script(Step::all());
        assert_eq!(script.to_string().parse::<Script>().unwrap(), script);
        assert_eq!(script.0.len(), 36);
        let repeated: Script = "2*put.os flush,".parse().unwrap();
        assert_eq!(repeated.to_string(), "put.os,put.os,flush");
        assert!("2*dance".parse::<Script>().is_err());
    }
}
