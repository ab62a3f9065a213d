//! What the unit tests share.

use postroad_proto::SigningKey;
use postroad_proto::ids::NodeId;
use postroad_proto::link::{JoinLink, NodeLink};
use postroad_proto::network::Network;

use crate::db::Db;
use crate::vault::Vault;

/// An empty database and a key for it.
pub(crate) fn database() -> (Db, Vault) {
    (Db::in_memory(), Vault::ephemeral())
}

/// The key of the node in [`join_link`].
pub(crate) fn node_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// A link to a node that nobody runs.
pub(crate) fn join_link() -> JoinLink {
    join_link_of(&node_key(), "road.example")
}

/// A link to another such node.
pub(crate) fn join_link_of(key: &SigningKey, name: &str) -> JoinLink {
    let node = NodeLink {
        network: Network::default(),
        node: NodeId(key.verifying_key().to_bytes()),
        addresses: vec!["127.0.0.1:1".to_owned()],
        name: name.to_owned(),
        p2p: Vec::new(),
    };
    JoinLink { node, code: None }
}
