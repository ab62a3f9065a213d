//! Syncs of a node as the kernel sees them: counted by strace, not by the node.
//!
//! strace runs the node as its own process (`-D`), so that its id, its CPU and its end are the
//! node's. A filter in the kernel (`--seccomp-bpf`) lets every other call pass untouched.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::LoadError;

/// All calls that make something durable.
const CALLS: &str = "trace=fsync,fdatasync,sync_file_range,msync,syncfs,sync";

/// Whether strace is there and may trace; both are checked by trying.
pub(crate) fn is_possible() -> bool {
    let mut command = strace(Path::new("/dev/null"), OsStr::new("true"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A command that runs `program` and appends its syncs to a file; arguments for it may follow.
pub(crate) fn strace(output: &Path, program: &OsStr) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-e", CALLS]);
    command.args(["-A", "-o"]).arg(output).arg("--").arg(program);
    command
}

/// Where the syncs of a node with this data directory are written down.
pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join("syncs.strace")
}

/// Syncs that have succeeded so far.
pub(crate) fn count(dir: &Path) -> Result<u64, LoadError> {
    Ok(successes(&fs::read_to_string(file(dir))?))
}

/// A call that strace shows in two parts counts once, where it ended.
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
8 sync_file_range(9, 0, 4096, 2)    = 0
8 fdatasync(12 <unfinished ...>
";
        assert_eq!(successes(trace), 3);
    }
}
