//! Shapes: the lists of member names that records refer to instead of repeating them.
//!
//! A shape gets its id when it is first asked for; nothing is stored then. The next commit of the store, whoever makes
//! it, carries every shape that is not stored yet: a record can only name a shape that was asked for before the record
//! was submitted, so the shape is stored with the record or before it, without anyone tracking who uses what.
//!
//! What always holds: ids count up from 0 without gaps, both in memory and in storage, and a shape never changes. A shape that
//! salvage could not read keeps its id as a lost one, which no names lead to and no record can be read with.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use fountain_lsm::{Direction, KeyRange, ReadTier};

use crate::error::{Error, ErrorCode, Result};
use crate::keyspace::SHAPES;
use crate::kv::{Batch, KvCursor, OrderedKv};
use crate::limits::{KEYSPACE_BYTES, MAX_SHAPE_BYTES, MAX_SHAPE_NAMES, MAX_SHAPES};
use crate::planted::{self, Bug};
use crate::record::malformed;
use crate::sync::lock;

/// The number of a shape in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShapeId(pub(crate) u32);

impl ShapeId {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The names of an object's members, in their order, each once.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    id: ShapeId,
    names: Box<[Box<str>]>,
    is_lost: bool,
}

impl Shape {
    /// A shape that no store has, for answers that are not stored; no name comes twice.
    pub(crate) fn unstored(id: usize, names: Box<[Box<str>]>) -> Self {
        Self::new(ShapeId(id as u32), names)
    }

    fn new(id: ShapeId, names: Box<[Box<str>]>) -> Self {
        Self { id, names, is_lost: false }
    }

    fn lost(id: ShapeId) -> Self {
        Self { id, names: Box::default(), is_lost: true }
    }

    /// Its id.
    pub fn id(&self) -> ShapeId {
        self.id
    }

    /// The names in order.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Where `name` stands among the names.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| &**own == name)
    }
}

/// The shape with a number that stands in a record.
///
/// # Errors
/// `ERR_CORRUPT` if there is none, or if it is lost.
pub fn shape_of_record(shapes: &[Arc<Shape>], number: usize) -> Result<&Shape> {
    match shapes.get(number) {
        Some(shape) if shape.is_lost => {
            Err(malformed(&format!("it names shape {number}, which is lost: salvage could not read it")))
        }
        Some(shape) => Ok(shape),
        None => Err(malformed(&format!("it names shape {number}, which does not exist"))),
    }
}

/// All shapes of a store at one moment, by id; [`shape_of_record`] looks one up. Later shapes are missing; a record read after
/// this was taken may name one, so take it after the record.
pub type ShapeList = Arc<Vec<Arc<Shape>>>;

/// The shapes of one store.
pub struct Shapes {
    list: ArcSwap<Vec<Arc<Shape>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ids: HashMap<Box<[Box<str>]>, ShapeId>,
    /// How many of the shapes, from the first, are stored.
    stored: usize,
}

/// The shapes that a group of commits stores, to be confirmed when the group has been committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShapeClaim {
    stored: usize,
}

impl Shapes {
    /// No shapes, as in a new store.
    pub fn empty() -> Self {
        Self { list: ArcSwap::default(), state: Mutex::default() }
    }

    /// Reads the stored shapes at the newest sequence.
    pub(crate) fn load(kv: &dyn OrderedKv) -> Result<Self> {
        let mut cursor =
            kv.cursor(KeyRange::prefix(&SHAPES), kv.visible(), Direction::Forward, ReadTier::Disk)?;
        Self::read(cursor.as_mut())
    }

    /// Reads the shapes from a walk over their keyspace.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub(crate) fn read(cursor: &mut dyn KvCursor) -> Result<Self> {
        let mut list = Vec::new();
        let mut state = State::default();
        while cursor.next()? {
            let shape = load_shape(&cursor.key()[KEYSPACE_BYTES..], cursor.value(), list.len())?;
            if !shape.is_lost && state.ids.insert(shape.names.clone(), shape.id).is_some() {
                return Err(damaged(format_args!("shape {} repeats an earlier one", shape.id.0)));
            }
            list.push(Arc::new(shape));
        }
        state.stored = list.len();
        Ok(Self { list: ArcSwap::from_pointee(list), state: Mutex::new(state) })
    }

    /// The shapes known now.
    pub fn list(&self) -> ShapeList {
        self.list.load_full()
    }

    /// The shape with these names, a new one if they are new.
    ///
    /// # Errors
    /// `ERR_LIMIT` when the store has [`MAX_SHAPES`] or the shape is larger than shapes may be; the object then
    /// carries its names itself. `ERR_INVALID_ARGUMENT` for a name that comes twice.
    pub fn reserve(&self, names: &[&str]) -> Result<ShapeId> {
        let names: Box<[Box<str>]> = names.iter().map(|&name| name.into()).collect();
        check_names(&names)?;
        let mut state = lock(&self.state);
        if let Some(&id) = state.ids.get(&names) {
            return Ok(id);
        }
        let list = self.list.load();
        if list.len() >= MAX_SHAPES {
            return Err(Error::too_many("shapes", list.len() + 1, MAX_SHAPES));
        }
        let id = ShapeId(list.len() as u32);
        let mut longer = Vec::with_capacity(list.len() + 1);
        longer.extend(list.iter().cloned());
        longer.push(Arc::new(Shape::new(id, names.clone())));
        state.ids.insert(names, id);
        self.list.store(Arc::new(longer));
        Ok(id)
    }

    /// Adds to `batch` the shapes that are not stored yet.
    pub(crate) fn claim(&self, batch: &mut Batch) -> ShapeClaim {
        let stored = lock(&self.state).stored;
        let list = self.list.load();
        for shape in list.iter().skip(stored) {
            if planted::active(Bug::ShapesNotCommitted) {
                continue;
            }
            let names = serde_json::json!(shape.names).to_string();
            batch.push(&SHAPES, &shape.id.0.to_be_bytes(), Some(names.as_bytes()));
        }
        ShapeClaim { stored: list.len() }
    }

    /// The group was committed: what it claimed is stored.
    pub(crate) fn confirm(&self, claim: ShapeClaim) {
        let mut state = lock(&self.state);
        state.stored = state.stored.max(claim.stored);
    }
}

impl fmt::Debug for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shapes({})", self.list.load().len())
    }
}

/// What is stored under the number of a lost shape.
pub(crate) const LOST_SHAPE: &[u8] = b"null";

fn load_shape(key: &[u8], value: &[u8], expected: usize) -> Result<Shape> {
    let number = key.try_into().ok().map(u32::from_be_bytes);
    let Some(id) = number.filter(|&id| id as usize == expected) else {
        return Err(damaged(format_args!("the key {key:?} does not name shape {expected}")));
    };
    if value == LOST_SHAPE {
        return Ok(Shape::lost(ShapeId(id)));
    }
    let names: Option<Vec<Box<str>>> = serde_json::from_slice(value).ok();
    let names = names.map(Vec::into_boxed_slice).filter(|names| check_names(names).is_ok());
    let names =
        names.ok_or_else(|| damaged(format_args!("shape {id} is {:?}", String::from_utf8_lossy(value))))?;
    Ok(Shape::new(ShapeId(id), names))
}

fn check_names(names: &[Box<str>]) -> Result<()> {
    if names.len() > MAX_SHAPE_NAMES {
        return Err(Error::too_many("names in a shape", names.len(), MAX_SHAPE_NAMES));
    }
    let bytes = names.iter().map(|name| name.len()).sum();
    if bytes > MAX_SHAPE_BYTES {
        return Err(Error::too_large("shape", bytes, MAX_SHAPE_BYTES));
    }
    let mut sorted: Vec<&str> = names.iter().map(|name| &**name).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::argument(format!("the name {:?} comes twice in a shape", pair[0]))),
        None => Ok(()),
    }
}

fn damaged(message: impl fmt::Display) -> Error {
    Error::new(ErrorCode::Corrupt, format!("damaged shapes: {message}"))
}
