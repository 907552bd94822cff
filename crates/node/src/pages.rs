//! Pages of records on their way to JavaScript, of scans and of reads through an index alike: at once as far as memory has
//! them, or on a read thread.
//!
//! A page is `u32 records ‖ u32 rest`, then per record `u32 key length ‖ u32 document length ‖ key ‖ document`, and what
//! the next page needs to begin where this one ended. `rest` is 0 at the end. Of a scan it is 1 otherwise, as the last key
//! says where to go on; of an index it is the length of the position that follows the records.

use fountain_engine::{ErrorCode, IndexScanEnd, Page, ReadTier, Result, ScanEnd, Store};
use napi::Env;

use crate::errors::{answer, thrown};
use crate::mailbox::Outcome;
use crate::reads::{WOULD_BLOCK, fill};
use crate::thread::{ticket_for, with_page};

/// Bytes before the records of a page.
const HEADER: usize = 8;

/// What is left behind a page.
pub struct Rest {
    number: u32,
    position: Vec<u8>,
}

impl From<ScanEnd> for Rest {
    fn from(end: ScanEnd) -> Self {
        Self { number: u32::from(end == ScanEnd::More), position: Vec::new() }
    }
}

impl From<IndexScanEnd> for Rest {
    fn from(end: IndexScanEnd) -> Self {
        let position = match end {
            IndexScanEnd::More(position) => position,
            IndexScanEnd::Done => Vec::new(),
        };
        Self { number: position.len() as u32, position }
    }
}

/// Fills `io` with what `read` finds without waiting for the disk. Returns the length of the page, `TOO_SMALL` or `WOULD_BLOCK`.
pub fn at_once<R: Into<Rest>>(
    store: u32,
    io: &mut [u8],
    read: impl FnOnce(&Store, ReadTier, &mut Page) -> Result<R>,
) -> answer::Result<i32> {
    let filled = with_page(store, |engine, page| {
        let rest = read(engine, engine.tier_at_once(), page)?.into();
        Ok(fill(io, &[&header(page, &rest), page.bytes(), &rest.position]))
    });
    match filled {
        Err(error) if error.code == ErrorCode::WouldBlock => Ok(WOULD_BLOCK),
        filled => filled.map_err(|error| thrown(&error)),
    }
}

/// Lets `read` fill a page on a read thread. Answers with the length of the page to collect as the second number, or with
/// what is wrong with the request.
pub fn later<R: Into<Rest>>(
    env: Env,
    ticket: u32,
    store: u32,
    read: Result<impl FnOnce(&Store, ReadTier, &mut Page) -> Result<R> + Send + 'static>,
) -> answer::Result<()> {
    let start = || {
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                ticket.answer(Err(error));
                return Ok(());
            }
        };
        ticket.answer_later(&engine, move |engine| {
            let mut page = Page::new();
            let rest: Rest = read(engine, ReadTier::Disk, &mut page)?.into();
            Ok(Outcome::bytes(0.0, [&header(&page, &rest), page.bytes(), &rest.position].concat()))
        });
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

fn header(page: &Page, rest: &Rest) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(page.len() as u32).to_le_bytes());
    header[4..].copy_from_slice(&rest.number.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_how_many_records_it_has_and_what_is_left() {
        let mut page = Page::new();
        page.push(b"k", b"\x02");
        let of = |rest: &Rest| header(&page, rest);
        assert_eq!(of(&ScanEnd::Done.into()), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of(&ScanEnd::More.into()), [1, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(of(&IndexScanEnd::Done.into()), [1, 0, 0, 0, 0, 0, 0, 0]);
        let rest = Rest::from(IndexScanEnd::More(b"here".to_vec()));
        assert_eq!((of(&rest), rest.position.as_slice()), ([1, 0, 0, 0, 4, 0, 0, 0], &b"here"[..]));
    }
}
