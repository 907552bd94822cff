//! What of a record a query returns.

use serde_json::{Value as Json, json};

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
    /// What these paths lead to, in the objects and arrays around it.
    Paths(Tree),
    /// Everything but what these paths lead to.
    Omit(Tree),
}

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
            return Ok(Self::Paths(tree(json, at)?));
        }
        match members(json, at)?.iter().collect::<Vec<_>>().as_slice() {
            [(name, json)] if *name == "omit" => Ok(Self::Omit(tree(json, &at.member("omit"))?)),
            [(name, json)] if *name == "paths" => Ok(Self::Paths(tree(json, &at.member("paths"))?)),
            _ => Err(at.refused("expected an array of paths, or { \"omit\": [paths] }")),
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::All => Json::Null,
            Self::Paths(tree) => json!(tree.text),
            Self::Omit(tree) => json!({ "omit": tree.text }),
        }
    }

    /// What is returned of `document`.
    pub(super) fn apply(&self, document: Value) -> Value {
        let projected = match self {
            Self::All => Some(document),
            Self::Paths(tree) => tree.keep(document),
            Self::Omit(tree) => tree.omit(document),
        };
        projected.unwrap_or(Value::Object(Vec::new()))
    }
}

fn tree(json: &Json, at: &Pointer<'_>) -> Result<Tree> {
    let Json::Array(paths) = json else { return Err(at.refused("expected an array of paths")) };
    if paths.len() > MAX_SELECT_PATHS {
        return Err(at.too_many("selected paths", paths.len(), MAX_SELECT_PATHS));
    }
    let mut tree = Tree::default();
    for (index, json) in paths.iter().enumerate() {
        let at = at.index(index);
        let path = parse_path(&string(json, &at)?, &at)?;
        tree.text.push(path.to_string());
        tree.add(&path);
    }
    tree.text.sort_unstable();
    tree.text.dedup();
    Ok(tree)
}

impl Tree {
    fn add(&mut self, path: &Path) {
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
