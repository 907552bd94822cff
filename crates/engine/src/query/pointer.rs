//! Where in a query something is wrong: a JSON pointer (RFC 6901), built only when it is needed.

use crate::error::{Error, ErrorCode};

/// A place in a JSON document, linked to the places around it.
#[derive(Clone, Copy)]
pub(super) struct Pointer<'a> {
    parent: Option<&'a Pointer<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Index(usize),
}

impl<'a> Pointer<'a> {
    /// The whole document.
    pub fn root() -> Self {
        Self { parent: None, step: Step::Root }
    }

    /// A member of the object here.
    pub fn member(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Member(name) }
    }

    /// An element of the array here.
    pub fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    /// What is here makes no sense.
    pub fn refused(&self, what: impl AsRef<str>) -> Error {
        self.error(ErrorCode::Validation, what.as_ref())
    }

    /// There are `size` of `what` here, and may be `limit`.
    pub fn too_many(&self, what: &'static str, size: usize, limit: usize) -> Error {
        let pointer = self.to_string();
        Error::too_many(what, size, limit).with(|details| details.pointer = Some(pointer))
    }

    /// An error about what is here.
    pub fn error(&self, code: ErrorCode, what: &str) -> Error {
        let pointer = self.to_string();
        let place = if pointer.is_empty() { "the query" } else { &pointer };
        Error::new(code, format!("{place}: {what}")).with(|details| details.pointer = Some(pointer))
    }
}

impl std::fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => write!(f, "/{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let root = Pointer::root();
        let (where_, path) = (root.member("where"), "a/b~c");
        assert_eq!(where_.member(path).index(3).to_string(), "/where/a~1b~0c/3");
    }
}
