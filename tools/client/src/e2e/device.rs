//! This device's Olm identity and prekeys.

use core::fmt;

use postroad_proto::ids::Hash;
use postroad_proto::network::Network;
use postroad_proto::prekey::Prekey;
use postroad_proto::signed::{self, Purpose};
use vodozemac::olm::{Account, AccountPickle};
use zeroize::Zeroizing;

use super::DeviceAddress;
use crate::error::{Result, StorageError};

/// The Olm account of this device. Debug shows nothing of it.
pub struct OwnDevice {
    pub(super) account: Account,
}

impl fmt::Debug for OwnDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnDevice(…)")
    }
}

impl OwnDevice {
    /// New keys.
    pub fn generate() -> Self {
        Self { account: Account::new() }
    }

    /// The Curve25519 identity key.
    pub fn identity(&self) -> Hash {
        Hash(self.account.curve25519_key().to_bytes())
    }

    /// The Ed25519 signing key.
    pub fn signing(&self) -> Hash {
        Hash(*self.account.ed25519_key().as_bytes())
    }

    /// Signs for `purpose`.
    pub fn sign(&self, purpose: Purpose, network: &Network, payload: &[u8]) -> [u8; 64] {
        self.account.sign(signed::signature_input(purpose, network, payload)).to_bytes()
    }

    /// Signs a record's input, which has its purpose in it.
    pub(crate) fn sign_input(&self, input: &[u8]) -> [u8; 64] {
        self.account.sign(input).to_bytes()
    }

    /// Makes `count` one-time keys, and signs all that were not published yet.
    ///
    /// # Errors
    /// None in practice.
    pub fn one_time_keys(
        &mut self,
        count: usize,
        own: DeviceAddress,
        network: &Network,
    ) -> Result<Vec<Prekey>> {
        let waiting = self.account.one_time_keys().len();
        self.account.generate_one_time_keys(count.saturating_sub(waiting));
        let keys = self.account.one_time_keys();
        keys.values().map(|key| self.prekey(key.to_bytes(), false, own, network)).collect()
    }

    /// The fallback key that was not published yet; a new one unless there is one.
    ///
    /// # Errors
    /// None in practice.
    pub fn fallback_key(
        &mut self,
        own: DeviceAddress,
        network: &Network,
    ) -> Result<Option<Prekey>> {
        if self.account.fallback_key().is_empty() {
            self.account.generate_fallback_key();
        }
        let key = self.account.fallback_key().into_values().next();
        key.map(|key| self.prekey(key.to_bytes(), true, own, network)).transpose()
    }

    /// The home has them: they are not offered again.
    pub fn published(&mut self) {
        self.account.mark_keys_as_published();
    }

    fn prekey(
        &self,
        key: [u8; 32],
        fallback: bool,
        (account, device): DeviceAddress,
        network: &Network,
    ) -> Result<Prekey> {
        let key = Hash(key);
        let input = Prekey::signature_input(account, device, key, fallback, network)?;
        Ok(Prekey { key, fallback, signature: self.account.sign(input).to_bytes() })
    }

    /// A copy that may change while this one stays.
    pub(super) fn fork(&self) -> Self {
        Self { account: Account::from_pickle(self.account.pickle()) }
    }

    /// Encrypted for storage.
    pub(crate) fn pickle(&self, key: &Zeroizing<[u8; 32]>) -> String {
        self.account.pickle().encrypt(key)
    }

    /// From [`Self::pickle`].
    pub(crate) fn unpickle(text: &str, key: &Zeroizing<[u8; 32]>) -> Result<Self, StorageError> {
        let pickle = AccountPickle::from_encrypted(text, key).map_err(|_| StorageError::Secret)?;
        Ok(Self { account: Account::from_pickle(pickle) })
    }
}
