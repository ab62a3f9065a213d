//! Who may write to whom: delivery tokens, invites, request tags. `spec/tokens.md`.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};
use serde::{Deserialize, Serialize};

use crate::blob::{secret, wire_secret};
use crate::ids::{AccountId, Hash};

secret!(
    /// A delivery token: whoever holds it may write to the account that gave it.
    DeliveryToken, 16
);
wire_secret!(DeliveryToken, 16);
secret!(
    /// What an account's own devices share to make the same tokens.
    TokenSecret, 32
);
secret!(
    /// An invite: redeemed once (or as often as it says) for a token, or for an account on a node.
    InviteCode, 16
);
wire_secret!(InviteCode, 16);

/// Eight opaque bytes that tell the recipient's devices which token was used.
pub type Label = [u8; 8];

/// Of BLAKE3's key derivation mode, made once: a node hashes a token with each message.
static TOKEN_CONTEXT: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("postroad v1 delivery token"));

/// HMAC of a node over (sender, recipient): stands for a stranger without naming them.
pub type RequestTag = [u8; 16];

impl DeliveryToken {
    /// The `number`-th token of an account for `contact`: every device makes the same one.
    /// BLAKE3 keyed by the token secret over "delivery token" ‖ contact ‖ number (u32, big-endian).
    pub fn derive(secret: &TokenSecret, contact: &AccountId, number: u32) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&secret.0);
        hasher.update(b"delivery token");
        hasher.update(&contact.0);
        hasher.update(&number.to_be_bytes());
        let mut token = [0; 16];
        token.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(token)
    }

    /// What a node stores: BLAKE3 of the token, with its purpose.
    pub fn hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new_from_context_key(&TOKEN_CONTEXT);
        Hash(*hasher.update(&self.0).finalize().as_bytes())
    }
}

impl InviteCode {
    /// What a node stores: BLAKE3 of the code, with its purpose.
    pub fn hash(&self) -> Hash {
        Hash(blake3::derive_key("postroad v1 invite", &self.0))
    }
}

/// The label of a token that its holder chose by redeeming an invite: the hash's first 8 bytes.
pub fn redeemed_label(token: &Hash) -> Label {
    let mut label = [0; 8];
    label.copy_from_slice(&token.0[..8]);
    label
}

/// The tag an origin node puts on a stranger's request. `secret` is the node's own.
pub fn request_tag(secret: &[u8; 32], sender: &AccountId, recipient: &AccountId) -> RequestTag {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(b"request tag");
    hasher.update(&sender.0);
    hasher.update(&recipient.0);
    let mut tag = [0; 16];
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    tag
}

/// A delivery token as a node keeps it for the account that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEntry {
    /// [`DeliveryToken::hash`].
    pub hash: Hash,
    /// Handed to the recipient's devices with each message.
    #[serde(with = "serde_bytes")]
    pub label: Label,
    /// Messages per hour; 0 stands for the node's default.
    pub rate: u64,
    /// Percent of a mailbox's bytes that mail under this token may fill; 0 for the node's default.
    pub byte_share: u64,
    /// Seconds since the Unix epoch; 0 for never.
    pub expires: u64,
}

/// A contact invite as a node keeps it for the account that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteEntry {
    /// [`InviteCode::hash`].
    pub hash: Hash,
    /// How often it may be redeemed; 0 for any number.
    pub uses: u64,
    /// Seconds since the Unix epoch; 0 for never.
    pub expires: u64,
}

/// Why its bearer may ask about an account or write to it. One of the three is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proof {
    /// A delivery token of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<DeliveryToken>,
    /// A contact invite of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<InviteCode>,
    /// The account's handle at this node, while the account allows look-ups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<crate::record::Handle>,
}
