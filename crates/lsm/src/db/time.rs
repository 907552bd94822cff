//! When commits were made, and what an age means now.
//!
//! A commit states its time in the log; a flush passes on what is known of the commits that it covers to the manifest, in
//! the edit that lets go of their log. So times are as durable as the commits they belong to.

use std::sync::Arc;
use std::time::Duration;

use super::commit::Log;
use super::inner::{Inner, locked};
use crate::clock::Timestamp;
use crate::limits::{AGE_CHECK_PAUSE, AGE_RESOLUTION};
use crate::manifest::ManifestLog;
use crate::retention::RetentionRules;
use crate::timeline::{Moment, SeqAt, Stamp};
use crate::types::Seq;

impl Inner {
    /// What the next group of commits has to say of its time; most often nothing.
    pub(super) fn stamp(&self, log: &Log) -> Option<Stamp> {
        let now = self.options.clock.now();
        if log.quiet.contains(&now) { None } else { locked(&self.timekeeper).stamp(now) }
    }

    /// Takes note of what was said, once it is in the log.
    pub(super) fn note_stamp(&self, log: &mut Log, stamp: Stamp, seq: Seq) {
        let mut timekeeper = locked(&self.timekeeper);
        timekeeper.apply(stamp, seq);
        log.quiet = timekeeper.quiet();
    }

    /// Takes note of the time where a memtable ends. Its flush tells the manifest, and the next commit tells the log.
    pub(super) fn note_seal(&self, log: &mut Log) {
        let mut timekeeper = locked(&self.timekeeper);
        timekeeper.settle(self.options.clock.now(), log.last);
        log.quiet = timekeeper.quiet();
    }

    /// The moments that the manifest does not know yet, up to the commit `upto`, which its tables are about to cover.
    pub(super) fn moments_for(&self, manifest: &ManifestLog, upto: Option<Seq>) -> Vec<Moment> {
        let known = manifest.state().timeline.last();
        locked(&self.timekeeper).after(known, upto.unwrap_or(Seq::ZERO))
    }

    /// See [`super::Db::seq_at`].
    pub(super) fn seq_at(&self, time: Timestamp) -> Option<SeqAt> {
        // In this order: what is visible now has told its time, if it had to.
        let newest = self.visible();
        if time >= self.options.clock.now() {
            return Some(SeqAt { seq: newest, within: Duration::ZERO });
        }
        locked(&self.timekeeper).seq_at(time, newest)
    }

    /// How long background work may sleep before it looks again at what has become too old; `None` if nothing ever does.
    pub(super) fn age_check_pause(&self) -> Option<Duration> {
        let (shortest, longest) = AGE_CHECK_PAUSE;
        self.rules.load().least_age().map(|age| (age / AGE_RESOLUTION).clamp(shortest, longest))
    }

    /// The retention rules with sequences for ages. To be taken once for each decision.
    pub(super) fn rules_now(&self) -> Arc<RetentionRules> {
        let rules = self.rules.load_full();
        if rules.least_age().is_none() {
            return rules;
        }
        let (now, newest) = (self.options.clock.now(), self.visible());
        let timekeeper = locked(&self.timekeeper);
        Arc::new(rules.resolved(|age| timekeeper.floor(now, age, newest)))
    }
}
