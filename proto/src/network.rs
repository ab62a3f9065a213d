//! Networks: nodes of different networks never mix, because the network is part of every signature,
//! every Noise prologue and every link.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::MAX_NETWORK_NAME;

/// A network's name: lower-case letters, digits, `-` and `.`; 1 to 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    name: String,
    /// Part of every parcel's id, so it is made once.
    id: [u8; 32],
}

/// The text is not a network's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a network name of 1 to {MAX_NETWORK_NAME} lower-case letters, digits, '-' or '.', got {0:?}"
)]
pub struct NetworkError(String);

impl Network {
    /// The network a node joins when none is named.
    pub const DEFAULT: &'static str = "postroad";

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn new(name: String) -> Self {
        let id = blake3::derive_key("postroad v1 network", name.as_bytes());
        Self { name, id }
    }

    /// 32 bytes that stand for the network in every signature: BLAKE3 in key derivation mode over
    /// the name.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// The first 16 bytes of [`Self::id`], sent in clear in the plain hello.
    pub fn tag(&self) -> [u8; 16] {
        let mut tag = [0; 16];
        tag.copy_from_slice(&self.id()[..16]);
        tag
    }
}

/// A network as a file hands it on: TOML, in `testnet/networks`. `spec/links.md`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkDefinition {
    /// The network. Default "postroad".
    pub network: Network,
    /// For people. Default empty.
    pub description: String,
    /// Longest deadline that its nodes take, seconds. Default 30 days.
    pub max_deadline: Option<u64>,
    /// Node links, with node-to-node addresses, of nodes to begin with.
    pub bootstrap: Vec<String>,
}

impl Default for Network {
    fn default() -> Self {
        Self::new(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(name: &str) -> Result<Self, NetworkError> {
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if name.is_empty() || name.len() > MAX_NETWORK_NAME || !name.bytes().all(allowed) {
            return Err(NetworkError(name.chars().take(80).collect()));
        }
        Ok(Self::new(name.to_owned()))
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(name: String) -> Result<Self, NetworkError> {
        name.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.name
    }
}
