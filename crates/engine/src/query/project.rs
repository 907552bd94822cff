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

use super::about::About;
use super::projection::{BESIDE, Projection, Tree};
use crate::error::{Error, Result};
use crate::limits::{MAX_ANSWER_SHAPES, MAX_SHAPE_NAMES};
use crate::record::{self, Kind, Node, Reader, Shape, ShapeList, Splice, Value, malformed};

/// What a shape of an answer was made from: a stored shape, the paths over it, and what it has of them.
type Origin = (u32, *const Tree, Kept);

/// What an object has: a bit for each of its members that is kept, and for what came to it from beside the document.
type Kept = (u128, u8);

/// What is known beside a document and is a member of the answer, with its number in [`BESIDE`].
type Others<'a> = &'a [(usize, Value)];

const _: () = assert!(MAX_SHAPE_NAMES <= u128::BITS as usize);

/// Projects the records of one answer.
pub(super) struct Projector<'a> {
    projection: &'a Projection,
    plans: Plans<'a>,
    /// Memory for the record in the making.
    splice: Splice,
}

/// How objects are projected, as far as that is known from those that came before.
struct Plans<'a> {
    /// How many shapes the store has.
    stored: usize,
    shapes: Vec<Arc<Shape>>,
    made: Vec<Plan<'a>>,
    /// The plan that was used last: most likely the one behind it then comes behind it now.
    latest: usize,
    /// By a stored shape and the paths over it, so that names are compared once for a shape and not for each record. Few: the
    /// records of a collection have few shapes.
    plan_of: BTreeMap<(u32, *const Tree), usize>,
    by_origin: BTreeMap<Origin, usize>,
    by_names: HashMap<Box<[Box<str>]>, usize>,
}

/// How the objects of one shape are projected by the paths over them.
struct Plan<'a> {
    /// The shape and the paths that it is for.
    of: (u32, *const Tree),
    /// The plan that was used after it the last time.
    follower: usize,
    /// What becomes of the members, in their order.
    parts: Rc<[Part<'a>]>,
    /// A bit for each member that is kept whatever it is.
    always: u128,
    /// What the last of these objects had, and the number of the shape of that: the next one most likely has the same.
    last: Option<(Kept, usize)>,
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
        let plans = Plans {
            stored: stored.len(),
            shapes: Vec::new(),
            made: Vec::new(),
            latest: 0,
            plan_of: BTreeMap::new(),
            by_origin: BTreeMap::new(),
            by_names: HashMap::new(),
        };
        Self { projection, plans, splice: Splice::default() }
    }

    /// Appends to `out` what is returned of a record, as a record that names shapes of the store and of the answer. No stored
    /// record has an object with a name twice, and neither has an answer: what would be both a member and beside the document
    /// is no query.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn project(&mut self, about: &About<'_>, record: &Reader<'_>, out: &mut Vec<u8>) -> Result<()> {
        let Self { projection, plans, splice } = self;
        let others = projection.beside(about)?;
        splice.begin(record, others.iter().map(|(_, value)| value));
        let mut reader = record.clone();
        let done = match projection {
            Projection::All => splice.copy(&mut reader, 1).map_err(Stop::Failed),
            Projection::Paths(tree, _) => plans.object(tree, Mode::Keep, &others, &mut reader, splice),
            Projection::Omit(tree) => plans.object(tree, Mode::Omit, &others, &mut reader, splice),
        };
        match done {
            Ok(()) => {
                splice.finish(out);
                Ok(())
            }
            Err(Stop::Full) => {
                let mut projected = projection.apply(Value::read(&mut record.clone())?);
                if let Value::Object(members) = &mut projected {
                    members.extend(
                        others.into_iter().map(|(number, value)| (BESIDE[number].0.to_owned(), value)),
                    );
                }
                out.extend_from_slice(&record::write_named(&projected)?);
                Ok(())
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// The shapes of the store, and behind them those that the answer brings.
    pub fn with_stored(self, stored: &ShapeList) -> ShapeList {
        if self.plans.shapes.is_empty() {
            return ShapeList::clone(stored);
        }
        Arc::new(stored.iter().cloned().chain(self.plans.shapes).collect())
    }
}

impl<'a> Plans<'a> {
    /// An object that is kept, if only with nothing in it, with members from elsewhere behind its own.
    fn object(
        &mut self,
        tree: &'a Tree,
        mode: Mode,
        others: Others<'_>,
        reader: &mut Reader<'_>,
        splice: &mut Splice,
    ) -> Step {
        match reader.next()? {
            Node::Object(shape) => self.members(tree, mode, others, shape, reader, splice),
            Node::Named(count) => self.named(tree, mode, others, count, reader, splice),
            _ => Err(malformed("an object that is none").into()),
        }
    }

    /// A value of a kind that is kept.
    fn value(
        &mut self,
        tree: &'a Tree,
        mode: Mode,
        kind: Kind,
        reader: &mut Reader<'_>,
        splice: &mut Splice,
    ) -> Step {
        let is_whole = mode == Mode::Keep && tree.is_whole();
        match kind {
            Kind::Object if !is_whole => self.object(tree, mode, &[], reader, splice),
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
        others: Others<'_>,
        shape: &Shape,
        reader: &mut Reader<'_>,
        splice: &mut Splice,
    ) -> Step {
        let number = self.plan(tree, mode, shape);
        let plan = &self.made[number];
        let (parts, mut kept, last) = (Rc::clone(&plan.parts), plan.always, plan.last);
        let place = splice.object(last.map_or(0, |(_, id)| id));
        for part in &*parts {
            match *part {
                Part::Pass(count) => reader.skip_many(count)?,
                Part::Copy(count) => splice.copy(reader, count)?,
                Part::Enter(index, paths) => {
                    let kind = reader.kind()?;
                    if mode.keeps(paths, kind) {
                        kept |= 1 << index;
                        self.value(paths, mode, kind, reader, splice)?;
                    } else {
                        reader.skip()?;
                    }
                }
            }
        }
        let mut added = 0;
        for (number, value) in others {
            added |= 1 << number;
            splice.value(value)?;
        }
        let kept = (kept, added);
        if last.is_some_and(|(members, _)| members == kept) {
            return Ok(());
        }
        let Some(id) = self.shape((shape.id().get(), tree, kept), shape) else { return Err(Stop::Full) };
        splice.set_shape(place, id);
        self.made[number].last = Some((kept, id));
        Ok(())
    }

    /// The number of the plan for objects of a shape.
    #[inline]
    fn plan(&mut self, tree: &'a Tree, mode: Mode, shape: &Shape) -> usize {
        let of = (shape.id().get(), std::ptr::from_ref(tree));
        let expected = self.made.get(self.latest).map_or(0, |latest| latest.follower);
        if self.made.get(expected).is_none_or(|plan| plan.of != of) {
            return self.other_plan(tree, mode, shape);
        }
        self.latest = expected;
        expected
    }

    /// As [`Self::plan`], where the plan that was expected is not the right one.
    fn other_plan(&mut self, tree: &'a Tree, mode: Mode, shape: &Shape) -> usize {
        let (of, made) = ((shape.id().get(), std::ptr::from_ref(tree)), &mut self.made);
        let number = *self.plan_of.entry(of).or_insert_with(|| {
            made.push(Plan::new(tree, mode, shape));
            made.len() - 1
        });
        made[self.latest].follower = number;
        self.latest = number;
        number
    }

    /// The members of an object that carries their names.
    fn named(
        &mut self,
        tree: &'a Tree,
        mode: Mode,
        others: Others<'_>,
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
        splice.named(kept.iter().filter(|&&keep| keep).count() + others.len());
        for keep in kept {
            if !keep {
                reader.skip_many(2)?;
                continue;
            }
            let name = name(&mut reader.clone())?;
            splice.copy(reader, 1)?;
            match tree.member(name) {
                Some(paths) => self.value(paths, mode, reader.kind()?, reader, splice)?,
                None => splice.copy(reader, 1)?,
            }
        }
        for (number, value) in others {
            splice.name(BESIDE[*number].0);
            splice.value(value)?;
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
            let kind = reader.kind()?;
            if mode.keeps(each, kind) {
                self.value(each, mode, kind, reader, splice)?;
            } else {
                reader.skip()?;
            }
        }
        Ok(())
    }

    /// The number of the shape with those members of `shape` that are kept, and those from elsewhere.
    fn shape(&mut self, origin: Origin, shape: &Shape) -> Option<usize> {
        if let Some(&id) = self.by_origin.get(&origin) {
            return Some(id);
        }
        let (kept, added) = origin.2;
        let own = shape.names().iter().enumerate().filter(|(index, _)| kept & (1 << index) != 0);
        let others = BESIDE.iter().enumerate().filter(|(number, _)| added & (1 << number) != 0);
        let own = own.map(|(_, name)| name.clone());
        let names: Box<[Box<str>]> = own.chain(others.map(|(_, (name, _))| (*name).into())).collect();
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
        let of = (shape.id().get(), std::ptr::from_ref(tree));
        Self { of, follower: 0, parts: parts.into(), always, last: None }
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
