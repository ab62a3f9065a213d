//! Pair mode: how a body and its headers are sealed. `spec/envelope.md`, section "Pair mode".
//!
//! The body is encrypted once under a fresh key; each device gets that key in an Olm message, which
//! shows the sender's keys in clear and is therefore sealed again to the device.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::blob::{Blob, secret};
use crate::codec::{self, CodecError};
use crate::envelope::Attributes;
use crate::ids::{AccountId, ConversationId, DeviceNumber, Hash, MessageId};
use crate::limits::{MAX_BODY, MAX_HEADER};

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type HpkeAead = hpke::aead::ChaCha20Poly1305;

/// Smallest sealed body, bytes. Larger ones are padded to the next power of two.
pub const MIN_BODY: usize = 256;
/// What sealing adds to the padded plaintext: commitment (32) and AEAD tag (16).
pub const BODY_OVERHEAD: usize = 48;
/// Plaintext bytes that fit the largest body; one byte marks where the padding begins.
pub const MAX_PLAINTEXT: usize = MAX_BODY - BODY_OVERHEAD - 1;

const HPKE_INFO: &[u8] = b"postroad v1 pair header";

secret!(
    /// The key of one body. Used once, so the AEAD's nonce is zero.
    ContentKey, 32
);
secret!(
    /// A device's X25519 secret that headers are sealed to.
    SealSecret, 32
);

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// More content than the largest body takes.
    #[error("expected at most {limit} bytes of content, got {got}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What was given.
        got: usize,
    },
    /// The key is no X25519 key, or of small order.
    #[error("the recipient's seal key is weak or no key at all")]
    WeakKey,
    /// It does not decrypt: wrong key, or somebody changed a byte.
    #[error("it does not decrypt")]
    Decrypt,
    /// The key in the header is not the one that this body commits to.
    #[error("the body was sealed under another key")]
    Commitment,
    /// It decrypts to something else than the protocol says.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What a sealed header holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderContent {
    /// Who says to have sent it; checked against the Olm session.
    pub sender: AccountId,
    /// Which device.
    pub device: DeviceNumber,
    /// 0 for an Olm prekey message, 1 for a normal one.
    pub olm_type: u64,
    /// The Olm message; its plaintext is a [`KeyGrant`].
    pub olm: Blob,
}

/// What an Olm message carries: the body's key, bound to all it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyGrant {
    /// The key of the body.
    pub key: ContentKey,
    /// [`Context::hash`].
    pub context: Hash,
}

impl KeyGrant {
    /// Length of its encoding: key ‖ context.
    pub const LEN: usize = 64;

    /// The bytes to encrypt with Olm.
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        bytes[..32].copy_from_slice(&self.key.0);
        bytes[32..].copy_from_slice(&self.context.0);
        bytes
    }

    /// From what Olm decrypted.
    ///
    /// # Errors
    /// [`PairError::Decrypt`] when the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PairError> {
        let (key, context) = bytes.split_at_checked(32).ok_or(PairError::Decrypt)?;
        Ok(Self {
            key: ContentKey(key.try_into().map_err(|_| PairError::Decrypt)?),
            context: Hash(context.try_into().map_err(|_| PairError::Decrypt)?),
        })
    }
}

/// All that a header belongs to; nothing can be cut out and pasted elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Context {
    /// The body.
    pub body_hash: Hash,
    /// The message, as people know it.
    pub message: MessageId,
    /// Where it is shown.
    pub conversation: ConversationId,
    /// Who sends.
    pub sender: AccountId,
    /// From which device.
    pub sender_device: DeviceNumber,
    /// To whom.
    pub recipient: AccountId,
    /// To which device.
    pub recipient_device: DeviceNumber,
}

impl Context {
    /// BLAKE3 in key derivation mode over the encoded context.
    ///
    /// # Errors
    /// None in practice: see [`codec::encode`].
    pub fn hash(&self) -> Result<Hash, CodecError> {
        Ok(Hash(blake3::derive_key("postroad v1 pair context", &codec::encode(self)?)))
    }
}

/// Size of the sealed body for `plaintext` bytes: a power of two from 256 to 65,536.
pub fn sealed_size(plaintext: usize) -> usize {
    (plaintext + 1 + BODY_OVERHEAD).next_power_of_two().max(MIN_BODY)
}

/// Pads and encrypts a body. Layout: commitment (32) ‖ ChaCha20-Poly1305 ciphertext and tag of
/// plaintext ‖ 0x80 ‖ zeros.
///
/// # Errors
/// [`PairError::TooLarge`].
pub fn seal_body(
    key: &ContentKey,
    attributes: &Attributes,
    plaintext: &[u8],
) -> Result<Vec<u8>, PairError> {
    if plaintext.len() > MAX_PLAINTEXT {
        return Err(PairError::TooLarge { limit: MAX_PLAINTEXT, got: plaintext.len() });
    }
    let mut padded = Zeroizing::new(vec![0; sealed_size(plaintext.len()) - BODY_OVERHEAD]);
    padded[..plaintext.len()].copy_from_slice(plaintext);
    padded[plaintext.len()] = 0x80;
    let (cipher, commitment) = body_cipher(key);
    let payload = Payload { msg: &padded, aad: &codec::encode(attributes)? };
    let sealed = cipher.encrypt(&Nonce::default(), payload).map_err(|_| PairError::Decrypt)?;
    Ok([commitment.as_slice(), &sealed].concat())
}

/// Opens a body sealed by [`seal_body`].
///
/// # Errors
/// [`PairError::Commitment`] and [`PairError::Decrypt`].
pub fn open_body(
    key: &ContentKey,
    attributes: &Attributes,
    body: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PairError> {
    let (commitment, sealed) = body.split_at_checked(32).ok_or(PairError::Decrypt)?;
    let (cipher, expected) = body_cipher(key);
    if commitment != expected {
        return Err(PairError::Commitment);
    }
    let payload = Payload { msg: sealed, aad: &codec::encode(attributes)? };
    let mut padded =
        Zeroizing::new(cipher.decrypt(&Nonce::default(), payload).map_err(|_| PairError::Decrypt)?);
    let end = padded.iter().rposition(|b| *b != 0).ok_or(PairError::Decrypt)?;
    if padded[end] != 0x80 {
        return Err(PairError::Decrypt);
    }
    padded.truncate(end);
    Ok(padded)
}

/// The AEAD of a body and the commitment to its key: without the latter, two keys could be found
/// that open one ciphertext to two texts (Len, Grubbs, Ristenpart 2021).
fn body_cipher(key: &ContentKey) -> (ChaCha20Poly1305, [u8; 32]) {
    let encryption = Zeroizing::new(blake3::derive_key("postroad v1 body key", &key.0));
    let commitment = blake3::derive_key("postroad v1 body commitment", &key.0);
    (ChaCha20Poly1305::new(&Key::from(*encryption)), commitment)
}

/// The public half of a seal secret.
pub fn seal_public(secret: &SealSecret) -> Result<Hash, PairError> {
    let secret = private_key(secret)?;
    let public = Kem::sk_to_pk(&secret).to_bytes();
    Hash::from_slice(&public).ok_or(PairError::WeakKey)
}

/// Seals a header to one device: HPKE base mode (RFC 9180, DHKEM(X25519, HKDF-SHA256),
/// HKDF-SHA256, ChaCha20-Poly1305). Layout: encapsulated key (32) ‖ ciphertext and tag.
///
/// # Errors
/// [`PairError::WeakKey`], or [`PairError::TooLarge`] above [`MAX_HEADER`].
pub fn seal_header<R: CryptoRng>(
    to: &Hash,
    recipient: (AccountId, DeviceNumber),
    body_hash: &Hash,
    content: &HeaderContent,
    rng: &mut R,
) -> Result<Vec<u8>, PairError> {
    let to = <Kem as hpke::Kem>::PublicKey::from_bytes(&to.0).map_err(|_| PairError::WeakKey)?;
    let plaintext = codec::encode(content)?;
    let (encapsulated, sealed) = hpke::single_shot_seal_with_rng::<HpkeAead, Kdf, Kem>(
        &OpModeS::Base,
        &to,
        HPKE_INFO,
        &plaintext,
        &header_aad(recipient, body_hash),
        rng,
    )
    .map_err(|_| PairError::WeakKey)?;
    let header = [encapsulated.to_bytes().as_slice(), &sealed].concat();
    if header.len() > MAX_HEADER {
        return Err(PairError::TooLarge { limit: MAX_HEADER, got: header.len() });
    }
    Ok(header)
}

/// Opens a header sealed to this device.
///
/// # Errors
/// [`PairError::Decrypt`] when it is not for this device and body.
pub fn open_header(
    secret: &SealSecret,
    recipient: (AccountId, DeviceNumber),
    body_hash: &Hash,
    header: &[u8],
) -> Result<HeaderContent, PairError> {
    let (encapsulated, sealed) = header.split_at_checked(32).ok_or(PairError::Decrypt)?;
    let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated)
        .map_err(|_| PairError::Decrypt)?;
    let plaintext = hpke::single_shot_open::<HpkeAead, Kdf, Kem>(
        &OpModeR::Base,
        &private_key(secret)?,
        &encapsulated,
        HPKE_INFO,
        sealed,
        &header_aad(recipient, body_hash),
    )
    .map_err(|_| PairError::Decrypt)?;
    Ok(codec::decode(&plaintext, MAX_HEADER)?)
}

fn private_key(secret: &SealSecret) -> Result<<Kem as hpke::Kem>::PrivateKey, PairError> {
    <Kem as hpke::Kem>::PrivateKey::from_bytes(&secret.0).map_err(|_| PairError::WeakKey)
}

/// Binds a header to its recipient and body: account (32) ‖ device (1) ‖ body hash (32).
fn header_aad((account, device): (AccountId, DeviceNumber), body_hash: &Hash) -> Vec<u8> {
    [account.0.as_slice(), &[device], &body_hash.0].concat()
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    fn attributes() -> Attributes {
        Attributes { version: 1, flags: 0, class: 1, mode: 1, deadline: 1000 }
    }

    #[test]
    fn a_body_opens_only_as_it_was_sealed() {
        let key = ContentKey([7; 32]);
        for length in [0, 1, 65, 207, 208, 5000, MAX_PLAINTEXT] {
            let plaintext = vec![0; length];
            let body = seal_body(&key, &attributes(), &plaintext).unwrap();
            assert!(body.len().is_power_of_two() && body.len() >= 256 && body.len() <= MAX_BODY);
            assert_eq!(*open_body(&key, &attributes(), &body).unwrap(), plaintext);
            let other = Attributes { deadline: 1001, ..attributes() };
            assert_eq!(open_body(&key, &other, &body), Err(PairError::Decrypt));
            assert_eq!(
                open_body(&ContentKey([8; 32]), &attributes(), &body),
                Err(PairError::Commitment)
            );
        }
        let too_large = vec![0; MAX_PLAINTEXT + 1];
        assert!(matches!(
            seal_body(&key, &attributes(), &too_large),
            Err(PairError::TooLarge { .. })
        ));
    }

    #[test]
    fn a_header_opens_only_for_its_device_and_body() {
        let secret = SealSecret([9; 32]);
        let public = seal_public(&secret).unwrap();
        let content = HeaderContent {
            sender: AccountId([1; 32]),
            device: 1,
            olm_type: 0,
            olm: vec![3; 300].into(),
        };
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
        let to = (AccountId([2; 32]), 1);
        let hash = Hash([4; 32]);
        let sealed = seal_header(&public, to, &hash, &content, &mut rng).unwrap();
        assert_eq!(open_header(&secret, to, &hash, &sealed), Ok(content.clone()));
        assert!(open_header(&secret, (to.0, 2), &hash, &sealed).is_err());
        assert!(open_header(&secret, to, &Hash([5; 32]), &sealed).is_err());
        assert!(open_header(&SealSecret([8; 32]), to, &hash, &sealed).is_err());
        assert_eq!(
            seal_header(&Hash([0; 32]), to, &hash, &content, &mut rng),
            Err(PairError::WeakKey)
        );
    }
}
