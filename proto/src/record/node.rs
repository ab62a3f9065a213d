use serde::{Deserialize, Serialize};

use super::check_version;
use crate::codec::CodecError;
use crate::ids::{Hash, NodeId};
use crate::limits::{CLOCK_ALLOWANCE_SECONDS, MAX_NODE_NAME, MAX_NODE_RECORD};
use crate::network::Network;
use crate::signed::{Purpose, Signable, SignedError};

/// Where and how a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// [`super::RECORD_VERSION`].
    pub version: u64,
    /// See [`super::CRITICAL_FLAGS`].
    pub flags: u64,
    /// The node; its key signs.
    pub node: NodeId,
    /// Rises with every change.
    pub seq: u64,
    /// Raised when the node finds that its data was rolled back.
    pub generation: u64,
    /// Hash of an Ed25519 key kept offline: a rotation signed by it beats all else.
    pub next_key: Option<Hash>,
    /// X25519 key of the node's Noise channel to clients. Not derived from the node's key.
    pub noise: Hash,
    /// The Noise key that follows.
    pub next_noise: Option<Hash>,
    /// `host:port` of client ports.
    pub client: Vec<String>,
    /// Multiaddresses of the node-to-node port.
    pub p2p: Vec<String>,
    /// Reserved: nodes that relay for this one.
    pub relays: Vec<NodeId>,
    /// A DNS name, or empty: then the node is named by its key.
    pub name: String,
    /// Free text, for choosing nodes apart.
    pub region: String,
    /// Lowest and highest protocol version spoken.
    pub versions: (u64, u64),
    /// Feature bits; none defined yet.
    pub features: u64,
    /// Largest sealed body taken, bytes.
    pub max_body: u64,
    /// Longest deadline taken, seconds.
    pub max_deadline: u64,
    /// Seconds since the Unix epoch.
    pub issued: u64,
    /// Seconds since the Unix epoch.
    pub expires: u64,
}

impl NodeRecord {
    /// Whether the record is still good at `now` (seconds since the Unix epoch), with the
    /// allowance for clocks.
    pub fn is_current(&self, now: u64) -> bool {
        now < self.expires.saturating_add(CLOCK_ALLOWANCE_SECONDS)
    }
}

impl Signable for NodeRecord {
    const PURPOSE: Purpose = Purpose::NodeRecord;
    const LIMIT: usize = MAX_NODE_RECORD;

    fn signer(&self, _: &Network) -> Result<[u8; 32], SignedError> {
        Ok(self.node.0)
    }

    fn validate(&self) -> Result<(), CodecError> {
        check_version(self.version, self.flags)?;
        if self.name.len() > MAX_NODE_NAME {
            return Err(CodecError::Value("node name too long"));
        }
        if self.versions.0 > self.versions.1 {
            return Err(CodecError::Value("versions are lowest, highest"));
        }
        if self.expires < self.issued {
            return Err(CodecError::Value("expires before it was issued"));
        }
        Ok(())
    }
}
