//! A defect on request: a file system that is the real one until a request is told to panic. Only with the feature
//! `planted-panics`, which no build for users has.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fountain_engine::fs::{File, Fs, LockAttempt, RealFs};
use napi_derive::napi;

/// The request that panics next, and a part of the path that it must be for.
static ARMED: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Makes the next `request` (`create`, `open`, `read`, `write` or `sync`) for a path that contains `part` panic, once.
#[napi(catch_unwind)]
pub fn plant_panic(request: String, part: String) {
    *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some((request, part));
}

/// The real file system, except for the request that panics.
pub struct PanickingFs;

struct PanickingFile {
    file: Box<dyn File>,
    path: String,
}

#[expect(clippy::panic, reason = "it is what this file is for")]
fn ask(request: &str, path: &str) {
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    let hit = armed.as_ref().is_some_and(|(planted, part)| planted == request && path.contains(part));
    if hit {
        *armed = None;
        drop(armed);
        panic!("planted in {request}");
    }
}

fn wrap(file: Box<dyn File>, path: &Path) -> Box<dyn File> {
    Box::new(PanickingFile { file, path: path.to_string_lossy().into_owned() })
}

impl File for PanickingFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        ask("read", &self.path);
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        ask("write", &self.path);
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        ask("sync", &self.path);
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Fs for PanickingFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        ask("create", &path.to_string_lossy());
        Ok(wrap(RealFs.create_new(path)?, path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        ask("open", &path.to_string_lossy());
        Ok(wrap(RealFs.open(path)?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFs.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealFs.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.sync_dir(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt> {
        RealFs.try_lock(path)
    }
}
