//! What a read sees: the newest state, the state at a sequence, or a transaction's. Everything that reads, point reads,
//! scans and what is built on them, goes through here, so that it works over all of them alike.

use fountain_lsm::{Direction, KeyRange, ReadTier, Seq, Timestamp};

use crate::error::{ErrorCode, Result};
use crate::kv::{KvCursor, KvValue, OrderedKv};
use crate::transaction::Transaction;

/// The state that a read sees.
#[derive(Clone, Debug, Default)]
pub enum View {
    /// The newest, whatever that is when the read begins.
    #[default]
    Newest,
    /// That which the commit with this sequence left.
    At(Seq),
    /// The same, without what had expired by a time. The sequence has to be kept readable.
    Then(Seq, Timestamp),
    /// That at which the transaction began, with its own writes up to the moment when the read begins.
    Transaction(Transaction),
}

impl View {
    /// The value of a storage key.
    pub(crate) fn get(&self, kv: &dyn OrderedKv, key: &[u8], tier: ReadTier) -> Result<Option<KvValue>> {
        match self {
            Self::Newest => kv.get(key, None, tier),
            Self::At(seq) | Self::Then(seq, _) => kv.get(key, Some(*seq), tier),
            Self::Transaction(transaction) => transaction.get(kv, key, tier),
        }
    }

    /// Gives `show` the value of a storage key; says whether there is one.
    pub(crate) fn show(
        &self,
        kv: &dyn OrderedKv,
        key: &[u8],
        tier: ReadTier,
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<bool> {
        match self {
            Self::Newest => kv.show(key, None, tier, show),
            Self::At(seq) | Self::Then(seq, _) => kv.show(key, Some(*seq), tier, show),
            Self::Transaction(transaction) => {
                let found = transaction.get(kv, key, tier)?;
                Ok(found.map(|value| show(&value)).is_some())
            }
        }
    }

    /// The values of several storage keys, in their order, all of one state.
    pub(crate) fn get_many(
        &self,
        kv: &dyn OrderedKv,
        keys: &[Vec<u8>],
        tier: ReadTier,
    ) -> Result<Vec<Option<KvValue>>> {
        match self {
            Self::Newest => kv.get_many(keys, None, tier),
            Self::At(seq) | Self::Then(seq, _) => kv.get_many(keys, Some(*seq), tier),
            Self::Transaction(transaction) => {
                let frozen = transaction.frozen();
                keys.iter().map(|key| frozen.get(kv, key, tier)).collect()
            }
        }
    }

    /// The records of a range of storage keys; the cursor stands before the first one.
    pub(crate) fn cursor(
        &self,
        kv: &dyn OrderedKv,
        range: KeyRange,
        direction: Direction,
        tier: ReadTier,
    ) -> Result<Box<dyn KvCursor>> {
        match self {
            Self::Newest => newest_cursor(kv, &range, direction, tier),
            Self::At(seq) | Self::Then(seq, _) => kv.cursor(range, *seq, direction, tier),
            Self::Transaction(transaction) => transaction.cursor(kv, range, direction, tier),
        }
    }
}

/// A cursor over the newest state. What is the newest may be dropped already when it is read, if much happened in between.
fn newest_cursor(
    kv: &dyn OrderedKv,
    range: &KeyRange,
    direction: Direction,
    tier: ReadTier,
) -> Result<Box<dyn KvCursor>> {
    loop {
        let at = kv.visible();
        match kv.cursor(range.clone(), at, direction, tier) {
            Err(error) if error.code == ErrorCode::HistoryTruncated && kv.visible() > at => {}
            cursor => return cursor,
        }
    }
}

impl From<Seq> for View {
    fn from(seq: Seq) -> Self {
        Self::At(seq)
    }
}

impl From<Option<Seq>> for View {
    fn from(seq: Option<Seq>) -> Self {
        seq.map_or(Self::Newest, Self::At)
    }
}

impl From<&Transaction> for View {
    fn from(transaction: &Transaction) -> Self {
        Self::Transaction(transaction.clone())
    }
}
