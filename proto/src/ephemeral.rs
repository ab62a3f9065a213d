//! Typing and presence: what is worth nothing ten seconds later. `spec/ephemeral.md`.
//!
//! Neither kept nor receipted by any node, and sealed without a ratchet: one that is lost must cost
//! no session.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};

use crate::blob::{secret, wire_secret};
use crate::codec;
use crate::ids::{AccountId, DeviceNumber, Millis};
use crate::pair::PairError;
use crate::token::TokenSecret;

secret!(
    /// What an account gives a contact, in its card, to seal ephemerals under.
    EphemeralSecret, 32
);
wire_secret!(EphemeralSecret, 32);

/// Milliseconds of a day: each has its own key.
const DAY: Millis = 86_400_000;
/// Bytes of the nonce in front.
const NONCE: usize = 24;
/// Bytes that are encrypted: the content and its padding.
const PADDED: usize = 64;
/// Marks where the padding begins.
const MARK: u8 = 0x80;
/// Bytes of a sealed [`Ephemeral`]: nonce, what is encrypted, AEAD tag.
pub const SEALED: usize = NONCE + PADDED + 16;

/// Kinds of ephemerals. The set is open.
pub mod kind {
    /// Somebody is writing to the recipient. Values: [`super::typing`].
    pub const TYPING: u64 = 1;
    /// Somebody is there. Values: [`super::presence`].
    pub const PRESENCE: u64 = 2;
}

/// Values of [`kind::TYPING`].
pub mod typing {
    /// Stopped.
    pub const STOPPED: u64 = 0;
    /// Is writing; to be said again every few seconds.
    pub const WRITING: u64 = 1;
}

/// Values of [`kind::PRESENCE`].
pub mod presence {
    /// Gone.
    pub const AWAY: u64 = 0;
    /// There; to be said again every minute.
    pub const HERE: u64 = 1;
    /// There, and asks whether the recipient is.
    pub const HERE_AND_ASKS: u64 = 2;
}

/// What one device says to all of a contact's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ephemeral {
    /// See [`kind`].
    pub kind: u64,
    /// The sending device.
    pub device: DeviceNumber,
    /// When, by the sender's clock; a later one of a device and kind has a higher one.
    pub at: Millis,
    /// What it says: the kind's own.
    pub value: u64,
}

impl EphemeralSecret {
    /// The `number`-th secret of an account for `contact`, which goes with the delivery token of
    /// that number: BLAKE3 keyed by the token secret over "ephemeral secret" ‖ contact ‖ number
    /// (u32, big-endian).
    pub fn derive(secret: &TokenSecret, contact: &AccountId, number: u32) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&secret.0);
        hasher.update(b"ephemeral secret");
        hasher.update(&contact.0);
        hasher.update(&number.to_be_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Seals `content` from the account `from` to `to`, which gave this secret. `nonce` is random.
    ///
    /// # Errors
    /// None in practice: the content is always shorter than the padding.
    pub fn seal(
        &self,
        (from, to): (&AccountId, &AccountId),
        content: &Ephemeral,
        nonce: [u8; NONCE],
    ) -> Result<Vec<u8>, PairError> {
        let mut padded = codec::encode(content)?;
        padded.push(MARK);
        if padded.len() > PADDED {
            return Err(PairError::TooLarge { limit: PADDED - 1, got: padded.len() - 1 });
        }
        padded.resize(PADDED, 0);
        let payload = Payload { msg: &padded, aad: &[from.0, to.0].concat() };
        let sealed = self.cipher(content.at / DAY).encrypt(&XNonce::from(nonce), payload);
        Ok([&nonce[..], &sealed.map_err(|_| PairError::Decrypt)?].concat())
    }

    /// Opens what `from` sealed to `to` on the day of `now`, the one before or the one after.
    ///
    /// # Errors
    /// [`PairError::Decrypt`] when it was sealed otherwise, [`PairError::Codec`] when it is no
    /// [`Ephemeral`].
    pub fn open(
        &self,
        (from, to): (&AccountId, &AccountId),
        sealed: &[u8],
        now: Millis,
    ) -> Result<Ephemeral, PairError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(PairError::Decrypt)?;
        let aad = [from.0, to.0].concat();
        let today = now / DAY;
        let padded = [today, today.saturating_sub(1), today + 1]
            .into_iter()
            .find_map(|day| {
                let payload = Payload { msg: sealed, aad: &aad };
                self.cipher(day).decrypt(&XNonce::from(*nonce), payload).ok()
            })
            .ok_or(PairError::Decrypt)?;
        let end = padded.iter().rposition(|byte| *byte != 0).filter(|end| padded[*end] == MARK);
        Ok(codec::decode(&padded[..end.ok_or(PairError::Decrypt)?], PADDED)?)
    }

    fn cipher(&self, day: u64) -> XChaCha20Poly1305 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"ephemeral day");
        hasher.update(&day.to_be_bytes());
        XChaCha20Poly1305::new(&Key::from(*hasher.finalize().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId([1; 32]);
    const BOB: AccountId = AccountId([2; 32]);
    const NOON: Millis = 20_000 * DAY + DAY / 2;

    fn sealed(at: Millis) -> (EphemeralSecret, Ephemeral, Vec<u8>) {
        let secret = EphemeralSecret::derive(&TokenSecret([3; 32]), &ALICE, 0);
        let said = Ephemeral { kind: kind::TYPING, device: 1, at, value: typing::WRITING };
        let sealed = secret.seal((&ALICE, &BOB), &said, [7; NONCE]).unwrap();
        (secret, said, sealed)
    }

    #[test]
    fn it_opens_on_its_day_and_the_days_beside_it_and_to_nobody_else() {
        let (secret, said, sealed) = sealed(NOON);
        assert_eq!(sealed.len(), SEALED);
        for now in [NOON - DAY, NOON, NOON + DAY] {
            assert_eq!(secret.open((&ALICE, &BOB), &sealed, now), Ok(said));
        }
        let refused = Err(PairError::Decrypt);
        assert_eq!(secret.open((&ALICE, &BOB), &sealed, NOON + 2 * DAY), refused);
        assert_eq!(secret.open((&BOB, &ALICE), &sealed, NOON), refused);
        let other = EphemeralSecret::derive(&TokenSecret([3; 32]), &ALICE, 1);
        assert_eq!(other.open((&ALICE, &BOB), &sealed, NOON), refused);
    }

    #[test]
    fn whatever_is_changed_or_cut_does_not_open() {
        let (secret, _, sealed) = sealed(NOON);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(secret.open((&ALICE, &BOB), &changed, NOON).is_err());
            assert!(secret.open((&ALICE, &BOB), &sealed[..at], NOON).is_err());
        }
    }
}
