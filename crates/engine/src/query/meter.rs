//! Counts what a query reads, and ends it when that is more than it may.

use std::time::Instant;

use super::request::Hints;
use crate::error::{Error, ErrorCode, Result};

/// Reads between two looks at the clock.
const CLOCK_INTERVAL: u64 = 256;

/// What a query has read so far, and its limits.
pub(super) struct Meter {
    /// Index entries and records passed.
    pub keys_read: u64,
    /// Records tested.
    pub docs_read: u64,
    started: Instant,
    hints: Hints,
}

impl Meter {
    pub fn new(hints: &Hints) -> Self {
        Self { keys_read: 0, docs_read: 0, started: Instant::now(), hints: hints.clone() }
    }

    /// One more entry or record is passed.
    pub fn key(&mut self) -> Result<()> {
        self.keys_read += 1;
        if let Some(limit) = self.hints.max_scanned
            && self.keys_read > limit
        {
            let message = format!("the query has to read more than the {limit} keys it may");
            return Err(Error::new(ErrorCode::Limit, message).with(|details| {
                details.what = Some("keys to scan");
                details.limit = Some(limit);
            }));
        }
        if self.keys_read.is_multiple_of(CLOCK_INTERVAL) { self.check_time() } else { Ok(()) }
    }

    /// Ends the query when it has taken longer than it may.
    pub fn check_time(&self) -> Result<()> {
        match self.hints.timeout {
            Some(timeout) if self.started.elapsed() > timeout => Err(Error::new(
                ErrorCode::Timeout,
                format!("the query took longer than {} ms", timeout.as_millis()),
            )),
            _ => Ok(()),
        }
    }

    /// One more record is tested.
    pub fn document(&mut self) {
        self.docs_read += 1;
    }

    /// Milliseconds since the query began.
    pub fn millis(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }
}
