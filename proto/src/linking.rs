//! Linking a device to an account: what it and one that is there already say to each other, through a
//! rendezvous at the home. `spec/devices.md`.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::blob::{secret, wire_secret};
use crate::codec::{self, CodecError};
use crate::ids::{AccountId, DeviceNumber, Hash};
use crate::limits::MAX_BODY;
use crate::network::Network;
use crate::record::{AccountRecord, DeviceList, HandleRecord, StewardCert};
use crate::recovery::VaultKey;
use crate::signed::Signed;
use crate::sync::Item;

secret!(
    /// What a device link carries: who has it becomes a device of the account, once.
    LinkSecret, 32
);
wire_secret!(LinkSecret, 32);
secret!(
    /// What delivery tokens are made from, on its way to another device.
    SharedSecret, 32
);
wire_secret!(SharedSecret, 32);

/// Which side of a rendezvous a device takes.
pub mod side {
    /// The device that is there already.
    pub const OLD: u64 = 1;
    /// The new one.
    pub const NEW: u64 = 2;
}

/// The first byte of what is sent through a rendezvous.
pub mod envelope {
    /// A Noise handshake message follows.
    pub const HANDSHAKE: u8 = 1;
    /// A Noise transport message follows.
    pub const TRANSPORT: u8 = 2;
}

impl LinkSecret {
    /// What the home knows the rendezvous by: BLAKE3 of the secret, with its purpose, cut to 16 bytes.
    pub fn rendezvous(&self) -> [u8; 16] {
        let hash = blake3::derive_key("postroad v1 rendezvous", &self.0);
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        id
    }

    /// The pre-shared key of the Noise channel.
    pub fn psk(&self) -> [u8; 32] {
        blake3::derive_key("postroad v1 link", &self.0)
    }
}

/// The prologue of the Noise channel: what it is for, and the network.
pub fn prologue(network: &Network) -> Vec<u8> {
    [b"postroad v1 link".as_slice(), &network.id()].concat()
}

/// What the two say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkMessage {
    /// See [`NewDevice`].
    NewDevice(NewDevice),
    /// See [`Grant`].
    Grant(Box<Grant>),
    /// See [`Portion`].
    Portion(Portion),
    /// See [`Got`].
    Got(Got),
    /// See [`Refusal`].
    Refusal(Refusal),
}

/// The new device's keys: its first word on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDevice {
    /// As in the device list.
    pub noise: Hash,
    /// As in the device list.
    pub seal: Hash,
    /// As in the device list.
    pub olm_identity: Hash,
    /// As in the device list.
    pub olm_signing: Hash,
    /// As in the device list.
    pub olm_version: u64,
    /// What its owner may call it, at most 64 characters.
    pub name: String,
}

/// The new device's place in the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The account.
    pub account: AccountId,
    /// The new device's number.
    pub device: DeviceNumber,
    /// The home, as a node link.
    pub home: String,
    /// Names `devices`.
    pub record: Signed<AccountRecord>,
    /// Has the new device in it.
    pub devices: Signed<DeviceList>,
    /// The account's handle.
    pub handle: Option<Signed<HandleRecord>>,
    /// What delivery tokens are made from.
    pub tokens: SharedSecret,
    /// The invite in the account's own link.
    pub invite: Option<ByteArray<16>>,
    /// What the account's vault is sealed under.
    pub vault: VaultKey,
    /// The device's certificate as a steward.
    pub steward: Option<Signed<StewardCert>>,
}

/// Some of what the old device has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portion {
    /// Rises by one on a connection, from 1.
    pub number: u64,
    /// Messages that were sent with it and before, of all connections.
    pub done: u64,
    /// Messages that there are, about.
    pub all: u64,
    /// Whether this is the last one.
    pub last: bool,
    /// To be applied in order.
    pub items: Vec<Item>,
}

/// The new device has stored all portions up to a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Got {
    /// Of this connection.
    pub number: u64,
}

/// The old device goes no further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For people.
    pub reason: String,
}

impl LinkMessage {
    /// Number and body.
    ///
    /// # Errors
    /// None in practice: see [`codec::encode`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = vec![self.number()];
        match self {
            Self::NewDevice(body) => codec::encode_into(body, &mut bytes)?,
            Self::Grant(body) => codec::encode_into(body.as_ref(), &mut bytes)?,
            Self::Portion(body) => codec::encode_into(body, &mut bytes)?,
            Self::Got(body) => codec::encode_into(body, &mut bytes)?,
            Self::Refusal(body) => codec::encode_into(body, &mut bytes)?,
        }
        Ok(bytes)
    }

    /// What was said; none for a number that this version does not know.
    ///
    /// # Errors
    /// When the body is not what its number says.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, CodecError> {
        let (number, body) = bytes.split_first().ok_or(CodecError::Truncated)?;
        Ok(Some(match number {
            1 => Self::NewDevice(codec::decode(body, MAX_BODY)?),
            2 => Self::Grant(codec::decode(body, MAX_BODY)?),
            3 => Self::Portion(codec::decode(body, MAX_BODY)?),
            4 => Self::Got(codec::decode(body, MAX_BODY)?),
            5 => Self::Refusal(codec::decode(body, MAX_BODY)?),
            _ => return Ok(None),
        }))
    }

    fn number(&self) -> u8 {
        match self {
            Self::NewDevice(_) => 1,
            Self::Grant(_) => 2,
            Self::Portion(_) => 3,
            Self::Got(_) => 4,
            Self::Refusal(_) => 5,
        }
    }
}
