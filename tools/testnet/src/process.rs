//! Processes that were started here, told from strangers that got their number later.

use std::{
    fs,
    time::{Duration, Instant},
};

use postroad_cli::CliError;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

/// A process ends within milliseconds or not for a long time.
const POLL: Duration = Duration::from_millis(5);

/// A process as the kernel knows it: its number, and when it got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Ticks since the machine started.
    started: u64,
    /// Which start of the machine those ticks count from.
    boot: String,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Result<Self, CliError> {
        let started = stat(pid).map(|stat| stat.started).ok_or_else(|| {
            CliError::failed(
                "no_process",
                format!("process {pid} cannot be found in /proc"),
                "postroad-testnet needs Linux with /proc mounted",
            )
        })?;
        Ok(Process { pid, started, boot: boot() })
    }

    /// Whether it still runs. One that ended and only waits to be collected does not.
    pub(crate) fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|stat| !stat.ended && stat.started == self.started)
            && self.boot == boot()
    }

    /// Whether it was stopped and can go on.
    pub(crate) fn is_paused(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.stopped && stat.started == self.started)
            && self.boot == boot()
    }

    /// Asks it to end; one that is paused goes on for that.
    pub(crate) fn end(&self) -> Result<(), CliError> {
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)
    }

    /// Sends a signal, unless the process is gone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), CliError> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        // The descriptor holds on to the process: between the look at its start time and the
        // signal the number cannot come to mean another one.
        let sent = match pidfd_open(pid, PidfdFlags::empty()) {
            _ if !self.is_alive() => return Ok(()),
            Ok(pidfd) => pidfd_send_signal(&pidfd, signal),
            // Kernels before 5.3 and some sandboxes have no such descriptors.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => kill_process(pid, signal),
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(CliError::io(
                format!("cannot send a signal to process {}", self.pid),
                &error.into(),
                "was the network started by another user?",
            )),
        }
    }

    /// Waits for its end; false when it still runs after `limit`.
    pub(crate) fn ends_within(&self, limit: Duration) -> bool {
        within(limit, || !self.is_alive())
    }

    /// Waits until it is paused, or is not any more; false when that takes longer.
    pub(crate) fn pauses_within(&self, paused: bool, limit: Duration) -> bool {
        within(limit, || self.is_paused() == paused)
    }
}

fn within(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

struct Stat {
    ended: bool,
    stopped: bool,
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5). The second field is a program's name in parentheses and may hold anything,
/// parentheses included; the state is the third field, the start time the 22nd.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(22 - 3 - 1)?.parse().ok()?;
    Some(Stat { ended: matches!(state, "Z" | "X" | "x"), stopped: state == "T", started })
}

/// An id that the kernel makes at each start of the machine; empty where it is hidden.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let text = "7 (a) R (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.ended, stat.started), (false, 4242));
        assert!(parse_stat("7 (a) Z").is_none());
        assert!(parse_stat(&text.replace(") S", ") T")).unwrap().stopped);
    }

    #[test]
    fn another_process_with_the_same_number_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let ours = Process::of(child.id()).unwrap();
        let stranger = Process { started: ours.started + 1, ..ours.clone() };
        let rebooted = Process { boot: "another".into(), ..ours.clone() };
        for other in [stranger, rebooted] {
            assert!(!other.is_alive());
            other.signal(Signal::KILL).unwrap();
        }
        assert!(ours.is_alive(), "only a look-alike was to be killed");
        ours.signal(Signal::KILL).unwrap();
        assert!(ours.ends_within(Duration::from_secs(5)), "a zombie counts as ended");
        child.wait().unwrap();
        ours.signal(Signal::KILL).unwrap();
    }
}
