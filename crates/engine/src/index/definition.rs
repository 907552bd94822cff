//! What an index is defined as, and how the catalog writes it.

use serde_json::{Map, Value, json};

use crate::catalog::check_name;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::MAX_INDEX_PATHS;
use crate::record::Path;

/// Whether several records may have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IndexKind {
    /// No two records have the same key. Keys in which a value is missing, or is one that no index can tell from others
    /// (an object), are not compared: any number of records may lack the value. `null` is a value like any other.
    Unique,
    /// Any number of records have the same key.
    Multi,
}

impl IndexKind {
    /// Its name in definitions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unique => "unique",
            Self::Multi => "multi",
        }
    }
}

/// An index as it is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDefinition {
    name: String,
    kind: IndexKind,
    on: Box<[Path]>,
    sparse: bool,
    /// The version of the values, if the program computes them.
    computed: Option<u32>,
}

impl IndexDefinition {
    /// An index on the values that `on` leads to, in the order of the paths. Not sparse.
    ///
    /// # Errors
    /// `ERR_INVALID_NAME`; `ERR_VALIDATION` for a path that makes no sense; `ERR_LIMIT` for none or more than
    /// [`MAX_INDEX_PATHS`] paths.
    pub fn new(name: &str, kind: IndexKind, on: &[&str]) -> Result<Self> {
        check_name("an index name", name)?;
        if on.is_empty() || on.len() > MAX_INDEX_PATHS {
            return Err(Error::too_many("paths in an index (at least 1)", on.len(), MAX_INDEX_PATHS));
        }
        let on = on.iter().map(|path| Path::parse(path)).collect::<Result<_>>()?;
        Ok(Self { name: name.to_owned(), kind, on, sparse: false, computed: None })
    }

    /// An index on values that the program computes from documents, any number for each, and puts with them; see
    /// [`crate::with_values`]. A put without such values of this version is refused. Documents with no value have no entry.
    ///
    /// # Errors
    /// `ERR_INVALID_NAME`; `ERR_VALIDATION` for version 0.
    pub fn computed(name: &str, kind: IndexKind, version: u32) -> Result<Self> {
        check_name("an index name", name)?;
        if version == 0 {
            return Err(Error::new(ErrorCode::Validation, "the version of computed values is at least 1"));
        }
        let on = [Path::each_of(&format!("{name}@{version}"))].into();
        Ok(Self { name: name.to_owned(), kind, on, sparse: true, computed: Some(version) })
    }

    /// What stands in place of a definition in an expiry index. Nobody can define one of this name.
    pub(crate) fn of_expiry() -> Self {
        Self {
            name: "$ttl".to_owned(),
            kind: IndexKind::Multi,
            on: Box::default(),
            sparse: true,
            computed: None,
        }
    }

    /// The same index, with entries only for records in which every path leads to something.
    #[must_use]
    pub fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// Its name, unique in its collection.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    pub fn kind(&self) -> IndexKind {
        self.kind
    }

    /// The version of the values that the program computes, if it does.
    pub fn computed_version(&self) -> Option<u32> {
        self.computed
    }

    /// Its paths, into the document or, if they are computed, into the values.
    pub fn on(&self) -> &[Path] {
        &self.on
    }

    /// Whether records in which a value is missing have no entries.
    pub fn is_sparse(&self) -> bool {
        self.sparse
    }

    /// What it says about itself, without its name: `kind`, and either `computed`, a version, or `on`, and `sparse` if it is.
    pub fn to_json(&self) -> Map<String, Value> {
        if let Some(version) = self.computed {
            let members = [("kind", json!(self.kind.as_str())), ("computed", json!(version))];
            return members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        }
        let paths: Vec<String> = self.on.iter().map(ToString::to_string).collect();
        let mut out = Map::new();
        out.insert("kind".to_owned(), json!(self.kind.as_str()));
        out.insert("on".to_owned(), json!(paths));
        if self.sparse {
            out.insert("sparse".to_owned(), json!(true));
        }
        out
    }

    /// Reads what [`IndexDefinition::to_json`] writes; `on` may also be a single path.
    ///
    /// # Errors
    /// As [`IndexDefinition::new`]; `ERR_VALIDATION` for everything that is no definition.
    pub fn from_json(name: &str, json: &Value) -> Result<Self> {
        let refused = |what: &str| {
            let message = format!("the definition of index {name:?} {what}");
            Error::new(ErrorCode::Validation, message)
        };
        let Value::Object(members) = json else { return Err(refused("is not an object")) };
        let is_known = |name: &str| matches!(name, "kind" | "on" | "sparse" | "computed");
        if let Some(unknown) = members.keys().find(|name| !is_known(name)) {
            return Err(refused(&format!("has the unknown member {unknown:?}")));
        }
        let kind = match members.get("kind").and_then(Value::as_str) {
            Some("unique") => IndexKind::Unique,
            Some("multi") => IndexKind::Multi,
            _ => return Err(refused("has a kind that is neither \"unique\" nor \"multi\"")),
        };
        if let Some(version) = members.get("computed") {
            if members.contains_key("on") || members.contains_key("sparse") {
                return Err(refused("has \"on\" or \"sparse\" beside \"computed\""));
            }
            let version = version.as_u64().and_then(|version| u32::try_from(version).ok());
            let version = version.ok_or_else(|| refused("has a \"computed\" that is no version"))?;
            return Self::computed(name, kind, version);
        }
        let paths: Option<Vec<&str>> = match members.get("on") {
            Some(Value::String(path)) => Some(vec![path]),
            Some(Value::Array(paths)) => paths.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let paths = paths.ok_or_else(|| refused("has no path or list of paths as \"on\""))?;
        let definition = Self::new(name, kind, &paths)?;
        match members.get("sparse") {
            None | Some(Value::Bool(false)) => Ok(definition),
            Some(Value::Bool(true)) => Ok(definition.sparse()),
            Some(_) => Err(refused("has a \"sparse\" that is neither true nor false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_PATH_STEPS;

    fn code(result: Result<IndexDefinition>) -> ErrorCode {
        result.unwrap_err().code
    }

    #[test]
    fn a_definition_is_written_and_read() {
        let plain = IndexDefinition::new("byCity", IndexKind::Multi, &["address.city", "tags[]"]).unwrap();
        for definition in [plain.clone(), plain.sparse()] {
            let json = Value::Object(definition.to_json());
            assert_eq!(IndexDefinition::from_json("byCity", &json).unwrap(), definition);
        }
        let computed = IndexDefinition::computed("words", IndexKind::Multi, 3).unwrap();
        let json = Value::Object(computed.to_json());
        assert_eq!(json, json!({ "kind": "multi", "computed": 3 }));
        assert_eq!(IndexDefinition::from_json("words", &json).unwrap(), computed);
        let short = json!({ "kind": "unique", "on": ".email" });
        let definition = IndexDefinition::from_json("e", &short).unwrap();
        assert_eq!(Value::Object(definition.to_json()), json!({ "kind": "unique", "on": ["email"] }));
    }

    #[test]
    fn what_is_no_definition_is_refused() {
        let new = |name: &str, on: &[&str]| code(IndexDefinition::new(name, IndexKind::Multi, on));
        assert_eq!(new("a b", &["x"]), ErrorCode::InvalidName);
        assert_eq!(new("a", &["x..y"]), ErrorCode::Validation);
        assert_eq!(new("a", &[&["x"; MAX_PATH_STEPS + 1].join(".")]), ErrorCode::Limit);
        assert_eq!(new("a", &[]), ErrorCode::Limit);
        assert_eq!(new("a", &["x"; MAX_INDEX_PATHS + 1]), ErrorCode::Limit);
        for json in [
            json!("x"),
            json!({ "kind": "fts", "on": "x" }),
            json!({ "kind": "multi" }),
            json!({ "kind": "multi", "on": [1] }),
            json!({ "kind": "multi", "on": "x", "sparse": 1 }),
            json!({ "kind": "multi", "on": "x", "colour": "red" }),
            json!({ "kind": "multi", "computed": 0 }),
            json!({ "kind": "multi", "computed": "1" }),
            json!({ "kind": "multi", "computed": 1, "on": "x" }),
        ] {
            assert_eq!(code(IndexDefinition::from_json("a", &json)), ErrorCode::Validation, "{json}");
        }
    }
}
