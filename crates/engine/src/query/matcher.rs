//! A filter made ready to run over records as they are stored, without unpacking them.
//!
//! Where the members of a path stand depends only on the shape of the object, so each step remembers it per shape: the
//! names are compared once for a shape, not once for a record.

use super::about::About;
use super::compare;
use super::filter::{Filter, Place, Test};
use crate::error::Result;
use crate::record::{Node, Path, Reader, Shape, Step, Value};

/// A filter that can be run. It learns from the records it sees; make one for each run.
pub(super) struct Matcher {
    root: Part,
}

enum Part {
    All(Vec<Part>),
    Any(Vec<Part>),
    Not(Box<Part>),
    Some(Steps, Vec<Check>),
    This(Vec<Check>),
    /// Of a place beside the document.
    Beside(Place, Vec<Check>),
}

/// A test, with the filter of `$elem` made ready.
enum Check {
    Plain(Test),
    Elem(Box<Part>),
}

/// The steps of a path.
struct Steps(Box<[Way]>);

enum Way {
    Member { name: Box<str>, places: Places },
    Each,
}

/// For each shape by id: 0 when it is not known yet, 1 when it has no such member, else 2 more than its position.
#[derive(Default)]
struct Places(Vec<u16>);

impl Matcher {
    pub fn new(filter: &Filter) -> Self {
        Self { root: Part::new(filter) }
    }

    /// Whether a record passes.
    pub fn matches(&mut self, about: &About<'_>, record: &Reader<'_>) -> Result<bool> {
        self.root.holds(about, record)
    }
}

impl Part {
    fn new(filter: &Filter) -> Self {
        let checks = |tests: &[Test]| tests.iter().map(Check::new).collect();
        match filter {
            Filter::All(parts) => Self::All(parts.iter().map(Self::new).collect()),
            Filter::Any(parts) => Self::Any(parts.iter().map(Self::new).collect()),
            Filter::Not(part) => Self::Not(Box::new(Self::new(part))),
            Filter::Some(Place::Path(path), tests) => Self::Some(Steps::new(path), checks(tests)),
            Filter::Some(Place::This, tests) => Self::This(checks(tests)),
            Filter::Some(place, tests) => Self::Beside(place.clone(), checks(tests)),
        }
    }

    fn holds(&mut self, about: &About<'_>, record: &Reader<'_>) -> Result<bool> {
        match self {
            Self::All(parts) => {
                for part in parts {
                    if !part.holds(about, record)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.holds(about, record)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(part) => Ok(!part.holds(about, record)?),
            Self::Some(steps, checks) => {
                any(record.clone(), &mut steps.0, &mut |found| all_hold(checks, about, &found))
            }
            Self::This(checks) => all_hold(checks, about, record),
            Self::Beside(Place::Id, checks) => Ok(all_hold_of(checks, about.id()?)),
            Self::Beside(place, checks) => {
                Ok(about.value(place)?.is_some_and(|value| all_hold_of(checks, &value)))
            }
        }
    }
}

impl Check {
    fn new(test: &Test) -> Self {
        match test {
            Test::Elem(filter) => Self::Elem(Box::new(Part::new(filter))),
            plain => Self::Plain(plain.clone()),
        }
    }

    fn holds(&mut self, about: &About<'_>, value: &Reader<'_>) -> Result<bool> {
        match self {
            Self::Plain(test) => compare::holds(test, value),
            Self::Elem(part) => {
                let mut elements = value.clone();
                let Node::Array(count) = elements.next()? else { return Ok(false) };
                for _ in 0..count {
                    if part.holds(about, &elements)? {
                        return Ok(true);
                    }
                    elements.skip()?;
                }
                Ok(false)
            }
        }
    }
}

fn all_hold(checks: &mut [Check], about: &About<'_>, value: &Reader<'_>) -> Result<bool> {
    for check in checks {
        if !check.holds(about, value)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn all_hold_of(checks: &[Check], value: &Value) -> bool {
    checks.iter().all(|check| match check {
        Check::Plain(test) => compare::holds_value(test, value),
        Check::Elem(_) => false,
    })
}

impl Steps {
    fn new(path: &Path) -> Self {
        let way = |step: &Step| match step {
            Step::Each => Way::Each,
            Step::Member(name) => Way::Member { name: name.clone(), places: Places::default() },
        };
        Self(path.steps().iter().map(way).collect())
    }
}

/// Whether `found` says yes to one of the places that `ways` lead to; the rest are then not looked at.
fn any(
    mut reader: Reader<'_>,
    ways: &mut [Way],
    found: &mut dyn FnMut(Reader<'_>) -> Result<bool>,
) -> Result<bool> {
    let Some((way, rest)) = ways.split_first_mut() else { return found(reader) };
    match (way, reader.next()?) {
        (Way::Member { name, places }, Node::Object(shape)) => match places.position(shape, name) {
            Some(position) => {
                reader.skip_many(position)?;
                any(reader, rest, found)
            }
            None => Ok(false),
        },
        (Way::Member { name, .. }, Node::Named(count)) => {
            for _ in 0..count {
                let here = matches!(reader.next()?, Node::String(own) if *own == **name);
                if here {
                    return any(reader, rest, found);
                }
                reader.skip()?;
            }
            Ok(false)
        }
        (Way::Each, Node::Array(count)) => {
            for _ in 0..count {
                if any(reader.clone(), rest, found)? {
                    return Ok(true);
                }
                reader.skip()?;
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

impl Places {
    fn position(&mut self, shape: &Shape, name: &str) -> Option<usize> {
        let id = shape.id().get() as usize;
        if self.0.len() <= id {
            self.0.resize(id + 1, 0);
        }
        let place = &mut self.0[id];
        if *place == 0 {
            // A shape has at most 128 names.
            *place = shape.position(name).map_or(1, |position| position as u16 + 2);
        }
        (*place >= 2).then(|| usize::from(*place - 2))
    }
}
