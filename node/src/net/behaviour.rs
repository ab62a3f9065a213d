//! The protocols of a node, and their limits.

use std::collections::HashSet;
use std::io;
use std::num::NonZeroU8;
use std::time::Duration;

use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{
    self, IdentTopic, IdentityTransform, MessageAuthenticity, MessageId, PeerScoreParams,
    PeerScoreThresholds, TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter,
};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, Swarm, Transport, dns, identify, noise, ping, swarm, tcp, yamux};
use postroad_proto::ids::Hash;
use postroad_proto::network::Network;

use super::{crowd, records, streams};

/// Streams on one connection.
const YAMUX_STREAMS: usize = 64;
/// Streams on one connection that have not said yet what they are for.
const UNNAMED_STREAMS: usize = 32;
/// How long setting up a connection may take: name, TCP, Noise, yamux.
const SET_UP: Duration = Duration::from_secs(10);
/// The same from outside, where TCP is done already.
const SET_UP_IN: Duration = Duration::from_secs(5);
/// How long a peer's score outlives its connection: it must not come back with a clean name at
/// once, but each costs memory.
const SCORE_KEPT: Duration = Duration::from_secs(300);
/// Addresses of one peer that are tried at once: one per family.
const AT_ONCE: NonZeroU8 = NonZeroU8::MIN.saturating_add(1);
/// How often it is asked whether the other side still answers, and how long it may take to.
const PING: Duration = Duration::from_secs(10);
/// A gossip message, bytes: far more than a record.
const MAX_GOSSIP: usize = 64 << 10;
/// Gossip that may wait for one peer, messages.
const GOSSIP_QUEUE: usize = 256;
/// How long a question may take.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// Questions on one connection, both ways together. What a peer may ask at once is counted apart.
const QUESTION_STREAMS: usize = 40;

/// All that is spoken on a connection. The crowd comes first: what it refuses reaches nothing else.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) crowd: crowd::Behaviour,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) gossip: gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>,
    pub(super) mail: streams::Behaviour,
    pub(super) records: request_response::Behaviour<records::Codec>,
}

/// What identifies a network's nodes to each other.
pub(super) fn identity_of(network: &Network) -> String {
    format!("/postroad/{network}/1")
}

/// The topic of signed records.
pub(super) fn topic(network: &Network) -> IdentTopic {
    IdentTopic::new(format!("/postroad/{network}/nodes/1"))
}

/// A swarm that does not listen yet.
pub(super) fn swarm(keys: Keypair, network: &Network) -> io::Result<Swarm<Behaviour>> {
    let noise = noise::Config::new(&keys).map_err(io::Error::other)?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(YAMUX_STREAMS);
    let transport = resolving()
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .outbound_timeout(SET_UP)
        .inbound_timeout(SET_UP_IN)
        .boxed();
    let peer = keys.public().to_peer_id();
    let behaviour = behaviour(&keys, network).map_err(io::Error::other)?;
    let config = swarm::Config::with_tokio_executor()
        .with_max_negotiating_inbound_streams(UNNAMED_STREAMS)
        .with_dial_concurrency_factor(AT_ONCE);
    Ok(Swarm::new(transport, behaviour, peer, config))
}

/// TCP, with names resolved as the system does; without a resolver, by number only.
fn resolving() -> dns::tokio::Transport<tcp::tokio::Transport> {
    let tcp = || tcp::tokio::Transport::new(tcp::Config::default());
    dns::tokio::Transport::system(tcp()).unwrap_or_else(|error| {
        tracing::warn!(%error, "the system names no resolver: other nodes are found by number only");
        let (config, options) = (dns::ResolverConfig::default(), dns::ResolverOpts::default());
        dns::tokio::Transport::custom(tcp(), config, options)
    })
}

fn behaviour(keys: &Keypair, network: &Network) -> Result<Behaviour, String> {
    let identify = identify::Config::new(identity_of(network), keys.public())
        .with_agent_version(format!("posthoused/{}", env!("CARGO_PKG_VERSION")))
        .with_cache_size(0)
        .with_hide_listen_addrs(true);
    let questions = request_response::Config::default()
        .with_request_timeout(ANSWER)
        .with_max_concurrent_streams(QUESTION_STREAMS);
    Ok(Behaviour {
        crowd: crowd::Behaviour::default(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING).with_timeout(PING)),
        gossip: gossip(keys, network)?,
        mail: streams::Behaviour::new(protocol(network, "mail")?),
        records: request_response::Behaviour::new(
            [(protocol(network, "records")?, ProtocolSupport::Full)],
            questions,
        ),
    })
}

fn protocol(network: &Network, what: &str) -> Result<StreamProtocol, String> {
    StreamProtocol::try_from_owned(format!("/postroad/{network}/{what}/1"))
        .map_err(|error| error.to_string())
}

fn gossip(
    keys: &Keypair,
    network: &Network,
) -> Result<gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>, String> {
    let topic = topic(network);
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id(format!("/postroad/{network}/gossip/1"), gossipsub::Version::V1_1)
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(|message| {
            let topic = message.topic.as_str().as_bytes();
            let input = [&(topic.len() as u64).to_be_bytes(), topic, &message.data].concat();
            MessageId::new(&Hash::of(&input).0)
        })
        .max_transmit_size(MAX_GOSSIP)
        .max_publish_messages(64)
        .max_control_messages_sent(256)
        .connection_handler_queue_len(GOSSIP_QUEUE)
        .duplicate_cache_time(Duration::from_secs(300))
        .build()
        .map_err(|error| error.to_string())?;
    let allowed = WhitelistSubscriptionFilter(HashSet::from([topic.hash()]));
    let signed = MessageAuthenticity::Signed(keys.clone());
    let mut gossip = gossipsub::Behaviour::new_with_subscription_filter(signed, config, allowed)?;
    gossip.with_peer_score(scores(&topic), thresholds())?;
    gossip.subscribe(&topic).map_err(|error| error.to_string())?;
    Ok(gossip)
}

/// Records are rare, so nobody is blamed for bringing none: only for what is false.
fn scores(topic: &IdentTopic) -> PeerScoreParams {
    let hour = gossipsub::score_parameter_decay(Duration::from_secs(3600));
    let of_topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(60),
        time_in_mesh_cap: 100.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: hour,
        first_message_deliveries_cap: 20.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -10.0,
        invalid_message_deliveries_decay: hour,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: [(topic.hash(), of_topic)].into(),
        retain_score: SCORE_KEPT,
        // How many may come from one address is limited already; those are no worse than others.
        ip_colocation_factor_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

/// Of an hour's false records, two cost the gossip of others, three cost being heard at all.
fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds { opportunistic_graft_threshold: 0.0, ..PeerScoreThresholds::default() }
}
