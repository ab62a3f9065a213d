//! Mail streams as libp2p sees them: opened on a connection, handed over as they are.
//!
//! Whoever dialled a connection decides how long it lives: the other side keeps it. The dialler
//! keeps those to neighbours, and others as long as a stream is open on them.
//!
//! libp2p-stream would do nearly this, but it remembers every connection there ever was and drops
//! streams that arrive together.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};

/// How long opening a stream may take.
const OPENING: Duration = Duration::from_secs(10);

/// What became of streams.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// The stream that was asked for.
    Opened(Stream),
    /// None, and why.
    NotOpened(String),
    /// The other side opened one.
    Incoming(Stream),
}

/// Opens and takes streams of one protocol.
pub(super) struct Behaviour {
    protocol: StreamProtocol,
    /// Peers to which this node's own connections are kept.
    kept: HashSet<PeerId>,
    /// Connections that this node dialled.
    dialled: HashMap<PeerId, Vec<ConnectionId>>,
    todo: VecDeque<ToSwarm<(PeerId, StreamEvent), Order>>,
}

impl Behaviour {
    pub(super) fn new(protocol: StreamProtocol) -> Self {
        Self { protocol, kept: HashSet::new(), dialled: HashMap::new(), todo: VecDeque::new() }
    }

    /// Opens a stream to a connected peer.
    pub(super) fn open(&mut self, peer: PeerId) {
        let handler = NotifyHandler::Any;
        self.todo.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: Order::Open });
    }

    /// Keeps connections to a peer while nothing is going on, those to come included.
    pub(super) fn keep(&mut self, peer: PeerId) {
        if self.kept.insert(peer) {
            for connection in self.dialled.get(&peer).into_iter().flatten() {
                let handler = NotifyHandler::One(*connection);
                let event = Order::Keep;
                self.todo.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event });
            }
        }
    }

    /// Undoes [`Self::keep`] for connections to come.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.kept.remove(peer);
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = (PeerId, StreamEvent);

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.protocol.clone(), true))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.protocol.clone(), self.kept.contains(&peer)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) if endpoint.is_dialer() => {
                self.dialled.entry(peer_id).or_default().push(connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(connections) = self.dialled.get_mut(&peer_id) {
                    connections.retain(|id| *id != connection_id);
                    if connections.is_empty() {
                        self.dialled.remove(&peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: StreamEvent) {
        self.todo.push_back(ToSwarm::GenerateEvent((peer, event)));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, Order>> {
        self.todo.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What a connection is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Open,
    Keep,
}

/// Streams on one connection.
pub(super) struct Handler {
    protocol: StreamProtocol,
    keep: bool,
    /// Streams that are still to be asked for.
    wanted: usize,
    events: VecDeque<StreamEvent>,
}

impl Handler {
    fn new(protocol: StreamProtocol, keep: bool) -> Self {
        Self { protocol, keep, wanted: 0, events: VecDeque::new() }
    }

    fn substream(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ()).with_timeout(OPENING)
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = StreamEvent;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.substream()
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), StreamEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if self.wanted > 0 {
            self.wanted -= 1;
            let protocol = self.substream();
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Open => self.wanted += 1,
            Order::Keep => self.keep = true,
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        self.events.extend(match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => Some(StreamEvent::Incoming(protocol)),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol, ..
            }) => Some(StreamEvent::Opened(protocol)),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                Some(StreamEvent::NotOpened(why(error)))
            }
            _ => None,
        });
    }
}

fn why(error: StreamUpgradeError<Infallible>) -> String {
    match error {
        StreamUpgradeError::Timeout => "it did not open a mail stream in time".into(),
        StreamUpgradeError::NegotiationFailed => "it takes no mail of this network".into(),
        StreamUpgradeError::Io(error) => super::reason::of_io(&error),
        StreamUpgradeError::Apply(never) => match never {},
    }
}
