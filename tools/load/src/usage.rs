//! What processes used, as the kernel counts it.

use std::fs;
use std::ops::Sub;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::LoadError;

/// Microseconds of a tick: the kernel shows 100 a second whatever it counts itself.
const TICK_US: u64 = 10_000;
/// Bytes of the blocks in which the system counts what files take.
const BLOCK: u64 = 512;

/// What some processes used since they started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU, user and system, µs.
    pub(crate) cpu_us: u64,
    /// Bytes that were to go to a disk.
    pub(crate) written: u64,
    /// Syncs of journals; only known of our own nodes.
    pub(crate) syncs: u64,
    /// Syncs of any file as counted from outside, if they were.
    pub(crate) traced_syncs: Option<u64>,
}

impl Usage {
    /// Of these processes together.
    pub(crate) fn of(pids: &[u32]) -> Result<Self, LoadError> {
        let mut sum = Self::default();
        for pid in pids {
            sum.cpu_us += cpu_us(&pid.to_string())?;
            sum.written += field(&format!("/proc/{pid}/io"), "write_bytes:")?;
        }
        Ok(sum)
    }

    /// Of this process.
    pub(crate) fn own() -> Result<Self, LoadError> {
        Ok(Self { cpu_us: cpu_us("self")?, ..Self::default() })
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            cpu_us: self.cpu_us.saturating_sub(other.cpu_us),
            written: self.written.saturating_sub(other.written),
            syncs: self.syncs.saturating_sub(other.syncs),
            traced_syncs: self
                .traced_syncs
                .zip(other.traced_syncs)
                .map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// Resident memory of these processes, KiB.
pub(crate) fn resident_kib(pids: &[u32]) -> Result<u64, LoadError> {
    pids.iter().map(|pid| field(&format!("/proc/{pid}/status"), "VmRSS:")).sum()
}

/// The most memory that this process ever had resident, KiB.
pub(crate) fn peak_kib(pid: u32) -> Result<u64, LoadError> {
    field(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// Bytes of disk that the files below a directory take.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64, LoadError> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        sum += match entry.file_type()?.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => entry.metadata()?.blocks() * BLOCK,
        };
    }
    Ok(sum)
}

fn cpu_us(process: &str) -> Result<u64, LoadError> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold anything; behind its parenthesis come plain fields, the third first.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
    Ok(ticks.sum::<u64>() * TICK_US)
}

fn field(path: &str, name: &str) -> Result<u64, LoadError> {
    let text = fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| LoadError::Node(format!("{path} has no {name}")))
}
