//! The file layer: all that the journal asks of a file system, so that tests can stand in for it.

use std::io;

mod real;
#[cfg(any(test, feature = "sim"))]
mod sim;

pub use real::{RealFile, RealFiles};
#[cfg(test)]
pub(crate) use sim::Random;
#[cfg(any(test, feature = "sim"))]
pub use sim::{SimFile, SimFiles};

/// One flat directory of files.
pub trait Files: Send + 'static {
    /// An open file.
    type File: JournalFile;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `bytes` zeros whose space is really allocated, so that no later write
    /// into it runs out. Nothing is left behind when it fails. Not durable before the file and
    /// the directory are synced.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file. Not durable before the directory is synced.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations and removals durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// About how many bytes could still be allocated.
    fn free(&self) -> io::Result<u64>;

    /// A number that senders of mail cannot guess: it seeds the checksums of one segment, so
    /// that no body can pass for a frame.
    fn salt(&self) -> u32;
}

/// An open file. Offsets are from its start.
pub trait JournalFile: Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on, or fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file to `bytes`.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Makes all that was written durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
}
