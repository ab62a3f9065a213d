//! What brings an account back: the recovery phrase, and the vault that its devices keep at the home.
//! `spec/recovery.md`.

use bip39::Mnemonic;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use crate::blob::{secret, wire_secret};
use crate::codec;
use crate::ids::AccountId;
use crate::limits::MAX_VAULT;
use crate::linking::SharedSecret;
use crate::pair::PairError;
use crate::sync::Sync;

/// Words of a recovery phrase.
pub const PHRASE_WORDS: usize = 24;

/// Why a text is not a recovery phrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Another number of words.
    #[error("expected 24 words, got {0}")]
    Count(usize),
    /// A word that is in no phrase.
    #[error("word {0} is none that a recovery phrase may have")]
    Word(usize),
    /// All words are possible, but not together.
    #[error("the words do not belong together: one is wrong, or two are swapped")]
    Checksum,
}

/// The account's seed as 24 words: the English list of BIP-39, its checksum included.
pub fn phrase(seed: &[u8; 32]) -> Zeroizing<String> {
    // 32 bytes always make a phrase.
    Zeroizing::new(Mnemonic::from_entropy(seed).map(|words| words.to_string()).unwrap_or_default())
}

/// The seed that 24 words stand for. Case and white space do not matter.
///
/// # Errors
/// See [`PhraseError`].
pub fn seed(text: &str) -> Result<Zeroizing<[u8; 32]>, PhraseError> {
    let lower = Zeroizing::new(text.to_lowercase());
    let words: Vec<&str> = lower.split_whitespace().collect();
    if words.len() != PHRASE_WORDS {
        return Err(PhraseError::Count(words.len()));
    }
    let joined = Zeroizing::new(words.join(" "));
    let mnemonic = Mnemonic::parse_in_normalized(bip39::Language::English, &joined);
    let mnemonic = mnemonic.map_err(|error| match error {
        bip39::Error::UnknownWord(index) => PhraseError::Word(index + 1),
        _ => PhraseError::Checksum,
    })?;
    let (entropy, length) = mnemonic.to_entropy_array();
    let entropy = Zeroizing::new(entropy);
    let seed = entropy[..length].try_into().map_err(|_| PhraseError::Checksum)?;
    Ok(Zeroizing::new(seed))
}

secret!(
    /// What an account's vault is sealed under.
    VaultKey, 32
);
wire_secret!(VaultKey, 32);

/// Bytes of the nonce in front.
const NONCE: usize = 24;
/// What a vault's size is a multiple of, less nonce and tag: how much is in it shows no closer.
const STEP: usize = 4096;
/// Marks where the padding begins.
const MARK: u8 = 0x80;

/// What an account keeps at its home for whoever comes with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    /// What delivery tokens are made from.
    pub tokens: SharedSecret,
    /// The highest number that a device of the account ever had.
    pub last_device: u64,
    /// The invites in the account's own links.
    pub invites: Vec<VaultInvite>,
    /// Entries and people, to be applied in order.
    pub told: Vec<Sync>,
}

/// An invite of the account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultInvite {
    /// The code in the link.
    pub code: ByteArray<16>,
    /// How often it may be redeemed; 0 any number.
    pub uses: u64,
    /// Seconds; 0 never.
    pub expires: u64,
}

impl VaultKey {
    /// The key of an account's vault in an epoch: BLAKE3 in key derivation mode over seed ‖ epoch (u64,
    /// big-endian). So a device that was cut off does not have the next one.
    pub fn derive(seed: &[u8; 32], epoch: u64) -> Self {
        let input = Zeroizing::new([seed.as_slice(), &epoch.to_be_bytes()].concat());
        Self(blake3::derive_key("postroad v1 vault", &input))
    }

    /// Seals a vault. `nonce` is random.
    ///
    /// # Errors
    /// [`PairError::TooLarge`] above [`MAX_VAULT`] bytes.
    pub fn seal(
        &self,
        account: &AccountId,
        vault: &Vault,
        nonce: [u8; NONCE],
    ) -> Result<Vec<u8>, PairError> {
        let mut padded = Zeroizing::new(codec::encode(vault)?);
        padded.push(MARK);
        let size = padded.len().next_multiple_of(STEP);
        if size + NONCE + 16 > MAX_VAULT {
            return Err(PairError::TooLarge { limit: MAX_VAULT, got: size + NONCE + 16 });
        }
        padded.resize(size, 0);
        let payload = Payload { msg: &padded, aad: &account.0 };
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| PairError::Decrypt)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// [`PairError::Decrypt`] with another key or account, or when a bit was changed.
    pub fn open(&self, account: &AccountId, sealed: &[u8]) -> Result<Vault, PairError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(PairError::Decrypt)?;
        let payload = Payload { msg: sealed, aad: &account.0 };
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), payload);
        let padded = Zeroizing::new(opened.map_err(|_| PairError::Decrypt)?);
        let end = padded.iter().rposition(|byte| *byte != 0).filter(|end| padded[*end] == MARK);
        let plain = &padded[..end.ok_or(PairError::Decrypt)?];
        Ok(codec::decode(plain, MAX_VAULT)?)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_its_seed_and_a_wrong_word_is_found() {
        let text = phrase(&[7; 32]);
        assert_eq!(text.split(' ').count(), PHRASE_WORDS);
        assert_eq!(*seed(&format!("  {}\n", text.to_uppercase())).unwrap(), [7; 32]);
        assert_eq!(seed("abandon"), Err(PhraseError::Count(1)));
        let mut words: Vec<&str> = text.split(' ').collect();
        words[4] = "postroad";
        assert_eq!(seed(&words.join(" ")), Err(PhraseError::Word(5)));
        let mut words: Vec<&str> = text.split(' ').collect();
        words[4] = if words[4] == "zoo" { "abandon" } else { "zoo" };
        assert_eq!(seed(&words.join(" ")), Err(PhraseError::Checksum));
    }

    #[test]
    fn a_vault_opens_with_its_key_alone() {
        let account = AccountId([1; 32]);
        let vault = Vault {
            tokens: SharedSecret([2; 32]),
            last_device: 3,
            invites: Vec::new(),
            told: vec![Sync::default()],
        };
        let key = VaultKey::derive(&[7; 32], 1);
        let sealed = key.seal(&account, &vault, [9; 24]).unwrap();
        assert_eq!(sealed.len(), STEP + NONCE + 16);
        assert_eq!(key.open(&account, &sealed).as_ref(), Ok(&vault));
        assert!(VaultKey::derive(&[7; 32], 2).open(&account, &sealed).is_err());
        assert!(key.open(&AccountId([2; 32]), &sealed).is_err());
        for byte in [0, 30, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(key.open(&account, &changed).is_err());
        }
    }
}
