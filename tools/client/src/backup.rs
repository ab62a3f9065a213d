//! Backups: all that an account has, in one file that age encrypts to a passphrase or a key.
//! `proto/spec/backup.md`.
//!
//! A backup holds what a new device is handed when it is linked, and the account's key where that is. It
//! holds no ratchet and no key of a device, so that an old one does no harm beside newer devices.

mod draft;
mod error;
mod lock;
mod read;
mod restore;
#[cfg(test)]
mod tests;
mod write;

use postroad_proto::backup::{BackupAccount, BackupHead};
use postroad_proto::ids::{AccountId, DeviceNumber, Millis};
use postroad_proto::network::Network;

pub use draft::BackupDraft;
pub use error::{BackupError, BackupPlace};
pub use lock::{BackupKey, BackupLock};
pub use read::Backup;
#[cfg(test)]
pub(crate) use restore::Import;
pub use restore::Restored;
#[cfg(test)]
pub(crate) use write::write;

use crate::identity::full_handle;

/// What age encrypts at a time, bytes, and what that becomes.
const CHUNK: u64 = 64 * 1024;
const SEALED_CHUNK: u64 = CHUNK + 16;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// Whose it is.
    pub account: AccountId,
    /// `handle@node`, as the account's node signed it.
    pub handle: Option<String>,
    /// The account's network.
    pub network: Network,
    /// Which of the account's devices made it.
    pub device: DeviceNumber,
    /// What that one is called; empty if nothing.
    pub device_name: String,
    /// When it was made.
    pub made: Millis,
    /// Whether the account's key is in it, without which it can only be given to a device that the
    /// account has.
    pub has_account_key: bool,
    /// Contacts, requests included.
    pub contacts: u64,
    /// Messages; of these, edits, reactions and the like as well.
    pub messages: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl BackupSummary {
    fn new(head: &BackupHead, account: &BackupAccount) -> Self {
        let handle = account.handle.as_ref().and_then(|handle| handle.open(&head.network).ok());
        Self {
            account: head.account,
            handle: handle.map(|record| full_handle(&record)),
            network: head.network.clone(),
            device: head.device,
            device_name: head.device_name.clone(),
            made: head.made,
            has_account_key: account.seed.is_some(),
            contacts: 0,
            messages: 0,
            bytes: 0,
        }
    }
}
