//! From the `where` of a query to a [`Filter`].
//!
//! All positive operators in one operator object are about one and the same value: `{"tags[]": {"$gte": "a", "$lt": "c"}}`
//! asks for a tag that is both. `$ne` and `$nin` say that no value at the place is equal.

use regex::RegexBuilder;
use serde_json::{Map, Value as Json};

use super::filter::{Filter, Pattern, Place, Test, Type};
use super::literal;
use super::pointer::Pointer;
use crate::error::Result;
use crate::limits::{
    MAX_FILTER_DEPTH, MAX_FILTER_TESTS, MAX_QUERY_VALUES, MAX_REGEX_BYTES, MAX_REGEX_PROGRAM_BYTES,
};
use crate::record::{Path, Value};

/// Reads a filter and counts what it is made of.
pub(super) struct FilterParser {
    /// Whether `$regex` may be used.
    pub regex: bool,
    tests: usize,
}

impl FilterParser {
    pub fn new(regex: bool) -> Self {
        Self { regex, tests: 0 }
    }

    /// The filter that `json`, which lies `depth` filters deep, writes.
    pub fn filter(&mut self, json: &Json, at: &Pointer<'_>, depth: usize) -> Result<Filter> {
        let Json::Object(members) = json else { return Err(at.refused("expected an object of conditions")) };
        if depth >= MAX_FILTER_DEPTH {
            return Err(at.too_many("levels of conditions", depth + 1, MAX_FILTER_DEPTH));
        }
        let mut parts = Vec::new();
        for (name, json) in members {
            let at = at.member(name);
            match name.as_str() {
                "$and" => parts.push(Filter::All(self.list(json, &at, depth)?)),
                "$or" => parts.push(Filter::Any(self.list(json, &at, depth)?)),
                "$not" => parts.push(Filter::Not(Box::new(self.filter(json, &at, depth + 1)?))),
                meta if meta.starts_with('$') => {
                    let known = "expected a path, $and, $or, $not, $id, $seq, $createdSeq or $deleted";
                    let place = Place::beside(meta);
                    let place = place.ok_or_else(|| at.refused(format!("unknown; {known}")))?;
                    self.place(&place, json, &at, depth, &mut parts)?;
                }
                path => {
                    let path = parse_path(path, &at)?;
                    self.place(&Place::Path(path), json, &at, depth, &mut parts)?;
                }
            }
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn list(&mut self, json: &Json, at: &Pointer<'_>, depth: usize) -> Result<Vec<Filter>> {
        let Json::Array(parts) = json else { return Err(at.refused("expected an array of conditions")) };
        if parts.is_empty() {
            return Err(at.refused("expected at least one condition"));
        }
        parts.iter().enumerate().map(|(index, part)| self.filter(part, &at.index(index), depth + 1)).collect()
    }

    /// The conditions on one place: an operator object, or a value to be equal to.
    fn place(
        &mut self,
        place: &Place,
        json: &Json,
        at: &Pointer<'_>,
        depth: usize,
        parts: &mut Vec<Filter>,
    ) -> Result<()> {
        match operators(json) {
            Some(members) => self.operators(place, members, at, depth, parts),
            None => {
                self.count(at)?;
                let value = literal::parse(json, at)?;
                parts.push(Filter::Some(place.clone(), vec![Test::Eq(value)]));
                Ok(())
            }
        }
    }

    fn operators(
        &mut self,
        place: &Place,
        members: &Map<String, Json>,
        at: &Pointer<'_>,
        depth: usize,
        parts: &mut Vec<Filter>,
    ) -> Result<()> {
        let mut tests = Vec::new();
        let mut exists = None;
        let mut none = Vec::new();
        for (name, json) in members {
            self.count(at)?;
            let at = at.member(name);
            match name.as_str() {
                "$exists" => {
                    exists = Some(json.as_bool().ok_or_else(|| at.refused("expected true or false"))?);
                }
                "$ne" => none.push(Test::Eq(literal::parse(json, &at)?)),
                "$nin" => none.push(Test::In(values(json, &at)?)),
                operator => self.test(operator, json, &at, depth, &mut tests)?,
            }
        }
        if exists == Some(false) {
            parts.push(Filter::Not(Box::new(Filter::Some(place.clone(), Vec::new()))));
        }
        if exists == Some(true) || !tests.is_empty() {
            parts.push(Filter::Some(place.clone(), tests));
        }
        let absent = |test| Filter::Not(Box::new(Filter::Some(place.clone(), vec![test])));
        parts.extend(none.into_iter().map(absent));
        Ok(())
    }

    fn test(
        &mut self,
        operator: &str,
        json: &Json,
        at: &Pointer<'_>,
        depth: usize,
        tests: &mut Vec<Test>,
    ) -> Result<()> {
        let test = match operator {
            "$eq" => Test::Eq(literal::parse(json, at)?),
            "$in" => Test::In(values(json, at)?),
            "$gt" => Test::Gt(ordered(json, at)?),
            "$gte" => Test::Gte(ordered(json, at)?),
            "$lt" => Test::Lt(ordered(json, at)?),
            "$lte" => Test::Lte(ordered(json, at)?),
            "$between" => {
                let Json::Array(bounds) = json else { return Err(at.refused("expected [from, to]")) };
                let [from, to] = bounds.as_slice() else { return Err(at.refused("expected [from, to]")) };
                let (from, to) = (ordered(from, &at.index(0))?, ordered(to, &at.index(1))?);
                tests.push(Test::Gte(from));
                Test::Lte(to)
            }
            "$prefix" => Test::Prefix(text(json, at)?),
            "$contains" => Test::Contains(text(json, at)?),
            "$ieq" => Test::EqIgnoreCase(text(json, at)?.to_lowercase()),
            "$regex" => Test::Regex(self.pattern(json, at)?),
            "$all" => Test::AllOf(values(json, at)?),
            "$size" => {
                Test::Size(json.as_u64().ok_or_else(|| at.refused("expected a whole number from 0 on"))?)
            }
            "$elem" => Test::Elem(Box::new(self.element(json, at, depth)?)),
            "$type" => Test::Type(types(json, at)?),
            _ => return Err(at.refused("unknown operator")),
        };
        tests.push(test);
        Ok(())
    }

    /// The condition on the elements of an array: operators on the element itself, or conditions on its members.
    fn element(&mut self, json: &Json, at: &Pointer<'_>, depth: usize) -> Result<Filter> {
        let Some(members) = operators(json).filter(|members| !members.keys().any(|name| is_logic(name)))
        else {
            return self.filter(json, at, depth + 1);
        };
        if depth + 1 >= MAX_FILTER_DEPTH {
            return Err(at.too_many("levels of conditions", depth + 2, MAX_FILTER_DEPTH));
        }
        let mut parts = Vec::new();
        self.operators(&Place::This, members, at, depth + 1, &mut parts)?;
        Ok(Filter::All(parts))
    }

    fn pattern(&self, json: &Json, at: &Pointer<'_>) -> Result<Pattern> {
        let pattern = text(json, at)?;
        if !self.regex {
            return Err(at.refused("$regex is not allowed here"));
        }
        if pattern.len() > MAX_REGEX_BYTES {
            return Err(at.too_many("bytes in a regular expression", pattern.len(), MAX_REGEX_BYTES));
        }
        let built = RegexBuilder::new(&pattern)
            .size_limit(MAX_REGEX_PROGRAM_BYTES)
            .dfa_size_limit(MAX_REGEX_PROGRAM_BYTES)
            .build();
        built.map(Pattern).map_err(|error| at.refused(error.to_string()))
    }

    fn count(&mut self, at: &Pointer<'_>) -> Result<()> {
        self.tests += 1;
        if self.tests <= MAX_FILTER_TESTS {
            return Ok(());
        }
        Err(at.too_many("conditions in a query", self.tests, MAX_FILTER_TESTS))
    }
}

/// A path with the place of what is wrong in it.
pub(super) fn parse_path(text: &str, at: &Pointer<'_>) -> Result<Path> {
    Path::parse(text).map_err(|error| {
        let pointer = at.to_string();
        error.with(|details| details.pointer = Some(pointer))
    })
}

/// The members of an object of operators; a typed value such as `{"$date": …}` is none.
fn operators(json: &Json) -> Option<&Map<String, Json>> {
    let members = json.as_object()?;
    let first = members.keys().find(|name| name.starts_with('$'))?;
    let typed = members.len() == 1 && matches!(first.as_str(), "$date" | "$bigint" | "$bytes");
    (!typed).then_some(members)
}

fn is_logic(name: &str) -> bool {
    matches!(name, "$and" | "$or" | "$not") || !name.starts_with('$')
}

/// A value that others of its type can be less or greater than.
fn ordered(json: &Json, at: &Pointer<'_>) -> Result<Value> {
    let value = literal::parse(json, at)?;
    let ordered = match &value {
        Value::Null | Value::Bool(_) => false,
        value => !holds_object(value),
    };
    if ordered {
        return Ok(value);
    }
    Err(at.refused("expected a number, a bigint, a date, text, bytes or an array of such"))
}

/// Whether a value is an object or an array that holds one; objects have no order.
fn holds_object(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(elements) => elements.iter().any(holds_object),
        _ => false,
    }
}

fn text(json: &Json, at: &Pointer<'_>) -> Result<String> {
    json.as_str().map(str::to_owned).ok_or_else(|| at.refused("expected text"))
}

fn values(json: &Json, at: &Pointer<'_>) -> Result<Vec<Value>> {
    let Json::Array(elements) = json else { return Err(at.refused("expected an array")) };
    if elements.len() > MAX_QUERY_VALUES {
        return Err(at.too_many("values", elements.len(), MAX_QUERY_VALUES));
    }
    let value = |(index, element)| literal::parse(element, &at.index(index));
    let mut values = elements.iter().enumerate().map(value).collect::<Result<Vec<_>>>()?;
    values.sort_by(Value::order);
    values.dedup_by(|a, b| a.order(b).is_eq());
    Ok(values)
}

fn types(json: &Json, at: &Pointer<'_>) -> Result<Vec<Type>> {
    let one = |json: &Json, at: &Pointer<'_>| {
        let name = json.as_str().ok_or_else(|| at.refused("expected the name of a type"))?;
        Type::named(name).ok_or_else(|| {
            let names: Vec<&str> = Type::NAMES.iter().map(|(name, _)| *name).collect();
            at.refused(format!("unknown type; expected one of {}", names.join(", ")))
        })
    };
    match json {
        Json::Array(names) => {
            names.iter().enumerate().map(|(index, name)| one(name, &at.index(index))).collect()
        }
        name => Ok(vec![one(name, at)?]),
    }
}
