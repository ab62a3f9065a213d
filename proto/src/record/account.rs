use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::check_version;
use crate::blob::Blob;
use crate::codec::CodecError;
use crate::ids::{AccountId, Hash, NodeId};
use crate::limits::{MAX_ACCOUNT_RECORD, MAX_BACKUPS};
use crate::signed::{Purpose, Signable};

/// Where an account is homed. A higher (epoch, seq) replaces a lower one, with or without the
/// records in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// [`super::RECORD_VERSION`].
    pub version: u64,
    /// See [`super::CRITICAL_FLAGS`].
    pub flags: u64,
    /// The account; its key signs.
    pub account: AccountId,
    /// Raised by the account key alone, to cut off old devices.
    pub epoch: u64,
    /// Rises within an epoch, from 1.
    pub seq: u64,
    /// Hash of the record that this one replaces.
    pub previous: Option<Hash>,
    /// The node that holds the account's mailboxes.
    pub home: NodeId,
    /// Nodes that hold mail while the home is down, in order; at most [`MAX_BACKUPS`].
    pub backups: Vec<NodeId>,
    /// Where the home may be reached: `host:port` of its client port, a hint only.
    pub hints: Vec<String>,
    /// Hash of the current [`super::DeviceList`] payload.
    pub devices: Hash,
    /// Reserved: Ed25519 key under which the record is found in the DHT.
    pub lookup_key: Option<Hash>,
    /// Seconds since the Unix epoch.
    pub issued: u64,
    /// Seconds since the Unix epoch. Afterwards "look for a newer one", not "unusable".
    pub expires: u64,
    /// Reserved: the certificate of the steward that signed, when the account key did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steward: Option<Blob>,
}

/// How two records of one account relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountRecordOrder {
    /// The other one is newer.
    Newer,
    /// The same record.
    Same,
    /// The other one is older.
    Older,
    /// Same (epoch, seq), different content: the account key signed twice. Loud.
    Conflict,
}

impl AccountRecord {
    /// How `other` stands to this record.
    pub fn compare(&self, other: &Self) -> AccountRecordOrder {
        match (other.epoch, other.seq).cmp(&(self.epoch, self.seq)) {
            Ordering::Greater => AccountRecordOrder::Newer,
            Ordering::Less => AccountRecordOrder::Older,
            Ordering::Equal if self == other => AccountRecordOrder::Same,
            Ordering::Equal => AccountRecordOrder::Conflict,
        }
    }
}

impl Signable for AccountRecord {
    const PURPOSE: Purpose = Purpose::AccountRecord;
    const LIMIT: usize = MAX_ACCOUNT_RECORD;

    fn signer(&self) -> [u8; 32] {
        self.account.0
    }

    fn validate(&self) -> Result<(), CodecError> {
        check_version(self.version, self.flags)?;
        if self.backups.len() > MAX_BACKUPS {
            return Err(CodecError::Value("more than 2 backups"));
        }
        if self.seq == 0 {
            return Err(CodecError::Value("seq starts at 1"));
        }
        if self.steward.is_some() {
            return Err(CodecError::Value("steward certificates are not in use yet"));
        }
        Ok(())
    }
}
