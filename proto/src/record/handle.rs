use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::check_version;
use crate::codec::CodecError;
use crate::ids::{AccountId, Hash, NodeId};
use crate::limits::{MAX_HANDLE, MAX_NODE_NAME};
use crate::network::Network;
use crate::signed::{Purpose, Signable, SignedError};

/// The readable name of an account at its node: the part before the `@`.
///
/// Lower-case letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit; 1 to
/// 64 bytes. ASCII only, so that no two handles look alike by script.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

/// The text is not a handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a handle of 1 to {MAX_HANDLE} lower-case letters, digits, '.', '_' or '-', beginning and ending with a letter or digit, got {0:?}"
)]
pub struct HandleError(String);

impl Handle {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Handle {
    type Err = HandleError;
    fn from_str(text: &str) -> Result<Self, HandleError> {
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = bytes.len() <= MAX_HANDLE
            && bytes.first().copied().is_some_and(edge)
            && bytes.last().copied().is_some_and(edge)
            && bytes.iter().all(|b| edge(*b) || b"._-".contains(b));
        if !fits {
            return Err(HandleError(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Handle {
    type Error = HandleError;
    fn try_from(text: String) -> Result<Self, HandleError> {
        text.parse()
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

/// How a handle came to be bound to its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandleChange {
    /// Nobody had it.
    First,
    /// The holder's old key agreed.
    OldKey,
    /// The operator decided.
    Operator,
    /// The holder gave it up; it is bound to nobody.
    Released,
}

impl HandleChange {
    /// The number on the wire.
    pub fn number(self) -> u64 {
        match self {
            Self::First => 1,
            Self::OldKey => 2,
            Self::Operator => 3,
            Self::Released => 4,
        }
    }
}

/// A node's word that a handle is an account's. Clients pin the first one they see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandleRecord {
    /// [`super::RECORD_VERSION`].
    pub version: u64,
    /// See [`super::CRITICAL_FLAGS`].
    pub flags: u64,
    /// The node; its key signs.
    pub node: NodeId,
    /// The node's name, so that `handle@name` is one statement.
    pub node_name: String,
    /// The part before the `@`.
    pub handle: Handle,
    /// Whose it is.
    pub account: AccountId,
    /// Rises with every rebinding of this handle, from 1.
    pub seq: u64,
    /// Hash of the record that this one replaces.
    pub previous: Option<Hash>,
    /// A [`HandleChange`] number.
    pub how: u64,
    /// Seconds since the Unix epoch.
    pub issued: u64,
    /// Reserved: a signature of the old key, when `how` is 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_key: Option<ByteArray<64>>,
}

impl HandleRecord {
    /// `handle@name`.
    pub fn full(&self) -> String {
        format!("{}@{}", self.handle, self.node_name)
    }
}

impl Signable for HandleRecord {
    const PURPOSE: Purpose = Purpose::HandleRecord;
    const LIMIT: usize = 512 + MAX_NODE_NAME;

    fn signer(&self, _: &Network) -> Result<[u8; 32], SignedError> {
        Ok(self.node.0)
    }

    fn validate(&self) -> Result<(), CodecError> {
        check_version(self.version, self.flags)?;
        if self.node_name.len() > MAX_NODE_NAME {
            return Err(CodecError::Value("node name too long"));
        }
        if !(1..=4).contains(&self.how) {
            return Err(CodecError::Value("unknown way of binding a handle"));
        }
        Ok(())
    }
}
