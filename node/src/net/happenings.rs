//! What the swarm reports.

use std::io;

use bytes::Bytes;
use libp2p::core::ConnectedPoint;
use libp2p::request_response::{self, InboundFailure, Message, OutboundFailure};
use libp2p::swarm::{ConnectionError, ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Stream, gossipsub, identify, ping};
use postroad_core::roads::{Event, Verdict};
use postroad_proto::frame::Frame;
use postroad_proto::network::Network;
use tokio::time::Instant;

use super::behaviour::{self, BehaviourEvent};
use super::crowd::{self, Guest};
use super::event_loop::{Connection, EventLoop, Gossip, Peer};
use super::links::Link;
use super::streams::StreamEvent;
use super::{Neighbour, addresses, reason};
use crate::bucket::{Bucket, Rate};

/// Questions of one peer that may be unanswered.
const ASKED_BY_ONE: usize = 16;
/// Questions of all peers that may be unanswered.
const ASKED_BY_ALL: usize = 1024;
/// Gossip that may wait for its verdict.
const MAX_GOSSIP: usize = 1024;
/// New gossip of one peer. Of 10,000 nodes that renew their records daily come 0.1 a second; should
/// a fifth of them start at once, one peer may bring them all. What is beyond costs the core nothing.
const GOSSIP_OF_ONE: Rate = Rate { burst: 2000, per_second: 10 };
/// Mail streams that one node may have opened: of those it lost, some may not have ended yet.
const LINKS_OF_ONE: usize = 4;
/// Mail streams that all may have opened.
const LINKS_OF_ALL: usize = 512;
/// Connections from outside above which one is closed for each that comes.
const CROWDED: usize = crowd::ESTABLISHED * 7 / 8;

impl EventLoop {
    pub(super) async fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event).await,
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                self.on_disconnected(peer_id, connection_id, cause.as_ref()).await;
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                if !self.peers.contains_key(&peer) {
                    self.fail_errands(peer, &reason::of_dial(&error)).await;
                }
                self.dial_waiting().await;
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                let from = addresses::readable(&send_back_addr);
                tracing::debug!(from, %error, "a connection was not set up");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "cannot accept a connection of another node");
            }
            SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                tracing::error!(%error, "not listening for other nodes any more; restart the node");
                let _ = self.shared.deaf.set(error.to_string());
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(node) = addresses::node_id(&peer) else {
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        };
        let address: Multiaddr = endpoint.get_remote_address().clone();
        let connection = Connection { id, outbound: endpoint.is_dialer(), address, closing: false };
        let held = self.peers.entry(peer).or_insert_with(|| Peer {
            node,
            connections: Vec::new(),
            since: Instant::now(),
            used: Instant::now(),
            known: false,
            rtt: None,
            gossip: Bucket::new(GOSSIP_OF_ONE, Instant::now()),
            farewell: None,
        });
        held.connections.push(connection);
        if endpoint.is_listener() {
            self.make_room(id);
        }
        self.go_on(peer);
    }

    /// Those who connect cannot fill every place: when there are many, one has to go.
    fn make_room(&mut self, newcomer: ConnectionId) {
        let network = self.swarm.network_info();
        if network.connection_counters().num_established_incoming() as usize <= CROWDED {
            return;
        }
        let bringing = self.shared.links.bringing();
        let others: Vec<Guest<(PeerId, ConnectionId)>> = self
            .peers
            .iter()
            .flat_map(|(peer, held)| held.connections.iter().map(move |c| (peer, held, c)))
            .filter(|(_, _, connection)| !connection.outbound && connection.id != newcomer)
            .map(|(peer, held, connection)| Guest {
                who: (*peer, connection.id),
                from: addresses::to_socket(&connection.address).map(|from| from.ip()),
                second: held.connections.len() > 1,
                brings_mail: bringing.contains(&held.node),
            })
            .collect();
        let Some((peer, id)) = crowd::superfluous(&others) else { return };
        if let Some(held) = self.peers.get_mut(&peer)
            && held.connections.len() == 1
        {
            held.farewell.get_or_insert("others need the place".into());
        }
        self.swarm.close_connection(id);
    }

    async fn on_disconnected(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        cause: Option<&ConnectionError>,
    ) {
        let Some(held) = self.peers.get_mut(&peer) else { return };
        let left = held.is_leaving();
        held.connections.retain(|connection| connection.id != id);
        if !held.connections.is_empty() {
            return;
        }
        let Some(held) = self.peers.remove(&peer) else { return };
        self.shared.neighbours().remove(&held.node);
        let reason = held.farewell.unwrap_or_else(|| reason::of_close(cause));
        if self.opening.remove(&peer).is_some() {
            let reason = reason.clone();
            self.tell(Event::LinkFailed { node: held.node, reason }).await;
        }
        if held.known {
            self.tell(Event::PeerDown { node: held.node, reason: reason.clone() }).await;
        }
        if left && self.errands.contains_key(&peer) {
            return self.dial_for_errands(peer).await;
        }
        self.fail_errands(peer, &reason).await;
        self.dial_waiting().await;
    }

    async fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(event) => self.on_identify(event).await,
            BehaviourEvent::Ping(event) => self.on_ping(&event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event).await,
            BehaviourEvent::Mail((peer, event)) => self.on_stream(peer, event).await,
            BehaviourEvent::Records(event) => self.on_records(event).await,
            BehaviourEvent::Crowd(never) => match never {},
        }
    }

    async fn on_identify(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received { peer_id, info, .. } => {
                let version = info.protocol_version;
                if version == behaviour::identity_of(&self.network) {
                    return self.accept(peer_id).await;
                }
                self.refuse(peer_id, foreign(&version, &self.network));
            }
            identify::Event::Error { peer_id, error, .. } => {
                tracing::debug!(%peer_id, %error, "a peer does not identify itself");
            }
            identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
        }
    }

    /// The peer is none of this network's. Whoever dialled hangs up, so that it finds out why; if it
    /// does not, it is taken for one that says nothing.
    fn refuse(&mut self, peer: PeerId, reason: String) {
        let Some(held) = self.peers.get_mut(&peer) else { return };
        let (node, dialled) = (held.node, held.is_dialled());
        held.farewell.get_or_insert(reason.clone());
        if dialled {
            tracing::info!(%node, "not connected: {reason}");
            self.dismiss(peer, reason);
        } else {
            self.tell_operator(|| tracing::warn!(%node, "a node that connected: {reason}"));
        }
    }

    /// The peer was shown to be of this network.
    async fn accept(&mut self, peer: PeerId) {
        let Some(held) = self.peers.get_mut(&peer) else { return };
        if held.known || held.farewell.is_some() {
            return;
        }
        held.known = true;
        let dialled = held.connections.iter().find(|connection| connection.outbound);
        let Some(connection) = dialled.or(held.connections.first()) else { return };
        let (node, outbound) = (held.node, connection.outbound);
        let address = connection.address.iter().take(2).collect::<Multiaddr>().to_string();
        self.shared.neighbours().insert(node, Neighbour { node, rtt: held.rtt });
        self.go_on(peer);
        self.tell(Event::PeerUp { node, outbound, address }).await;
    }

    fn on_ping(&mut self, event: &ping::Event) {
        let Some(held) = self.peers.get_mut(&event.peer) else { return };
        match &event.result {
            Ok(rtt) => {
                held.rtt = Some(*rtt);
                if let Some(neighbour) = self.shared.neighbours().get_mut(&held.node) {
                    neighbour.rtt = Some(*rtt);
                }
            }
            Err(ping::Failure::Unsupported) => {}
            // The first failure is passed over by the protocol itself.
            Err(_) => {
                if held.connections.len() == 1 {
                    held.farewell.get_or_insert("it does not answer any more".into());
                }
                self.swarm.close_connection(event.connection);
            }
        }
    }

    async fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.accept(propagation_source).await;
                let id = self.number();
                let since = Instant::now();
                let gossip = Gossip { message: message_id, from: propagation_source, since };
                self.gossip.insert(id, gossip);
                let Some(peer) = self.peers.get_mut(&propagation_source) else {
                    return self.pass_verdict(id, Verdict::Ignore);
                };
                if !peer.gossip.take(Instant::now()) {
                    return self.pass_verdict(id, Verdict::Reject);
                }
                let from = peer.node;
                if self.gossip.len() > MAX_GOSSIP
                    && let Some(oldest) = self.gossip.keys().next().copied()
                {
                    self.pass_verdict(oldest, Verdict::Ignore);
                }
                let record = Bytes::from(message.data);
                self.tell(Event::Gossip { id, from, record }).await;
            }
            gossipsub::Event::Subscribed { .. } => {
                for record in std::mem::take(&mut self.unheard) {
                    self.publish(record);
                }
            }
            _ => {}
        }
    }

    async fn on_stream(&mut self, peer: PeerId, event: StreamEvent) {
        match event {
            StreamEvent::Opened(stream) => {
                if self.opening.remove(&peer).is_some() {
                    self.accept(peer).await;
                    self.begin_link(peer, stream, true);
                }
            }
            StreamEvent::NotOpened(reason) => {
                let node = self.peers.get(&peer).map(|peer| peer.node);
                if let (Some(_), Some(node)) = (self.opening.remove(&peer), node) {
                    self.tell(Event::LinkFailed { node, reason }).await;
                }
            }
            StreamEvent::Incoming(stream) => {
                self.accept(peer).await;
                self.begin_link(peer, stream, false);
            }
        }
    }

    fn begin_link(&mut self, peer: PeerId, stream: Stream, outbound: bool) {
        let Some(node) = self.peers.get(&peer).map(|peer| peer.node) else { return };
        let (of_one, of_all) = self.shared.links.incoming(&node);
        if !outbound && (of_one >= LINKS_OF_ONE || of_all >= LINKS_OF_ALL) {
            return tracing::debug!(%node, "too many mail streams; one is not taken");
        }
        let id = self.number();
        let link = Link { id, node, outbound, stream };
        self.tasks.spawn(link.open(self.shared.clone(), self.engine.clone()));
    }

    async fn on_records(&mut self, event: request_response::Event<Frame, Frame>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                Message::Request { request, channel, .. } => {
                    self.accept(peer).await;
                    let of_one = self.asked.values().filter(|(asker, _)| *asker == peer).count();
                    let node = self.peers.get(&peer).map(|peer| peer.node);
                    let room = of_one < ASKED_BY_ONE && self.asked.len() < ASKED_BY_ALL;
                    if let (Some(node), true) = (node, room) {
                        let id = self.number();
                        self.asked.insert(id, (peer, channel));
                        self.tell(Event::Asked { id, node, frame: request }).await;
                    }
                }
                Message::Response { request_id, response } => {
                    if let Some(asking) = self.asking.remove(&request_id) {
                        self.answer(asking.asker, Ok(response)).await;
                        self.go_on(peer);
                    }
                }
            },
            request_response::Event::OutboundFailure { peer, request_id, error, .. } => {
                if let Some(asking) = self.asking.remove(&request_id) {
                    self.answer(asking.asker, Err(unanswered(&error))).await;
                    self.go_on(peer);
                }
            }
            request_response::Event::InboundFailure {
                peer,
                error: InboundFailure::Io(error),
                ..
            } if error.kind() == io::ErrorKind::InvalidData => {
                let Some(node) = self.peers.get(&peer).map(|peer| peer.node) else { return };
                self.tell_operator(|| tracing::info!(%node, %error, "hung up on a question"));
            }
            _ => {}
        }
    }

    /// Strangers cannot fill the log.
    fn tell_operator(&mut self, tell: impl FnOnce()) {
        if self.telling.take(Instant::now()) {
            tell();
        }
    }
}

fn unanswered(error: &OutboundFailure) -> String {
    match error {
        OutboundFailure::DialFailure | OutboundFailure::ConnectionClosed => {
            "the connection closed before it answered".into()
        }
        OutboundFailure::Timeout => "no answer in time".into(),
        OutboundFailure::UnsupportedProtocols => "it answers no questions of this network".into(),
        OutboundFailure::Io(error) => reason::of_io(error),
    }
}

/// What is wrong with a peer that identifies itself as something else.
fn foreign(version: &str, ours: &Network) -> String {
    let network = version
        .strip_prefix("/postroad/")
        .and_then(|rest| rest.rsplit_once('/'))
        .and_then(|(name, _)| name.parse::<Network>().ok());
    match network {
        Some(theirs) if theirs != *ours => {
            format!("it belongs to another network: {theirs}, not {ours}")
        }
        Some(_) => "it speaks another version of the protocol".into(),
        None => "it is no posthouse".into(),
    }
}
