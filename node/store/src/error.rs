//! What can go wrong in a store.

use std::io;

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk failed. The store is poisoned: every later call returns this fault again, and
    /// nothing is retried, because after a failed sync the kernel may have dropped the data.
    #[error("storage fault while {doing}: {reason}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        reason: String,
    },
    /// What is on the disk contradicts itself in a way that costs more than single records.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// Another process has the data directory.
    #[error("the data directory is in use by process {pid}")]
    Locked {
        /// The process that holds the lock; 0 when it has not written its id.
        pid: u32,
    },
    /// A commit came out of turn. Nothing was written.
    #[error("expected commit {expected}, got {got}")]
    WrongCommit {
        /// The number that comes next.
        expected: u64,
        /// The number given.
        got: u64,
    },
    /// A commit, a key or a value is larger than the format takes. Nothing was written.
    #[error("{what} of {got} bytes is larger than the {limit} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        got: usize,
        /// The largest size allowed.
        limit: usize,
    },
    /// A commit is malformed in another way. Nothing was written.
    #[error("invalid commit: {0}")]
    Invalid(&'static str),
    /// There is no preallocated room left, not even in the reserve. Nothing was written, and the
    /// same commit may be tried again after `maintain` has made room. Not a fault.
    #[error("the disk is full")]
    Full,
    /// A newer version of Postroad wrote this directory.
    #[error("{name} has format version {found}; this build reads up to {supported}")]
    VersionTooNew {
        /// The file.
        name: String,
        /// Its version.
        found: u16,
        /// The newest version that this build reads.
        supported: u16,
    },
}

impl StoreError {
    /// An I/O error that happened while `doing`.
    pub(crate) fn io(doing: impl Into<String>, error: &io::Error) -> Self {
        Self::Io { doing: doing.into(), reason: error.to_string() }
    }
}

/// True for the errors that mean "no room now" when space is allocated, as opposed to a fault.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    // Out of descriptors passes too, and must not stop the node for good.
    let descriptors = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    descriptors || matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
