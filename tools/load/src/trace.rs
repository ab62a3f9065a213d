//! Syncs of a node as the kernel sees them, not as the node says.
//!
//! perf counts the calls in the kernel, which costs a node next to nothing. Where it is not installed or
//! may not count, strace does: it runs the node as its own process (`-D`), so that its id, its CPU and its
//! end are the node's, and a filter in the kernel (`--seccomp-bpf`) lets other calls pass. Even so a node
//! under strace uses a fifth more CPU per message, and half more while clients log in and fetch.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::LoadError;

/// All calls that make something durable. `sync_file_range`, which sled uses, does not: it only begins
/// to write.
const CALLS: [&str; 5] = ["fsync", "fdatasync", "msync", "syncfs", "sync"];
/// Milliseconds between two lines of perf for each call: how exactly counts fit a phase.
const EVERY: &str = "50";
/// A perf that has nothing to say by then will not.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    Perf,
    Strace,
}

impl Counter {
    /// The better one of those that are there and may; both are found out by trying.
    pub(crate) fn find() -> Option<Self> {
        let works = |mut command: Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let mut perf = perf(Path::new("/dev/null"));
        perf.args(["--", "true"]);
        if works(perf) {
            return Some(Self::Perf);
        }
        works(strace(Path::new("/dev/null"), OsStr::new("true"))).then_some(Self::Strace)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Strace => "strace",
        }
    }

    /// A command that runs a node's program; arguments for it may follow.
    pub(crate) fn command(self, program: &Path, dir: &Path) -> Command {
        match self {
            Self::Perf => Command::new(program),
            Self::Strace => strace(&file(dir), program.as_os_str()),
        }
    }

    /// Begins to count in a node that runs, if counting did not begin with it. Ends with the node.
    pub(crate) async fn attach(self, pid: u32, dir: &Path) -> Result<Option<Child>, LoadError> {
        if self == Self::Strace {
            return Ok(None);
        }
        let before = length(dir);
        let mut command = perf(&file(dir));
        command.args(["--append", "-p", &pid.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        // The head of the file comes before counting does.
        let counts = |text: &str| text.lines().any(|line| line.contains(",syscalls:"));
        let began = Instant::now();
        while !counts(&read_from(dir, before)) {
            if began.elapsed() > PATIENCE {
                return Err(LoadError::Node("perf does not begin to count".into()));
            }
            sleep(LOOK).await;
        }
        Ok(Some(child))
    }

    /// Syncs so far.
    pub(crate) async fn count(self, dir: &Path) -> Result<u64, LoadError> {
        if self == Self::Strace {
            return Ok(successes(&fs::read_to_string(file(dir))?));
        }
        // The next lines cover this moment; behind a node that has ended none come.
        let (before, began) = (length(dir), Instant::now());
        while length(dir) == before && began.elapsed() < PATIENCE / 10 {
            sleep(LOOK).await;
        }
        Ok(counted(&fs::read_to_string(file(dir))?))
    }
}

fn perf(output: &Path) -> Command {
    let events: Vec<String> = CALLS.iter().map(|c| format!("syscalls:sys_enter_{c}")).collect();
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-I", EVERY, "-e", &events.join(","), "-o"]).arg(output);
    command
}

fn strace(output: &Path, program: &OsStr) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-e"]);
    command.arg(format!("trace={}", CALLS.join(",")));
    command.args(["-A", "-o"]).arg(output).arg("--").arg(program);
    command
}

/// Where the syncs of a node with this data directory are written down.
fn file(dir: &Path) -> PathBuf {
    dir.join("syncs.trace")
}

fn length(dir: &Path) -> u64 {
    fs::metadata(file(dir)).map_or(0, |metadata| metadata.len())
}

fn read_from(dir: &Path, start: u64) -> String {
    let text = fs::read_to_string(file(dir)).unwrap_or_default();
    text.get(start as usize..).unwrap_or_default().to_owned()
}

/// Lines of perf: the time, how many calls there were since the line before, and of what.
fn counted(lines: &str) -> u64 {
    let count = |line: &str| line.split(',').nth(1)?.trim().parse::<u64>().ok();
    lines.lines().filter(|line| line.contains(",syscalls:")).filter_map(count).sum()
}

/// Lines of strace. A call that it shows in two parts counts once, where it ended.
fn successes(trace: &str) -> u64 {
    trace.lines().filter(|line| line.contains("sync") && line.ends_with("= 0")).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_counts_once_and_only_when_it_succeeded() {
        let trace = "\
7 fdatasync(9)                      = 0
8 fsync(12 <unfinished ...>
7 fdatasync(9)                      = -1 EIO (Input/output error)
8 <... fsync resumed>)              = 0
8 syncfs(9)                         = 0
8 fdatasync(12 <unfinished ...>
";
        assert_eq!(successes(trace), 3);
    }

    #[test]
    fn counts_of_all_intervals_are_added() {
        let lines = "\
# started on Wed Nov 25 03:50:02 2026

     0.050114686,2,,syscalls:sys_enter_fsync,49000,100.00,,
     0.050114686,5,,syscalls:sys_enter_fdatasync,49000,100.00,,
     0.100214686,<not counted>,,syscalls:sys_enter_fsync,0,100.00,,
     0.100214686,4,,syscalls:sys_enter_fdatasync,50000,100.00,,
";
        assert_eq!(counted(lines), 11);
    }
}
