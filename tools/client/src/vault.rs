//! Secrets in the database: the account's seed, the device's keys and the ratchets' pickles are sealed
//! under a key of the profile, so that a copied database alone gives nobody an identity.

use postroad_proto::envelope::Attributes;
use postroad_proto::pair::{self, ContentKey};
use zeroize::Zeroizing;

use crate::at_rest::Keys;
use crate::entropy;
use crate::error::StorageError;

/// The profile's key.
#[derive(Clone)]
pub(crate) struct Vault {
    keys: Keys,
}

impl core::fmt::Debug for Vault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// What seals under the profile's keys.
    pub(crate) fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// All keys of the profile.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether the key lies on the disk under a passphrase.
    pub(crate) fn is_wrapped(&self) -> bool {
        self.keys.database.is_some()
    }

    /// A key of its own, for tests.
    #[cfg(test)]
    pub(crate) fn ephemeral() -> Self {
        Self { keys: Keys::plain() }
    }

    /// The key that Olm pickles are encrypted under.
    pub(crate) fn pickle_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("postroad v1 client pickles", self.keys.vault.as_slice()))
    }

    /// Encrypts a secret. Layout: salt (16) ‖ sealed.
    pub(crate) fn seal(&self, secret: &[u8]) -> Result<Vec<u8>, StorageError> {
        let salt: [u8; 16] = entropy::bytes();
        let sealed = pair::seal_body(&self.once(&salt), &ATTRIBUTES, secret)
            .map_err(|_| StorageError::Secret)?;
        Ok([salt.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::seal`] made.
    pub(crate) fn open_sealed(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        let (salt, body) = sealed.split_first_chunk::<16>().ok_or(StorageError::Secret)?;
        pair::open_body(&self.once(salt), &ATTRIBUTES, body).map_err(|_| StorageError::Secret)
    }

    /// The body cipher takes each key once: a fresh salt makes a fresh key.
    fn once(&self, salt: &[u8; 16]) -> ContentKey {
        let input = Zeroizing::new([self.keys.vault.as_slice(), salt].concat());
        ContentKey(blake3::derive_key("postroad v1 client vault", &input))
    }
}

/// Nothing on a wire has version 0, so nothing sealed here can be passed off as a message.
const ATTRIBUTES: Attributes = Attributes { version: 0, flags: 0, class: 0, mode: 0, deadline: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_vault_sealed_no_other_one_opens() {
        let vault = Vault::ephemeral();
        let sealed = vault.seal(b"seed").unwrap();
        assert_eq!(*vault.clone().open_sealed(&sealed).unwrap(), b"seed");
        assert!(Vault::ephemeral().open_sealed(&sealed).is_err());
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Vault::ephemeral()), "Vault(…)");
    }
}
