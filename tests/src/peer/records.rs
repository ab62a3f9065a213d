//! Node records of a hostile peer's making.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Done, Frame, NodesDigest};
use postroad_proto::ids::Hash;
use postroad_proto::limits::{MAX_BODY, MAX_DEADLINE_SECONDS};
use postroad_proto::link::NodeLink;
use postroad_proto::record::{NodeRecord, RECORD_VERSION};
use postroad_proto::signed::{self, Purpose, Signed};

use super::Peer;
use crate::node::Node;
use crate::raw::forged;

impl Peer {
    /// A record of this peer that is as it should be, of now, valid for a day.
    pub fn record(&self, seq: u64) -> NodeRecord {
        let issued = now();
        NodeRecord {
            version: RECORD_VERSION,
            flags: 0,
            node: self.node(),
            seq,
            generation: 1,
            next_key: None,
            noise: Hash([9; 32]),
            next_noise: None,
            client: vec!["127.0.0.1:1".into()],
            p2p: vec![self.address()],
            relays: vec![],
            name: String::new(),
            region: String::new(),
            versions: (1, 1),
            features: 0,
            max_body: MAX_BODY as u64,
            max_deadline: MAX_DEADLINE_SECONDS,
            issued,
            expires: issued + 86_400,
        }
    }

    /// Signs a record with this peer's key, whoever's it says it is.
    ///
    /// # Panics
    /// When it breaks the rules of records so badly that it cannot be encoded.
    pub fn sign(&self, record: &NodeRecord) -> Signed<NodeRecord> {
        Signed::new(record, self.key(), self.network()).unwrap()
    }

    /// [`Self::sign`] for a record that no signer would let pass, with an unknown flag or in
    /// another's name.
    ///
    /// # Panics
    /// Never in practice.
    pub fn sign_as(&self, record: &NodeRecord) -> Signed<NodeRecord> {
        let payload = codec::encode(record).unwrap();
        let signature = signed::sign(self.key(), Purpose::NodeRecord, self.network(), &payload);
        forged(&payload, signature)
    }

    /// Signs a record and tells it to everybody.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn gossip_record(&self, record: &NodeRecord) {
        self.publish(&codec::encode(&self.sign(record)).unwrap());
    }

    /// Connects to a node and makes itself known to it, as a newcomer does.
    ///
    /// # Panics
    /// When the node does not answer.
    pub fn introduce(&self, node: &Node) -> NodeRecord {
        let record = self.record(1);
        self.introduce_as(node, self.sign(&record));
        record
    }

    /// [`Self::introduce`] with any record.
    ///
    /// # Panics
    /// When the node does not answer.
    pub fn introduce_as(&self, node: &Node, own: Signed<NodeRecord>) -> Option<ErrorCode> {
        if !self.is_connected(node) {
            self.connect(node);
        }
        let root = Hash([0; 32]);
        let question: Frame = NodesDigest { request: 1, root, own: Some(own) }.into();
        let done: Done = self.ask(node, &question).unwrap();
        done.code
    }
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    postroad_client::now() / 1000
}

/// The link that a running node gives of itself, with its addresses for nodes.
///
/// # Panics
/// When it does not run.
pub fn node_link(node: &Node) -> NodeLink {
    node.link().parse().unwrap()
}
