//! Chooses how the records of a query are found.
//!
//! Whatever is chosen, every record found is tested with the whole filter, so a plan decides what a query costs and never
//! what it answers.
#![expect(clippy::cast_precision_loss, reason = "numbers of records are guesses here")]

use fountain_lsm::KeyRange;
use serde_json::json;

use super::filter::{Filter, Place, Test};
use super::meter::Meter;
use super::plan::{Access, EntryOrder, IndexAccess, Plan};
use super::ranges::{self, Bounds};
use super::request::{Order, Query};
use super::sampler::Sampler;
use super::source::{IndexInfo, Source};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::MAX_PLAN_POINTS;

/// What reading an index entry costs, beside a record of a scan.
const ENTRY_COST: f64 = 0.5;
/// What reading a record by its key costs, beside a record of a scan.
const GET_COST: f64 = 4.0;
/// What sorting a record costs.
const SORT_COST: f64 = 0.5;

/// One way to find the records.
struct Candidate {
    access: Access,
    /// Entries and records that all of it has.
    size: f64,
    ordered: bool,
}

/// The plan for a query.
///
/// # Errors
/// `ERR_NO_INDEX` when the hint cannot be followed, or an index is required and none is of use; `ERR_TIMEOUT`.
pub(super) fn plan(source: &dyn Source, query: &Query, meter: &Meter) -> Result<Plan> {
    let planner = Planner::new(source, query, meter)?;
    let parts = query.filter.conjuncts();
    let mut candidates = planner.candidates(&parts)?;
    candidates.extend(planner.intersection(&candidates).filter(|(_, pays)| *pays).map(|(both, _)| both));
    candidates.extend(planner.union(&parts)?);
    candidates.push(planner.all(&parts)?);
    planner.choose(candidates)
}

/// Every plan that could be thought of, whether it pays or not.
#[cfg(test)]
pub(super) fn every_plan(source: &dyn Source, query: &Query) -> Result<Vec<Plan>> {
    let meter = Meter::new(&query.hints);
    let planner = Planner::new(source, query, &meter)?;
    let parts = query.filter.conjuncts();
    let mut candidates = planner.candidates(&parts)?;
    candidates.extend(planner.intersection(&candidates).map(|(both, _)| both));
    candidates.extend(planner.union(&parts)?);
    candidates.push(planner.all(&parts)?);
    candidates.into_iter().map(|one| planner.choose(vec![one])).collect()
}

struct Planner<'a> {
    source: &'a dyn Source,
    query: &'a Query,
    records: f64,
    sampler: Sampler<'a>,
}

impl<'a> Planner<'a> {
    fn new(source: &'a dyn Source, query: &'a Query, meter: &'a Meter) -> Result<Self> {
        let records = source.estimate_records(&KeyRange::default())? as f64;
        Ok(Self { source, query, records, sampler: Sampler::new(source, meter, records) })
    }

    /// The collection itself, or the part of it that the ids demand.
    fn all(&self, parts: &[&Filter]) -> Result<Candidate> {
        let ordered = ids_suffice(&self.query.order, parts);
        Ok(match ranges::bounds(parts, &Place::Id) {
            Some(Bounds::Points(points)) if points.is_empty() => {
                Candidate { access: Access::Nothing, size: 0.0, ordered: true }
            }
            Some(Bounds::Points(points)) => {
                Candidate { size: points.len() as f64, access: Access::Ids(points), ordered }
            }
            Some(Bounds::Range(range)) if ranges::is_empty(&range) => {
                Candidate { access: Access::Nothing, size: 0.0, ordered: true }
            }
            Some(Bounds::Range(range)) => {
                let size = (self.source.estimate_records(&range)? as f64).min(self.records);
                Candidate { access: Access::Scan(range), size, ordered }
            }
            None => Candidate { access: Access::Scan(KeyRange::default()), size: self.records, ordered },
        })
    }

    /// What each index can do.
    fn candidates(&self, parts: &[&Filter]) -> Result<Vec<Candidate>> {
        let mut out = Vec::new();
        for (number, index) in self.source.indexes().iter().enumerate() {
            if let Some((ranges, fixed)) = index_ranges(index, parts) {
                out.push(self.candidate(number, index, parts, ranges, fixed)?);
            } else if (self.query.hints.index.as_ref() == Some(&index.name)
                || serves(index, 0, &self.query.order))
                && is_complete(index, parts)
            {
                out.push(self.candidate(number, index, parts, vec![KeyRange::default()], Some(0))?);
            }
        }
        Ok(out)
    }

    /// `fixed` paths at the beginning have one value each, if the ranges are one.
    fn candidate(
        &self,
        number: usize,
        index: &IndexInfo,
        parts: &[&Filter],
        ranges: Vec<KeyRange>,
        fixed: Option<usize>,
    ) -> Result<Candidate> {
        if ranges.is_empty() {
            return Ok(Candidate { access: Access::Nothing, size: 0.0, ordered: true });
        }
        let exact = index.unique && fixed_points(index, parts);
        let size = if exact { ranges.len() as f64 } else { self.sampler.entries(number, &ranges)? };
        let order = match fixed {
            Some(fixed) if fixed == index.on.len() => EntryOrder::Ids,
            Some(fixed) if serves(index, fixed, &self.query.order) => {
                EntryOrder::Query(fixed_bytes(index, fixed, parts))
            }
            _ => EntryOrder::Any,
        };
        let ordered = match order {
            EntryOrder::Query(_) => true,
            // Of several ranges the ids are gathered and read in their order.
            EntryOrder::Ids | EntryOrder::Any => ids_suffice(&self.query.order, parts),
        };
        let access = IndexAccess { index: number, name: index.name.clone(), ranges, order };
        Ok(Candidate { access: Access::Index(access), size, ordered })
    }

    /// The two smallest of several indexes together, and whether reading both is less work than testing what one finds.
    fn intersection(&self, candidates: &[Candidate]) -> Option<(Candidate, bool)> {
        let mut found: Vec<&Candidate> = candidates
            .iter()
            .filter(|one| matches!(&one.access, Access::Index(access) if !is_everything(access)))
            .collect();
        found.sort_by(|a, b| a.size.total_cmp(&b.size));
        let (first, others) = found.split_first()?;
        let second = others.iter().find(|other| !self.overlap(&first.access, &other.access))?;
        let both = first.size * second.size / self.records.max(1.0);
        let work = (first.size + second.size) * ENTRY_COST + both * GET_COST;
        let pays = work < first.size * (ENTRY_COST + GET_COST);
        let access = Access::Intersection(vec![first.access.clone(), second.access.clone()]);
        Some((Candidate { access, size: both, ordered: is_id_order(&self.query.order) }, pays))
    }

    /// Whether one index has no path that the other has not, so that both find much the same.
    fn overlap(&self, a: &Access, b: &Access) -> bool {
        let (Access::Index(a), Access::Index(b)) = (a, b) else { return true };
        let (a, b) = (&self.source.indexes()[a.index].on, &self.source.indexes()[b.index].on);
        a.iter().all(|path| b.contains(path)) || b.iter().all(|path| a.contains(path))
    }

    /// A part that is an `$or` of which every branch has an index.
    fn union(&self, parts: &[&Filter]) -> Result<Option<Candidate>> {
        for part in parts {
            let Filter::Any(branches) = part else { continue };
            let (mut accesses, mut size) = (Vec::new(), 0.0);
            for branch in branches {
                let own = branch.conjuncts();
                let mut ways = self.candidates(&own)?;
                ways.retain(|way| match &way.access {
                    Access::Index(access) => !is_everything(access),
                    _ => true,
                });
                let ids = self.all(&own)?;
                if !ids.access.is_full_scan() {
                    ways.push(ids);
                }
                ways.sort_by(|a, b| a.size.total_cmp(&b.size));
                let Some(best) = ways.into_iter().next() else { break };
                size += best.size;
                accesses.push(best.access);
            }
            if accesses.len() == branches.len() {
                let ordered = is_id_order(&self.query.order);
                return Ok(Some(Candidate { access: Access::Union(accesses), size, ordered }));
            }
        }
        Ok(None)
    }

    fn choose(&self, candidates: Vec<Candidate>) -> Result<Plan> {
        let matches = candidates.iter().map(|one| one.size).fold(f64::INFINITY, f64::min);
        let mut costed: Vec<(f64, Candidate)> =
            candidates.into_iter().map(|one| (self.cost(&one, matches), one)).collect();
        costed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let considered = costed.iter().map(|(cost, one)| describe(*cost, one)).collect();
        if let Some(name) = &self.query.hints.index {
            self.check_known(name)?;
            costed.retain(|(_, one)| one.access.uses(name) || one.access == Access::Nothing);
            if costed.is_empty() {
                return Err(no_index(format!("index {name:?} is of no use for this query")));
            }
        }
        if self.query.hints.require_index {
            costed.retain(|(_, one)| !one.access.is_full_scan());
        }
        let Some((cost, best)) = costed.into_iter().next() else {
            let message = format!("no index finds these records; {}", self.advice());
            return Err(no_index(message));
        };
        let warnings = self.warnings(&best);
        Ok(Plan { access: best.access, ordered: best.ordered, cost, matches, considered, warnings })
    }

    /// What a candidate costs. One that comes in order ends as soon as a page is full; how soon that is depends on how many
    /// of its records match.
    fn cost(&self, one: &Candidate, matches: f64) -> f64 {
        let limit = match self.query.limit {
            Some(limit) if one.ordered => limit as f64 + 1.0,
            _ => f64::INFINITY,
        };
        let share = (limit / matches.max(1.0)).min(1.0);
        let size = one.size.max(1.0);
        let sort = if one.ordered { 0.0 } else { matches * SORT_COST };
        sort + match &one.access {
            Access::Nothing => 0.0,
            Access::Scan(_) => size * share,
            Access::Ids(_) => size * share * GET_COST,
            Access::Index(access) if access.order == EntryOrder::Any => {
                size * (ENTRY_COST + share * GET_COST)
            }
            Access::Index(_) => size * share * (ENTRY_COST + GET_COST),
            Access::Union(_) => size * (ENTRY_COST + share * GET_COST),
            Access::Intersection(_) => {
                size * share * GET_COST + (size * self.records).sqrt() * 2.0 * ENTRY_COST
            }
        }
    }

    fn check_known(&self, name: &str) -> Result<()> {
        if self.source.indexes().iter().any(|index| index.name == *name) {
            return Ok(());
        }
        let missing = || no_index(format!("there is no index {name:?} that can be read here"));
        let error = self.source.unreadable(name).unwrap_or_else(missing);
        Err(error.with(|details| details.pointer = Some("/hint/index".to_owned())))
    }

    fn warnings(&self, best: &Candidate) -> Vec<String> {
        let mut out = Vec::new();
        if best.access.is_full_scan() && !self.query.filter.is_always() {
            out.push(format!("every record is read; {}", self.advice()));
        }
        if !best.ordered {
            let terms: Vec<String> = self.query.order.iter().map(|term| term.place.to_string()).collect();
            let of_paths =
                self.query.order.iter().all(|term| matches!(term.place, Place::Path(_) | Place::Id));
            let terms = terms.join(", ");
            out.push(if of_paths {
                format!("sorting is not covered by an index; an index on [{terms}] would")
            } else {
                format!("all that match are sorted: no index has the order of [{terms}]")
            });
        }
        out
    }

    /// Which index would help.
    fn advice(&self) -> String {
        let parts = self.query.filter.conjuncts();
        let mut paths: Vec<String> = Vec::new();
        let mut add = |place: &Place| {
            let text = place.to_string();
            if matches!(place, Place::Path(_)) && !paths.contains(&text) {
                paths.push(text);
            }
        };
        for points in [true, false] {
            for part in &parts {
                if let Filter::Some(place, _) = part
                    && let Some(found) = ranges::bounds(&parts, place)
                    && matches!(found, Bounds::Points(_)) == points
                {
                    add(place);
                }
            }
        }
        match paths.as_slice() {
            [] => "no condition of it can be served by an index".to_owned(),
            paths => format!("an index on [{}] would find them", paths.join(", ")),
        }
    }
}

/// The ranges of an index that hold every record which passes `parts`, and how many paths at the beginning have one value
/// if they are one range; `None` when the index is of no use.
fn index_ranges(index: &IndexInfo, parts: &[&Filter]) -> Option<(Vec<KeyRange>, Option<usize>)> {
    if !is_complete(index, parts) {
        return None;
    }
    let mut prefixes = vec![Vec::new()];
    let mut fixed = 0;
    for path in &index.on {
        match path_bounds(parts, path) {
            Some(Bounds::Points(points)) if prefixes.len() * points.len() <= MAX_PLAN_POINTS => {
                let extend = |prefix: &Vec<u8>| {
                    points.iter().map(|point| [prefix.as_slice(), point].concat()).collect::<Vec<_>>()
                };
                prefixes = prefixes.iter().flat_map(extend).collect();
                fixed += 1;
            }
            Some(Bounds::Range(range)) => {
                let within = |prefix: &Vec<u8>| KeyRange {
                    start: [prefix.as_slice(), &range.start].concat(),
                    end: match &range.end {
                        Some(end) => Some([prefix.as_slice(), end].concat()),
                        None => Some(ranges::after_all(prefix)),
                    },
                };
                let mut ranges: Vec<KeyRange> = prefixes.iter().map(within).collect();
                ranges.retain(|range| !ranges::is_empty(range));
                let fixed = (ranges.len() == 1).then_some(fixed);
                return Some((ranges, fixed));
            }
            _ => break,
        }
    }
    if fixed == 0 {
        return None;
    }
    let single = (prefixes.len() == 1).then_some(fixed);
    Some((prefixes.iter().map(|prefix| ranges::beginning_with(prefix)).collect(), single))
}

/// The bounds of a path of an index. That an array has certain elements bounds the path to its elements, too.
fn path_bounds(parts: &[&Filter], path: &crate::record::Path) -> Option<Bounds> {
    if let Some(found) = ranges::bounds(parts, &Place::Path(path.clone())) {
        return Some(found);
    }
    let text = path.to_string();
    let array = text.strip_suffix("[]")?;
    parts.iter().find_map(|part| match part {
        Filter::Some(Place::Path(own), tests) if own.to_string() == array => {
            tests.iter().find_map(|test| match test {
                Test::AllOf(values) => Some(Bounds::Points(vec![ranges::encode(values.first()?)?])),
                _ => None,
            })
        }
        _ => None,
    })
}

/// Whether every record that passes has an entry.
fn is_complete(index: &IndexInfo, parts: &[&Filter]) -> bool {
    !index.sparse || index.on.iter().all(|path| path_bounds(parts, path).is_some())
}

/// Whether the entries after `fixed` paths of one value each are in the order asked for. Each term must be a path of the
/// index in its order, all in one direction, and no path may be left, by which ties would be ordered before ids.
fn serves(index: &IndexInfo, fixed: usize, order: &[Order]) -> bool {
    let rest = &index.on[fixed..];
    let terms = match order {
        [terms @ .., last] if last.place == Place::Id => terms,
        terms => terms,
    };
    let same_direction = order.windows(2).all(|pair| pair[0].descending == pair[1].descending);
    !terms.is_empty()
        && same_direction
        && rest.len() == terms.len()
        && rest.iter().zip(terms).all(|(path, term)| term.place == Place::Path(path.clone()))
}

/// Whether the order of ids is the order asked for: it asks for that, after terms for which all records have one value.
fn ids_suffice(order: &[Order], parts: &[&Filter]) -> bool {
    let fixed = |term: &Order| matches!(ranges::bounds(parts, &term.place), Some(Bounds::Points(points)) if points.len() == 1);
    is_id_order(order) || order.iter().all(|term| term.place == Place::Id || fixed(term))
}

/// The bytes of the values of the first `fixed` paths.
fn fixed_bytes(index: &IndexInfo, fixed: usize, parts: &[&Filter]) -> usize {
    let of = |path| match path_bounds(parts, path) {
        Some(Bounds::Points(points)) => points.first().map_or(0, Vec::len),
        _ => 0,
    };
    index.on[..fixed].iter().map(of).sum()
}

/// Whether every path of an index has only single values.
fn fixed_points(index: &IndexInfo, parts: &[&Filter]) -> bool {
    index.on.iter().all(|path| matches!(path_bounds(parts, path), Some(Bounds::Points(_))))
}

fn is_id_order(order: &[Order]) -> bool {
    match order {
        [] => true,
        [first, ..] => first.place == Place::Id,
    }
}

fn is_everything(access: &IndexAccess) -> bool {
    access.ranges.iter().any(|range| range.start.is_empty() && range.end.is_none())
}

fn describe(cost: f64, one: &Candidate) -> serde_json::Value {
    let cost = (cost * 10.0).round() / 10.0;
    let why = if one.ordered { "in the order asked for" } else { "to be sorted" };
    match &one.access {
        Access::Scan(_) if one.access.is_full_scan() => json!({ "scan": "full", "cost": cost, "why": why }),
        Access::Index(access) => json!({ "index": access.name, "cost": cost, "why": why }),
        access => json!({ "access": access.to_json()["op"], "cost": cost, "why": why }),
    }
}

fn no_index(message: String) -> Error {
    Error::new(ErrorCode::NoIndex, message)
}
