//! Paths into documents: `age`, `address.city`, `tags[]`, `items[].sku`, `["a.b"].c`.
//!
//! A name goes to a member of an object, `[]` to every element of an array. Where the document has something else, a
//! path finds nothing there: `a.b` does not look into the elements of an array `a`; that is `a[].b`.

use std::fmt;

use super::{Node, Reader};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{MAX_PATH_BYTES, MAX_PATH_STEPS};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// To the member of an object that has this name.
    Member(Box<str>),
    /// To every element of an array, in order.
    Each,
}

/// A way into documents: at least one step, the first to a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    steps: Box<[Step]>,
}

impl Path {
    /// Reads a path as it is written. Names with other characters than letters, digits, `_`, `$` and `-` are written as
    /// JSON strings in brackets. A dot at the beginning is allowed, as in the original system. Where a query takes a path, a
    /// name at its beginning that begins with `$` stands for something else, unless it is in brackets.
    ///
    /// # Errors
    /// `ERR_VALIDATION` that names the byte at which the path makes no sense; `ERR_LIMIT` for more than
    /// [`MAX_PATH_STEPS`] steps.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_PATH_BYTES {
            return Err(Error::too_large("path", text.len(), MAX_PATH_BYTES));
        }
        let mut parser = Parser { text, at: 0 };
        let mut steps = vec![parser.first()?];
        while parser.at < text.len() {
            steps.push(parser.following()?);
            if steps.len() > MAX_PATH_STEPS {
                return Err(Error::too_many("steps in a path", steps.len(), MAX_PATH_STEPS));
            }
        }
        Ok(Self { steps: steps.into() })
    }

    /// To every element of the array that is the member `name`, whatever characters it has.
    pub(crate) fn each_of(name: &str) -> Self {
        Self { steps: [Step::Member(name.into()), Step::Each].into() }
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it may lead to more than one place in a document.
    pub fn is_multiple(&self) -> bool {
        self.steps.contains(&Step::Each)
    }

    /// Calls `found` for every place that the path leads to, in the order of the document, with a reader in front of
    /// the value.
    ///
    /// # Errors
    /// `ERR_CORRUPT`, and what `found` fails with; both end the walk.
    pub fn visit<'a>(
        &self,
        record: &Reader<'a>,
        found: &mut dyn FnMut(Reader<'a>) -> Result<()>,
    ) -> Result<()> {
        visit(record.clone(), &self.steps, found)
    }

    /// The value of the member that the path begins with.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub(crate) fn beginning<'a>(&self, record: &Reader<'a>) -> Result<Option<Reader<'a>>> {
        let mut found = None;
        visit(record.clone(), &self.steps[..1], &mut |reader| {
            found = Some(reader);
            Ok(())
        })?;
        Ok(found)
    }

    /// The first place that the path leads to.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn first<'a>(&self, record: &Reader<'a>) -> Result<Option<Reader<'a>>> {
        let mut first = None;
        self.visit(record, &mut |reader| {
            first.get_or_insert(reader);
            Ok(())
        })?;
        Ok(first)
    }
}

fn visit<'a>(
    mut reader: Reader<'a>,
    steps: &[Step],
    found: &mut dyn FnMut(Reader<'a>) -> Result<()>,
) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else { return found(reader) };
    match (step, reader.next()?) {
        (Step::Member(name), Node::Object(shape)) => match shape.position(name) {
            Some(position) => {
                reader.skip_many(position)?;
                visit(reader, rest, found)
            }
            None => Ok(()),
        },
        (Step::Member(name), Node::Named(count)) => {
            for _ in 0..count {
                let here = matches!(reader.next()?, Node::String(own) if *own == **name);
                if here {
                    return visit(reader, rest, found);
                }
                reader.skip()?;
            }
            Ok(())
        }
        (Step::Each, Node::Array(count)) => {
            for _ in 0..count {
                visit(reader.clone(), rest, found)?;
                reader.skip()?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn first(&mut self) -> Result<Step> {
        if self.rest().starts_with('.') {
            self.at += 1;
        }
        if self.rest().starts_with('[') { self.quoted() } else { self.name() }
    }

    fn following(&mut self) -> Result<Step> {
        if self.rest().starts_with("[]") {
            self.at += 2;
            return Ok(Step::Each);
        }
        if self.rest().starts_with('[') {
            return self.quoted();
        }
        if !self.rest().starts_with('.') {
            return Err(self.refused("expected \".\" or \"[\""));
        }
        self.at += 1;
        self.name()
    }

    fn name(&mut self) -> Result<Step> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-');
        let rest = self.rest();
        let length = rest.find(|c| !plain(c)).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.refused("expected a name"));
        }
        let name = rest[..length].into();
        self.at += length;
        Ok(Step::Member(name))
    }

    fn quoted(&mut self) -> Result<Step> {
        let inside = &self.rest()[1..];
        let mut stream = serde_json::Deserializer::from_str(inside).into_iter::<String>();
        let (Some(Ok(name)), length) = (stream.next(), stream.byte_offset()) else {
            return Err(self.refused("expected a name in double quotes"));
        };
        self.at += 1 + length;
        if !self.rest().starts_with(']') {
            return Err(self.refused("expected \"]\""));
        }
        self.at += 1;
        Ok(Step::Member(name.into()))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn refused(&self, what: &str) -> Error {
        let message = format!("the path {:?} makes no sense at byte {}: {what}", self.text, self.at);
        Error::new(ErrorCode::Validation, message).with(|details| details.offset = Some(self.at as u64))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Each => f.write_str("[]")?,
                Step::Member(name) if is_plain(name) && index == 0 && !name.starts_with('$') => {
                    f.write_str(name)?;
                }
                Step::Member(name) if is_plain(name) && index > 0 => write!(f, ".{name}")?,
                Step::Member(name) => write!(f, "[{}]", serde_json::json!(name))?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'))
}
