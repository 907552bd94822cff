//! What the operating system says about this process. Only Linux says it; elsewhere the answers are missing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Background work that takes longer than this after a flush is not waited for.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Peak of the memory held so far, in MiB: mapped files that were touched count, as they do for the system.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
pub fn peak_memory_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib as f64 / 1024.0)
}

/// Bytes handed to the operating system by write calls so far, of all threads.
pub fn bytes_written() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()
}

/// Waits until no thread has used the processor or written anything for `idle`, which is how background work of any
/// engine is seen to end.
pub fn wait_until_idle(idle: Duration) {
    let started = Instant::now();
    let mut before = activity();
    while before.is_some() && started.elapsed() < MAX_WAIT {
        thread::sleep(idle);
        let now = activity();
        if now == before {
            return;
        }
        before = now;
    }
}

/// Processor time of all threads in ticks and bytes read and written.
fn activity() -> Option<(u64, u64, u64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold spaces; the fields after it do not.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let io = fs::read_to_string("/proc/self/io").ok()?;
    let bytes = |name| io.lines().find_map(|line| line.strip_prefix(name))?.parse::<u64>().ok();
    // Reading these very files is in `rchar`, so reads are counted where they reach the disk.
    Some((user + system, bytes("wchar: ")?, bytes("read_bytes: ")?))
}
