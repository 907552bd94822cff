//! Scenarios as text: one word for each step, so that a failure can be repeated from what it printed.

use std::fmt;
use std::str::FromStr;

use crate::random::Random;

/// One step of a scenario. To which collection, with which documents and how durably follows from the seed and the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Documents are put and deleted.
    Put,
    /// Several such commits at once.
    Many,
    /// One commit to both collections.
    Both,
    /// The same as a transaction.
    Transaction,
    /// A document that expires.
    Expiring,
    /// A document whose name another one has, under a unique index: it is refused.
    Clash,
    /// An index is defined, and perhaps waited for.
    Define,
    /// A unique index is defined and waited for.
    Unique,
    /// An index is dropped.
    DropIndex,
    /// A collection is dropped.
    Drop,
    /// The collection whose documents expire is dropped, and made anew with its index.
    Renew,
    /// A collection keeps the newest versions only.
    Latest,
    /// Time passes.
    Wait,
    /// What has expired is deleted.
    Sweep,
    /// Memory to tables.
    Flush,
    /// Tables are merged.
    Compact,
    /// Close, and open again.
    Reopen,
}

const WORDS: [(&str, Word); 17] = [
    ("put", Word::Put),
    ("many", Word::Many),
    ("both", Word::Both),
    ("txn", Word::Transaction),
    ("expiring", Word::Expiring),
    ("clash", Word::Clash),
    ("define", Word::Define),
    ("unique", Word::Unique),
    ("drop-index", Word::DropIndex),
    ("drop", Word::Drop),
    ("renew", Word::Renew),
    ("latest", Word::Latest),
    ("wait", Word::Wait),
    ("sweep", Word::Sweep),
    ("flush", Word::Flush),
    ("compact", Word::Compact),
    ("reopen", Word::Reopen),
];

impl Word {
    /// One by chance.
    pub(super) fn random(random: &mut Random) -> Self {
        random.pick(&WORDS).1
    }
}

/// The steps of a scenario, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Script(pub(super) Vec<Word>);

impl Script {
    /// The one of a seed. Each uses only some kinds of steps, so that what is rare beside others gets its turn.
    pub(super) fn random(seed: u64) -> Self {
        let mut random = Random::nth(seed, 0xDC);
        let kinds: Vec<_> = (0..random.within(3..8)).map(|_| Word::random(&mut random)).collect();
        let len = random.within(6..14);
        let word = |random: &mut Random| if random.one_in(3) { Word::Put } else { *random.pick(&kinds) };
        Self((0..len).map(|_| word(&mut random)).collect())
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |word: &Word| WORDS.iter().find(|(_, known)| known == word).map_or("", |(text, _)| text);
        f.write_str(&self.0.iter().map(text).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = |text: &str| {
            let known = WORDS.iter().find(|(known, _)| *known == text);
            known.map(|(_, word)| *word).ok_or_else(|| format!("there is no step '{text}'"))
        };
        text.split(',').filter(|text| !text.is_empty()).map(word).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_read_back_from_its_word() {
        let all = Script(WORDS.iter().map(|(_, word)| *word).collect());
        assert_eq!(all.to_string().parse::<Script>().unwrap(), all);
        assert!("put,dance".parse::<Script>().is_err());
    }
}
