//! What can go wrong in the SDK, as callers tell it apart.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use postroad_proto::codec::CodecError;
use postroad_proto::error::ErrorCode;
use postroad_proto::ids::{AccountId, NodeId};
use postroad_proto::limits::MAX_DEVICES;
use postroad_proto::link::LinkError;
use postroad_proto::noise::NoiseError;
use postroad_proto::pair::PairError;
use postroad_proto::recovery::PhraseError;
use postroad_proto::signed::SignedError;

use crate::backup::BackupError;
use crate::names::NameError;

/// Result of nearly everything here.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why an operation of the SDK failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The local database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The connection to the home node failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The node said no.
    #[error("the node refused{}: {code}{}", of(.what), colon(.detail))]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        code: ErrorCode,
        /// For people.
        detail: String,
        /// Seconds to wait before asking again; 0 when that makes no difference.
        retry_after: u64,
    },
    /// The home does not know this device.
    #[error(
        "the node has no account for this device any more (the device was revoked, the account \
         deleted, or the node lost its data)"
    )]
    NoAccount,
    /// The account was deleted, by its own word, and with it all that this profile had of it.
    #[error("the account was deleted, as it was said to be; nothing of it is left here")]
    Deleted,
    /// A record, link or key from somebody else does not hold.
    #[error("{what}: {why}")]
    Untrusted {
        /// What does not hold.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// No account in this profile yet.
    #[error("this profile has no account yet")]
    NotJoined,
    /// Only the account's first device, or one that was restored, may do that.
    #[error("this device does not have the account's key")]
    NotRoot,
    /// The account has as many devices as it may have.
    #[error("the account has {MAX_DEVICES} devices already; revoke one first")]
    TooManyDevices,
    /// The link to another device was used, or its time is over.
    #[error("the link is over: it was used, or waited for too long")]
    LinkOver,
    /// The device is being linked and does not have all yet.
    #[error("this device is being linked and does not have all of the account yet")]
    LinkUnfinished,
    /// The profile is being restored and does not have all yet.
    #[error("this profile is being restored and does not have all of the account yet")]
    RestoreUnfinished,
    /// The node does not have the account.
    #[error("the node does not know this account")]
    NotThere,
    /// Not a recovery phrase.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// The other device goes no further.
    #[error("the other device refuses: {0}")]
    LinkRefused(String),
    /// The profile already has an account.
    #[error("this profile already has the account {account}")]
    AlreadyJoined {
        /// It.
        account: String,
    },
    /// More than an envelope takes.
    #[error("the text has {got} bytes; at most {limit} bytes fit {place}")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
        /// What was given, bytes.
        got: usize,
        /// What the limit belongs to.
        place: &'static str,
    },
    /// No contact, conversation or message of that name.
    #[error("no {what} {name:?}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A message to oneself.
    #[error("that is your own account")]
    Yourself,
    /// Two contacts would have one name.
    #[error("the name {0:?} is another contact's")]
    NameTaken(String),
    /// The text cannot be used as a name.
    #[error("{0:?} cannot be used as a name: {1}")]
    BadName(String, &'static str),
    /// The contact is blocked.
    #[error("{0:?} is blocked")]
    Blocked(String),
    /// The contact has asked to write to you and was not answered yet.
    #[error("{0:?} waits for your answer to a request")]
    Unanswered(String),
    /// The message is not one that this can be done with.
    #[error("{0}")]
    Impossible(&'static str),
    /// Something else has to come to its end first.
    #[error("{0}")]
    NotNow(&'static str),
    /// Not a link of ours, or a damaged one.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The name behind the `@` of a handle stands for no node.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A handle names another account than the contact's who had it first.
    #[error("{handle} was the handle of {was:?} and is now that of another account, {now} ({how})")]
    HandleChanged {
        /// The handle.
        handle: String,
        /// The contact's name.
        was: String,
        /// The account that has it now.
        now: AccountId,
        /// Why, as its node says.
        how: &'static str,
    },
    /// A name stands for another node than it did when a contact was found under it.
    #[error("{name} was the node {was} when {of:?} was added, and is now said to be {now}")]
    NodeChanged {
        /// The node's name.
        name: String,
        /// The contact's name.
        of: String,
        /// What it stood for.
        was: NodeId,
        /// What it stands for.
        now: NodeId,
    },
    /// Something belongs to another network.
    #[error("it belongs to the network {got:?}, and this profile to {expected:?}")]
    WrongNetwork {
        /// The profile's.
        expected: String,
        /// The other.
        got: String,
    },
    /// Bytes of our own making do not encode or decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Sealing or opening failed.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// A backup could not be made, or cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

fn of(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" {what}") }
}

fn colon(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

impl Error {
    /// A record of somebody else that does not verify.
    pub(crate) fn untrusted(what: &'static str, why: impl ToString) -> Self {
        Self::Untrusted { what, why: why.to_string() }
    }
}

/// Why the local database failed.
///
/// A full disk and one that cannot be written are no damage: nothing that was stored is lost.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No room for what was to be written; what was stored before is safe.
    #[error("the disk is full")]
    Full,
    /// The profile lies where nothing can be written.
    #[error("the profile {0} cannot be written")]
    ReadOnly(PathBuf),
    /// There is a key but no database beside it.
    #[error("the database {0} is missing, but the key beside it is there")]
    Missing(PathBuf),
    /// The file is damaged.
    #[error("the database {0} is damaged")]
    Corrupt(PathBuf),
    /// A newer version wrote it.
    #[error("the database has version {got}, this program knows up to {known}")]
    Newer {
        /// The file's.
        got: i64,
        /// Ours.
        known: i64,
    },
    /// Another process held it for too long.
    #[error("another process keeps the database locked")]
    Busy,
    /// The profile has a passphrase, and its keys are not held now.
    #[error("this profile is locked")]
    Locked,
    /// The passphrase is another one.
    #[error("that is not the passphrase of this profile")]
    WrongPassphrase,
    /// The passphrase cannot be worked with on this machine.
    #[error("the passphrase cannot be tried: {0}")]
    Passphrase(String),
    /// The passphrase can only be changed while nobody else has the profile open.
    #[error("another program has this profile open")]
    InUse,
    /// Nothing can be held between commands.
    #[error("the system keeps no keys for this user: {0}")]
    NoKeyring(String),
    /// The key file of the profile is missing or damaged.
    #[error("the key file {0} is missing or damaged")]
    Key(PathBuf),
    /// A stored secret or pickle does not open with the profile's key.
    #[error("a stored secret does not open with the profile's key")]
    Secret,
    /// A stored value is not what it should be.
    #[error("a stored {0} cannot be read")]
    Value(&'static str),
    /// The operating system.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else SQLite reports.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
}

impl StorageError {
    /// What the system said about a file of the profile.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Self::ReadOnly(path.parent().unwrap_or(path).to_owned())
            }
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::ErrorCode as Sqlite;
        match error.sqlite_error_code() {
            Some(Sqlite::DiskFull) => Self::Full,
            Some(Sqlite::DatabaseCorrupt | Sqlite::NotADatabase) => {
                Self::Corrupt(PathBuf::from("of this profile"))
            }
            Some(Sqlite::ReadOnly | Sqlite::PermissionDenied) => {
                Self::ReadOnly(PathBuf::from("of this account"))
            }
            Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => Self::Busy,
            // A header that makes no sense has no code of its own.
            _ if error.to_string().contains("unsupported file format") => {
                Self::Corrupt(PathBuf::from("of this profile"))
            }
            _ => Self::Sqlite(error),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// Why there is no connection, or no longer one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectionError {
    /// None of the node's addresses answered.
    #[error("no connection to {node}: {why}")]
    Unreachable {
        /// The node's name or id.
        node: String,
        /// What the last address said.
        why: String,
    },
    /// The node turned us away before the handshake.
    #[error("the node turned the connection away: {0}")]
    TurnedAway(ErrorCode),
    /// The handshake or the channel failed.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// The node closed the connection.
    #[error("the node closed the connection")]
    Closed,
    /// No answer in time.
    #[error("the node did not answer in time")]
    Timeout,
    /// The node answered something else than the protocol says.
    #[error("the node broke the protocol: {0}")]
    Protocol(String),
    /// The account has another home by now: connecting again leads there.
    #[error("the account has another home by now")]
    Moved,
    /// Another process on this profile asked for the connection.
    #[error("another command needs the connection for a moment")]
    Yielded,
    /// The process on this profile that has the connection hangs, or has a lot to do.
    #[error("the process that has this profile's connection does not answer")]
    Silent,
    /// The operating system.
    #[error("connection: {0}")]
    Io(String),
}

impl From<SignedError> for Error {
    fn from(error: SignedError) -> Self {
        Self::untrusted("a signed record", error)
    }
}
