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
    let node = NodeLink {
        network: Network::default(),
        node: NodeId(node_key().verifying_key().to_bytes()),
        addresses: vec!["127.0.0.1:1".to_owned()],
        name: "road.example".to_owned(),
    };
    JoinLink { node, code: None }
}
