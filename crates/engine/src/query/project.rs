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
use crate::record::{self, Kind, Node, Reader, Shape, ShapeList, Splice, Value, malformed};

/// What a shape of an answer was made from: a stored shape, the paths over it, and the members that were kept.
type Origin = (u32, *const Tree, u128);

const _: () = assert!(MAX_SHAPE_NAMES <= u128::BITS as usize);

/// Projects the records of one answer.
pub(super) struct Projector<'a> {
    projection: &'a Projection,
    /// How many shapes the store has.
    stored: usize,
    shapes: Vec<Arc<Shape>>,
    plans: Vec<Plan<'a>>,
    /// By a stored shape and the paths over it, so that names are compared once for a shape and not for each record. Few: the
    /// records of a collection have few shapes.
    plan_of: BTreeMap<(u32, *const Tree), usize>,
    by_origin: BTreeMap<Origin, usize>,
    by_names: HashMap<Box<[Box<str>]>, usize>,
    /// Memory for the record in the making, and for the one that was made last.
    splice: Splice,
    made: Vec<u8>,
}

/// How the objects of one shape are projected by the paths over them.
struct Plan<'a> {
    /// What becomes of the members, in their order.
    parts: Rc<[Part<'a>]>,
    /// A bit for each member that is kept whatever it is.
    always: u128,
    /// The members that the last of these objects kept, and the number of the shape that they have: the next one most likely
    /// keeps the same.
    last: Option<(u128, usize)>,
}

/// What becomes of members.
enum Part<'a> {
    /// So many are left out.
    Pass(usize),
    /// So many are kept whole.
    Copy(usize),
    /// One that depends on what it is: its place in the shape, and the paths over it.
    Enter(usize, &'a Tree),
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
            plans: Vec::new(),
            plan_of: BTreeMap::new(),
            by_origin: BTreeMap::new(),
            by_names: HashMap::new(),
            splice: Splice::default(),
            made: Vec::new(),
        }
    }

    /// What is returned of a record, as a record that names shapes of the store and of the answer.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn project(&mut self, record: &Reader<'_>) -> Result<&[u8]> {
        let mut splice = std::mem::take(&mut self.splice);
        splice.begin(record);
        let mut reader = record.clone();
        let done = match self.projection {
            Projection::All => splice.copy(&mut reader, 1).map_err(Stop::Failed),
            Projection::Paths(tree) => self.root(tree, Mode::Keep, &mut reader, &mut splice),
            Projection::Omit(tree) => self.root(tree, Mode::Omit, &mut reader, &mut splice),
        };
        self.made.clear();
        if done.is_ok() {
            splice.finish(&mut self.made);
        }
        self.splice = splice;
        match done {
            Ok(()) => {}
            Err(Stop::Full) => {
                let document = Value::read(&mut record.clone())?;
                self.made = record::write_named(&self.projection.apply(document))?;
            }
            Err(Stop::Failed(error)) => return Err(error),
        }
        Ok(&self.made)
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
        if mode.keeps(tree, reader.kind()?) {
            return self.value(tree, mode, reader, splice);
        }
        splice.named(0);
        Ok(())
    }

    /// A value that is kept.
    fn value(&mut self, tree: &'a Tree, mode: Mode, reader: &mut Reader<'_>, splice: &mut Splice) -> Step {
        let is_whole = mode == Mode::Keep && tree.is_whole();
        match reader.kind()? {
            Kind::Object if !is_whole => match reader.next()? {
                Node::Object(shape) => self.members(tree, mode, shape, reader, splice),
                Node::Named(count) => self.named(tree, mode, count, reader, splice),
                _ => Err(malformed("an object that is none").into()),
            },
            Kind::Array if !is_whole && tree.each().is_some() => match reader.next()? {
                Node::Array(count) => self.elements(tree, mode, count, reader, splice),
                _ => Err(malformed("an array that is none").into()),
            },
            _ => Ok(splice.copy(reader, 1)?),
        }
    }

    /// The members of an object that names its shape. Its new shape is written before it is known which members are kept, as
    /// that of the last such object, and corrected if it turns out to be another.
    fn members(
        &mut self,
        tree: &'a Tree,
        mode: Mode,
        shape: &Shape,
        reader: &mut Reader<'_>,
        splice: &mut Splice,
    ) -> Step {
        let number = self.plan(tree, mode, shape);
        let plan = &self.plans[number];
        let (parts, mut kept, last) = (Rc::clone(&plan.parts), plan.always, plan.last);
        let place = splice.object(last.map_or(0, |(_, id)| id));
        for part in &*parts {
            match *part {
                Part::Pass(count) => reader.skip_many(count)?,
                Part::Copy(count) => splice.copy(reader, count)?,
                Part::Enter(index, paths) if mode.keeps(paths, reader.kind()?) => {
                    kept |= 1 << index;
                    self.value(paths, mode, reader, splice)?;
                }
                Part::Enter(..) => reader.skip()?,
            }
        }
        if last.is_some_and(|(members, _)| members == kept) {
            return Ok(());
        }
        let Some(id) = self.shape((shape.id().get(), tree, kept), shape) else { return Err(Stop::Full) };
        splice.set_shape(place, id);
        self.plans[number].last = Some((kept, id));
        Ok(())
    }

    /// The number of the plan for objects of a shape.
    fn plan(&mut self, tree: &'a Tree, mode: Mode, shape: &Shape) -> usize {
        let plans = &mut self.plans;
        *self.plan_of.entry((shape.id().get(), std::ptr::from_ref(tree))).or_insert_with(|| {
            plans.push(Plan::new(tree, mode, shape));
            plans.len() - 1
        })
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
            kept.push(mode.keeps_member(tree.member(name), ahead.kind()?));
            ahead.skip()?;
        }
        splice.named(kept.iter().filter(|&&keep| keep).count());
        for keep in kept {
            if !keep {
                reader.skip_many(2)?;
                continue;
            }
            let name = name(&mut reader.clone())?;
            splice.copy(reader, 1)?;
            match tree.member(name) {
                Some(paths) => self.value(paths, mode, reader, splice)?,
                None => splice.copy(reader, 1)?,
            }
        }
        Ok(())
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
            kept += usize::from(mode.keeps(each, ahead.kind()?));
            ahead.skip()?;
        }
        splice.array(kept);
        for _ in 0..count {
            if mode.keeps(each, reader.kind()?) {
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

impl<'a> Plan<'a> {
    fn new(tree: &'a Tree, mode: Mode, shape: &Shape) -> Self {
        let (mut parts, mut always) = (Vec::new(), 0);
        for (index, name) in shape.names().iter().enumerate() {
            let is_kept = match (mode, tree.member(name)) {
                (Mode::Keep, None) => false,
                (Mode::Omit, None) => true,
                (_, Some(paths)) if paths.is_whole() => mode == Mode::Keep,
                (_, Some(paths)) => {
                    parts.push(Part::Enter(index, paths));
                    continue;
                }
            };
            match (parts.last_mut(), is_kept) {
                (Some(Part::Copy(count)), true) | (Some(Part::Pass(count)), false) => *count += 1,
                (_, true) => parts.push(Part::Copy(1)),
                (_, false) => parts.push(Part::Pass(1)),
            }
            always |= u128::from(is_kept) << index;
        }
        Self { parts: parts.into(), always, last: None }
    }
}

impl Mode {
    /// Whether a value of a kind with these paths over it is kept, be it in part.
    fn keeps(self, tree: &Tree, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Omit, _) => !tree.is_whole(),
            (Self::Keep, _) if tree.is_whole() => true,
            (Self::Keep, Kind::Object) => tree.has_members(),
            (Self::Keep, Kind::Array) => tree.each().is_some(),
            (Self::Keep, Kind::Scalar) => false,
        }
    }

    /// Whether a member of a kind is kept, with these paths over it.
    fn keeps_member(self, paths: Option<&Tree>, kind: Kind) -> bool {
        paths.map_or(self == Self::Omit, |tree| self.keeps(tree, kind))
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
            .map(|record| projector.project(&Reader::new(record, &stored).unwrap()).unwrap().to_vec())
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
