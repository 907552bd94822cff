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
use crate::format::{FrameTag, PREAMBLE_BYTES, Preamble, append_frame};
use crate::fs::{File, Fs, tolerate};
use crate::limits::MANIFEST_ROTATE_BYTES;
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
        let mut state = self.state.clone();
        state.apply(edit.clone()).map_err(|fault| {
            let what = format!("refused to write a wrong edit: {fault:?}");
            Error::corrupt(&self.open.path, self.open.end, what).coded(FaultCode::Edit)
        })?;
        self.settle()?;
        let mut edit = edit.clone();
        if self.broken || self.open.end > MANIFEST_ROTATE_BYTES {
            hit(if self.broken { Mark::ManifestReplaced } else { Mark::ManifestRotated });
            self.rotate(next_number())?;
            state.next_file = state.next_file.max(self.state.next_file);
            edit.next_file = Some(state.next_file);
        }
        self.append(&edit)?;
        self.counters.manifest_edits.add(1);
        self.state = state;
        Ok(())
    }

    fn append(&mut self, edit: &Edit) -> Result<()> {
        let open = &mut self.open;
        let mut frame = Vec::new();
        let edits = open.edits + 1;
        append_edit(&mut frame, &open.preamble, open.end, edits, open.end, edit);
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
    let mut bytes = preamble.encode().to_vec();
    append_edit(&mut bytes, &preamble, PREAMBLE_BYTES as u64, 1, 0, &state.to_edit());
    let written = write_new(fs, &path, &bytes).and_then(|file| {
        write_current(fs, paths, number)?;
        Ok(file)
    });
    let file = written.inspect_err(|error| {
        if error.changed_nothing() {
            // `CURRENT` still names the old manifest, so this one is nobody's; the next open would remove it, too.
            tolerate(fs.remove(&path));
        }
    })?;
    Ok(OpenManifest { file, path, preamble, end: bytes.len() as u64, edits: 1 })
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
    file.write_at(0, bytes).map_err(|e| Error::io("write", path, e))?;
    let is_current = path.extension().is_some();
    if !(is_current && planted::active(Bug::CurrentNotSynced)) {
        file.sync().map_err(|e| Error::sync(path, e))?;
    }
    Ok(file)
}

fn append_edit(
    out: &mut Vec<u8>,
    preamble: &Preamble,
    offset: u64,
    edits: u64,
    durable_upto: u64,
    edit: &Edit,
) {
    let mut body = Vec::new();
    let fields = edit.encode(&mut body);
    let head = (FrameTag::Edit, edits, fields);
    append_frame(out, preamble.salt(), offset, head, durable_upto, |out| out.extend_from_slice(&body));
}
