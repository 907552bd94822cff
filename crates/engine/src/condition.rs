//! What a write may ask of the record that it replaces, and of the store.

use fountain_lsm::Seq;

use crate::error::{Error, ErrorCode};

/// What must be true of a record for an operation on it to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no record.
    Absent,
    /// There is one, and this commit put it there.
    Sequence(Seq),
}

impl Condition {
    /// Judges the record that is there, by the sequence that put it there.
    pub(crate) fn judge(self, found: Option<Seq>) -> Result<(), Error> {
        let refused = |code, message: String| {
            Err(Error::new(code, message).with(|details| details.found = found.map(Seq::get)))
        };
        match (self, found) {
            (Self::Absent, None) => Ok(()),
            (Self::Sequence(expected), Some(found)) if found == expected => Ok(()),
            (Self::Absent, Some(found)) => {
                let message = format!("there is a record already, put there by commit {found}");
                refused(ErrorCode::Exists, message)
            }
            (Self::Sequence(expected), Some(found)) => refused(
                ErrorCode::Conflict,
                format!("the record is that of commit {found}, not of commit {expected}"),
            ),
            (Self::Sequence(expected), None) => refused(
                ErrorCode::Conflict,
                format!("there is no record, expected that of commit {expected}"),
            ),
        }
    }

    /// Judges a record that an earlier operation of the same commit put or deleted.
    pub(crate) fn judge_own(self, put: bool) -> Result<(), Error> {
        match self {
            Self::Absent if !put => Ok(()),
            Self::Absent => Err(Error::new(ErrorCode::Exists, "the same commit has put the record already")),
            Self::Sequence(_) => {
                Err(Error::new(ErrorCode::Conflict, "the same commit has changed the record already"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Result<(), Error>) -> Option<ErrorCode> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn every_condition_holds_for_one_state_only() {
        let (three, four) = (Seq::new(3).unwrap(), Seq::new(4).unwrap());
        let judge = |condition: Condition, found| code(condition.judge(found));
        assert_eq!(judge(Condition::Absent, None), None);
        assert_eq!(judge(Condition::Absent, Some(three)), Some(ErrorCode::Exists));
        assert_eq!(judge(Condition::Sequence(three), Some(three)), None);
        assert_eq!(judge(Condition::Sequence(three), Some(four)), Some(ErrorCode::Conflict));
        assert_eq!(judge(Condition::Sequence(three), None), Some(ErrorCode::Conflict));
        let error = Condition::Sequence(three).judge(Some(four)).unwrap_err();
        assert_eq!(error.details.found, Some(4));
    }

    #[test]
    fn earlier_operations_of_the_same_commit_count() {
        assert_eq!(code(Condition::Absent.judge_own(false)), None);
        assert_eq!(code(Condition::Absent.judge_own(true)), Some(ErrorCode::Exists));
        let sequence = Condition::Sequence(Seq::ZERO);
        assert_eq!(code(sequence.judge_own(true)), Some(ErrorCode::Conflict));
        assert_eq!(code(sequence.judge_own(false)), Some(ErrorCode::Conflict));
    }
}
