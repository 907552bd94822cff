//! What a child said before it died: which commits it had begun, which had been acknowledged, what it was doing.
//!
//! A child says a thing with one write to a pipe, before it begins a commit and after it was acknowledged. What is in
//! the pipe survives the child.

use std::collections::BTreeMap;

/// One thing that a child says, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Asks for the store.
    Opening,
    /// Has the store.
    Opened,
    /// Begins the commits of a lane up to this one.
    Begun(u8, u64),
    /// The commits of a lane up to this one were acknowledged and survive the process; the last has this sequence.
    Acknowledged(u8, u64, u64),
    /// A checkpoint is complete.
    Copied(u64),
    /// Closes or drops the store.
    Closing,
    /// That is done.
    Closed,
}

impl Word {
    /// The word as a line.
    pub fn to_line(self) -> String {
        match self {
            Self::Opening => "opening\n".to_owned(),
            Self::Opened => "opened\n".to_owned(),
            Self::Begun(lane, k) => format!("begun {lane} {k}\n"),
            Self::Acknowledged(lane, k, seq) => format!("done {lane} {k} {seq}\n"),
            Self::Copied(number) => format!("copied {number}\n"),
            Self::Closing => "closing\n".to_owned(),
            Self::Closed => "closed\n".to_owned(),
        }
    }

    fn read(line: &str) -> Option<Self> {
        let mut parts = line.split(' ');
        let word = parts.next()?;
        let numbers: Vec<u64> = parts.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(match (word, &numbers[..]) {
            ("opening", []) => Self::Opening,
            ("opened", []) => Self::Opened,
            ("begun", &[lane, k]) => Self::Begun(u8::try_from(lane).ok()?, k),
            ("done", &[lane, k, seq]) => Self::Acknowledged(u8::try_from(lane).ok()?, k, seq),
            ("copied", &[number]) => Self::Copied(number),
            ("closing", []) => Self::Closing,
            ("closed", []) => Self::Closed,
            _ => return None,
        })
    }
}

/// What became of the commits of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneLedger {
    /// The last commit that was begun.
    pub begun: u64,
    /// The last commit that was acknowledged and must have survived.
    pub acknowledged: u64,
    /// Some acknowledged commits and their sequences.
    pub sequences: Vec<(u64, u64)>,
}

/// All that a child said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub lanes: BTreeMap<u8, LaneLedger>,
    /// Numbers of checkpoints that are complete.
    pub copied: Vec<u64>,
    /// The last of its words about opening and closing.
    state: Option<Word>,
}

impl Ledger {
    /// Reads the lines of a child. One that the kill cut short was not said.
    pub fn read(said: &str) -> Result<Self, String> {
        let mut ledger = Self::default();
        let complete = said.rsplit_once('\n').map_or("", |(complete, _)| complete);
        for line in complete.lines() {
            let word = Word::read(line).ok_or_else(|| format!("the child said {line:?}"))?;
            match word {
                Word::Begun(lane, k) => ledger.lane(lane).begun = k,
                Word::Acknowledged(lane, k, seq) => {
                    let lane = ledger.lane(lane);
                    lane.acknowledged = k;
                    lane.sequences.push((k, seq));
                }
                Word::Copied(number) => ledger.copied.push(number),
                Word::Opening | Word::Opened | Word::Closing | Word::Closed => ledger.state = Some(word),
            }
        }
        Ok(ledger)
    }

    /// Whether it died between asking for the store and having it.
    pub fn is_opening(&self) -> bool {
        self.state == Some(Word::Opening)
    }

    /// Whether it died while closing or dropping the store.
    pub fn is_closing(&self) -> bool {
        self.state == Some(Word::Closing)
    }

    /// Whether it had the store closed and nothing begun since.
    pub fn is_closed(&self) -> bool {
        self.state == Some(Word::Closed)
    }

    /// Whether it ever had the store.
    pub fn has_opened(&self) -> bool {
        !matches!(self.state, None | Some(Word::Opening)) || !self.lanes.is_empty()
    }

    /// Whether it died with commits begun that were not acknowledged.
    pub fn is_writing(&self) -> bool {
        self.lanes.values().any(|lane| lane.begun > lane.acknowledged)
    }

    /// How many commits were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.lanes.values().map(|lane| lane.acknowledged).sum()
    }

    fn lane(&mut self, lane: u8) -> &mut LaneLedger {
        self.lanes.entry(lane).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read_back_but_for_a_line_cut_short() {
        let words =
            [Word::Opening, Word::Opened, Word::Begun(1, 7), Word::Acknowledged(1, 7, 12), Word::Begun(1, 8)];
        let said: String = words.iter().map(|word| word.to_line()).collect();
        let ledger = Ledger::read(&format!("{said}done 1 8")).unwrap();
        let expected = LaneLedger { begun: 8, acknowledged: 7, sequences: vec![(7, 12)] };
        assert_eq!(ledger.lanes[&1], expected);
        assert!(ledger.is_writing() && ledger.has_opened() && !ledger.is_closed() && !ledger.is_opening());
        assert!(Ledger::read("thread panicked\n").is_err());
        assert_eq!(Ledger::read("").unwrap(), Ledger::default());
    }
}
