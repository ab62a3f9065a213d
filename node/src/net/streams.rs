//! Mail streams as libp2p sees them: opened on a connection, handed over as they are.
//!
//! Connections are kept open by these; [`super::places`] closes them.
//!
//! libp2p-stream would do nearly this, but it remembers every connection there ever was and drops
//! streams that arrive together.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
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
    todo: VecDeque<ToSwarm<(PeerId, StreamEvent), Open>>,
}

impl Behaviour {
    pub(super) fn new(protocol: StreamProtocol) -> Self {
        Self { protocol, todo: VecDeque::new() }
    }

    /// Opens a stream to a connected peer.
    pub(super) fn open(&mut self, peer: PeerId) {
        let handler = NotifyHandler::Any;
        self.todo.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: Open });
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
        Ok(Handler::new(self.protocol.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.protocol.clone()))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: StreamEvent) {
        self.todo.push_back(ToSwarm::GenerateEvent((peer, event)));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, Open>> {
        self.todo.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// A connection is told to open a stream.
#[derive(Debug)]
pub(super) struct Open;

/// Streams on one connection.
pub(super) struct Handler {
    protocol: StreamProtocol,
    /// Streams that are still to be asked for.
    wanted: usize,
    events: VecDeque<StreamEvent>,
}

impl Handler {
    fn new(protocol: StreamProtocol) -> Self {
        Self { protocol, wanted: 0, events: VecDeque::new() }
    }

    fn substream(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ()).with_timeout(OPENING)
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = StreamEvent;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.substream()
    }

    fn connection_keep_alive(&self) -> bool {
        true
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

    fn on_behaviour_event(&mut self, _: Open) {
        self.wanted += 1;
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
