//! Starts a child and kills it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use std::{env, thread};

use super::child::ChildArgs;
use super::ledger::Word;

/// When a child is killed.
#[derive(Clone, Copy, Debug)]
pub enum Death {
    /// This long after it was started.
    AfterStart(Duration),
    /// This long after it has the store.
    AfterOpen(Duration),
}

/// A child that does not have its store after this time is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets a child live until its death and gives back all that it said.
///
/// # Errors
/// When it was not killed but ended by itself, with what it complained of, or did not open its store.
pub fn live_and_die(args: &ChildArgs, death: Death) -> Result<String, String> {
    let started = Instant::now();
    let mut child = start(args).map_err(|error| format!("cannot start a child: {error}"))?;
    let (opened, has_opened) = channel();
    let stdout = child.stdout.take().ok_or("no pipe")?;
    let listener = thread::spawn(move || listen(BufReader::new(stdout), &opened));
    let in_time = match death {
        Death::AfterStart(life) => {
            thread::sleep(life.saturating_sub(started.elapsed()));
            true
        }
        // The listener is gone early if the child ended; what it said tells why.
        Death::AfterOpen(life) => match has_opened.recv_timeout(PATIENCE) {
            Ok(()) => {
                thread::sleep(life);
                true
            }
            Err(error) => error == std::sync::mpsc::RecvTimeoutError::Disconnected,
        },
    };
    child.kill().map_err(|error| format!("cannot kill a child: {error}"))?;
    let status = child.wait().map_err(|error| error.to_string())?;
    let said = listener.join().map_err(|_| "the listener panicked")?;
    let mut complaint = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut complaint).map_err(|error| error.to_string())?;
    }
    match (in_time, was_killed(status)) {
        (true, true) => Ok(said),
        (false, _) => Err(format!("a child had no store after {PATIENCE:?}; {complaint}")),
        (true, false) => Err(format!("a child ended by itself, {status}: {complaint}")),
    }
}

fn start(args: &ChildArgs) -> std::io::Result<Child> {
    let mut command = std::process::Command::new(env::current_exe()?);
    command.args(args.to_words()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn()
}

/// Everything that a child says, up to its death; tells when it has the store for the first time.
fn listen(mut from: impl BufRead, opened: &Sender<()>) -> String {
    let mut said = Vec::new();
    let mut told = false;
    let word = Word::Opened.to_line();
    loop {
        let begin = said.len();
        match from.read_until(b'\n', &mut said) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&said).into_owned(),
            Ok(_) if !told && said[begin..] == *word.as_bytes() => {
                told = true;
                let _ = opened.send(());
            }
            Ok(_) => {}
        }
    }
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    const SIGKILL: i32 = 9;
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(SIGKILL)
}

#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    status.code() == Some(1)
}
