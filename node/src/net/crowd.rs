//! How many connections may come from one address.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ListenFailure};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::addresses;
use crate::neighbourhood::neighbourhood;

/// Connections from one address (IPv6: one /64), handshakes included. This machine's own do not
/// count.
const PER_ADDRESS: usize = 32;

/// Counts connections that come in, by address.
#[derive(Default)]
pub(super) struct Behaviour {
    connections: HashMap<ConnectionId, IpAddr>,
    counts: HashMap<IpAddr, usize>,
}

/// One more than may come from there.
#[derive(Debug, thiserror::Error)]
#[error("more than {PER_ADDRESS} connections from {0}")]
pub(super) struct Crowded(IpAddr);

impl Behaviour {
    fn admit(&mut self, connection: ConnectionId, from: IpAddr) -> Result<(), Crowded> {
        if from.to_canonical().is_loopback() {
            return Ok(());
        }
        let from = neighbourhood(from);
        let count = self.counts.entry(from).or_default();
        if *count >= PER_ADDRESS {
            return Err(Crowded(from));
        }
        *count += 1;
        self.connections.insert(connection, from);
        Ok(())
    }

    fn release(&mut self, connection: ConnectionId) {
        let Some(from) = self.connections.remove(&connection) else { return };
        if let Some(count) = self.counts.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&from);
            }
        }
    }
}

/// Somebody who connected to this node.
pub(super) struct Guest<T> {
    pub(super) who: T,
    pub(super) from: Option<SocketAddr>,
    pub(super) brings_mail: bool,
}

/// Who is to go when there are too many: one of the largest crowd from one address that brings no
/// mail.
pub(super) fn superfluous<T: Copy>(guests: &[Guest<T>]) -> Option<T> {
    let place = |guest: &Guest<T>| guest.from.map(|from| neighbourhood(from.ip()));
    let mut crowds: HashMap<Option<IpAddr>, usize> = HashMap::new();
    for guest in guests {
        *crowds.entry(place(guest)).or_default() += 1;
    }
    let quiet = guests.iter().filter(|guest| !guest.brings_mail);
    quiet.max_by_key(|guest| crowds.get(&place(guest)).copied()).map(|guest| guest.who)
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        match addresses::to_socket(from) {
            Some(from) => self.admit(connection, from.ip()).map_err(ConnectionDenied::new),
            None => Ok(()),
        }
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.release(connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_from_one_network_leaves_room_for_others() {
        let mut crowd = Behaviour::default();
        let id = ConnectionId::new_unchecked;
        let home = |host: usize| format!("2001:db8::{host:x}").parse::<IpAddr>().unwrap();
        for n in 0..PER_ADDRESS {
            crowd.admit(id(n), home(n)).unwrap();
        }
        crowd.admit(id(100), home(100)).unwrap_err();
        crowd.admit(id(101), "2001:db8:0:1::1".parse().unwrap()).unwrap();
        crowd.release(id(3));
        crowd.admit(id(100), home(100)).unwrap();
        for n in 200..400 {
            crowd.admit(id(n), "127.0.0.1".parse().unwrap()).unwrap();
        }
    }
    #[test]
    fn who_has_to_go_is_of_the_largest_crowd_and_brings_no_mail() {
        let guest = |who: u8, from: &str, brings_mail| Guest {
            who,
            from: Some(SocketAddr::new(from.parse().unwrap(), 1)),
            brings_mail,
        };
        let mut guests = vec![
            guest(1, "192.0.2.1", false),
            guest(2, "2001:db8::1", true),
            guest(3, "2001:db8::2", false),
            guest(4, "192.0.2.2", false),
        ];
        assert_eq!(superfluous(&guests), Some(3));
        guests.remove(2);
        guests.push(guest(5, "2001:db8::3", true));
        assert!([Some(1), Some(4)].contains(&superfluous(&guests)));
        guests.retain(|guest| guest.brings_mail);
        assert_eq!(superfluous(&guests), None);
    }
}
