//! What a record must be like: the filter as it was understood, with everything settled that the language leaves to be
//! said in several ways.

use std::fmt;

use regex::Regex;
use serde_json::{Value as Json, json};

use super::literal;
use crate::record::{Path, Value};

/// A condition on a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of them hold; of none, always.
    All(Vec<Filter>),
    /// At least one of them holds; of none, never.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A place leads to at least one value that passes all of the tests.
    Some(Place, Vec<Test>),
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The values at a path.
    Path(Path),
    /// The value itself; the element of an array in `$elem`.
    This,
    /// The key of the record.
    Id,
    /// The sequence of the commit that put the record there.
    Seq,
    /// That of the commit that put it there first since it was last deleted.
    CreatedSeq,
    /// Whether it was deleted.
    Deleted,
}

/// A test of one value. Comparisons hold only between values of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Equal.
    Eq(Value),
    /// Equal to one of them; they are in the order of values.
    In(Vec<Value>),
    /// Greater than.
    Gt(Value),
    /// Greater than or equal.
    Gte(Value),
    /// Less than.
    Lt(Value),
    /// Less than or equal.
    Lte(Value),
    /// Text that begins so.
    Prefix(String),
    /// Text with this in it.
    Contains(String),
    /// Text that is equal when both are in lower case; this is.
    EqIgnoreCase(String),
    /// Text in which the expression is found.
    Regex(Pattern),
    /// An array that has an element equal to each of them.
    AllOf(Vec<Value>),
    /// An array of so many elements.
    Size(u64),
    /// An array with an element for which the filter holds.
    Elem(Box<Filter>),
    /// Of one of these types.
    Type(Vec<Type>),
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// An integer of any size.
    BigInt,
    /// A moment.
    Date,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// 32-bit floating-point numbers.
    Floats,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A regular expression; equal to another with the same text.
#[derive(Clone)]
pub struct Pattern(pub(super) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.as_str())
    }
}

impl Type {
    /// All types with their names in queries.
    pub const NAMES: [(&'static str, Self); 10] = [
        ("null", Self::Null),
        ("bool", Self::Bool),
        ("number", Self::Number),
        ("bigint", Self::BigInt),
        ("date", Self::Date),
        ("string", Self::String),
        ("bytes", Self::Bytes),
        ("floats", Self::Floats),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    /// The type with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(own, _)| *own == name).map(|(_, own)| *own)
    }

    /// The name in queries.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

impl Place {
    /// The place beside the document with this name, which begins with `$`.
    pub(super) fn beside(name: &str) -> Option<Self> {
        match name {
            "$id" => Some(Self::Id),
            "$seq" => Some(Self::Seq),
            "$createdSeq" => Some(Self::CreatedSeq),
            "$deleted" => Some(Self::Deleted),
            _ => None,
        }
    }
}

impl Filter {
    /// The filter that every record passes.
    pub fn always() -> Self {
        Self::All(Vec::new())
    }

    /// Whether every record passes.
    pub fn is_always(&self) -> bool {
        matches!(self, Self::All(parts) if parts.is_empty())
    }

    /// The parts that must all hold.
    pub fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::All(parts) => parts.iter().flat_map(Self::conjuncts).collect(),
            one => vec![one],
        }
    }

    /// In JSON, the same for the same filter.
    pub(super) fn to_json(&self) -> Json {
        let list = |parts: &[Self]| Json::Array(parts.iter().map(Self::to_json).collect());
        match self {
            Self::All(parts) if parts.is_empty() => json!({}),
            Self::All(parts) => json!({ "$and": list(parts) }),
            Self::Any(parts) => json!({ "$or": list(parts) }),
            Self::Not(part) => json!({ "$not": part.to_json() }),
            Self::Some(place, tests) => {
                let one = |test: &Test| json!({ test.operator(): test.operand() });
                let tests = match tests.as_slice() {
                    [] => json!({ "$exists": true }),
                    [test] => one(test),
                    tests => Json::Array(tests.iter().map(one).collect()),
                };
                match place {
                    Place::This => tests,
                    place => json!({ place.to_string(): tests }),
                }
            }
        }
    }
}

impl Test {
    fn operator(&self) -> &'static str {
        match self {
            Self::Eq(_) => "$eq",
            Self::In(_) => "$in",
            Self::Gt(_) => "$gt",
            Self::Gte(_) => "$gte",
            Self::Lt(_) => "$lt",
            Self::Lte(_) => "$lte",
            Self::Prefix(_) => "$prefix",
            Self::Contains(_) => "$contains",
            Self::EqIgnoreCase(_) => "$ieq",
            Self::Regex(_) => "$regex",
            Self::AllOf(_) => "$all",
            Self::Size(_) => "$size",
            Self::Elem(_) => "$elem",
            Self::Type(_) => "$type",
        }
    }

    fn operand(&self) -> Json {
        let list = |values: &[Value]| Json::Array(values.iter().map(literal::render).collect());
        match self {
            Self::Eq(value) | Self::Gt(value) | Self::Gte(value) | Self::Lt(value) | Self::Lte(value) => {
                literal::render(value)
            }
            Self::In(values) | Self::AllOf(values) => list(values),
            Self::Prefix(text) | Self::Contains(text) | Self::EqIgnoreCase(text) => json!(text),
            Self::Regex(pattern) => json!(pattern.0.as_str()),
            Self::Size(count) => json!(count),
            Self::Elem(filter) => filter.to_json(),
            Self::Type(types) => json!(types.iter().map(|one| one.name()).collect::<Vec<_>>()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::This => f.write_str("$this"),
            Self::Id => f.write_str("$id"),
            Self::Seq => f.write_str("$seq"),
            Self::CreatedSeq => f.write_str("$createdSeq"),
            Self::Deleted => f.write_str("$deleted"),
        }
    }
}
