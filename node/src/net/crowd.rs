//! How many connections may come in: from all, from one address, from one peer.
//!
//! libp2p's own limits remember every peer that was ever there, and know no addresses.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, ListenFailure};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::addresses;
use crate::bucket::{Bucket, Rate};
use crate::neighbourhood::{neighbourhood, site};

/// Connections from outside. They cannot take the places of this node's own.
pub(super) const ESTABLISHED: usize = 256;
/// Connections from outside that are being set up.
const PENDING: usize = 64;
/// Of these, from one address (IPv6: one /64): who is slow leaves places for others.
const PENDING_PER_ADDRESS: usize = 4;
/// Connections from one address (IPv6: one /64), those being set up included.
pub(super) const PER_ADDRESS: usize = 32;
/// Connections from one IPv6 /48.
const PER_SITE: usize = 64;
/// New connections from one address or site: all that may be there can come back at once, and
/// twice, but whoever takes a new name each second leaves no heap of them behind.
const NEW: Rate = Rate { burst: 2 * PER_SITE as u32, per_second: 1 };
/// Two, when both sides dial at once, or one side finds out late that a connection is dead.
const PER_PEER: usize = 2;
/// Places of which more is remembered than who is there now.
const REMEMBERED: usize = 4096;

/// Counts connections. This machine's own do not count by address.
#[derive(Default)]
pub(super) struct Behaviour {
    pending: HashSet<ConnectionId>,
    established: HashSet<ConnectionId>,
    /// Where those of other machines come from.
    from: HashMap<ConnectionId, IpAddr>,
    places: HashMap<Place, Crowd>,
    /// Connections with each peer, both ways.
    peers: HashMap<PeerId, usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Address(IpAddr),
    Site(IpAddr),
}

/// Who comes from one place.
struct Crowd {
    pending: usize,
    all: usize,
    new: Bucket,
}

/// One more than may come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Crowded {
    #[error("{PENDING} connections are being set up")]
    Pending,
    #[error("{ESTABLISHED} connections from outside are open")]
    Established,
    #[error("{PENDING_PER_ADDRESS} connections from {0} are being set up")]
    Slow(IpAddr),
    #[error("too many connections from {0}")]
    Place(IpAddr),
    #[error("too many new connections from {0}")]
    Rate(IpAddr),
    #[error("{PER_PEER} connections with this peer are open")]
    Peer,
}

impl Place {
    fn all_of(address: IpAddr) -> [Self; 2] {
        [Self::Address(neighbourhood(address)), Self::Site(site(address))]
    }

    /// How many may come from there, and how many of them may be being set up.
    fn limits(self) -> (usize, usize) {
        match self {
            Self::Address(_) => (PER_ADDRESS, PENDING_PER_ADDRESS),
            Self::Site(_) => (PER_SITE, PENDING),
        }
    }
}

impl Behaviour {
    fn admit(&mut self, id: ConnectionId, from: Option<IpAddr>) -> Result<(), Crowded> {
        if self.pending.len() >= PENDING {
            return Err(Crowded::Pending);
        }
        if let Some(from) = from.filter(|from| !from.to_canonical().is_loopback()) {
            self.admit_from(from)?;
            self.from.insert(id, from);
        }
        self.pending.insert(id);
        Ok(())
    }

    fn admit_from(&mut self, from: IpAddr) -> Result<(), Crowded> {
        let now = Instant::now();
        if self.places.len() > REMEMBERED {
            self.places.retain(|_, crowd| crowd.all > 0 || !crowd.new.is_full(now));
        }
        for place in Place::all_of(from) {
            let (all, pending) = place.limits();
            let crowd = self.places.entry(place).or_insert_with(|| Crowd::new(now));
            if crowd.all >= all {
                return Err(Crowded::Place(from));
            }
            if crowd.pending >= pending {
                return Err(Crowded::Slow(from));
            }
            if !crowd.new.take(now) {
                return Err(Crowded::Rate(from));
            }
        }
        for place in Place::all_of(from) {
            if let Some(crowd) = self.places.get_mut(&place) {
                crowd.pending += 1;
                crowd.all += 1;
            }
        }
        Ok(())
    }

    /// Whether a connection that is set up may stay.
    fn may_stay(&self, peer: &PeerId) -> Result<(), Crowded> {
        if self.established.len() >= ESTABLISHED {
            return Err(Crowded::Established);
        }
        if self.peers.get(peer).is_some_and(|count| *count >= PER_PEER) {
            return Err(Crowded::Peer);
        }
        Ok(())
    }

    fn settle(&mut self, id: ConnectionId, peer: PeerId, inbound: bool) {
        *self.peers.entry(peer).or_default() += 1;
        if inbound {
            self.established.insert(id);
        }
        self.end_set_up(id);
    }

    fn end_set_up(&mut self, id: ConnectionId) {
        if self.pending.remove(&id) {
            self.with_crowds(id, |crowd| crowd.pending -= 1);
        }
    }

    fn release(&mut self, id: ConnectionId, peer: Option<PeerId>) {
        self.end_set_up(id);
        self.with_crowds(id, |crowd| crowd.all -= 1);
        self.from.remove(&id);
        self.established.remove(&id);
        if let Some(peer) = peer
            && let Some(count) = self.peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    fn with_crowds(&mut self, id: ConnectionId, change: impl Fn(&mut Crowd)) {
        let places = self.from.get(&id).map(|from| Place::all_of(*from));
        for place in places.into_iter().flatten() {
            if let Some(crowd) = self.places.get_mut(&place) {
                change(crowd);
            }
        }
    }
}

impl Crowd {
    fn new(now: Instant) -> Self {
        Self { pending: 0, all: 0, new: Bucket::new(NEW, now) }
    }
}

/// A connection from outside.
pub(super) struct Guest<T> {
    pub(super) who: T,
    pub(super) from: Option<IpAddr>,
    /// Whether there is another connection with the same peer.
    pub(super) second: bool,
    /// Whether it brought mail lately.
    pub(super) brings_mail: bool,
}

/// Which is to go when there are too many: a second one of a peer, else one of the largest crowd
/// from one site that brings no mail.
pub(super) fn superfluous<T: Copy>(guests: &[Guest<T>]) -> Option<T> {
    let place = |guest: &Guest<T>| guest.from.map(site);
    let mut crowds: HashMap<Option<IpAddr>, usize> = HashMap::new();
    for guest in guests {
        *crowds.entry(place(guest)).or_default() += 1;
    }
    let dispensable = guests.iter().filter(|guest| guest.second || !guest.brings_mail);
    dispensable
        .max_by_key(|guest| (guest.second, crowds.get(&place(guest)).copied()))
        .map(|guest| guest.who)
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
        let from = addresses::to_socket(from).map(|from| from.ip());
        self.admit(connection, from).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        self.may_stay(&peer).map_err(ConnectionDenied::new)?;
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
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => self.settle(connection_id, peer_id, endpoint.is_listener()),
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, peer_id, .. }) => {
                self.release(connection_id, Some(peer_id));
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.release(connection_id, None);
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

    const ID: fn(usize) -> ConnectionId = ConnectionId::new_unchecked;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Comes in, shows who it is, and stays.
    fn come(crowd: &mut Behaviour, n: usize, from: IpAddr) -> Result<PeerId, Crowded> {
        let peer = PeerId::random();
        crowd.admit(ID(n), Some(from))?;
        crowd.may_stay(&peer)?;
        crowd.settle(ID(n), peer, true);
        Ok(peer)
    }

    #[test]
    fn a_crowd_from_one_network_leaves_room_for_others() {
        let mut crowd = Behaviour::default();
        let home = |n: usize| ip(&format!("2001:db8::{n:x}"));
        let peers: Vec<PeerId> =
            (0..PER_ADDRESS).map(|n| come(&mut crowd, n, home(n)).unwrap()).collect();
        assert!(matches!(come(&mut crowd, 100, home(100)), Err(Crowded::Place(_))));
        for n in 0..PER_SITE - PER_ADDRESS {
            come(&mut crowd, 101 + n, ip(&format!("2001:db8:0:{:x}::1", n + 1))).unwrap();
        }
        let same_site = come(&mut crowd, 200, ip("2001:db8:0:ffff::1"));
        assert!(matches!(same_site, Err(Crowded::Place(_))));
        come(&mut crowd, 201, ip("2001:db8:1::1")).unwrap();
        crowd.release(ID(3), Some(peers[3]));
        come(&mut crowd, 100, home(100)).unwrap();
        for n in 300..400 {
            come(&mut crowd, n, ip("127.0.0.1")).unwrap();
        }
    }

    #[test]
    fn whoever_is_slow_to_set_up_holds_up_only_its_own_address() {
        let mut crowd = Behaviour::default();
        for n in 0..PENDING_PER_ADDRESS {
            crowd.admit(ID(n), Some(ip("192.0.2.1"))).unwrap();
        }
        let more = crowd.admit(ID(50), Some(ip("192.0.2.1")));
        assert!(matches!(more, Err(Crowded::Slow(_))));
        come(&mut crowd, 51, ip("192.0.2.2")).unwrap();
        crowd.release(ID(0), None);
        crowd.admit(ID(50), Some(ip("192.0.2.1"))).unwrap();
    }

    #[test]
    fn new_names_without_end_leave_nothing_behind() {
        let mut crowd = Behaviour::default();
        let mut refused = 0;
        for n in 0..1000 {
            match come(&mut crowd, n, ip("192.0.2.1")) {
                Ok(peer) => crowd.release(ID(n), Some(peer)),
                Err(Crowded::Rate(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(refused > 800, "{refused}");
        assert!(crowd.peers.is_empty() && crowd.from.is_empty() && crowd.established.is_empty());
        assert_eq!(crowd.pending.len(), 0);
    }

    #[test]
    fn one_peer_has_two_connections_at_most() {
        let mut crowd = Behaviour::default();
        let peer = come(&mut crowd, 1, ip("192.0.2.1")).unwrap();
        crowd.may_stay(&peer).unwrap();
        crowd.settle(ID(2), peer, false);
        assert!(matches!(crowd.may_stay(&peer), Err(Crowded::Peer)));
        crowd.release(ID(1), Some(peer));
        crowd.may_stay(&peer).unwrap();
    }

    #[test]
    fn who_has_to_go_is_a_second_or_of_the_largest_crowd_and_brings_no_mail() {
        let guest = |who: u8, from: &str, second, brings_mail| Guest {
            who,
            from: Some(ip(from)),
            second,
            brings_mail,
        };
        let mut guests = vec![
            guest(1, "192.0.2.1", false, false),
            guest(2, "2001:db8:0:1::1", false, true),
            guest(3, "2001:db8:0:2::1", false, false),
            guest(4, "192.0.2.2", true, true),
        ];
        assert_eq!(superfluous(&guests), Some(4));
        guests.remove(3);
        assert_eq!(superfluous(&guests), Some(3), "the /48 counts as one");
        guests.retain(|guest| guest.brings_mail);
        assert_eq!(superfluous(&guests), None);
    }
}
