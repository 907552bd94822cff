//! Bytes on disk: integers, salted checksums, preambles and frames. See `docs/format.md`, section 1.

mod checksum;
mod frame;
mod preamble;
pub(crate) mod varint;

pub(crate) use checksum::FileSalt;
pub(crate) use frame::{Frame, FrameTag, LogEnd, LogScan, append_frame};
pub(crate) use preamble::{LogKind, PREAMBLE_BYTES, Preamble};
