use serde::{Deserialize, Serialize};

use super::check_version;
use crate::codec::CodecError;
use crate::ids::{AccountId, DeviceNumber, Hash};
use crate::limits::{MAX_DEVICE_LIST, MAX_DEVICES};
use crate::network::Network;
use crate::signed::{Purpose, Signable, SignedError};

/// The devices of an account, signed by the account's key: no node can add one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    /// [`super::RECORD_VERSION`].
    pub version: u64,
    /// See [`super::CRITICAL_FLAGS`].
    pub flags: u64,
    /// The account; its key signs.
    pub account: AccountId,
    /// As in the account's record.
    pub epoch: u64,
    /// Rises with every change of the list, from 1.
    pub seq: u64,
    /// One to eight devices, by rising number.
    pub devices: Vec<Device>,
}

/// One device and its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// From 1, never reused.
    pub number: DeviceNumber,
    /// X25519 key of its Noise channel to the home.
    pub noise: Hash,
    /// X25519 key that headers are sealed to.
    pub seal: Hash,
    /// Olm identity key, Curve25519.
    pub olm_identity: Hash,
    /// Olm signing key, Ed25519: signs prekeys.
    pub olm_signing: Hash,
    /// Olm version; 1. Another is not spoken to.
    pub olm_version: u64,
    /// Reserved. What makes a steward is its [`super::StewardCert`].
    pub rights: u64,
    /// Seconds since the Unix epoch. What was sent before is history to this device, not a gap.
    pub added: u64,
}

/// The Olm version in use: 1, vodozemac's stable one.
pub const OLM_VERSION: u64 = 1;

impl DeviceList {
    /// The device with `number`.
    pub fn device(&self, number: DeviceNumber) -> Option<&Device> {
        self.devices.iter().find(|d| d.number == number)
    }

    /// Whether `other` replaces this list.
    pub fn is_older_than(&self, other: &Self) -> bool {
        (self.epoch, self.seq) < (other.epoch, other.seq)
    }
}

impl Signable for DeviceList {
    const PURPOSE: Purpose = Purpose::DeviceList;
    const LIMIT: usize = MAX_DEVICE_LIST;

    fn signer(&self, _: &Network) -> Result<[u8; 32], SignedError> {
        Ok(self.account.0)
    }

    fn validate(&self) -> Result<(), CodecError> {
        check_version(self.version, self.flags)?;
        if self.devices.is_empty() || self.devices.len() > MAX_DEVICES {
            return Err(CodecError::Value("expected 1 to 8 devices"));
        }
        let rising = self.devices.windows(2).all(|pair| pair[0].number < pair[1].number);
        if !rising || self.devices[0].number == 0 {
            return Err(CodecError::Value("device numbers rise from 1"));
        }
        if self.devices.iter().any(|d| d.olm_version != OLM_VERSION) {
            return Err(CodecError::Value("unknown Olm version"));
        }
        Ok(())
    }
}
