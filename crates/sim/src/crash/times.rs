//! What a store says of the commit that was the newest at a time, compared with when commits were made.
//!
//! What always holds while the clock never goes back: the answer is never a commit from after that time, and whatever it
//! leaves out is older by at most what the answer says itself, which is never more than a second or a hundredth of the age.

use fountain_lsm::{Db, SeqAt, Timestamp};

use super::session::Check;
use crate::model::Model;

/// Milliseconds that may be left out at best, and the part of the age beyond that.
const STEP: u64 = 1000;
const RESOLUTION: u64 = 100;

/// Asks for the moments around every commit that is there. At and after `now` the answer is the newest, whatever is known.
pub fn check(db: &Db, model: &Model, now: u64) -> Check<()> {
    let last = db.visible().get();
    let there = model.upto(last);
    for seq in 1..=last {
        let made = there.time_of(seq);
        for time in
            [made - 1, made, made + 1, made + STEP - 1, made + STEP].into_iter().filter(|time| *time < now)
        {
            one(db, &there, time, now).map_err(|what| format!("at {time}, when it is {now}: {what}"))?;
        }
    }
    match db.seq_at(Timestamp::from_millis(now)) {
        Some(SeqAt { seq, within }) if seq.get() == last && within.is_zero() => Ok(()),
        other => Err(format!("the newest commit is {last}, says the store not now: {other:?}")),
    }
}

fn one(db: &Db, model: &Model, time: u64, now: u64) -> Check<()> {
    let most = model.newest_at(time);
    let Some(SeqAt { seq, within }) = db.seq_at(Timestamp::from_millis(time)) else {
        return if most == 0 { Ok(()) } else { Err(format!("nothing is known, but {most} was the newest")) };
    };
    let (seq, within) = (seq.get(), within.as_millis() as u64);
    if seq > most {
        return Err(format!("{seq} was the newest, says the store; it was {most}"));
    }
    let promised = STEP.max((now - time) / RESOLUTION);
    if most > 0 && within > promised {
        return Err(format!("{seq} within {within} ms, which is more than {promised}"));
    }
    if seq < most && model.time_of(seq + 1) + within < time {
        return Err(format!("{seq} within {within} ms, but {} is left out", seq + 1));
    }
    Ok(())
}
