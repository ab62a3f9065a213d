//! What an operator can set, and the keys a node acts with.

use postroad_proto::SigningKey;
use postroad_proto::ids::NodeId;
use postroad_proto::limits;
use postroad_proto::network::Network;
use serde::{Deserialize, Serialize};

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Registration {
    /// Whoever has an invite of the operator's.
    #[default]
    Invite,
    /// Anybody who reaches the node.
    Open,
}

/// Limits of custody. The default suits a personal or a community node. Sizes and durations may be
/// written as numbers or as in `256MiB` and `30d`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who may make an account: "invite" or "open". Default "invite".
    pub registration: Registration,
    /// Longest deadline taken, seconds. Default 30 days.
    #[serde(with = "crate::units::seconds")]
    pub max_deadline: u64,
    /// How long after its deadline mail is kept, seconds: clocks differ. Default 600.
    #[serde(with = "crate::units::seconds")]
    pub expiry_grace: u64,
    /// Items one mailbox (a device) may hold. Default 20,000.
    pub mailbox_messages: u64,
    /// Bytes one mailbox may hold. Default 256 MiB.
    #[serde(with = "crate::units::size")]
    pub mailbox_bytes: u64,
    /// Percent of a mailbox that mail under one token may fill. Default 50.
    pub token_share: u64,
    /// Messages per hour under one token; 0 for no limit. Default 36,000.
    pub token_rate: u64,
    /// Messages that a token may have saved up for a burst. Default 2,000.
    pub token_burst: u64,
    /// Strangers' requests that one account may make per day. Default 50.
    pub requests_per_day: u64,
    /// Handle look-ups and prekey claims that one account may make per hour. Default 600.
    pub lookups_per_hour: u64,
    /// Accounts homed here. Default 100,000.
    pub max_accounts: u64,
    /// Bytes of the vaults of all accounts: they are kept in memory, too. Default 256 MiB.
    #[serde(with = "crate::units::size")]
    pub vault_bytes: u64,
    /// Messages of one account that may wait for other nodes. Default 10,000.
    pub outbox_messages: u64,
    /// Bytes of one account that may wait for other nodes. Default 256 MiB.
    #[serde(with = "crate::units::size")]
    pub outbox_bytes: u64,
    /// Bytes that may wait for one other node. Default 4 GiB.
    #[serde(with = "crate::units::size")]
    pub outbox_bytes_per_node: u64,
    /// Neighbours, routes, what other nodes may do.
    pub roads: RoadsConfig,
}

/// Between nodes: neighbours, routes, what other nodes may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoadsConfig {
    /// Nodes that this one keeps connections to. Default 6.
    pub outbound_peers: u64,
    /// Records of nodes that are kept. Default 50,000.
    pub max_routes: u64,
    /// Records and keys that one other node may ask for per hour, for its users. Default 6,000.
    pub lookups_per_hour: u64,
    /// Strangers' requests that one other node may bring per day, once it is known; a new one
    /// begins with a tenth. Default 500.
    pub requests_per_day: u64,
}

impl Default for RoadsConfig {
    fn default() -> Self {
        Self {
            outbound_peers: 6,
            max_routes: 50_000,
            lookups_per_hour: 6_000,
            requests_per_day: 500,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            registration: Registration::Invite,
            max_deadline: limits::MAX_DEADLINE_SECONDS,
            expiry_grace: limits::CLOCK_ALLOWANCE_SECONDS,
            mailbox_messages: 20_000,
            mailbox_bytes: 256 << 20,
            token_share: 50,
            token_rate: 36_000,
            token_burst: 2_000,
            requests_per_day: 50,
            lookups_per_hour: 600,
            max_accounts: 100_000,
            vault_bytes: 256 << 20,
            outbox_messages: 10_000,
            outbox_bytes: 256 << 20,
            outbox_bytes_per_node: 4 << 30,
            roads: RoadsConfig::default(),
        }
    }
}

/// Who the node is, and its secrets.
pub struct Keys {
    /// Signs records and receipts; its public half is the node's id.
    pub signing: SigningKey,
    /// Makes request tags and stamps; never leaves the node.
    pub secret: [u8; 32],
    /// The network it belongs to.
    pub network: Network,
    /// The name after the `@` of its handles.
    pub name: String,
}

impl Keys {
    /// The node's id.
    pub fn node(&self) -> NodeId {
        NodeId(self.signing.verifying_key().to_bytes())
    }
}
