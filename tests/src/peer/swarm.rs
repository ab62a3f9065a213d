//! The connections of a hostile peer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, identify, identity, noise, ping, tcp, yamux};
use postroad_proto::SigningKey;
use postroad_proto::network::Network;
use tokio::sync::mpsc;

use super::{Order, QUEUE, Seen};

/// What it can be made to send as one piece of gossip.
const MAX_GOSSIP: usize = 1 << 20;

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) streams: libp2p_stream::Behaviour,
    gossip: gossipsub::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

fn topic(network: &Network) -> IdentTopic {
    IdentTopic::new(format!("/postroad/{network}/nodes/1"))
}

pub(super) fn build(key: &SigningKey, network: &Network) -> Swarm<Behaviour> {
    let keys = identity::Keypair::ed25519_from_bytes(key.to_bytes()).unwrap();
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id(format!("/postroad/{network}/gossip/1"), gossipsub::Version::V1_1)
        .validation_mode(ValidationMode::Strict)
        .max_transmit_size(MAX_GOSSIP)
        .heartbeat_interval(Duration::from_millis(200))
        .build()
        .unwrap();
    let signed = MessageAuthenticity::Signed(keys.clone());
    let mut gossip = gossipsub::Behaviour::new(signed, config).unwrap();
    gossip.subscribe(&topic(network)).unwrap();
    let about = identify::Config::new(format!("/postroad/{network}/1"), keys.public());
    let behaviour = Behaviour {
        streams: libp2p_stream::Behaviour::new(),
        gossip,
        identify: identify::Behaviour::new(about),
        ping: ping::Behaviour::default(),
    };
    SwarmBuilder::with_existing_identity(keys)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

/// Listens on a port of this machine and returns where.
pub(super) async fn listen(swarm: &mut Swarm<Behaviour>) -> Multiaddr {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

pub(super) async fn run(
    mut swarm: Swarm<Behaviour>,
    mut orders: mpsc::Receiver<Order>,
    seen: Arc<Mutex<Seen>>,
    network: Network,
) {
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => obey(&mut swarm, order, &network),
                None => return,
            },
            event = swarm.select_next_some() => note(&swarm, event, &seen),
        }
    }
}

fn obey(swarm: &mut Swarm<Behaviour>, order: Order, network: &Network) {
    // Whoever ordered may be gone by now.
    match order {
        Order::Dial(address, done) => {
            // From a port of its own: from the one it listens on, a connection that lately ended
            // between the same two ports would stand in the way for a minute.
            let options = DialOpts::unknown_peer_id().address(address).allocate_new_port().build();
            let _ = done.send(swarm.dial(options).map_err(|error| error.to_string()));
        }
        Order::HangUp(peer) => drop(swarm.disconnect_peer_id(peer)),
        Order::Publish(bytes, done) => {
            let published = swarm.behaviour_mut().gossip.publish(topic(network), bytes);
            let _ = done.send(published.map(drop).map_err(|error| error.to_string()));
        }
    }
}

fn note(swarm: &Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>, seen: &Mutex<Seen>) {
    let mut seen = seen.lock().unwrap();
    match event {
        SwarmEvent::ConnectionEstablished { .. } | SwarmEvent::ConnectionClosed { .. } => {
            seen.connected = swarm.connected_peers().copied().collect();
        }
        SwarmEvent::OutgoingConnectionError { error, .. } => seen.failure = error.to_string(),
        SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message {
            message,
            ..
        })) if seen.gossip.len() < QUEUE => seen.gossip.push(message.data),
        _ => {}
    }
}
