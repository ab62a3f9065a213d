//! The node's own record: made at the start, and anew while the node runs.

use std::time::Duration;

use bytes::Bytes;
use postroad_core::Core;
use postroad_proto::codec::{self, CodecError};
use postroad_proto::ids::{Hash, NodeId};
use postroad_proto::limits::{MAX_BODY, NODE_RECORD_SECONDS};
use postroad_proto::link::NodeLink;
use postroad_proto::network::Network;
use postroad_proto::record::{NodeRecord, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_proto::{PROTOCOL_VERSIONS, SigningKey, noise};

use crate::config::Config;
use crate::engine::{EngineHandle, Stopped};
use crate::gateway;
use crate::identity::Identity;
use crate::net::NetHandle;

/// How often the record is renewed: well within its week.
const RENEWAL: Duration = Duration::from_secs(6 * 3600);

/// Where the node is reached.
#[derive(Clone)]
pub(crate) struct Places {
    /// `host:port` of client ports, best first.
    pub(crate) client: Vec<String>,
    /// Multiaddresses of node-to-node ports, best first.
    pub(crate) p2p: Vec<String>,
}

/// A record cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("too large, or not well-formed: {0}")]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What goes into every record, and the key that signs it.
#[derive(Clone)]
pub(crate) struct Author {
    key: SigningKey,
    node: NodeId,
    noise: Hash,
    network: Network,
    name: String,
    region: String,
    max_deadline: u64,
    places: Places,
}

impl Author {
    pub(crate) fn new(config: &Config, identity: &Identity, places: Places) -> Self {
        Self {
            key: identity.signing(),
            node: identity.node(),
            noise: noise::public_key(&identity.noise()),
            network: config.node.network.clone(),
            name: config.node.name.clone(),
            region: config.node.region.clone(),
            max_deadline: config.custody.max_deadline,
            places,
        }
    }

    /// The link by which others find the node.
    pub(crate) fn link(&self) -> NodeLink {
        NodeLink {
            network: self.network.clone(),
            node: self.node,
            addresses: self.places.client.clone(),
            name: self.name.clone(),
            p2p: self.places.p2p.clone(),
        }
    }

    /// Makes the next record and tells it to everybody. Returns it encoded, as the second Noise
    /// message carries it.
    pub(crate) async fn publish(&self, engine: &EngineHandle) -> Result<Bytes, RecordError> {
        let author = self.clone();
        let published = engine.act(move |core: &mut Core, now| {
            let record = author.record(core.own_record_seq(now), core.generation(), now / 1000);
            let signed = Signed::new(&record, &author.key, &author.network)?;
            let encoded = codec::encode(&signed)?;
            core.set_record(now, signed);
            Ok(encoded.into())
        });
        published.await?
    }

    /// Makes the record anew, now and then and when the core asks for it, until the node stops.
    pub(crate) async fn keep_fresh(
        self,
        engine: EngineHandle,
        net: NetHandle,
        gateway: std::sync::Arc<gateway::Shared>,
    ) {
        loop {
            // Either the time is over or the core asked.
            let _ = tokio::time::timeout(RENEWAL, net.renewal()).await;
            match self.publish(&engine).await {
                Ok(record) => gateway.set_record(record),
                Err(RecordError::Stopped(_)) => return,
                Err(error) => tracing::error!(%error, "the node's record cannot be renewed"),
            }
        }
    }

    fn record(&self, seq: u64, generation: u64, issued: u64) -> NodeRecord {
        NodeRecord {
            version: RECORD_VERSION,
            flags: 0,
            node: self.node,
            seq,
            generation,
            next_key: None,
            noise: self.noise,
            next_noise: None,
            client: self.places.client.clone(),
            p2p: self.places.p2p.clone(),
            relays: Vec::new(),
            name: self.name.clone(),
            region: self.region.clone(),
            versions: PROTOCOL_VERSIONS,
            features: 0,
            max_body: MAX_BODY as u64,
            max_deadline: self.max_deadline,
            issued,
            expires: issued + NODE_RECORD_SECONDS,
        }
    }
}
