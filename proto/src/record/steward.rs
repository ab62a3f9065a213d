use serde::{Deserialize, Serialize};

use super::check_version;
use crate::codec::CodecError;
use crate::ids::{AccountId, DeviceNumber, Hash};
use crate::limits::MAX_STEWARD_CERT;
use crate::network::Network;
use crate::signed::{Purpose, Signable, SignedError};

/// The account's word that one of its devices may sign its [`super::AccountRecord`], within an epoch:
/// refresh it, and change home and backups. Nothing else, and no device list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StewardCert {
    /// [`super::RECORD_VERSION`].
    pub version: u64,
    /// See [`super::CRITICAL_FLAGS`].
    pub flags: u64,
    /// The account; its key signs.
    pub account: AccountId,
    /// The only epoch in which it counts.
    pub epoch: u64,
    /// The device that may sign.
    pub device: DeviceNumber,
    /// What it signs with: that device's Olm signing key, Ed25519.
    pub key: Hash,
    /// Seconds since the Unix epoch.
    pub issued: u64,
    /// Seconds since the Unix epoch. Records that say they were issued later do not count.
    pub expires: u64,
}

impl Signable for StewardCert {
    const PURPOSE: Purpose = Purpose::StewardCert;
    const LIMIT: usize = MAX_STEWARD_CERT;

    fn signer(&self, _: &Network) -> Result<[u8; 32], SignedError> {
        Ok(self.account.0)
    }

    fn validate(&self) -> Result<(), CodecError> {
        check_version(self.version, self.flags)?;
        if self.device == 0 {
            return Err(CodecError::Value("device numbers start at 1"));
        }
        if self.expires < self.issued {
            return Err(CodecError::Value("expires before it was issued"));
        }
        Ok(())
    }
}
