//! Projects records without unpacking them: what is returned of a record is copied out of it byte by byte.
//!
//! An object of which only some members are returned has names that no stored shape need have, so an answer brings shapes
//! of its own, numbered behind those of the store. Which members of a shape are kept depends on the shape, the paths, and,
//! for paths that go on, on the types of the values; so a shape is found by the shape it came from, the paths, and a bit for
//! every member that is kept.
//!
//! What always holds: the answer is what [`Projection::apply`] gives, which serves where an answer would need more than
//! [`MAX_ANSWER_SHAPES`].

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::projection::{Projection, Tree};
use crate::error::{Error, Result};
use crate::limits::{MAX_ANSWER_SHAPES, MAX_SHAPE_NAMES};
use crate::record::{self, Node, Reader, Shape, ShapeList, Splice, Value, malformed};

/// What a shape of an answer was made from: a stored shape, the paths over it, and the members that were kept.
type Origin = (u32, *const Tree, u128);
/// For each member of a shape, the paths over it, if there are any.
type Members<'a> = Rc<[Option<&'a Tree>]>;

const _: () = assert!(MAX_SHAPE_NAMES <= u128::BITS as usize);

/// Projects the records of one answer.
pub(super) struct Projector<'a> {
    projection: &'a Projection,
    /// How many shapes the store has.
    stored: usize,
    shapes: Vec<Arc<Shape>>,
    /// Few: an answer's records have few shapes.
    by_origin: BTreeMap<Origin, usize>,
    /// By a stored shape and the paths over it, so that names are compared once for a shape and not for each record.
    members: BTreeMap<(u32, *const Tree), Members<'a>>,
    by_names: HashMap<Box<[Box<str>]>, usize>,
}

/// Why a record was not projected.
enum Stop {
    /// The answer has no room for another shape.
    Full,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Step = std::result::Result<(), Stop>;

/// Keeping or omitting what paths lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Keep,
    Omit,
}

impl<'a> Projector<'a> {
    /// For records that name the shapes in `stored`.
    pub fn new(projection: &'a Projection, stored: &ShapeList) -> Self {
        Self {
            projection,
            stored: stored.len(),
            shapes: Vec::new(),
            by_origin: BTreeMap::new(),
            members: BTreeMap::new(),
            by_names: HashMap::new(),
        }
    }

    /// What is returned of a record, as a record that names shapes of the store and of the answer.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn project(&mut self, record: &Reader<'_>) -> Result<Vec<u8>> {
        let mut splice = Splice::of(record);
        let mut reader = record.clone();
        let done = match self.projection {
            Projection::All => splice.copy(&mut reader).map_err(Stop::Failed),
            Projection::Paths(tree) => self.root(tree, Mode::Keep, &mut reader, &mut splice),
            Projection::Omit(tree) => self.root(tree, Mode::Omit, &mut reader, &mut splice),
        };
        match done {
            Ok(()) => Ok(splice.finish()),
            Err(Stop::Full) => record::write_named(&self.projection.apply(Value::read(&mut record.clone())?)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// The shapes of the store, and behind them those that the answer brings.
    pub fn with_stored(self, stored: &ShapeList) -> ShapeList {
        if self.shapes.is_empty() {
            return ShapeList::clone(stored);
        }
        Arc::new(stored.iter().cloned().chain(self.shapes).collect())
    }

    /// A document itself, of which an empty object is left where nothing else is.
    fn root(&mut self, tree: &'a Tree, mode: Mode, reader: &mut Reader<'_>, splice: &mut Splice) -> Step {
        if mode.keeps(tree, &reader.clone().next()?) {
            return self.value(tree, mode, reader, splice);
        }
        splice.named(0);
        Ok(())
    }

    /// A value that is kept.
    fn value(&mut self, tree: &'a Tree, mode: Mode, reader: &mut Reader<'_>, splice: &mut Splice) -> Step {
        if mode.takes_all(tree) {
            return Ok(splice.copy(reader)?);
        }
        let mut inside = reader.clone();
        match inside.next()? {
            Node::Object(shape) => {
                *reader = inside;
                self.members(tree, mode, shape, reader, splice)
            }
            Node::Named(count) => {
                *reader = inside;
                self.named(tree, mode, count, reader, splice)
            }
            Node::Array(count) if tree.each().is_some() => {
                *reader = inside;
                self.elements(tree, mode, count, reader, splice)
            }
            _ => Ok(splice.copy(reader)?),
        }
    }

    fn members(
        &mut self,
        tree: &'a Tree,
        mode: Mode,
        shape: &Shape,
        reader: &mut Reader<'_>,
        splice: &mut Splice,
    ) -> Step {
        let members = self.members_of(tree, shape);
        let (mut kept, mut starts) = (0u128, Vec::new());
        // Those that are passed over and not yet.
        let mut behind = 0;
        for (index, paths) in members.iter().enumerate() {
            if mode == Mode::Keep && paths.is_none() {
                behind += 1;
                continue;
            }
            reader.skip_many(behind)?;
            behind = 1;
            if mode.keeps_member(*paths, reader)? {
                kept |= 1 << index;
                starts.push((*paths, reader.clone()));
            }
        }
        reader.skip_many(behind)?;
        let Some(id) = self.shape((shape.id().get(), tree, kept), shape) else { return Err(Stop::Full) };
        splice.object(id);
        for (paths, mut start) in starts {
            self.member(paths, mode, &mut start, splice)?;
        }
        Ok(())
    }

    fn members_of(&mut self, tree: &'a Tree, shape: &Shape) -> Members<'a> {
        let members = self.members.entry((shape.id().get(), tree));
        Rc::clone(members.or_insert_with(|| shape.names().iter().map(|name| tree.member(name)).collect()))
    }

    /// The members of an object that carries their names.
    fn named(
        &mut self,
        tree: &'a Tree,
        mode: Mode,
        count: usize,
        reader: &mut Reader<'_>,
        splice: &mut Splice,
    ) -> Step {
        let mut ahead = reader.clone();
        let mut kept = Vec::with_capacity(count);
        for _ in 0..count {
            let name = name(&mut ahead)?;
            kept.push(mode.keeps_member(tree.member(name), &ahead)?);
            ahead.skip()?;
        }
        splice.named(kept.iter().filter(|&&keep| keep).count());
        for keep in kept {
            if !keep {
                reader.skip_many(2)?;
                continue;
            }
            let name = name(&mut reader.clone())?;
            splice.copy(reader)?;
            self.member(tree.member(name), mode, reader, splice)?;
        }
        Ok(())
    }

    /// A member that is kept, with the paths over it.
    fn member(
        &mut self,
        paths: Option<&'a Tree>,
        mode: Mode,
        reader: &mut Reader<'_>,
        splice: &mut Splice,
    ) -> Step {
        match paths {
            Some(tree) => self.value(tree, mode, reader, splice),
            None => Ok(splice.copy(reader)?),
        }
    }

    fn elements(
        &mut self,
        tree: &'a Tree,
        mode: Mode,
        count: usize,
        reader: &mut Reader<'_>,
        splice: &mut Splice,
    ) -> Step {
        let Some(each) = tree.each() else { return Ok(()) };
        let mut ahead = reader.clone();
        let mut kept = 0;
        for _ in 0..count {
            kept += usize::from(mode.keeps(each, &ahead.clone().next()?));
            ahead.skip()?;
        }
        splice.array(kept);
        for _ in 0..count {
            if mode.keeps(each, &reader.clone().next()?) {
                self.value(each, mode, reader, splice)?;
            } else {
                reader.skip()?;
            }
        }
        Ok(())
    }

    /// The number of the shape with those members of `shape` that are kept.
    fn shape(&mut self, origin: Origin, shape: &Shape) -> Option<usize> {
        if let Some(&id) = self.by_origin.get(&origin) {
            return Some(id);
        }
        let names = shape.names().iter().enumerate();
        let names: Box<[Box<str>]> =
            names.filter(|(index, _)| origin.2 & (1 << index) != 0).map(|(_, name)| name.clone()).collect();
        let id = match self.by_names.get(&names) {
            Some(&id) => id,
            None if self.shapes.len() >= MAX_ANSWER_SHAPES => return None,
            None => {
                let id = self.stored + self.shapes.len();
                self.shapes.push(Arc::new(Shape::unstored(id, names.clone())));
                self.by_names.insert(names, id);
                id
            }
        };
        self.by_origin.insert(origin, id);
        Some(id)
    }
}

impl Mode {
    /// Whether a value with these paths over it is kept, be it in part.
    fn keeps(self, tree: &Tree, node: &Node<'_>) -> bool {
        match (self, node) {
            (Self::Omit, _) => !tree.is_whole(),
            (Self::Keep, _) if tree.is_whole() => true,
            (Self::Keep, Node::Object(_) | Node::Named(_)) => tree.has_members(),
            (Self::Keep, Node::Array(_)) => tree.each().is_some(),
            (Self::Keep, _) => false,
        }
    }

    /// Whether a value is kept whole, whatever it is.
    fn takes_all(self, tree: &Tree) -> bool {
        match self {
            Self::Keep => tree.is_whole(),
            Self::Omit => false,
        }
    }

    /// Whether the member whose value is next is kept, with these paths over it.
    fn keeps_member(self, paths: Option<&Tree>, value: &Reader<'_>) -> Result<bool> {
        match (self, paths) {
            (Self::Keep, None) => Ok(false),
            (Self::Omit, None) => Ok(true),
            (_, Some(tree)) => Ok(self.keeps(tree, &value.clone().next()?)),
        }
    }
}

fn name<'a>(reader: &mut Reader<'a>) -> Result<&'a str> {
    match reader.next()? {
        Node::String(name) => Ok(name),
        _ => Err(malformed("a name is not text")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::super::literal::render;
    use super::super::pointer::Pointer;
    use super::*;
    use crate::record::Shapes;

    /// The answer with its shapes, and what unpacking would have given.
    fn both(select: &Json, documents: &[Value], shapes: &Shapes) -> Vec<(Json, Json)> {
        let projection = Projection::parse(select, &Pointer::root()).unwrap();
        let records: Vec<_> =
            documents.iter().map(|document| record::write(document, shapes).unwrap()).collect();
        let stored = shapes.list();
        let mut projector = Projector::new(&projection, &stored);
        let answers: Vec<_> = records
            .iter()
            .map(|record| projector.project(&Reader::new(record, &stored).unwrap()).unwrap())
            .collect();
        let all = projector.with_stored(&stored);
        let mut pairs = Vec::new();
        for (document, answer) in documents.iter().zip(&answers) {
            let mut reader = Reader::new(answer, &all).unwrap();
            let value = Value::read(&mut reader).unwrap();
            assert!(reader.is_at_end());
            pairs.push((render(&value), render(&projection.apply(document.clone()))));
        }
        pairs
    }

    /// Shapes to which none can be added any more, so that objects carry their names.
    fn full() -> &'static Shapes {
        static FULL: OnceLock<Shapes> = OnceLock::new();
        FULL.get_or_init(|| {
            let shapes = Shapes::empty();
            for n in 0..crate::limits::MAX_SHAPES {
                shapes.reserve(&[&format!("member {n}")]).unwrap();
            }
            shapes
        })
    }

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-400i32..70_000).prop_map(|number| Value::Number(f64::from(number))),
            prop::sample::select(vec!["", "a", "é", "😀", "longer text"])
                .prop_map(|text| Value::String(text.to_owned())),
            Just(Value::Bytes(vec![1, 2, 3])),
        ];
        scalar.prop_recursive(4, 40, 5, |inner| {
            let members = prop::collection::btree_map(name(), inner.clone(), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(Value::Array),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn name() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "c", "é"]).prop_map(str::to_owned)
    }

    fn select() -> impl Strategy<Value = Json> {
        let paths = vec!["a", "b", "a.b", "a.b.c", "a[]", "a[].b", "b[].a[]", "[\"é\"]", "c[][].a", "c.a"];
        let paths = prop::collection::vec(prop::sample::select(paths), 0..4);
        (paths, any::<bool>())
            .prop_map(|(paths, omit)| if omit { json!({ "omit": paths }) } else { json!(paths) })
    }

    proptest! {
        #[test]
        fn copying_parts_gives_what_unpacking_gives(
            documents in prop::collection::vec(prop::collection::btree_map(name(), value(), 0..4), 1..6),
            select in select(),
            named in any::<bool>(),
        ) {
            let own = Shapes::empty();
            let shapes = if named { full() } else { &own };
            let documents: Vec<_> =
                documents.into_iter().map(|members| Value::Object(members.into_iter().collect())).collect();
            for (answer, expected) in both(&select, &documents, shapes) {
                prop_assert_eq!(answer, expected);
            }
        }
    }

    #[test]
    fn an_answer_without_room_for_a_shape_carries_names() {
        let shapes = Shapes::empty();
        let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
        // Which members are objects differs from record to record, and with it what is kept of them.
        let document = |bits: usize| {
            let member = |(n, name): (usize, &String)| {
                let inside = Value::Object(vec![("x".to_owned(), Value::Number(1.0))]);
                (name.clone(), if bits & (1 << n) == 0 { Value::Null } else { inside })
            };
            Value::Object(names.iter().enumerate().map(member).collect())
        };
        let documents: Vec<_> = (0..MAX_ANSWER_SHAPES + 10).map(document).collect();
        let paths: Vec<String> = names.iter().map(|name| format!("{name}.x")).collect();
        for (answer, expected) in both(&json!(paths), &documents, &shapes) {
            assert_eq!(answer, expected);
        }
    }
}
