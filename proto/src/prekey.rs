//! Prekeys: what a first message to a device that is away starts from.

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::ids::{AccountId, DeviceNumber, Hash};
use crate::network::Network;
use crate::signed::{self, Purpose, SignedError};

/// A Curve25519 key for one first message, or (`fallback`) for many when those are used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prekey {
    /// The Curve25519 key.
    pub key: Hash,
    /// Whether it is the fallback key.
    pub fallback: bool,
    /// The device's Olm signing key over [`Statement`].
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// What a prekey's signature covers.
#[derive(Serialize)]
struct Statement {
    account: AccountId,
    device: DeviceNumber,
    key: Hash,
    fallback: bool,
}

/// A prekey handed out to somebody who wants to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedPrekey {
    /// The device it belongs to.
    pub device: DeviceNumber,
    /// The key.
    pub prekey: Prekey,
}

impl Prekey {
    /// The bytes that the device signs, purpose and network included.
    ///
    /// # Errors
    /// None in practice: see [`codec::encode`].
    pub fn signature_input(
        account: AccountId,
        device: DeviceNumber,
        key: Hash,
        fallback: bool,
        network: &Network,
    ) -> Result<Vec<u8>, CodecError> {
        let statement = codec::encode(&Statement { account, device, key, fallback })?;
        Ok(signed::signature_input(Purpose::Prekey, network, &statement))
    }

    /// Checks the signature by `signer`, the Olm signing key in the device list.
    ///
    /// # Errors
    /// [`SignedError::BadSignature`] and [`SignedError::WeakKey`].
    pub fn verify(
        &self,
        account: AccountId,
        device: DeviceNumber,
        signer: &Hash,
        network: &Network,
    ) -> Result<(), SignedError> {
        let statement =
            codec::encode(&Statement { account, device, key: self.key, fallback: self.fallback })?;
        signed::verify(&signer.0, Purpose::Prekey, network, &statement, &self.signature)
    }
}
