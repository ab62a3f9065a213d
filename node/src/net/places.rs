//! Places for connections that this node dials: who gets one, who waits for one, who makes room.
//!
//! Whoever dialled a connection decides how long it lives. libp2p cannot: gossip keeps a stream open
//! on each, so that none is ever idle to it.

use std::collections::HashSet;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use tokio::time::Instant;

use super::event_loop::{EventLoop, Peer};
use super::reason;

/// Peers that may wait for a place.
const MAX_WAITING: usize = 4096;

/// How many connections this node dials, and how long they live.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// All of them, those being set up included. Mail goes straight to the recipient's home, so a
    /// node uses as many at once as there are nodes that its users write to.
    pub(super) all: usize,
    /// Of these, those that only peers that are kept may take.
    pub(super) reserved: usize,
    /// How long a connection that nobody uses lives on.
    pub(super) idle: Duration,
    /// Whoever waits for longer gets the place of one that had its own for as long.
    pub(super) turn: Duration,
}

impl Default for Places {
    fn default() -> Self {
        let (idle, turn) = (Duration::from_secs(30), Duration::from_secs(30));
        Self { all: 128, reserved: 16, idle, turn }
    }
}

/// A peer for which errands wait until there is a place.
pub(super) struct Waiting {
    peer: PeerId,
    since: Instant,
}

impl EventLoop {
    /// Keeps connections to a peer while nothing is going on. Half the places at most are kept:
    /// mail needs some, too.
    pub(super) fn keep(&mut self, peer: PeerId) {
        if self.kept.len() < self.places.all / 2 {
            self.kept.insert(peer);
        }
    }

    /// Dials a peer for which errands wait, as soon as there is a place; one that is kept goes
    /// first.
    pub(super) async fn dial_for_errands(&mut self, peer: PeerId) {
        let kept = self.kept.contains(&peer);
        let place = self.waiting.iter().position(|waiting| waiting.peer == peer);
        match place {
            Some(place) if kept => {
                let waiting = self.waiting.remove(place);
                self.waiting.extend(waiting);
                self.waiting.rotate_right(1);
            }
            Some(_) => {}
            None if self.waiting.len() >= MAX_WAITING => {
                return self.fail_errands(peer, "too many wait for a connection already").await;
            }
            None => {
                self.waiting.push_back(Waiting { peer, since: Instant::now() });
                if kept {
                    self.waiting.rotate_right(1);
                }
            }
        }
        self.dial_waiting().await;
    }

    /// Who waits to be dialled.
    pub(super) fn peers_that_wait(&self) -> HashSet<PeerId> {
        self.waiting.iter().map(|waiting| waiting.peer).collect()
    }

    /// Dials as many as there are places for.
    pub(super) async fn dial_waiting(&mut self) {
        while let Some(next) = self.waiting.front() {
            let peer = next.peer;
            if self.errands.contains_key(&peer) && !self.peers.contains_key(&peer) {
                if !self.has_place(self.kept.contains(&peer)) {
                    return self.make_place();
                }
                self.dial(peer).await;
            }
            self.waiting.pop_front();
        }
    }

    fn has_place(&self, kept: bool) -> bool {
        let network = self.swarm.network_info();
        let counters = network.connection_counters();
        let taken = counters.num_pending_outgoing() + counters.num_established_outgoing();
        let reserved = if kept { 0 } else { self.places.reserved };
        (taken as usize) < self.places.all.saturating_sub(reserved)
    }

    async fn dial(&mut self, peer: PeerId) {
        let Some(errands) = self.errands.get_mut(&peer) else { return };
        let addresses = errands.last().map(|errand| errand.addresses.clone()).unwrap_or_default();
        for errand in errands {
            errand.begin();
        }
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            // Being dialled already: the errands wait for that.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.fail_errands(peer, &reason::of_dial(&error)).await,
        }
    }

    /// Hangs up on those that were used least recently, for those that wait. Nobody is cut short
    /// before its turn is over.
    fn make_place(&mut self) {
        let turn = self.places.turn;
        let late = self.waiting.iter().filter(|waiting| waiting.since.elapsed() > turn).count();
        let used = self.used();
        let mut held: Vec<(bool, Instant, PeerId)> = self
            .peers
            .iter()
            .filter(|(peer, held)| held.is_dialled() && !self.kept.contains(peer))
            .map(|(peer, held)| (used.contains(peer), held.used, *peer))
            .filter(|(used, _, peer)| {
                !used || self.peers.get(peer).is_some_and(|held| held.since.elapsed() > turn)
            })
            .collect();
        held.sort_unstable();
        let connections = self.peers.values().flat_map(|held| &held.connections);
        let leaving = connections.filter(|connection| connection.closing).count();
        for (leaving, (used, _, peer)) in (leaving..).zip(held) {
            if leaving >= if used { late } else { self.waiting.len() } {
                return;
            }
            self.hang_up(peer, "others need the place");
        }
    }

    /// Hangs up on connections that this node dialled and nobody uses any more.
    pub(super) fn rest(&mut self) {
        let used = self.used();
        self.kept.retain(|peer| self.peers.contains_key(peer) || self.errands.contains_key(peer));
        for peer in used {
            if let Some(held) = self.peers.get_mut(&peer) {
                held.used = Instant::now();
            }
        }
        let idle = |held: &Peer| held.is_dialled() && held.used.elapsed() > self.places.idle;
        let resting =
            self.peers.iter().filter(|(peer, held)| idle(held) && !self.kept.contains(peer));
        for peer in resting.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.hang_up(peer, "nothing was left to say");
        }
    }

    /// Peers with whom something is going on.
    fn used(&self) -> HashSet<PeerId> {
        let linked = self.shared.links.nodes();
        let linked = self.peers.iter().filter(|(_, held)| linked.contains(&held.node));
        let linked = linked.map(|(peer, _)| peer);
        let asking = self.asking.values().map(|asking| &asking.peer);
        let asked = self.asked.values().map(|(peer, _)| peer);
        let waiting = self.errands.keys().chain(self.opening.keys());
        linked.chain(asking).chain(asked).chain(waiting).copied().collect()
    }

    /// Closes the connections that this node dialled; those that the peer dialled are its own.
    fn hang_up(&mut self, peer: PeerId, reason: &str) {
        let Some(held) = self.peers.get_mut(&peer) else { return };
        for connection in held.connections.iter_mut().filter(|connection| connection.outbound) {
            connection.closing = true;
            self.swarm.close_connection(connection.id);
        }
        if held.is_leaving() {
            held.farewell.get_or_insert(reason.to_owned());
        }
    }
}

impl Peer {
    /// Whether this node has a connection to it that it dialled and means to keep.
    pub(super) fn is_dialled(&self) -> bool {
        self.connections.iter().any(|connection| connection.outbound && !connection.closing)
    }

    /// Whether this node hung up, for no fault of the peer's.
    pub(super) fn is_leaving(&self) -> bool {
        self.connections.iter().all(|connection| connection.closing)
    }
}
