//! The entries that a record has in an index.

use std::ops::Range;

use fountain_lsm::KeyRange;

use super::encode::{self, tag};
use super::{Index, IndexKind};
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::Expiry;
use crate::keys;
use crate::limits::MAX_INDEX_ENTRIES;
use crate::record::{Node, Path, Reader};

/// Entries of one record in one index: keys without the keyspace, sorted, each once. Reused from record to record, so
/// that its memory is.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    list: Vec<Entry>,
    /// The encoded values of the paths, while entries are put together.
    values: Vec<u8>,
    value_spans: Vec<Range<usize>>,
}

/// One entry.
#[derive(Clone, Debug)]
struct Entry {
    key: Range<usize>,
    /// Whether the key alone is the tuple and the value names the record, as in a unique index.
    exclusive: bool,
}

impl Entries {
    /// No entries.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }

    /// The entries of the record under `record_key` instead of those before.
    ///
    /// # Errors
    /// `ERR_TOO_LARGE` and `ERR_LIMIT` that name the index, `ERR_CORRUPT`.
    pub fn fill(&mut self, index: &Index, record_key: &[u8], document: &Reader<'_>) -> Result<()> {
        self.clear();
        let filled = self.try_fill(index, record_key, document);
        filled.map_err(|error| error.with(|details| details.index = Some(index.definition.name().to_owned())))
    }

    /// The keys, sorted, and whether the value of the entry names the record.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.list.iter().map(|entry| (&self.bytes[entry.key.clone()], entry.exclusive))
    }

    fn try_fill(&mut self, index: &Index, record_key: &[u8], document: &Reader<'_>) -> Result<()> {
        if let Some(expiry) = &index.expiry {
            return self.fill_moment(expiry, record_key, document);
        }
        if let Some(version) = index.definition.computed_version() {
            let values = values_of(index, version, document)?;
            return self.fill_product(index, record_key, &values);
        }
        let paths = index.definition.on();
        if paths.iter().any(Path::is_multiple) {
            self.fill_product(index, record_key, document)
        } else {
            self.fill_single(index, record_key, document)
        }
    }

    /// The entry of a record that expires.
    fn fill_moment(&mut self, expiry: &Expiry, record_key: &[u8], document: &Reader<'_>) -> Result<()> {
        if let Some(moment) = expiry.of(document)? {
            keys::push_number(tag::DATE, moment, &mut self.bytes);
            self.bytes.extend_from_slice(record_key);
            self.list.push(Entry { key: 0..self.bytes.len(), exclusive: false });
        }
        Ok(())
    }

    /// No path leads to more than one place: one entry or none.
    fn fill_single(&mut self, index: &Index, record_key: &[u8], document: &Reader<'_>) -> Result<()> {
        let mut partial = false;
        for path in index.definition.on() {
            match path.first(document)? {
                Some(mut value) => partial |= !encode::push_node(&mut value, &mut self.bytes)?,
                None if index.definition.is_sparse() => {
                    self.clear();
                    return Ok(());
                }
                None => {
                    self.bytes.push(tag::MISSING);
                    partial = true;
                }
            }
        }
        self.finish_entry(index, 0, partial, record_key)
    }

    /// Every combination of the values of the paths.
    fn fill_product(&mut self, index: &Index, record_key: &[u8], document: &Reader<'_>) -> Result<()> {
        let columns = self.collect_values(index, document)?;
        let count = columns.iter().try_fold(1usize, |count, column| count.checked_mul(column.len()));
        let count = count.unwrap_or(usize::MAX);
        if count > MAX_INDEX_ENTRIES {
            return Err(Error::too_many("index entries of one record", count, MAX_INDEX_ENTRIES));
        }
        for number in 0..count {
            let (start, mut rest, mut partial) = (self.bytes.len(), number, false);
            for column in &columns {
                let span = self.value_spans[column.start + rest % column.len()].clone();
                rest /= column.len();
                let value = &self.values[span];
                partial |= matches!(value.first(), Some(&(tag::MISSING | tag::OTHER)));
                self.bytes.extend_from_slice(value);
            }
            self.finish_entry(index, start, partial, record_key)?;
        }
        let bytes = &self.bytes;
        self.list.sort_unstable_by(|a, b| bytes[a.key.clone()].cmp(&bytes[b.key.clone()]));
        Ok(())
    }

    /// The different values of each path, encoded; returns which of `value_spans` belong to which path. Without a value
    /// a path of a sparse index has none, of another it is missing.
    fn collect_values(&mut self, index: &Index, document: &Reader<'_>) -> Result<Vec<Range<usize>>> {
        self.values.clear();
        self.value_spans.clear();
        let sparse = index.definition.is_sparse();
        let (values, spans) = (&mut self.values, &mut self.value_spans);
        let mut columns = Vec::with_capacity(index.definition.on().len());
        for path in index.definition.on() {
            let first = spans.len();
            path.visit(document, &mut |mut value| {
                let start = values.len();
                encode::push_node(&mut value, values)?;
                encode::check_size(values.len() - start)?;
                spans.push(start..values.len());
                Ok(())
            })?;
            if spans.len() == first && !sparse {
                values.push(tag::MISSING);
                spans.push(values.len() - 1..values.len());
            }
            let own = &mut spans[first..];
            own.sort_unstable_by(|a, b| values[a.clone()].cmp(&values[b.clone()]));
            let mut kept = first;
            for at in first..spans.len() {
                if at == first || values[spans[at].clone()] != values[spans[kept - 1].clone()] {
                    spans.swap(kept, at);
                    kept += 1;
                }
            }
            spans.truncate(kept);
            columns.push(first..kept);
        }
        Ok(columns)
    }

    fn finish_entry(&mut self, index: &Index, start: usize, partial: bool, record_key: &[u8]) -> Result<()> {
        encode::check_size(self.bytes.len() - start)?;
        let exclusive = index.definition.kind() == IndexKind::Unique && !partial;
        if !exclusive {
            self.bytes.extend_from_slice(record_key);
        }
        self.list.push(Entry { key: start..self.bytes.len(), exclusive });
        Ok(())
    }
}

/// The values that the program has computed for an index.
///
/// # Errors
/// `ERR_DEFINITION` if it has not.
fn values_of<'a>(index: &Index, version: u32, document: &Reader<'a>) -> Result<Reader<'a>> {
    if let (Some(values), Some(path)) = (document.values()?, index.definition.on().first())
        && let Some(own) = path.beginning(&values)?
        && matches!(own.clone().next()?, Node::Array(_))
    {
        return Ok(values);
    }
    let name = index.definition.name();
    let message = format!(
        "a record has no values for the index {name}, which the program computes, in version {version}: whoever writes \
         this collection must have its function"
    );
    Err(Error::new(ErrorCode::Definition, message))
}

/// Whether the program has not computed the values of an index for a record.
///
/// # Errors
/// `ERR_CORRUPT`.
pub(crate) fn lacks_values(index: &Index, document: &Reader<'_>) -> Result<bool> {
    let Some(version) = index.definition.computed_version() else { return Ok(false) };
    match values_of(index, version, document) {
        Ok(_) => Ok(false),
        Err(error) if error.code == ErrorCode::Definition => Ok(true),
        Err(error) => Err(error),
    }
}

/// The record that a stored entry leads to; `key` is without the keyspace.
///
/// # Errors
/// `ERR_CORRUPT`.
pub(crate) fn record_key<'a>(index: &Index, key: &'a [u8], value: &'a [u8]) -> Result<&'a [u8]> {
    let (end, partial) = encode::split(key, index.definition.on().len())?;
    let exclusive = index.definition.kind() == IndexKind::Unique && !partial;
    Ok(if exclusive { value } else { &key[end..] })
}

/// The range of stored keys in which all entries lie that lie in `range` when the record key stands behind every tuple. A
/// unique index has them shorter.
pub(super) fn stored_range(index: &Index, range: &KeyRange) -> KeyRange {
    let mut range = range.clone();
    if let Ok((end, _)) = encode::split(&range.start, index.definition.on().len()) {
        range.start.truncate(end);
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{IndexDefinition, IndexId, decode_tuple};
    use crate::keyspace::CollectionId;
    use crate::record::{Shapes, from_json, write};

    fn shown(kind: IndexKind, on: &[&str], sparse: bool, json: &str) -> Result<Vec<String>> {
        let definition = IndexDefinition::new("x", kind, on)?;
        let definition = if sparse { definition.sparse() } else { definition };
        let (id, collection) = (IndexId::new(17), CollectionId::FIRST);
        let index = Index { id, collection, definition, since: None, expiry: None };
        let shapes = Shapes::empty();
        let record = write(&from_json(json)?, &shapes)?;
        let list = shapes.list();
        let mut entries = Entries::default();
        entries.fill(&index, b"\x30k\0", &Reader::new(&record, &list)?)?;
        let show = |(key, exclusive): (&[u8], bool)| {
            let value: &[u8] = if exclusive { b"\x30k\0" } else { b"" };
            assert_eq!(record_key(&index, key, value).unwrap(), b"\x30k\0");
            let tuple = if exclusive { key } else { key.strip_suffix(b"\x30k\0").unwrap() };
            let values = decode_tuple(tuple, on.len()).unwrap();
            let text: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            format!("{}{}", text.join(" "), if exclusive { "!" } else { "" })
        };
        Ok(entries.iter().map(show).collect())
    }

    fn multi(on: &[&str], json: &str) -> Vec<String> {
        shown(IndexKind::Multi, on, false, json).unwrap()
    }

    #[test]
    fn every_different_element_is_an_entry_and_every_combination() {
        let tags = multi(&["t[]"], r#"{"t":["b","a","b",1]}"#);
        assert_eq!(tags, ["Some(Number(1.0))", r#"Some(String("a"))"#, r#"Some(String("b"))"#]);
        let both =
            multi(&["t[]", "n", "u[].v"], r#"{"t":[1,2],"n":3,"u":[{"v":4},{"w":0},{"v":5},{"v":4}]}"#);
        assert_eq!(both.len(), 4);
        assert_eq!(both[0], "Some(Number(1.0)) Some(Number(3.0)) Some(Number(4.0))");
        assert_eq!(both[3], "Some(Number(2.0)) Some(Number(3.0)) Some(Number(5.0))");
    }

    #[test]
    fn a_record_without_the_value_has_an_entry_unless_the_index_is_sparse() {
        for json in [r#"{"t":[]}"#, r#"{"t":1}"#, "{}"] {
            assert_eq!(multi(&["t[]"], json), ["None"], "{json}");
            assert!(shown(IndexKind::Multi, &["t[]"], true, json).unwrap().is_empty());
        }
        assert_eq!(multi(&["a", "b"], r#"{"a":null}"#), ["Some(Null) None"]);
        assert!(shown(IndexKind::Multi, &["a", "b"], true, r#"{"a":null}"#).unwrap().is_empty());
        assert_eq!(shown(IndexKind::Multi, &["t[]"], true, r#"{"t":[{},1]}"#).unwrap().len(), 2);
    }

    #[test]
    fn only_keys_of_whole_values_are_exclusive() {
        let unique = |json| shown(IndexKind::Unique, &["a", "b"], false, json).unwrap();
        assert_eq!(unique(r#"{"a":1,"b":null}"#), ["Some(Number(1.0)) Some(Null)!"]);
        assert_eq!(unique(r#"{"a":1}"#), ["Some(Number(1.0)) None"]);
        assert_eq!(unique(r#"{"a":{},"b":[[{}]]}"#), ["None None"]);
    }

    #[test]
    fn computed_values_are_entries_and_without_them_there_is_no_telling() {
        let definition = IndexDefinition::computed("x", IndexKind::Multi, 2).unwrap();
        let (id, collection) = (IndexId::new(17), CollectionId::FIRST);
        let index = Index { id, collection, definition, since: None, expiry: None };
        let shapes = Shapes::empty();
        let record = |json: &str| write(&from_json(json).unwrap(), &shapes).unwrap();
        let filled = |stored: Vec<u8>| {
            let list = shapes.list();
            let mut entries = Entries::default();
            entries.fill(&index, b"\x30k\0", &Reader::new(&stored, &list)?)?;
            Ok(entries.iter().count())
        };
        let document = record(r#"{"x@2":["in the document"]}"#);
        let with = |json| filled(crate::envelope::with_values(&document, &record(json)));
        assert_eq!(with(r#"{"x@2":["b","a","b"],"y@1":[1]}"#).unwrap(), 2);
        assert_eq!(with(r#"{"x@2":[]}"#).unwrap(), 0);
        let missing: [Result<usize>; 4] =
            [with(r#"{"x@1":["a"]}"#), with(r#"{"x@2":"a"}"#), with("{}"), filled(document.clone())];
        for missing in missing {
            let error = missing.unwrap_err();
            assert_eq!(
                (error.code, error.details.index.as_deref()),
                (crate::error::ErrorCode::Definition, Some("x"))
            );
        }
    }

    #[test]
    fn a_record_may_not_have_too_many_or_too_large_entries() {
        use crate::error::ErrorCode;
        let many: Vec<String> = (0..70).map(|number| number.to_string()).collect();
        let json = format!(r#"{{"a":[{0}],"b":[{0}]}}"#, many.join(","));
        let error = shown(IndexKind::Multi, &["a[]", "b[]"], false, &json).unwrap_err();
        assert_eq!((error.code, error.details.index.as_deref()), (ErrorCode::Limit, Some("x")));
        for json in [
            format!(r#"{{"a":"{}"}}"#, "x".repeat(3000)),
            format!(r#"{{"a":[{}]}}"#, many.join(",").repeat(10).replace("690", "69,0")),
        ] {
            let error = shown(IndexKind::Multi, &["a"], false, &json).unwrap_err();
            assert_eq!((error.code, error.details.index.as_deref()), (ErrorCode::TooLarge, Some("x")));
        }
    }
}
