//! Where an agent leaves word that it runs: a file in the profile that it holds locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use postroad_cli::{CliError, now_ms, rfc3339_ms};
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

const FILE: &str = "agent";
const LOG: &str = "agent.log";
/// Where the log goes that has become longer than that, in place of the one before it.
const OLD_LOG: &str = "agent.log.old";
const MAX_LOG: u64 = 1 << 20;

/// An agent that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Its process.
    pub(crate) pid: u32,
    /// RFC 3339.
    pub(crate) since: String,
}

impl Running {
    fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid).is_ok())
    }
}

/// Held by the agent as long as it runs: the system gives the lock back, however it ends.
pub(super) struct Place {
    _file: File,
}

impl Place {
    /// Takes the place in a profile's directory. None if another agent has it.
    pub(super) fn take(profile: &Path) -> Result<Option<Self>, CliError> {
        let mut file = open(profile)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let own = Running { pid: std::process::id(), since: rfc3339_ms(now_ms()) };
        let text = postroad_cli::json_line(&own);
        file.set_len(0).and_then(|()| file.rewind()).map_err(|error| failed(&error))?;
        file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
        Ok(Some(Self { _file: file }))
    }
}

/// The agent of the profile in this directory, if one runs.
pub(crate) fn running(profile: &Path) -> Result<Option<Running>, CliError> {
    if !profile.join(FILE).exists() {
        return Ok(None);
    }
    let file = File::open(profile.join(FILE)).map_err(|error| failed(&error))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let text = std::fs::read(profile.join(FILE)).map_err(|error| failed(&error))?;
            let found: Option<Running> = serde_json::from_slice(&text).ok();
            // One that is just about to write has not yet replaced what the one before it wrote.
            Ok(found.filter(Running::is_alive))
        }
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// What an agent in the background has to say goes here.
pub(super) fn log(profile: &Path) -> Result<File, CliError> {
    let path = profile.join(LOG);
    if std::fs::metadata(&path).is_ok_and(|log| log.len() > MAX_LOG) {
        std::fs::rename(&path, profile.join(OLD_LOG)).map_err(|error| failed(&error))?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options.open(path).map_err(|error| failed(&error))
}

pub(super) fn log_path(profile: &Path) -> String {
    profile.join(LOG).display().to_string()
}

fn open(profile: &Path) -> Result<File, CliError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(profile.join(FILE)).map_err(|error| failed(&error))
}

fn failed(error: &std::io::Error) -> CliError {
    let hint = "is there room, and is the profile yours?";
    CliError::io("cannot tell whether an agent runs", error, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_long_makes_place_for_a_new_one() {
        let profile = tempfile::tempdir().unwrap();
        let size = |name| std::fs::metadata(profile.path().join(name)).map_or(0, |log| log.len());
        for _ in 0..2 {
            log(profile.path()).unwrap().write_all(&vec![b'x'; MAX_LOG as usize]).unwrap();
        }
        assert_eq!((size(LOG), size(OLD_LOG)), (2 * MAX_LOG, 0), "one of that length goes on");
        log(profile.path()).unwrap().write_all(b"new").unwrap();
        assert_eq!((size(LOG), size(OLD_LOG)), (3, 2 * MAX_LOG));
    }
}
