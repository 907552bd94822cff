//! What one who follows a collection is told of its changes: those that concern documents for which conditions hold, each
//! with the document before it if that is wanted.
//!
//! Of a put the new document decides. One that no longer meets the conditions, but did before, *leaves*: that is told as
//! such, so that whoever keeps what matches knows what to let go. Of a delete the document decides that it deleted.
//!
//! What was before a change is the last change of the same record that was looked at, or else what a state of before has that
//! is kept readable. So nothing depends on what the retention keeps in between.

use std::collections::HashMap;

use fountain_lsm::{ReadTier, Seq};

use super::about::{About, Commits};
use super::filter::{Filter, Place, Test};
use super::matcher::Matcher;
use super::parse_filter::FilterParser;
use super::pointer::Pointer;
use super::request::{Rules, boolean, members, parse_json};
use crate::envelope;
use crate::error::Result;
use crate::keyspace::CollectionId;
use crate::kv::OrderedKv;
use crate::record::{Reader, ShapeList};
use crate::versions::VersionPage;

/// Which changes of a collection are told, and how.
#[derive(Clone, Debug)]
pub struct Sight {
    /// What must hold for the document. That a record was created by a certain commit is not known here.
    pub filter: Filter,
    /// Whether the document before a change is told, too.
    pub previous: bool,
}

/// A record as it was before a change: the commit that made it so, and its document unless there was none.
type Before = (Seq, Option<Vec<u8>>);

/// What was there before the next changes.
pub(crate) struct Past {
    /// The sequence of a state that is readable.
    pub state: Seq,
    /// What changed behind that state, by encoded key.
    pub since: HashMap<Vec<u8>, Before>,
}

impl Past {
    /// Takes changes up to a commit for what was there before the next ones.
    pub fn add(&mut self, changes: &VersionPage, upto: Seq) {
        for (seq, _, key, document) in changes.versions().take_while(|(seq, ..)| *seq <= upto) {
            self.since.insert(key.to_vec(), (seq, document.map(<[u8]>::to_vec)));
        }
    }
}

impl Sight {
    /// Reads `{ where?, prev? }` from JSON text.
    ///
    /// # Errors
    /// As [`super::Query::parse`].
    pub fn parse(text: &str, rules: Rules<'_>) -> Result<Self> {
        let (json, root) = (parse_json(text)?, Pointer::root());
        let mut sight = Self { filter: Filter::always(), previous: false };
        for (name, json) in members(&json, &root)? {
            let at = root.member(name);
            match name.as_str() {
                "where" => sight.filter = FilterParser::new(rules.regex).filter(json, &at, 0)?,
                "prev" => sight.previous = boolean(json, &at)?,
                _ => return Err(at.refused("unknown member of a watch")),
            }
        }
        if asks_for_creation(&sight.filter) {
            return Err(root.member("where").refused("changes do not tell which commit created a document"));
        }
        Ok(sight)
    }

    /// Fills `told` with what is told of `changes`, all those of a collection that come behind `past`. Once that takes
    /// `max_bytes`, it ends with the commit at hand, whose sequence comes back if others follow: a change may be far smaller
    /// than the document before it.
    pub(crate) fn fill(
        &self,
        kv: &dyn OrderedKv,
        shapes: &ShapeList,
        past: &Past,
        changes: &VersionPage,
        max_bytes: usize,
        told: &mut VersionPage,
    ) -> Result<Option<Seq>> {
        let mut matcher = Matcher::new(&self.filter);
        let mut seen: HashMap<&[u8], (Seq, Option<&[u8]>)> = HashMap::new();
        let mut last = None;
        for (seq, collection, key, document) in changes.versions() {
            if last.is_some_and(|last| last < seq) && told.bytes().len() >= max_bytes {
                return Ok(last);
            }
            last = Some(seq);
            if key.is_empty() {
                told.push(seq, collection, key, None);
                continue;
            }
            let mut matches = |seq, document: &[u8], deleted| -> Result<bool> {
                let one = One { seq, deleted };
                matcher.matches(&About::new(&one, key), &Reader::new(document, shapes)?)
            };
            let earlier = seen.insert(key, (seq, document));
            let before = || match earlier {
                Some((seq, document)) => Ok((seq, document.map(<[u8]>::to_vec))),
                None => match past.since.get(key) {
                    Some(before) => Ok(before.clone()),
                    None => record_at(kv, collection, key, past.state),
                },
            };
            let now = document.map(|document| matches(seq, document, false)).transpose()? == Some(true);
            if now && !self.previous {
                told.push(seq, collection, key, document);
                continue;
            }
            let (before_seq, before) = before()?;
            let is_told = now
                || match &before {
                    Some(before) => matches(before_seq, before, document.is_none())?,
                    None => document.is_none() && self.filter.is_always(),
                };
            if is_told {
                told.push(seq, collection, key, document);
                if document.is_some() && !now {
                    told.push_leaves(seq);
                }
                if let Some(before) = before.filter(|_| self.previous) {
                    told.push_previous(seq, &before);
                }
            }
        }
        Ok(None)
    }
}

fn record_at(kv: &dyn OrderedKv, collection: CollectionId, key: &[u8], at: Seq) -> Result<Before> {
    let found = kv.get_with_seq(&collection.storage_key(key), Some(at), ReadTier::Disk)?;
    Ok(found.map_or((at, None), |(seq, stored)| (seq, Some(envelope::document(&stored).to_vec()))))
}

fn asks_for_creation(filter: &Filter) -> bool {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().any(asks_for_creation),
        Filter::Not(part) => asks_for_creation(part),
        Filter::Some(place, tests) => {
            *place == Place::CreatedSeq
                || tests.iter().any(|test| matches!(test, Test::Elem(filter) if asks_for_creation(filter)))
        }
    }
}

/// The commit of one change.
struct One {
    seq: Seq,
    deleted: bool,
}

impl Commits for One {
    fn put_by(&self, _: &[u8]) -> Result<Option<Seq>> {
        Ok(Some(self.seq))
    }

    fn created_by(&self, _: &[u8]) -> Result<Option<Seq>> {
        Ok(None)
    }

    fn is_deleted(&self) -> bool {
        self.deleted
    }
}
