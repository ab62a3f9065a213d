//! What can be wrong with a backup.

use core::fmt;
use std::io;
use std::path::PathBuf;

use postroad_proto::backup::VERSION;

/// A place in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPlace {
    /// The first record that is not whole, counted from 1; 0 for what comes before records.
    pub record: u64,
    /// Records that there are, about; 0 when that is not known.
    pub records: u64,
    /// Where in the file it begins, bytes. What is encrypted in one piece, 64 KiB, is lost in one piece.
    pub from: u64,
    /// Where in the file it ends, bytes; the first one behind it.
    pub to: u64,
    /// Bytes of the file.
    pub length: u64,
}

impl fmt::Display for BackupPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.record, self.records) {
            (0, _) => f.write_str("before its first record")?,
            (record, 0) => write!(f, "at record {record}")?,
            (record, records) => write!(f, "at record {record} of about {records}")?,
        }
        match self.from < self.to {
            true => write!(f, ", bytes {} to {} of {}", self.from, self.to - 1, self.length),
            false => write!(f, ", byte {}", self.from),
        }
    }
}

/// Why there is no backup, or it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another kind of file.
    #[error("this is no backup, or its first line is damaged: {0}")]
    NotABackup(&'static str),
    /// A newer version wrote it.
    #[error("the backup has version {got}, this program knows up to {VERSION}")]
    Newer {
        /// The file's.
        got: u32,
    },
    /// It was made for something else: a passphrase or a key.
    #[error("this backup is for {0}")]
    OtherKind(&'static str),
    /// Neither age nor we can tell the wrong passphrase from damage to what it opens.
    #[error(
        "{what} does not open the backup (or the first {header} bytes of the file are damaged)"
    )]
    WrongKey {
        /// Which of the two it was.
        what: &'static str,
        /// Bytes in which damage looks the same.
        header: u64,
    },
    /// To find out whether the passphrase is right would take more memory than is given.
    #[error("the passphrase takes too much work: 2^{got}, at most 2^{limit}")]
    TooMuchWork {
        /// log2 of scrypt's N in the file.
        got: u8,
        /// The highest that is tried.
        limit: u8,
    },
    /// It ends too early.
    #[error("the backup is cut {0}")]
    Cut(BackupPlace),
    /// A bit or more of it is another.
    #[error("the backup is damaged {place} ({why})")]
    Damaged {
        /// Where.
        place: BackupPlace,
        /// What does not hold.
        why: String,
    },
    /// What it says of the account does not hold, though all of it is whole.
    #[error("what the backup says of its account does not hold: {0}")]
    Untrusted(&'static str),
    /// It is another account's than the profile.
    #[error("the backup is of the account {got}, and this profile of {expected}")]
    OtherAccount {
        /// The profile's.
        expected: String,
        /// The backup's.
        got: String,
    },
    /// The profile has no account, and the backup not the account's key.
    #[error(
        "the account's key is not in this backup: it can only be restored on a device of the account"
    )]
    NoAccountKey,
    /// Not something to encrypt to, or to open with.
    #[error("{0}")]
    BadKey(String),
    /// There is something at that place.
    #[error("{0} is there already")]
    Exists(PathBuf),
    /// The operating system.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was to be done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl BackupError {
    pub(super) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    pub(super) fn reading(source: io::Error) -> Self {
        Self::io("read the backup", source)
    }

    pub(super) fn writing(source: io::Error) -> Self {
        Self::io("write the backup", source)
    }
}
