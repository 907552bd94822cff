//! Writes the manifest: appends edits, starts a new manifest, points `CURRENT` at it.
//!
//! What always holds: `CURRENT` names a manifest whose first edit is on disk; an edit has happened once [`ManifestLog::
//! install`] returned; after a failed append the file is never appended to again, the next edit starts a new manifest
//! first. A new manifest describes the same state as the old one, and nothing is appended to it before it is certain that
//! `CURRENT` names it after a crash, too; until then it does not matter which of the two is named. An error that is not
//! [`Error::changed_nothing`] leaves open what is on disk: the caller must stop writing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Edit, StoreState};
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::files::{StorePaths, manifest_name};
use crate::format::{FrameTag, Preamble, append_frame};
use crate::fs::{File, Fs, tolerate};
use crate::limits::{MANIFEST_ROTATE_BYTES, MAX_EDIT_BYTES};
use crate::marks::{Mark, hit};
use crate::metrics::Counters;
use crate::planted::{self, Bug};
use crate::types::{FileNumber, StoreId};

/// The manifest in use.
pub(crate) struct ManifestLog {
    fs: Arc<dyn Fs>,
    paths: StorePaths,
    store: StoreId,
    counters: Arc<Counters>,
    state: StoreState,
    open: OpenManifest,
    /// An append failed; the file may end in half an edit.
    broken: bool,
    /// The manifest before this one, while a crash may make `CURRENT` name it again.
    replaced: Option<PathBuf>,
}

struct OpenManifest {
    file: Box<dyn File>,
    path: PathBuf,
    preamble: Preamble,
    /// Where the next frame goes; everything before it is on disk.
    end: u64,
    edits: u64,
    /// Where the state that it began with ends.
    state_end: u64,
}

impl OpenManifest {
    /// Whether its edits outweigh the state that a new one would begin with, and are more than a little: so what is
    /// written again is never more than what was written since.
    fn is_long(&self) -> bool {
        self.end - self.state_end > self.state_end.max(MANIFEST_ROTATE_BYTES)
    }
}

impl ManifestLog {
    /// Writes a first manifest that describes `state` and makes it current.
    pub(crate) fn create(
        fs: Arc<dyn Fs>,
        paths: StorePaths,
        store: StoreId,
        counters: Arc<Counters>,
        number: FileNumber,
        state: StoreState,
    ) -> Result<Self> {
        let open = start_manifest(fs.as_ref(), &paths, store, number, &state)?;
        // Even if this was not begun: the manifest may be current from here on, so what it names has to stay.
        planted::unless(Bug::SwitchNotSynced, || {
            fs.sync_dir(paths.root()).map_err(|e| Error::sync(paths.root(), e))
        })?;
        Ok(Self { fs, paths, store, counters, state, open, broken: false, replaced: None })
    }

    /// What the manifest describes now.
    pub(crate) fn state(&self) -> &StoreState {
        &self.state
    }

    /// The file in use, how far it is written, and the number of edits in it.
    pub(crate) fn extent(&self) -> (&Path, u64, u64) {
        (&self.open.path, self.open.end, self.open.edits)
    }

    /// Makes an edit happen. `next_number` names the next manifest, should one be needed.
    pub(crate) fn install(&mut self, edit: &Edit, next_number: impl FnOnce() -> FileNumber) -> Result<()> {
        self.state.check(edit).map_err(|fault| {
            let what = format!("refused to write a wrong edit: {fault:?}");
            Error::corrupt(&self.open.path, self.open.end, what).coded(FaultCode::Edit)
        })?;
        self.settle()?;
        let mut edit = edit.clone();
        if self.broken || self.open.is_long() {
            hit(if self.broken { Mark::ManifestReplaced } else { Mark::ManifestRotated });
            self.rotate(next_number())?;
            edit.next_file = Some(edit.next_file.unwrap_or_default().max(self.state.next_file));
        }
        self.append(&edit)?;
        self.counters.manifest_edits.add(1);
        self.state.carry_out(edit);
        Ok(())
    }

    fn append(&mut self, edit: &Edit) -> Result<()> {
        let open = &mut self.open;
        let mut frame = Vec::new();
        let edits = open.edits + 1;
        let size = append_edit(&mut frame, &open.preamble, open.end, edits, open.end, edit);
        if size > MAX_EDIT_BYTES {
            return Err(Error::TooLarge { what: "manifest edit", size, limit: MAX_EDIT_BYTES });
        }
        // Cleared only when the whole append has succeeded.
        self.broken = true;
        open.file.write_at(open.end, &frame).map_err(|e| Error::io("append to", &open.path, e))?;
        planted::unless(Bug::EditNotSynced, || open.file.sync().map_err(|e| Error::sync(&open.path, e)))?;
        open.end += frame.len() as u64;
        open.edits = edits;
        self.broken = false;
        Ok(())
    }

    /// Goes on in a new manifest, number `number`, that describes the same state.
    fn rotate(&mut self, number: FileNumber) -> Result<()> {
        let mut state = self.state.clone();
        state.next_file = state.next_file.max(FileNumber(number.0 + 1));
        let open = start_manifest(self.fs.as_ref(), &self.paths, self.store, number, &state)?;
        let old = std::mem::replace(&mut self.open, open);
        self.state = state;
        self.broken = false;
        self.replaced = Some(old.path);
        self.settle()
    }

    /// Makes it certain that `CURRENT` names the manifest in use.
    fn settle(&mut self) -> Result<()> {
        let Some(old) = &self.replaced else { return Ok(()) };
        let root = self.paths.root();
        planted::unless(Bug::SwitchNotSynced, || {
            self.fs.sync_dir(root).map_err(|e| Error::sync_dir(root, e))
        })?;
        // If this fails, the next open removes it.
        tolerate(self.fs.remove(old));
        self.replaced = None;
        Ok(())
    }
}

/// Writes a new manifest and points `CURRENT` at it; the caller syncs the directory.
fn start_manifest(
    fs: &dyn Fs,
    paths: &StorePaths,
    store: StoreId,
    number: FileNumber,
    state: &StoreState,
) -> Result<OpenManifest> {
    let path = paths.manifest(number);
    let preamble = Preamble::manifest(store, number);
    let written = write_state(fs, path.clone(), preamble, state).and_then(|open| {
        write_current(fs, paths, number)?;
        Ok(open)
    });
    written.inspect_err(|error| {
        if error.changed_nothing() {
            // `CURRENT` still names the old manifest, so this one is nobody's; the next open would remove it, too.
            tolerate(fs.remove(&path));
        }
    })
}

/// Writes a manifest that describes `state`. One edit says all of it, unless that would be too long to be read: then
/// another one behind those that do vouches for them, since without it one that is damaged would seem never to have been
/// written.
fn write_state(fs: &dyn Fs, path: PathBuf, preamble: Preamble, state: &StoreState) -> Result<OpenManifest> {
    let mut bytes = preamble.encode().to_vec();
    let mut edits = state.to_edits(MAX_EDIT_BYTES);
    let mut vouching = Edit { closed_cleanly: state.closed_cleanly, ..Edit::default() };
    match &mut *edits {
        [whole] => whole.closed_cleanly = state.closed_cleanly,
        // In a first edit it would tell a salvage that no other table of that time is missing.
        several => vouching.next_file = several.first_mut().and_then(|first| first.next_file.take()),
    }
    for (edit, number) in edits.iter().zip(1..) {
        let at = bytes.len() as u64;
        append_edit(&mut bytes, &preamble, at, number, 0, edit);
    }
    let mut end = bytes.len() as u64;
    let file = write_new(fs, &path, &bytes)?;
    let mut count = edits.len() as u64;
    if count > 1 {
        bytes.clear();
        count += 1;
        append_edit(&mut bytes, &preamble, end, count, end, &vouching);
        put_down(file.as_ref(), &path, end, &bytes)?;
        end += bytes.len() as u64;
    }
    Ok(OpenManifest { file, path, preamble, end, edits: count, state_end: end })
}

/// Replaces `CURRENT`; the caller syncs the directory.
fn write_current(fs: &dyn Fs, paths: &StorePaths, number: FileNumber) -> Result<()> {
    let (temp, current) = (paths.current_temp(), paths.current());
    // A left-over of a crash, most often not there.
    tolerate(fs.remove(&temp));
    // The manifest's name must be on disk before `CURRENT` can name it.
    planted::unless(Bug::ManifestNameNotSynced, || {
        fs.sync_dir(paths.root()).map_err(|e| Error::sync_dir(paths.root(), e))
    })?;
    write_new(fs, &temp, current_text(number).as_bytes())?;
    fs.rename(&temp, &current).map_err(|e| Error::io("replace", &current, e))
}

/// The content of `CURRENT` for a manifest.
pub(super) fn current_text(number: FileNumber) -> String {
    let name = manifest_name(number);
    format!("{name} {:08x}\n", crc32c::crc32c(name.as_bytes()))
}

fn write_new(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<Box<dyn File>> {
    let file = fs.create_new(path).map_err(|e| Error::io("create", path, e))?;
    put_down(file.as_ref(), path, 0, bytes)?;
    Ok(file)
}

/// Writes bytes and has them on disk.
fn put_down(file: &dyn File, path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    file.write_at(at, bytes).map_err(|e| Error::io("write", path, e))?;
    let is_current = path.extension().is_some();
    if is_current && planted::active(Bug::CurrentNotSynced) {
        return Ok(());
    }
    file.sync().map_err(|e| Error::sync(path, e))
}

/// Appends the frame of an edit to `out`; returns the length of its body.
fn append_edit(
    out: &mut Vec<u8>,
    preamble: &Preamble,
    offset: u64,
    edits: u64,
    durable_upto: u64,
    edit: &Edit,
) -> usize {
    let mut body = Vec::new();
    let fields = edit.encode(&mut body);
    let head = (FrameTag::Edit, edits, fields);
    append_frame(out, preamble.salt(), offset, head, durable_upto, |out| out.extend_from_slice(&body));
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use crate::manifest::load;
    use crate::table::TableMeta;
    use crate::types::Seq;

    /// A table whose keys fill a 32nd of an edit.
    fn table(number: u64) -> (usize, TableMeta) {
        let key = |last: u8| {
            let mut key = vec![number as u8; MAX_EDIT_BYTES / 64];
            key.push(last);
            key.into()
        };
        let meta = TableMeta {
            number: FileNumber(number),
            base: Seq::ZERO,
            size: 4096,
            entries: 2,
            tombstones: 0,
            superseded: 0,
            least_seq: Seq::ZERO,
            greatest_seq: Seq::ZERO,
            smallest: key(0),
            largest: key(1),
            largest_exclusive: false,
        };
        (6, meta)
    }

    fn with_tables(count: u64) -> StoreState {
        let tables = (10..10 + count).map(|number| (FileNumber(number), table(number)));
        StoreState { next_file: FileNumber(100), tables: tables.collect(), ..StoreState::default() }
    }

    fn create(dir: &Path, state: StoreState) -> ManifestLog {
        let (store, number) = (StoreId([3; 16]), FileNumber(7));
        ManifestLog::create(Arc::new(RealFs), StorePaths::new(dir), store, Arc::default(), number, state)
            .unwrap()
    }

    #[test]
    fn a_state_that_is_too_long_for_an_edit_is_read_back_and_damage_to_any_part_of_it_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let paths = StorePaths::new(dir.path());
        let state = with_tables(33);
        let mut log = create(dir.path(), state.clone());
        let loaded = load(&RealFs, &paths).unwrap();
        assert!(loaded.state == state && loaded.discarded.is_none());
        log.install(&Edit { log_number: Some(FileNumber(8)), ..Edit::default() }, || FileNumber(101))
            .unwrap();
        let state = StoreState { log_number: FileNumber(8), ..state };
        assert!(load(&RealFs, &paths).unwrap().state == state);
        let path = log.extent().0.to_path_buf();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle_of_the_second = bytes.len() - MAX_EDIT_BYTES / 64;
        bytes[middle_of_the_second] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(load(&RealFs, &paths), Err(Error::Corrupt { code: FaultCode::Frame, .. })));
    }

    #[test]
    fn a_long_state_is_written_again_only_when_as_much_was_edited_since() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = create(dir.path(), with_tables(4));
        let (state, mut last) = (log.extent().1, (log.extent().0.to_path_buf(), log.extent().1));
        assert!(state > MANIFEST_ROTATE_BYTES);
        let (mut numbers, mut rotations, mut edited) = (101.., 0, 0);
        let mut written = state;
        let flip = |round: u64| match round {
            0..100 => Edit { log_number: Some(FileNumber(round)), ..Edit::default() },
            _ if round.is_multiple_of(2) => Edit { added: vec![table(round)], ..Edit::default() },
            _ => Edit { removed: vec![(6, FileNumber(round - 1))], ..Edit::default() },
        };
        for round in 0..120 {
            log.install(&flip(round), || FileNumber(numbers.next().unwrap())).unwrap();
            let (path, end, _) = log.extent();
            if *path == last.0 {
                (written, edited) = (written + end - last.1, edited + end - last.1);
            } else {
                (written, rotations) = (written + end, rotations + 1);
            }
            last = (path.to_path_buf(), end);
            assert!(round >= 100 || rotations == 0, "{edited} bytes of edits of a state of {state}");
        }
        assert!(rotations > 0, "a manifest does not grow without end");
        assert!(written <= 3 * (state + edited), "{written} bytes for {edited} of edits");
        assert!(load(&RealFs, &StorePaths::new(dir.path())).unwrap().state == *log.state());
    }

    #[test]
    fn an_edit_that_could_not_be_read_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let paths = StorePaths::new(dir.path());
        let mut log = create(dir.path(), with_tables(0));
        let before = log.extent().1;
        let edit = Edit { added: (10..43).map(table).collect(), ..Edit::default() };
        let error = log.install(&edit, || FileNumber(101)).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }) && error.changed_nothing(), "{error}");
        assert_eq!(log.extent().1, before);
        log.install(&Edit { added: vec![table(10)], ..Edit::default() }, || FileNumber(101)).unwrap();
        assert!(load(&RealFs, &paths).unwrap().state == *log.state());
    }
}
