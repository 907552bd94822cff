//! What has been promised at a moment: the durability ledger.

use fountain_lsm::Durability;

use super::past::Floors;

/// Something that happened between two changes of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Commits up to this sequence are about to be made; they may or may not survive a crash from now on.
    Begun(u64),
    /// Everything up to this sequence was acknowledged with this durability.
    Acknowledged(u64, Durability),
    /// The store was opened and showed everything up to this sequence.
    Opened(u64),
    /// The store was closed in good order.
    Closed,
    /// From now on the past may be gone up to here.
    Forgets(Floors),
    /// What time it is, in milliseconds.
    Time(u64),
    /// The clock was set back.
    ClockBack,
    /// A checkpoint with this number was begun.
    CheckpointBegun(usize),
    /// The checkpoint is complete, up to this sequence.
    CheckpointDone(usize, u64),
}

/// A checkpoint that may or must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its number.
    pub number: usize,
    /// The least sequence that it may hold.
    pub least: u64,
    /// Set when it is complete: exactly this sequence.
    pub done: Option<u64>,
}

/// What a crash at this moment must and may leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Survives the loss of power.
    pub disk: u64,
    /// Survives the end of the process.
    pub os: u64,
    /// The last commit that was begun: nothing after it can be there.
    pub begun: u64,
    /// Closed in good order, and nothing happened since.
    pub clean: bool,
    /// The store has been opened before, so it must be there.
    pub created: bool,
    /// Up to here the past may be gone.
    pub floors: Floors,
    /// The last time that is known, in milliseconds: whoever comes later finds the clock at or after it.
    pub now: u64,
    /// The clock was set back once, and what the store says of times is not certain any more.
    pub clock_was_back: bool,
    /// The checkpoints.
    pub checkpoints: Vec<Promise>,
}

impl Mark {
    /// Whether it changes neither what must nor what may be there.
    pub const fn promises_nothing(&self) -> bool {
        matches!(self, Self::Forgets(_) | Self::Time(_) | Self::ClockBack)
    }
}

impl Ledger {
    /// Takes note of something.
    pub fn note(&mut self, mark: &Mark) {
        match *mark {
            Mark::Begun(upto) => (self.begun, self.clean) = (upto, false),
            Mark::Acknowledged(upto, durability) => {
                if durability >= Durability::Os {
                    self.os = self.os.max(upto);
                }
                if durability == Durability::Disk {
                    self.disk = self.disk.max(upto);
                }
            }
            Mark::Opened(seq) => {
                (self.disk, self.os, self.begun) = (seq, seq, seq);
                (self.clean, self.created) = (false, true);
                self.floors = self.floors.lowered(seq);
            }
            Mark::Forgets(floors) => self.floors = floors,
            Mark::Time(now) => self.now = self.now.max(now),
            Mark::ClockBack => self.clock_was_back = true,
            Mark::Closed => self.clean = true,
            Mark::CheckpointBegun(number) => {
                self.checkpoints.retain(|promise| promise.number != number);
                // What was visible is in it, and a checkpoint makes that durable on the way.
                self.checkpoints.push(Promise { number, least: self.begun, done: None });
            }
            Mark::CheckpointDone(number, seq) => {
                for promise in self.checkpoints.iter_mut().filter(|promise| promise.number == number) {
                    promise.done = Some(seq);
                }
            }
        }
    }

    /// What is promised to those who come after a crash. The end of the process loses less than that of the machine.
    #[must_use]
    pub fn after_crash(&self, is_kill: bool) -> Self {
        let least = if is_kill { self.os.max(self.disk) } else { self.disk };
        Self { disk: self.disk, os: least, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_promises_as_much_as_it_says() {
        let mut ledger = Ledger::default();
        ledger.note(&Mark::Opened(0));
        for (upto, durability) in [(1, Durability::Disk), (2, Durability::Os), (3, Durability::Memory)] {
            ledger.note(&Mark::Begun(upto));
            ledger.note(&Mark::Acknowledged(upto, durability));
        }
        assert_eq!((ledger.disk, ledger.os, ledger.begun), (1, 2, 3));
        assert_eq!((ledger.after_crash(true).os, ledger.after_crash(false).os), (2, 1));
    }

    #[test]
    fn what_a_reader_could_see_after_opening_is_promised() {
        let mut ledger = Ledger { disk: 1, os: 4, begun: 6, ..Ledger::default() };
        ledger.note(&Mark::Opened(5));
        assert_eq!((ledger.disk, ledger.begun), (5, 5));
    }
}
