//! What is done to a store while requests go wrong.
//!
//! A scenario is a line of words, one for each step; which keys and values follows from the place of the word. So a case
//! is repeated from its name.

use fountain_lsm::Durability;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A commit.
    Commit(Change, Durability),
    /// Memtables to tables.
    Flush,
    /// Everything into one sorted run.
    Compact,
    /// One piece of compaction.
    CompactSome,
    /// One piece of flushing, and the beginning of a log segment.
    FlushSome,
    /// Pins the newest sequence.
    Snapshot,
    /// Lets go of all pins.
    Release,
    /// Only the newest versions are kept from now on.
    Latest,
    /// A copy of the store beside it.
    Checkpoint,
    /// No hard links from now on.
    NoLinks,
    /// Sorted records straight into tables.
    Ingest,
    /// Records that are not sorted.
    IngestUnsorted,
    /// Everything is read again and proved.
    Scrub,
    /// Every kind of read.
    Read,
    /// Close, and open again.
    Reopen,
    /// The end of the process without closing, and open again.
    Abandon,
    /// Loss of power, and open again.
    PowerLoss,
    /// The next edit of the manifest finds no space.
    FullManifest,
    /// A second handle is asked for.
    OpenTwice,
    /// Larger memtables and log segments from now on.
    Roomy,
    /// The store is closed, loses the end of its manifest, gets a table that nobody knows, and is opened again.
    TearManifest,
    /// A checkpoint to the place of the next step died half-way.
    LeaveCopy,
    /// The store is closed, verified by somebody who does not open it, and opened again.
    VerifyClosed,
    /// As [`Step::TearManifest`], but the store is not closed, so that its log is not empty.
    TearAbandoned,
    /// The store ends without closing, is salvaged into another, and opened again.
    Salvage,
    /// As [`Step::Salvage`], but meanwhile every table has lost its end.
    SalvageMaimed,
    /// As [`Step::VerifyClosed`], but meanwhile neither `CURRENT` nor a manifest says anything.
    VerifyNameless,
}

/// What a commit changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
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
    /// A value of several blocks.
    Big,
    /// Nothing.
    Empty,
}

const WORDS: [(&str, Step); 27] = [
    ("flush", Step::Flush),
    ("compact", Step::Compact),
    ("step-compact", Step::CompactSome),
    ("step-flush", Step::FlushSome),
    ("snapshot", Step::Snapshot),
    ("release", Step::Release),
    ("latest", Step::Latest),
    ("checkpoint", Step::Checkpoint),
    ("no-links", Step::NoLinks),
    ("ingest", Step::Ingest),
    ("ingest-unsorted", Step::IngestUnsorted),
    ("scrub", Step::Scrub),
    ("read", Step::Read),
    ("reopen", Step::Reopen),
    ("abandon", Step::Abandon),
    ("power-loss", Step::PowerLoss),
    ("full-manifest", Step::FullManifest),
    ("open-twice", Step::OpenTwice),
    ("roomy", Step::Roomy),
    ("tear-manifest", Step::TearManifest),
    ("leave-copy", Step::LeaveCopy),
    ("tear-abandoned", Step::TearAbandoned),
    ("verify-closed", Step::VerifyClosed),
    ("verify-nameless", Step::VerifyNameless),
    ("salvage", Step::Salvage),
    ("salvage-maimed", Step::SalvageMaimed),
    ("empty", Step::Commit(Change::Empty, Durability::Disk)),
];

const CHANGES: [(&str, Change); 6] = [
    ("put", Change::Put),
    ("delete", Change::Delete),
    ("delete-range", Change::DeleteRange),
    ("batch", Change::Batch),
    ("many", Change::Many),
    ("big", Change::Big),
];

const DURABILITIES: [(&str, Durability); 3] =
    [("", Durability::Disk), (".os", Durability::Os), (".memory", Durability::Memory)];

/// The scenarios.
pub const SCENARIOS: [&str; 34] = [
    "put put.os put.memory many delete put delete-range read",
    "many many.os many.memory batch.os put",
    "big put big.os put big read put",
    "put flush put.os flush read",
    "put.os put.memory put flush delete flush compact read",
    "batch flush batch flush delete-range flush put compact read",
    "batch flush many flush put flush delete flush step-compact read step-compact",
    "latest batch flush batch snapshot batch flush compact release put flush compact read",
    "latest batch flush delete-range put flush compact delete flush compact read",
    "put put.os reopen put read reopen",
    "put.os put put.memory abandon read put abandon",
    "put put.os power-loss put read power-loss put",
    "big many power-loss put.os power-loss read",
    "put flush checkpoint put checkpoint",
    "batch flush big checkpoint no-links checkpoint put read",
    "put ingest put read flush ingest read",
    "batch flush ingest put ingest-unsorted ingest compact read",
    "batch flush big flush put scrub read scrub",
    "put full-manifest flush put flush put flush read",
    "full-manifest batch flush power-loss put flush read",
    "4*many.os step-flush put read step-flush put",
    "4*big step-flush 3*put step-flush put.os put read",
    "put open-twice put open-twice read",
    "put empty put.os empty flush empty reopen put",
    "roomy put 2*big put step-flush put put.os read put",
    "put tear-manifest put flush tear-manifest read put",
    "latest 3*batch flush 3*batch flush compact big flush step-compact read",
    "big flush put full-manifest flush abandon big checkpoint ingest compact reopen read",
    "batch flush leave-copy checkpoint put read",
    "put flush put.os big tear-abandoned put read",
    "batch flush put.os verify-closed put flush verify-nameless put read",
    "batch flush put.os big salvage put read",
    "batch flush delete-range put.os salvage-maimed put read",
    "big step-flush put big put.os step-flush flush read",
];

/// The steps of a scenario; `None` if it has a word that is none.
pub fn parse(text: &str) -> Option<Vec<Step>> {
    words(text).iter().map(|word| parse_word(word)).collect()
}

/// The words of a scenario, each once for every time that it is to be done.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split(' ') {
        let counted = word.split_once('*').and_then(|(count, word)| Some((count.parse().ok()?, word)));
        let (count, word) = counted.unwrap_or((1, word));
        words.extend(std::iter::repeat_n(word.to_owned(), count));
    }
    words
}

fn parse_word(word: &str) -> Option<Step> {
    if let Some((_, step)) = WORDS.iter().find(|(name, _)| *name == word) {
        return Some(*step);
    }
    CHANGES.iter().find_map(|(name, change)| {
        let rest = word.strip_prefix(name)?;
        let (_, durability) = DURABILITIES.iter().find(|(suffix, _)| *suffix == rest)?;
        Some(Step::Commit(*change, *durability))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read() {
        for text in SCENARIOS {
            assert!(parse(text).is_some_and(|steps| steps.len() >= 5), "{text}");
        }
        assert_eq!(parse("put dance"), None);
        assert_eq!(parse("2*delete-range.os").map(|steps| steps.len()), Some(2));
    }
}
