//! Carries out a query: finds, tests, sorts, projects, and says where the next page begins.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use fountain_lsm::{Direction, Seq};
use serde_json::Value as Json;

use super::about::About;
use super::collect::{Collector, Kept};
use super::explain;
use super::filter::Place;
use super::literal;
use super::matcher::Matcher;
use super::meter::Meter;
use super::order;
use super::plan::{Access, Plan};
use super::planner;
use super::project::Projector;
use super::projection::Projection;
use super::request::{Count, Explain, Order, Query};
use super::source::Source;
use super::token::Token;
use super::walk::{Flow, Resume, Walk};
use crate::envelope;
use crate::error::{Error, Result};
use crate::limits::{MAX_DISTINCT_BYTES, MAX_PAGE_BYTES};
use crate::page::Page;
use crate::record::{self, Path, Reader, Shape, ShapeList, Value};

/// The answer to a query.
#[derive(Default)]
pub struct Answer {
    /// The records: their keys, and what of them was asked for.
    pub page: Page,
    /// The cursor of the next page, if there may be one.
    pub next: Option<String>,
    /// How many records match altogether, if that was asked for.
    pub count: Option<u64>,
    /// How the records are found, if that was asked for.
    pub explain: Option<Json>,
    /// The sequence that was read.
    pub seq: Seq,
    /// Shapes of the store, and behind them those of the answer.
    pub(super) shapes: ShapeList,
    /// How many of the shapes are the store's.
    pub(super) stored_shapes: usize,
}

impl Answer {
    /// The number of the first shape that only this answer has, and those shapes.
    pub fn own_shapes(&self) -> (usize, &[Arc<Shape>]) {
        (self.stored_shapes, self.shapes.get(self.stored_shapes..).unwrap_or_default())
    }

    /// As one JSON document: `items`, and `next`, `count` and `explain` where there are such.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(2 * self.page.bytes().len() + 64);
        out.extend_from_slice(b"{\"items\":[");
        for (index, (_, record)) in self.page.records().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            record::to_json(&mut Reader::new(record, &self.shapes)?, &mut out)?;
        }
        out.push(b']');
        for (name, value) in [
            ("next", self.next.as_ref().map(|next| serde_json::json!(next))),
            ("count", self.count.map(|count| serde_json::json!(count))),
            ("explain", self.explain.clone()),
        ] {
            if let Some(value) = value {
                out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
            }
        }
        out.push(b'}');
        Ok(out)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({:?}, next: {})", self.page, self.next.is_some())
    }
}

/// One page of a query.
pub(crate) fn find(source: &dyn Source, query: &Query) -> Result<Answer> {
    let meter = Meter::new(&query.hints);
    let plan = planner::plan(source, query, &meter)?;
    find_by(source, query, &plan, meter)
}

/// One page of a query, by a given plan.
#[expect(clippy::cast_sign_loss, reason = "numbers of records are not negative")]
pub(super) fn find_by(source: &dyn Source, query: &Query, plan: &Plan, mut meter: Meter) -> Result<Answer> {
    let shapes = source.shapes();
    let mut answer = Answer { seq: source.seq(), stored_shapes: shapes.len(), ..Answer::default() };
    if query.explain == Explain::Plan {
        answer.explain = Some(explain::describe(query, plan, None));
        return Ok(answer);
    }
    let token =
        query.cursor.as_ref().map(|cursor| Token::decode(cursor, query, &source.seal())).transpose()?;
    let mut projector = Projector::new(&query.projection, &shapes);
    let run = Run { source, query, plan, shapes: &shapes, token };
    let (page, next) = if plan.ordered {
        run.in_order(&mut projector, &mut meter)?
    } else {
        run.sorted(&mut projector, &mut meter)?
    };
    answer.shapes = projector.with_stored(&shapes);
    answer.next = next.map(|next| next.encode(query, &source.seal())).transpose()?;
    answer.page = page;
    if query.explain == Explain::Analyze {
        answer.explain = Some(explain::describe(query, plan, Some((&meter, answer.page.len()))));
    }
    answer.count = match query.count {
        Count::None => None,
        Count::Estimate => Some(plan.matches.round() as u64),
        Count::Exact => Some(count_with(source, query, plan, &mut meter)?),
    };
    Ok(answer)
}

/// How many records match, or about how many by the plan.
#[expect(clippy::cast_sign_loss, reason = "numbers of records are not negative")]
pub(crate) fn count(source: &dyn Source, query: &Query) -> Result<u64> {
    let query = Query { order: Vec::new(), limit: None, cursor: None, ..query.clone() };
    let mut meter = Meter::new(&query.hints);
    let plan = planner::plan(source, &query, &meter)?;
    if query.count == Count::Estimate {
        return Ok(plan.matches.round() as u64);
    }
    count_with(source, &query, &plan, &mut meter)
}

fn count_with(source: &dyn Source, query: &Query, plan: &Plan, meter: &mut Meter) -> Result<u64> {
    let mut count = 0;
    each_match(source, query, &plan.access, meter, &mut |_, _| {
        count += 1;
        Ok(Flow::More)
    })?;
    Ok(count)
}

/// The different values that a path leads to in the records that match, in order.
pub(crate) fn distinct(source: &dyn Source, query: &Query, path: &Path) -> Result<Vec<Value>> {
    let mut meter = Meter::new(&query.hints);
    let plan = planner::plan(source, query, &meter)?;
    let (mut values, mut bytes) = (BTreeMap::new(), 0);
    let limit = query.limit.unwrap_or(usize::MAX);
    each_match(source, query, &plan.access, &mut meter, &mut |_, record| {
        path.visit(record, &mut |mut found| {
            let value = Value::read(&mut found)?;
            let key = distinct_key(&value);
            let size = key.len();
            if values.insert(key, value).is_none() {
                bytes += 2 * size;
            }
            Ok(())
        })?;
        if bytes > MAX_DISTINCT_BYTES {
            return Err(Error::too_large("the distinct values", bytes, MAX_DISTINCT_BYTES));
        }
        Ok(Flow::More)
    })?;
    Ok(values.into_values().take(limit).collect())
}

/// Bytes that equal values share, in the order of values as far as an index has it.
fn distinct_key(value: &Value) -> Vec<u8> {
    super::ranges::encode(value).unwrap_or_else(|| {
        let text = literal::render(value).to_string();
        [&[0xFF], text.as_bytes()].concat()
    })
}

/// Passes every record that matches to `visit`, in no order that is promised.
pub(super) fn each_match(
    source: &dyn Source,
    query: &Query,
    access: &Access,
    meter: &mut Meter,
    visit: &mut dyn FnMut(&[u8], &Reader<'_>) -> Result<Flow>,
) -> Result<()> {
    let shapes = source.shapes();
    let mut matcher = Matcher::new(&query.filter);
    let walk = Walk { source, direction: Direction::Forward, resume: None };
    walk.run(access, meter, &mut |meter, key, record| {
        meter.document();
        let record = Reader::new(record, &shapes)?;
        if matcher.matches(&About::new(source, key), &record)? { visit(key, &record) } else { Ok(Flow::More) }
    })
}

struct Run<'a> {
    source: &'a dyn Source,
    query: &'a Query,
    plan: &'a Plan,
    shapes: &'a ShapeList,
    token: Option<Token>,
}

impl Run<'_> {
    /// A page of records that come in the order asked for: ends with the first record that does not fit.
    fn in_order(&self, projector: &mut Projector<'_>, meter: &mut Meter) -> Result<(Page, Option<Token>)> {
        let order = &self.query.order;
        let tuple = self.token.as_ref().map(|token| self.tuple(token)).unwrap_or_default();
        let resume = self.token.as_ref().map(|token| Resume { key: &token.key, tuple: &tuple });
        let mut after = self.after();
        let mut matcher = Matcher::new(&self.query.filter);
        let limit = self.query.limit.unwrap_or(usize::MAX);
        let (mut page, mut last, mut more) = (Page::new(), None, false);
        let walk = Walk { source: self.source, direction: direction(order), resume };
        walk.run(&self.plan.access, meter, &mut |meter, key, bytes| {
            meter.document();
            let (about, record) = (About::new(self.source, key), Reader::new(bytes, self.shapes)?);
            if !matcher.matches(&about, &record)? {
                return Ok(Flow::More);
            }
            if let Some(bound) = &after {
                if order::full_key(order, &order::sort_key(order, &about, &record)?, key) <= *bound {
                    return Ok(Flow::More);
                }
                after = None;
            }
            if page.len() >= limit || page.bytes().len() >= MAX_PAGE_BYTES {
                more = true;
                return Ok(Flow::Stop);
            }
            page.push_with(key, |out| self.project(projector, bytes, &about, &record, out))?;
            if page.len() >= limit || page.bytes().len() >= MAX_PAGE_BYTES {
                last = Some((order::sort_key(order, &about, &record)?, key.to_vec()));
            }
            Ok(Flow::More)
        })?;
        let next = last.filter(|_| more).map(|(sort_key, key)| self.next(sort_key, key));
        Ok((page, next))
    }

    /// A page of records that have to be sorted.
    fn sorted(&self, projector: &mut Projector<'_>, meter: &mut Meter) -> Result<(Page, Option<Token>)> {
        let order = &self.query.order;
        let after = self.after();
        let limit = self.query.limit.unwrap_or(usize::MAX);
        // One more than fits tells whether there is a next page.
        let mut collector = Collector::new(limit.saturating_add(1));
        let mut matcher = Matcher::new(&self.query.filter);
        let walk = Walk { source: self.source, direction: Direction::Forward, resume: None };
        walk.run(&self.plan.access, meter, &mut |meter, key, bytes| {
            meter.document();
            let (about, record) = (About::new(self.source, key), Reader::new(bytes, self.shapes)?);
            if !matcher.matches(&about, &record)? {
                return Ok(Flow::More);
            }
            let sort_key = order::sort_key(order, &about, &record)?;
            let full_key = order::full_key(order, &sort_key, key);
            if after.as_ref().is_none_or(|after| full_key > *after) && collector.wants(&full_key) {
                let mut kept = Vec::new();
                self.project(projector, bytes, &about, &record, &mut kept)?;
                let (sort_key_len, key) = (sort_key.len(), key.to_vec());
                collector.add(Kept { full_key, sort_key_len, key, record: kept })?;
            }
            Ok(Flow::More)
        })?;
        let (mut page, mut next) = (Page::new(), None);
        let mut previous: Option<Kept> = None;
        for kept in collector.into_sorted() {
            if page.len() >= limit || page.bytes().len() >= MAX_PAGE_BYTES {
                next = previous.take();
                break;
            }
            page.push(&kept.key, &kept.record);
            previous = Some(kept);
        }
        Ok((page, next.map(|kept| self.next(kept.full_key[..kept.sort_key_len].to_vec(), kept.key))))
    }

    /// The full key of the record that the page before ended with.
    fn after(&self) -> Option<Vec<u8>> {
        let full_key = |token: &Token| order::full_key(&self.query.order, &token.sort_key, &token.key);
        self.token.as_ref().map(full_key)
    }

    /// The last values as an index orders them; only asked for where all terms have one direction.
    fn tuple(&self, token: &Token) -> Vec<u8> {
        let mut tuple = token.sort_key.clone();
        if direction(&self.query.order) == Direction::Reverse {
            order::invert(&mut tuple);
        }
        if self.query.order.len() > 1 && self.query.order.last().is_some_and(|term| term.place == Place::Id) {
            tuple.truncate(tuple.len().saturating_sub(token.key.len()));
        }
        tuple
    }

    fn next(&self, sort_key: Vec<u8>, key: Vec<u8>) -> Token {
        Token { seq: self.source.seq(), moment: self.source.moment(), sort_key, key }
    }

    /// Appends what is returned of a record to `out`.
    fn project(
        &self,
        projector: &mut Projector<'_>,
        bytes: &[u8],
        about: &About<'_>,
        record: &Reader<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if let Projection::All = self.query.projection {
            out.extend_from_slice(envelope::document(bytes));
            return Ok(());
        }
        projector.project(about, record, out)
    }
}

/// Which way an ordered walk goes: as the ids if they are asked for, since what comes behind them decides nothing, and
/// what comes before them has one value or the same direction.
fn direction(order: &[Order]) -> Direction {
    let term = order.iter().find(|term| term.place == Place::Id).or(order.last());
    if term.is_some_and(|term| term.descending) { Direction::Reverse } else { Direction::Forward }
}
