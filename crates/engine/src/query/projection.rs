//! What of a record a query returns.

use serde_json::{Value as Json, json};

use super::about::About;
use super::filter::Place;
use super::parse_filter::parse_path;
use super::pointer::Pointer;
use super::request::{members, string};
use crate::error::Result;
use crate::limits::MAX_SELECT_PATHS;
use crate::record::{Path, Step, Value};

/// What of a record is returned.
#[derive(Clone, Debug, Default)]
pub enum Projection {
    /// Everything.
    #[default]
    All,
    /// What these paths lead to, in the objects and arrays around it, and what is known beside the document.
    Paths(Tree, Beside),
    /// Everything but what these paths lead to.
    Omit(Tree),
}

/// What of that which is known beside a document is returned as members of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// A bit for each of [`BESIDE`].
    chosen: u8,
}

/// The names by which what is known beside documents is selected, in the order in which answers have it.
pub(super) const BESIDE: [(&str, Place); 3] =
    [("$id", Place::Id), ("$seq", Place::Seq), ("$createdSeq", Place::CreatedSeq)];

/// Paths laid over each other.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// A path ends here.
    whole: bool,
    members: Vec<(Box<str>, Tree)>,
    each: Option<Box<Tree>>,
    /// As it was written, for comparing queries.
    text: Vec<String>,
}

impl Projection {
    pub(super) fn parse(json: &Json, at: &Pointer<'_>) -> Result<Self> {
        if json.is_array() {
            return selection(json, at);
        }
        match members(json, at)?.iter().collect::<Vec<_>>().as_slice() {
            [(name, json)] if *name == "omit" => omission(json, &at.member("omit")),
            [(name, json)] if *name == "paths" => selection(json, &at.member("paths")),
            _ => Err(at.refused("expected an array of paths, or { \"omit\": [paths] }")),
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::All => Json::Null,
            Self::Paths(tree, beside) => {
                // No path reads as a name that is beside documents: in a path such a name stands in brackets.
                let mut names = tree.sorted_text();
                for name in beside.names() {
                    names.push(name);
                }
                json!(names)
            }
            Self::Omit(tree) => json!({ "omit": tree.sorted_text() }),
        }
    }

    /// What is returned of `document`, besides what is known beside it.
    pub(super) fn apply(&self, document: Value) -> Value {
        let projected = match self {
            Self::All => Some(document),
            Self::Paths(tree, _) => tree.keep(document),
            Self::Omit(tree) => tree.omit(document),
        };
        projected.unwrap_or(Value::Object(Vec::new()))
    }

    /// What is returned that is known beside a document, each with its number in [`BESIDE`]; what is not known is not there.
    pub(super) fn beside(&self, about: &About<'_>) -> Result<Vec<(usize, Value)>> {
        let Self::Paths(_, beside) = self else { return Ok(Vec::new()) };
        if beside.chosen == 0 {
            return Ok(Vec::new());
        }
        let value = |number: usize| Ok(about.value(&BESIDE[number].1)?.map(|value| (number, value)));
        beside.numbers().filter_map(|number| value(number).transpose()).collect()
    }
}

fn selection(json: &Json, at: &Pointer<'_>) -> Result<Projection> {
    let (mut tree, mut beside) = (Tree::default(), Beside::default());
    let texts = texts(json, at)?;
    for (index, text) in texts.iter().enumerate() {
        if text.starts_with('$') {
            let expected = "unknown; expected a path, $id, $seq or $createdSeq (a member of such a name is written [\"$name\"])";
            let number = BESIDE.iter().position(|(name, _)| name == text);
            beside.chosen |= 1 << number.ok_or_else(|| at.index(index).refused(expected))?;
        } else {
            tree.add(&parse_path(text, &at.index(index))?);
        }
    }
    for name in beside.names() {
        if tree.member(name).is_some() {
            let message = format!("of the document and from beside it there would be two members {name:?}");
            return Err(at.refused(message));
        }
    }
    Ok(Projection::Paths(tree, beside))
}

fn omission(json: &Json, at: &Pointer<'_>) -> Result<Projection> {
    let mut tree = Tree::default();
    for (index, text) in texts(json, at)?.iter().enumerate() {
        let at = at.index(index);
        if text.starts_with('$') {
            let message =
                "expected a path: only members are omitted (one of such a name is written [\"$name\"])";
            return Err(at.refused(message));
        }
        tree.add(&parse_path(text, &at)?);
    }
    Ok(Projection::Omit(tree))
}

fn texts(json: &Json, at: &Pointer<'_>) -> Result<Vec<String>> {
    let Json::Array(paths) = json else { return Err(at.refused("expected an array of paths")) };
    if paths.len() > MAX_SELECT_PATHS {
        return Err(at.too_many("selected paths", paths.len(), MAX_SELECT_PATHS));
    }
    paths.iter().enumerate().map(|(index, json)| string(json, &at.index(index))).collect()
}

impl Beside {
    /// The numbers in [`BESIDE`] of what is returned.
    fn numbers(self) -> impl Iterator<Item = usize> {
        (0..BESIDE.len()).filter(move |number| self.chosen & (1 << number) != 0)
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        self.numbers().map(|number| BESIDE[number].0)
    }
}

impl Tree {
    fn add(&mut self, path: &Path) {
        self.text.push(path.to_string());
        let mut tree = self;
        for step in path.steps() {
            tree = match step {
                Step::Each => tree.each.get_or_insert_default(),
                Step::Member(name) => {
                    let known = tree.members.iter().position(|(own, _)| own == name);
                    let place = known.unwrap_or_else(|| {
                        tree.members.push((name.clone(), Self::default()));
                        tree.members.len() - 1
                    });
                    &mut tree.members[place].1
                }
            };
        }
        tree.whole = true;
    }

    /// The paths as they were written, the same for the same paths.
    fn sorted_text(&self) -> Vec<&str> {
        let mut text: Vec<&str> = self.text.iter().map(String::as_str).collect();
        text.sort_unstable();
        text.dedup();
        text
    }

    /// Whether a path ends here.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What is laid over the elements of an array.
    pub(super) fn each(&self) -> Option<&Self> {
        self.each.as_deref()
    }

    /// Whether any path goes on to a member.
    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// What is laid over a member.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        self.members.iter().find(|(own, _)| **own == *name).map(|(_, tree)| tree)
    }

    /// The parts of a value that paths lead to; `None` when none does.
    fn keep(&self, value: Value) -> Option<Value> {
        match value {
            value if self.whole => Some(value),
            Value::Object(members) if !self.members.is_empty() => {
                let member = |(name, value): (String, _)| {
                    let kept = self.member(&name)?.keep(value)?;
                    Some((name, kept))
                };
                Some(Value::Object(members.into_iter().filter_map(member).collect()))
            }
            Value::Array(elements) => {
                let each = self.each.as_ref()?;
                Some(Value::Array(elements.into_iter().filter_map(|element| each.keep(element)).collect()))
            }
            _ => None,
        }
    }

    /// A value without the parts that paths lead to; `None` when nothing is left.
    fn omit(&self, value: Value) -> Option<Value> {
        match value {
            _ if self.whole => None,
            Value::Object(members) => {
                let member = |(name, value): (String, Value)| match self.member(&name) {
                    Some(tree) => Some((name, tree.omit(value)?)),
                    None => Some((name, value)),
                };
                Some(Value::Object(members.into_iter().filter_map(member).collect()))
            }
            Value::Array(elements) => {
                let Some(each) = &self.each else { return Some(Value::Array(elements)) };
                Some(Value::Array(elements.into_iter().filter_map(|element| each.omit(element)).collect()))
            }
            value => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(select: &Json, document: &str) -> Json {
        let projection = Projection::parse(select, &Pointer::root()).unwrap();
        super::super::literal::render(&projection.apply(Value::parse_json(document).unwrap()))
    }

    const DOCUMENT: &str = r#"{"id":1,"a":{"b":2,"c":3},"o":[{"s":1,"q":2},{"q":3},4],"t":["x","y"]}"#;

    #[test]
    fn selected_paths_keep_the_objects_and_arrays_around_them() {
        for (select, expected) in [
            (json!(["id"]), json!({"id": 1.0})),
            (json!(["a.b"]), json!({"a": {"b": 2.0}})),
            (json!(["a.b", "a"]), json!({"a": {"b": 2.0, "c": 3.0}})),
            (json!(["o[].s"]), json!({"o": [{"s": 1.0}, {}]})),
            (json!(["o[].s", "o[].q"]), json!({"o": [{"s": 1.0, "q": 2.0}, {"q": 3.0}]})),
            (json!(["t[]"]), json!({"t": ["x", "y"]})),
            (json!(["t.x", "none", "id.x"]), json!({})),
            (json!([]), json!({})),
        ] {
            assert_eq!(project(&select, DOCUMENT), expected, "{select}");
        }
    }

    #[test]
    fn the_same_paths_are_written_the_same_and_what_lies_beside_differs_from_members_of_its_name() {
        let written = |select: Json| Projection::parse(&select, &Pointer::root()).unwrap().to_json();
        assert_eq!(written(json!(["b", "$seq", "a", "$id"])), written(json!(["$id", "$seq", "a", "b", "a"])));
        assert_ne!(written(json!(["$id"])), written(json!(["[\"$id\"]"])));
        assert_ne!(written(json!(["a"])), written(json!({ "omit": ["a"] })));
    }

    #[test]
    fn omitted_paths_are_left_out() {
        for (omit, expected) in [
            (json!(["a", "o", "t"]), json!({"id": 1.0})),
            (
                json!(["a.b", "o[].q", "t[]", "id"]),
                json!({"a": {"c": 3.0}, "o": [{"s": 1.0}, {}, 4.0], "t": []}),
            ),
        ] {
            assert_eq!(project(&json!({ "omit": omit.clone() }), DOCUMENT), expected, "{omit}");
        }
    }
}
