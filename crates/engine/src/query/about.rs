//! What is known of a record beside its document: its key, and the commits that made it. Looked up when a condition or an
//! order asks for it, at most once for a record.

use std::cell::OnceCell;

use fountain_lsm::Seq;

use super::filter::Place;
use super::literal;
use crate::error::Result;
use crate::keys;
use crate::record::Value;

/// Who knows which commits made the records of a state.
pub(crate) trait Commits {
    /// The commit that put a record there; none for one that is not committed yet.
    fn put_by(&self, key: &[u8]) -> Result<Option<Seq>>;

    /// The commit that put it there first since it was last deleted; none where the history that would tell is not kept.
    fn created_by(&self, key: &[u8]) -> Result<Option<Seq>>;

    /// Whether what is looked at is a record that was deleted.
    fn is_deleted(&self) -> bool {
        false
    }
}

/// A record that is looked at.
pub(super) struct About<'a> {
    commits: &'a dyn Commits,
    key: &'a [u8],
    id: OnceCell<Value>,
    put_by: OnceCell<Option<Seq>>,
    created_by: OnceCell<Option<Seq>>,
}

impl<'a> About<'a> {
    /// The record under an encoded key.
    pub fn new(commits: &'a dyn Commits, key: &'a [u8]) -> Self {
        let (put_by, created_by) = (OnceCell::new(), OnceCell::new());
        Self { commits, key, id: OnceCell::new(), put_by, created_by }
    }

    /// The encoded key.
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The key as a value.
    pub fn id(&self) -> Result<&Value> {
        cached(&self.id, || Ok(literal::from_key(&keys::decode(self.key)?)))
    }

    /// What a place beside the document leads to; nothing for a place in it.
    #[expect(clippy::cast_precision_loss, reason = "sequences never exceed 2^53 - 1")]
    pub fn value(&self, place: &Place) -> Result<Option<Value>> {
        let number = |seq: &Option<Seq>| seq.map(|seq| Value::Number(seq.get() as f64));
        Ok(match place {
            Place::Id => Some(self.id()?.clone()),
            Place::Seq => number(cached(&self.put_by, || self.commits.put_by(self.key))?),
            Place::CreatedSeq => number(cached(&self.created_by, || self.commits.created_by(self.key))?),
            Place::Deleted => Some(Value::Bool(self.commits.is_deleted())),
            Place::Path(_) | Place::This => None,
        })
    }
}

fn cached<T>(cell: &OnceCell<T>, find: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(found) => Ok(found),
        None => find().map(|found| cell.get_or_init(|| found)),
    }
}
