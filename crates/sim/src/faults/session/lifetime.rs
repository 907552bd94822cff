//! How the store of a session ends and opens again: closed, with its process gone or without power; and what can only be
//! asked of it while it is closed.
//!
//! What was acknowledged is there after each opening, as far as its durability promises; an error has a fault as its
//! reason, and no fault is kept secret.

use std::path::Path;
use std::sync::Arc;

use fountain_lsm::{Db, Durability, Error, VerifyOptions, verify};

use super::{STORE, Session};
use crate::disk::{Crash, Disk};
use crate::faults::fault::Class;
use crate::faults::health::Failing;

/// How often a store that does not open is opened again while faults go on.
const ATTEMPTS: usize = 3;

impl Session {
    pub(super) fn close(&mut self, orderly: bool) -> Result<(), String> {
        self.snapshots.clear();
        let Some(db) = self.db.take() else { return Ok(()) };
        if orderly {
            let before = self.fs.seen();
            let closed = db.close();
            let now = self.fs.seen();
            match closed {
                Ok(()) if now.surfaced > before.surfaced => {
                    return Err("closing kept an error to itself".to_owned());
                }
                Ok(()) if !self.poisoned => self.truth.acknowledge(Durability::Disk),
                Err(error) if now.injected == before.injected && !matches!(error, Error::DiskFull { .. }) => {
                    return Err(format!("closing failed without a reason: {error}"));
                }
                _ => {}
            }
        }
        drop(db);
        (self.poisoned, self.changes_when_poisoned, self.failing) = (false, 0, Failing::default());
        self.fs.forget_syncs();
        let wrong = self.fs.take_wrong().into_iter().next();
        wrong.map_or(Ok(()), Err)
    }

    pub(super) fn reopen(&mut self, orderly: bool) -> Result<(), String> {
        self.close(orderly)?;
        // What was handed to the system outlives the process.
        let least = self.truth.promised(Durability::Os);
        self.open(least)
    }

    pub(super) fn power_loss(&mut self) -> Result<(), String> {
        let image = self.disk.disk().crash(&Crash::Prefix(self.place as u64));
        let least = self.truth.promised(Durability::Disk);
        self.snapshots.clear();
        self.db = None;
        self.disk.change_disk(|disk| *disk = image);
        (self.poisoned, self.changes_when_poisoned, self.failing) = (false, 0, Failing::default());
        self.fs.forget_syncs();
        // What the end of the process made of the last error is of no interest to anybody.
        drop(self.fs.take_wrong());
        self.open(least)
    }

    /// Opens the store, which must show everything up to `least`. Faults that go on are ended when it does not open.
    pub(super) fn open(&mut self, least: u64) -> Result<(), String> {
        let mut attempts = 0;
        let db = loop {
            let before = self.fs.seen();
            let opened = Db::open(Path::new(STORE), self.options());
            let now = self.fs.seen();
            match opened {
                Ok(_) if now.surfaced > before.surfaced => {
                    return Err(format!("opening hid an error: {:?}", self.fs.injected().last()));
                }
                Ok(db) => break db,
                Err(error) if now.injected == before.injected && !matches!(error, Error::DiskFull { .. }) => {
                    return Err(format!("the store does not open: {error}"));
                }
                Err(_) => self.fs.forget_syncs(),
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                self.fs.heal();
                self.begin_elsewhere();
            }
        };
        let visible = db.visible().get();
        self.db = Some(db);
        if visible < least || visible > self.truth.last() {
            let begun = self.truth.last();
            return Err(format!("{visible} is visible after opening; {least} to {begun} was expected"));
        }
        self.truth.settle(visible);
        self.read().map_err(|what| format!("after opening: {what}"))
    }

    /// The names of directories of a store that never opened are in doubt, and removing them failed, too: a limit that is
    /// published. Whoever meets it takes another disk.
    fn begin_elsewhere(&self) {
        if self.place == 0 && self.disk.with_disk(Disk::has_names_in_doubt) {
            self.disk.change_disk(|disk| *disk = Disk::default());
        }
    }

    pub(super) fn verify_closed(&mut self) -> Result<(), String> {
        self.close(true)?;
        self.verified(true)?;
        self.open(self.truth.promised(Durability::Os))
    }

    /// Without a manifest the tables have to speak for themselves.
    pub(super) fn verify_nameless(&mut self) -> Result<(), String> {
        self.close(true)?;
        let whole = self.disk.disk();
        self.disk.change_disk(|disk| {
            let store = disk.lookup(Path::new(STORE));
            let names =
                store.into_iter().flat_map(|store| disk.entries(store).map(|(name, _)| name.to_string()));
            let of_manifest = |name: &String| Class::of(Path::new(name)) == Class::Manifest;
            for name in names.filter(of_manifest).collect::<Vec<_>>() {
                disk.put(&Path::new(STORE).join(name), b"nothing".to_vec());
            }
        });
        let verified = self.verified(false);
        self.disk.change_disk(|disk| *disk = whole);
        verified?;
        self.open(self.truth.promised(Durability::Os))
    }

    /// Verifies the store while it is closed. Faults are errors or in the report, and what has none is sound.
    fn verified(&mut self, is_sound: bool) -> Result<(), String> {
        let before = self.fs.seen();
        let outcome = verify(
            Path::new(STORE),
            &VerifyOptions { fs: Arc::new(self.fs.clone()), ..VerifyOptions::default() },
        );
        let now = self.fs.seen();
        if now.changes > before.changes {
            return Err("verification changed the disk".to_owned());
        }
        let is_disturbed = now.injected > before.injected;
        match outcome {
            Err(_) if is_disturbed => Ok(()),
            Err(error) => Err(format!("verification failed without a reason: {error}")),
            Ok(report) if !is_disturbed && report.is_sound() != is_sound => {
                let faults: Vec<_> = report.faults().collect();
                Err(format!("verification found {faults:?}"))
            }
            Ok(report) if now.surfaced > before.surfaced && report.is_sound() => {
                Err("verification hid an error".to_owned())
            }
            Ok(_) => Ok(()),
        }
    }
}
