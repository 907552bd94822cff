//! Queries of an open store.

use fountain_lsm::{Durability, Seq};

use super::seal::Seal;
use super::state::{Judged, State};
use super::token::Token;
use super::{Answer, AsOf, Body, Change, Changed, Query, Rules, Sight, change, run};
use crate::error::{Error, Result};
use crate::keyspace::CollectionId;
use crate::record::{Path, Value};
use crate::store::Store;
use crate::view::View;

impl Store {
    /// Reads a request about records of a collection from JSON text (`docs/query.md`). `regex` allows `$regex`.
    ///
    /// # Errors
    /// `ERR_VALIDATION` for what is not a query, with the JSON pointer of the place in the details; `ERR_LIMIT`,
    /// `ERR_TOO_LARGE`, `ERR_NO_INDEX` (of a legacy body), `ERR_CLOSED`.
    pub fn parse_query(&self, collection: CollectionId, text: &str, regex: bool) -> Result<Body> {
        let _pass = self.inner.enter("reading a query")?;
        let index_path = |name: &str| State::index_path(&self.inner, collection, name);
        Body::parse(text, Rules { regex, index_path: &index_path })
    }

    /// Reads what one who follows a collection wants to be told, `{ where?, prev? }`, from JSON text.
    ///
    /// # Errors
    /// As [`Store::parse_query`].
    pub fn parse_sight(&self, text: &str, regex: bool) -> Result<Sight> {
        let _pass = self.inner.enter("reading a query")?;
        Sight::parse(text, Rules { regex, ..Rules::default() })
    }

    /// One page of the records that a query asks for, as a view sees them. A cursor or a state that the query names
    /// counts before a view of the newest state; a transaction counts before a cursor, and allows no such state. Blocking: meant for [`Store::spawn_read`].
    ///
    /// # Errors
    /// `ERR_BAD_CURSOR`, `ERR_NO_INDEX`, `ERR_LIMIT` (what the query may read, or
    /// memory for sorting), `ERR_TIMEOUT`, and as [`Store::get`] for the view.
    pub fn query(&self, collection: CollectionId, query: &Query, at: impl Into<View>) -> Result<Answer> {
        self.on_state(collection, query, at.into(), |state| run::find(state, query))
    }

    /// How many records match, whatever the limit and the cursor of the query.
    ///
    /// # Errors
    /// As [`Store::query`].
    pub fn count(&self, collection: CollectionId, query: &Query, at: impl Into<View>) -> Result<u64> {
        self.on_state(collection, query, at.into(), |state| run::count(state, query))
    }

    /// The different values that `path` leads to in the records that match, in order, at most as many as the limit says.
    ///
    /// # Errors
    /// As [`Store::query`]; `ERR_TOO_LARGE` when they do not fit in memory.
    pub fn distinct(
        &self,
        collection: CollectionId,
        query: &Query,
        path: &Path,
        at: impl Into<View>,
    ) -> Result<Vec<Value>> {
        self.on_state(collection, query, at.into(), |state| run::distinct(state, query, path))
    }

    /// Changes the records that match, at most as many as the limit of the query says, in one commit; all of them or
    /// none. Each is as it was found, or the change is begun anew. Blocking.
    ///
    /// # Errors
    /// As [`Store::query`] and [`Store::commit`]; `ERR_CONFLICT` when others change the records again and again,
    /// `ERR_LIMIT` and `ERR_TOO_LARGE` when it is too much for one commit.
    pub fn change(
        &self,
        collection: CollectionId,
        query: &Query,
        change: &Change,
        durability: Durability,
    ) -> Result<Changed> {
        change::change(self, collection, query, change, durability)
            .map_err(|error| self.in_collection(error, collection))
    }

    fn on_state<T>(
        &self,
        collection: CollectionId,
        query: &Query,
        view: View,
        work: impl FnOnce(&State<'_>) -> Result<T>,
    ) -> Result<T> {
        let _pass = self.inner.enter("querying")?;
        let answer = self
            .check_own(&view)
            .and_then(|()| self.view_of(query, view, || Seal::new(self.inner.kv.identity(), collection)))
            .and_then(|(view, judged)| State::new(&self.inner, collection, view, judged))
            .and_then(|state| work(&state))
            .map_err(|error| self.in_collection(error, collection))?;
        self.inner.counters.queries.add(1);
        Ok(answer)
    }

    /// The view that a query reads, which may name a state itself, and what decides which records have expired: a cursor,
    /// where the view does not say it. A snapshot or a transaction goes by its own time, wherever the cursor comes from.
    fn view_of(&self, query: &Query, view: View, seal: impl FnOnce() -> Seal) -> Result<(View, Judged)> {
        let (seq, judged) = self.state_of(query, seal)?;
        match (seq, view) {
            (Some(seq), View::Newest) => Ok((View::At(seq), judged)),
            (Some(seq), View::At(other) | View::Then(other, _)) if seq != other => {
                Err(other_state(seq, other))
            }
            (Some(_), View::Transaction(_)) if query.at.is_some() => {
                Err(Error::argument("a query in a transaction reads what that sees, and can have no asOf"))
            }
            (_, view) => Ok((view, Judged::ByView)),
        }
    }

    /// The state that a query names, if it does. The pages behind a cursor show that of the first one, which a time may
    /// not lead to any more.
    fn state_of(&self, query: &Query, seal: impl FnOnce() -> Seal) -> Result<(Option<Seq>, Judged)> {
        if let Some(cursor) = &query.cursor {
            let Token { seq, moment, .. } = Token::decode(cursor, query, &seal())?;
            return match query.at {
                Some(AsOf::Sequence(other)) if other != seq => Err(other_state(other, seq)),
                _ => Ok((Some(seq), Judged::ByTime(moment))),
            };
        }
        let seq = match query.at {
            None => None,
            Some(AsOf::Sequence(seq)) => Some(seq),
            Some(AsOf::Time(time)) => Some(self.sequence_at(time.millis())?),
        };
        Ok((seq, Judged::ByView))
    }
}

fn other_state(asked: Seq, read: Seq) -> Error {
    Error::argument(format!("the query is about sequence {asked}, but sequence {read} is to be read"))
}
