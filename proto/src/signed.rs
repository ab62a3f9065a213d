//! Signatures: Ed25519 over bytes as received, with a purpose and the network bound in.
//!
//! RFC 8032 with the strict checks of ed25519-dalek's `verify_strict`: no small-order keys, no
//! malleable signatures.

use core::fmt;
use core::marker::PhantomData;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::codec::{self, CodecError};
use crate::network::Network;

/// What a signature is for. Its text is part of what is signed, so that a signature made for one
/// purpose is worth nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A [`crate::record::NodeRecord`], by the node's key.
    NodeRecord,
    /// An [`crate::record::AccountRecord`], by the account's key or a steward's.
    AccountRecord,
    /// A [`crate::record::StewardCert`], by the account's key.
    StewardCert,
    /// A [`crate::record::Deletion`], by the account's key.
    Deletion,
    /// A [`crate::record::DeviceList`], by the account's key.
    DeviceList,
    /// A [`crate::record::HandleRecord`], by the node's key.
    HandleRecord,
    /// A [`crate::receipt::ReceiptRoot`], by the node's key.
    ReceiptRoot,
    /// A [`crate::prekey::Prekey`], by the device's Olm signing key.
    Prekey,
    /// A [`crate::content::Queued`] step, by the device's Olm signing key.
    Queued,
}

impl Purpose {
    /// The tag, as signed.
    pub fn tag(self) -> &'static str {
        match self {
            Self::NodeRecord => "postroad v1 node record",
            Self::AccountRecord => "postroad v1 account record",
            Self::StewardCert => "postroad v1 steward certificate",
            Self::Deletion => "postroad v1 deletion",
            Self::DeviceList => "postroad v1 device list",
            Self::HandleRecord => "postroad v1 handle record",
            Self::ReceiptRoot => "postroad v1 receipt root",
            Self::Prekey => "postroad v1 prekey",
            Self::Queued => "postroad v1 queued",
        }
    }
}

/// What is signed: length of the tag (1 byte), tag, network id (32 bytes), payload.
pub fn signature_input(purpose: Purpose, network: &Network, payload: &[u8]) -> Vec<u8> {
    let tag = purpose.tag().as_bytes();
    let mut input = Vec::with_capacity(33 + tag.len() + payload.len());
    input.push(tag.len() as u8);
    input.extend_from_slice(tag);
    input.extend_from_slice(&network.id());
    input.extend_from_slice(payload);
    input
}

/// A signature does not hold, or its payload is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// The key is not a point of the curve, or of small order.
    #[error("the signer's key is weak or no key at all")]
    WeakKey,
    /// The signature is not the signer's over this payload for this purpose in this network.
    #[error("the signature does not verify")]
    BadSignature,
    /// The payload does not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Checks one signature. `key` is an Ed25519 public key.
///
/// # Errors
/// [`SignedError::WeakKey`] or [`SignedError::BadSignature`].
pub fn verify(
    key: &[u8; 32],
    purpose: Purpose,
    network: &Network,
    payload: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignedError> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| SignedError::WeakKey)?;
    if key.is_weak() {
        return Err(SignedError::WeakKey);
    }
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    key.verify_strict(&signature_input(purpose, network, payload), &signature)
        .map_err(|_| SignedError::BadSignature)
}

/// Makes one signature.
pub fn sign(key: &SigningKey, purpose: Purpose, network: &Network, payload: &[u8]) -> [u8; 64] {
    key.sign(&signature_input(purpose, network, payload)).to_bytes()
}

/// A payload and its signature. The payload stays as the bytes that were received.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Signed<T> {
    /// The encoded `T`.
    pub payload: Blob,
    /// Ed25519 signature, 64 bytes.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

/// A type that is signed as a whole.
pub trait Signable: Serialize + DeserializeOwned {
    /// What its signature is for.
    const PURPOSE: Purpose;
    /// Bytes its payload may have.
    const LIMIT: usize;
    /// The key that must have signed it.
    ///
    /// # Errors
    /// When what names that key does not hold itself: see [`SignedError`].
    fn signer(&self, network: &Network) -> Result<[u8; 32], SignedError>;
    /// Checks of single fields that need nothing else.
    ///
    /// # Errors
    /// [`CodecError::Value`] names the field.
    fn validate(&self) -> Result<(), CodecError>;
}

impl<T: Signable> Signed<T> {
    /// Signs `value`.
    ///
    /// # Errors
    /// When `value` is larger than it may be or a field is out of range.
    pub fn new(value: &T, key: &SigningKey, network: &Network) -> Result<Self, CodecError> {
        Self::new_by(value, network, |input| key.sign(input).to_bytes())
    }

    /// Signs `value` with a key that is not at hand: `sign` is given the input of the signature and
    /// returns the signature. So a steward signs, whose key its Olm account keeps.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn new_by(
        value: &T,
        network: &Network,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Self, CodecError> {
        value.validate()?;
        let payload = codec::encode(value)?;
        if payload.len() > T::LIMIT {
            return Err(CodecError::TooLarge { limit: T::LIMIT, got: payload.len() });
        }
        let signature = sign(&signature_input(T::PURPOSE, network, &payload));
        Ok(Self { payload: payload.into(), signature, of: PhantomData })
    }

    /// The value, if its own signer signed it in this network. Whether that signer is the one
    /// wanted is the caller's to compare.
    ///
    /// # Errors
    /// See [`SignedError`].
    pub fn open(&self, network: &Network) -> Result<T, SignedError> {
        let value: T = codec::decode(&self.payload, T::LIMIT)?;
        value.validate()?;
        verify(&value.signer(network)?, T::PURPOSE, network, &self.payload, &self.signature)?;
        Ok(value)
    }

    /// BLAKE3 of the payload: how records refer to one another.
    pub fn hash(&self) -> crate::ids::Hash {
        crate::ids::Hash::of(&self.payload)
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self { payload: self.payload.clone(), signature: self.signature, of: PhantomData }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload && self.signature == other.signature
    }
}
impl<T> Eq for Signed<T> {}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes)", self.payload.len())
    }
}
