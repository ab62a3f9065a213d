//! The secrets of a device, which the vault seals.

use postroad_proto::SigningKey;
use postroad_proto::noise::NoiseSecret;
use postroad_proto::pair::SealSecret;
use postroad_proto::token::TokenSecret;
use zeroize::Zeroizing;

use crate::entropy;
use crate::error::{Result, StorageError};

/// What the vault seals.
pub(crate) struct Secrets {
    /// Of the account's key; on the first device only, and where it was restored.
    pub(super) seed: Option<Zeroizing<[u8; 32]>>,
    pub(super) noise: NoiseSecret,
    pub(super) seal: SealSecret,
    pub(super) tokens: TokenSecret,
}

impl Secrets {
    /// New ones, of a new account.
    pub(super) fn generate() -> Self {
        Self {
            seed: Some(Zeroizing::new(entropy::bytes())),
            noise: NoiseSecret(entropy::bytes()),
            seal: SealSecret(entropy::bytes()),
            tokens: TokenSecret(entropy::bytes()),
        }
    }

    /// Those of a device that is to be linked: the account's are not known yet.
    pub(super) fn of_new_device() -> Self {
        Self { seed: None, ..Self::generate() }
    }

    /// The same with other tokens.
    pub(super) fn with_tokens(&self, tokens: TokenSecret) -> Self {
        let (seed, noise, seal) = (self.seed.clone(), self.noise.clone(), self.seal.clone());
        Self { seed, noise, seal, tokens }
    }

    /// The explicit pickle, for the vault alone: seed, if it is here ‖ noise ‖ seal ‖ tokens, 32 bytes
    /// each.
    pub(super) fn pickle(&self) -> Zeroizing<Vec<u8>> {
        let seed = self.seed.iter().map(|seed| &**seed);
        let parts = seed.chain([&self.noise.0, &self.seal.0, &self.tokens.0]);
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 * 32));
        for part in parts {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    pub(super) fn from_pickle(bytes: &[u8]) -> Result<Self> {
        let wrong = || StorageError::Value("length of the secrets");
        let (parts, rest) = bytes.as_chunks::<32>();
        let (seed, keys) = match parts {
            [seed, keys @ ..] if keys.len() == 3 => (Some(Zeroizing::new(*seed)), keys),
            keys => (None, keys),
        };
        let [noise, seal, tokens] = keys else { return Err(wrong().into()) };
        if !rest.is_empty() {
            return Err(wrong().into());
        }
        let (noise, seal, tokens) = (NoiseSecret(*noise), SealSecret(*seal), TokenSecret(*tokens));
        Ok(Self { seed, noise, seal, tokens })
    }

    /// The account's own key.
    pub(super) fn account_key(&self) -> Option<SigningKey> {
        self.seed.as_ref().map(|seed| SigningKey::from_bytes(seed))
    }
}
