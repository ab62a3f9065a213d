use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{DeviceList, StewardCert, check_version};
use crate::blob::Blob;
use crate::codec::{self, CodecError};
use crate::ids::{AccountId, Hash, NodeId};
use crate::limits::{MAX_ACCOUNT_RECORD, MAX_BACKUPS, MAX_STEWARD_CERT};
use crate::network::Network;
use crate::signed::{Purpose, Signable, Signed, SignedError};

/// Where an account is homed. A higher (epoch, seq) replaces a lower one, with or without the
/// records in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// [`super::RECORD_VERSION`].
    pub version: u64,
    /// See [`super::CRITICAL_FLAGS`].
    pub flags: u64,
    /// The account. Its key signs, or that of `steward`.
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
    /// When a steward signed in place of the account's key: the encoded `Signed<StewardCert>` that
    /// allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steward: Option<Blob>,
}

/// How two records of one account relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountRecordOrder {
    /// The other one replaces it.
    Newer,
    /// The same record.
    Same,
    /// The other one does not replace it.
    Older,
    /// Same (epoch, seq), different content, both by the account's key: it signed twice. Loud.
    Conflict,
}

impl Signed<AccountRecord> {
    /// How `other` stands to this record of the same account. Open both first: no signature is
    /// checked here.
    ///
    /// # Errors
    /// When a payload does not decode.
    pub fn compare(&self, other: &Self) -> Result<AccountRecordOrder, CodecError> {
        let (held, new) = (self.rank()?, other.rank()?);
        Ok(match new.cmp(&held) {
            Ordering::Greater => AccountRecordOrder::Newer,
            Ordering::Less => AccountRecordOrder::Older,
            Ordering::Equal if self.payload == other.payload => AccountRecordOrder::Same,
            Ordering::Equal if new.2 => AccountRecordOrder::Conflict,
            // Stewards do not know of each other. Everybody keeps the same one of theirs.
            Ordering::Equal if other.hash() < self.hash() => AccountRecordOrder::Newer,
            Ordering::Equal => AccountRecordOrder::Older,
        })
    }

    /// Epoch, number, and whether the account's own key signed, which goes before a steward's.
    fn rank(&self) -> Result<(u64, u64, bool), CodecError> {
        let record: AccountRecord = codec::decode(&self.payload, MAX_ACCOUNT_RECORD)?;
        Ok((record.epoch, record.seq, record.steward.is_none()))
    }
}

impl AccountRecord {
    /// Whether `devices`, which opened as `list`, is the list that this record names. One that a
    /// steward signed needs a list of its own epoch in which that device stands with its key: so who
    /// was taken off the list is no steward any more.
    pub fn fits(&self, devices: &Signed<DeviceList>, list: &DeviceList) -> bool {
        let names_it = self.devices == devices.hash() && self.account == list.account;
        let lists = |cert: StewardCert| {
            let device = list.device(cert.device);
            self.epoch == list.epoch && device.is_some_and(|d| d.olm_signing == cert.key)
        };
        names_it && self.certificate().is_ok_and(|cert| cert.is_none_or(lists))
    }

    /// The certificate of the steward that signed, if one did. Opening the record checks it.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn certificate(&self) -> Result<Option<StewardCert>, CodecError> {
        let Some(signed) = self.signed_certificate()? else { return Ok(None) };
        codec::decode(&signed.payload, MAX_STEWARD_CERT).map(Some)
    }

    fn signed_certificate(&self) -> Result<Option<Signed<StewardCert>>, CodecError> {
        let encoded = self.steward.as_ref();
        encoded.map(|encoded| codec::decode(encoded, MAX_ACCOUNT_RECORD)).transpose()
    }
}

impl Signable for AccountRecord {
    const PURPOSE: Purpose = Purpose::AccountRecord;
    const LIMIT: usize = MAX_ACCOUNT_RECORD;

    fn signer(&self, network: &Network) -> Result<[u8; 32], SignedError> {
        let Some(signed) = self.signed_certificate()? else { return Ok(self.account.0) };
        let cert = signed.open(network)?;
        if cert.account != self.account || cert.epoch != self.epoch {
            let text = "the steward's certificate is for another account or epoch";
            return Err(CodecError::Value(text).into());
        }
        if self.issued > cert.expires {
            return Err(CodecError::Value("the steward's certificate was over").into());
        }
        Ok(cert.key.0)
    }

    fn validate(&self) -> Result<(), CodecError> {
        check_version(self.version, self.flags)?;
        if self.backups.len() > MAX_BACKUPS {
            return Err(CodecError::Value("more than 2 backups"));
        }
        if self.seq == 0 {
            return Err(CodecError::Value("seq starts at 1"));
        }
        Ok(())
    }
}
