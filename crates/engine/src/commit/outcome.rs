//! From what storage said of the parts of a group to the answer of each submission.
//!
//! The staged commits of a group are numbered in their order, over all its parts. Those of one submission follow each other
//! there, but may lie in several parts, of which storage may have taken some and not others.

use std::ops::Range;

use fountain_lsm::{Seq, SeqRange};

use super::{Committed, Refused};
use crate::error::{Error, ErrorCode, Result};

/// What storage was asked for so far, part by part.
#[derive(Default)]
pub(super) struct Parts(Vec<Part>);

struct Part {
    /// Numbers of its commits.
    commits: Range<usize>,
    outcome: Result<SeqRange>,
}

impl Parts {
    /// How many commits they have.
    pub fn commits(&self) -> usize {
        self.0.last().map_or(0, |part| part.commits.end)
    }

    /// Adds the outcome of the next commits.
    pub fn push(&mut self, commits: usize, outcome: Result<SeqRange>) {
        let start = self.commits();
        self.0.push(Part { commits: start..start + commits, outcome });
    }

    /// The parts in which some of these commits are, with the numbers of those.
    fn within(&self, commits: Range<usize>) -> impl Iterator<Item = (Range<usize>, &Part)> {
        let own = move |part: &Part| part.commits.start.max(commits.start)..part.commits.end.min(commits.end);
        self.0.iter().map(move |part| (own(part), part)).filter(|(own, _)| !own.is_empty())
    }
}

/// What became of one submission before storage was asked.
pub(super) struct Admitted {
    /// The newest sequence before it.
    pub newest: Seq,
    /// Number of its first staged commit.
    pub start: usize,
    /// How many were staged.
    pub accepted: usize,
    /// The others.
    pub refused: Vec<Refused>,
}

impl Admitted {
    /// The answer, when storage has said what became of the parts. If it took none of the commits, its error is that of all;
    /// if it took some, it is that of the others.
    pub fn answer(self, parts: &Parts) -> Result<Committed> {
        let Self { newest, start, accepted, refused } = self;
        let mut committed = Committed { first: newest, accepted: 0, refused };
        let mut failed = Vec::new();
        for (own, part) in parts.within(start..start + accepted) {
            match &part.outcome {
                Ok(range) => {
                    let first = range.first.checked_add((own.start - part.commits.start) as u64);
                    let last = range.first.checked_add((own.end - 1 - part.commits.start) as u64);
                    let (Some(first), Some(last)) = (first, last) else { return Err(too_few()) };
                    if committed.accepted == 0 {
                        committed.first = first;
                    }
                    let follows = committed.first.checked_add(committed.accepted as u64) == Some(first);
                    if last > range.last || !follows {
                        return Err(too_few());
                    }
                    committed.accepted += own.len();
                }
                Err(error) => failed.push((own.start - start..own.end - start, error)),
            }
        }
        match failed.first() {
            Some((_, error)) if committed.accepted == 0 => return Err((*error).clone()),
            Some(_) => committed.refused = with_failed(committed.refused, accepted, &failed),
            None => {}
        }
        Ok(committed)
    }
}

/// Adds to the refused commits of a submission those of its staged ones that storage failed to take.
fn with_failed(refused: Vec<Refused>, staged: usize, failed: &[(Range<usize>, &Error)]) -> Vec<Refused> {
    let count = staged + refused.len();
    let (mut before, mut all) = (refused.into_iter().peekable(), Vec::new());
    let mut number = 0;
    for place in 0..count {
        if let Some(refused) = before.next_if(|refused| refused.place == place) {
            all.push(refused);
            continue;
        }
        let why = failed.iter().find(|(numbers, _)| numbers.contains(&number));
        all.extend(why.map(|(_, error)| Refused { place, error: (*error).clone() }));
        number += 1;
    }
    all
}

fn too_few() -> Error {
    Error::new(ErrorCode::Internal, "storage returned other sequences than the next ones for the commits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode::{DiskFull, Exists};

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn error(code: ErrorCode) -> Error {
        Error::new(code, "x")
    }

    #[test]
    fn what_storage_took_is_counted_on_and_what_it_did_not_is_refused_at_its_place() {
        let mut parts = Parts::default();
        parts.push(3, Ok(SeqRange { first: seq(5), last: seq(7) }));
        parts.push(2, Err(error(ErrorCode::DiskFull)));
        parts.push(4, Ok(SeqRange { first: seq(8), last: seq(11) }));
        let admitted = |start, accepted, refused: &[usize]| Admitted {
            newest: seq(4),
            start,
            accepted,
            refused: refused
                .iter()
                .map(|&place| Refused { place, error: error(ErrorCode::Exists) })
                .collect(),
        };
        let answer = |start, accepted, refused: &[usize]| {
            let committed = admitted(start, accepted, refused).answer(&parts).map_err(|error| error.code)?;
            let refused: Vec<_> = committed.refused.iter().map(|one| (one.place, one.error.code)).collect();
            Ok((committed.first.get(), committed.accepted, refused))
        };
        assert_eq!(answer(0, 2, &[1]), Ok((5, 2, vec![(1, Exists)])));
        assert_eq!(answer(1, 0, &[0]), Ok((4, 0, vec![(0, Exists)])));
        assert_eq!(answer(3, 2, &[0]), Err(DiskFull));
        // Numbers 2 to 6, with the places 0, 2, 3, 5 and 6.
        let refused = vec![(1, Exists), (2, DiskFull), (3, DiskFull), (4, Exists)];
        assert_eq!(answer(2, 5, &[1, 4]), Ok((7, 3, refused)));
        assert_eq!(answer(4, 5, &[]), Ok((8, 4, vec![(0, DiskFull)])));
    }

    #[test]
    fn sequences_that_do_not_follow_each_other_are_an_error() {
        let mut parts = Parts::default();
        parts.push(1, Ok(SeqRange { first: seq(5), last: seq(5) }));
        parts.push(2, Ok(SeqRange { first: seq(7), last: seq(7) }));
        let answer = |start, accepted| {
            let admitted = Admitted { newest: seq(4), start, accepted, refused: Vec::new() };
            admitted.answer(&parts).map(|committed| committed.first.get()).map_err(|error| error.code)
        };
        assert_eq!(answer(0, 2), Err(ErrorCode::Internal));
        assert_eq!(answer(1, 2), Err(ErrorCode::Internal));
        assert_eq!(answer(1, 1), Ok(7));
    }
}
