//! Whom this node keeps connections to, and who has connected to it.

use core::net::IpAddr;
use std::collections::BTreeMap;

use postroad_proto::ids::{Millis, NodeId};
use postroad_proto::link::NodeLink;

use super::Command;
use super::news::News;
use crate::core::Core;
use crate::state::PinRow;
use crate::timers::Timer;

/// How often it is looked whether more connections are wanted.
const LOOK: Millis = 10_000;
/// The first wait after a failed attempt, and the longest.
const FIRST_WAIT: Millis = 1_000;
const LONGEST_WAIT: Millis = 600_000;
/// Nodes looked at for one connection more: some records have no address that is of use here.
const MOST_LOOKED_AT: usize = 64;
/// Attempts remembered.
const MAX_ATTEMPTS: usize = 4096;

/// A connected node.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) outbound: bool,
    /// Whether this node wanted it as a neighbour: others are there because mail goes to them.
    pub(crate) chosen: bool,
    pub(crate) since: Millis,
    pub(crate) address: String,
}

/// Failed attempts to reach a node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attempts {
    pub(crate) failed: u32,
    /// Not before this is it tried again.
    pub(crate) next: Millis,
}

impl Attempts {
    /// One more failed. The wait doubles, up to ten minutes; `spread` (any number) moves it by up
    /// to a quarter, so that not everybody comes back at once.
    pub(crate) fn fail(&mut self, now: Millis, spread: u64) {
        let wait = (FIRST_WAIT << self.failed.min(16)).min(LONGEST_WAIT);
        self.failed = self.failed.saturating_add(1);
        self.next = now + wait - spread % (wait / 4);
    }
}

/// The nodes around this one.
#[derive(Default)]
pub(crate) struct Peers {
    pub(crate) connected: BTreeMap<NodeId, Peer>,
    pub(crate) bootstrap: BTreeMap<NodeId, NodeLink>,
    dialling: BTreeMap<NodeId, Millis>,
    attempts: BTreeMap<NodeId, Attempts>,
    /// Why the last of them failed.
    reasons: BTreeMap<NodeId, String>,
    /// When the own record was last renewed because others held a newer one.
    pub(crate) renewed_at: Option<Millis>,
    /// Numbers what is chosen at random, so that a run can be repeated.
    pub(crate) choices: u64,
}

impl Core {
    /// Nodes to begin with, as a network's definition names them.
    pub fn bootstrap(&mut self, links: Vec<NodeLink>) {
        let others = links.into_iter().filter(|link| link.node != self.node);
        self.peers.bootstrap = others.map(|link| (link.node, link)).collect();
        self.timers.set_by(Timer::Neighbours, self.steady);
    }

    /// Keeps a connection to a node from now on, over restarts. False for this node itself.
    pub fn pin(&mut self, link: &NodeLink) -> bool {
        if link.node == self.node {
            return false;
        }
        let row = PinRow { addresses: link.p2p.clone(), name: link.name.clone() };
        self.tables.pins.put(link.node, row, &mut self.group.staged);
        self.peers.attempts.remove(&link.node);
        self.timers.set_by(Timer::Neighbours, self.steady);
        true
    }

    /// Undoes [`Self::pin`]. False when there was nothing to undo.
    pub fn unpin(&mut self, node: &NodeId) -> bool {
        let was_pinned = self.tables.pins.remove(node, &mut self.group.staged).is_some();
        if was_pinned {
            self.command(Command::Disconnect { node: *node });
        }
        was_pinned
    }

    pub(crate) fn on_peer_up(
        &mut self,
        now: Millis,
        node: NodeId,
        outbound: bool,
        address: String,
    ) {
        let chosen = self.peers.dialling.remove(&node).is_some() && outbound;
        self.peers.attempts.remove(&node);
        self.peers.reasons.remove(&node);
        let peer = Peer { outbound, chosen, since: now, address: address.clone() };
        self.peers.connected.insert(node, peer);
        self.news(now, News::PeerUp { node, outbound, address });
        self.try_now(node);
        if chosen || self.peers.connected.values().all(|peer| !peer.chosen) {
            self.compare_with(now, node, true);
        }
    }

    pub(crate) fn on_peer_down(&mut self, now: Millis, node: NodeId, reason: String) {
        if self.peers.connected.remove(&node).is_some() {
            self.news(now, News::PeerDown { node, reason });
            self.timers.set_by(Timer::Neighbours, self.steady + FIRST_WAIT);
        }
    }

    pub(crate) fn on_connect_failed(&mut self, now: Millis, node: NodeId, reason: String) {
        self.peers.dialling.remove(&node);
        let (steady, spread) = (self.steady, self.choose());
        let attempts = &mut self.peers.attempts;
        if attempts.len() >= MAX_ATTEMPTS && !attempts.contains_key(&node) {
            attempts.clear();
            self.peers.reasons.clear();
        }
        let is_new = self.peers.reasons.get(&node) != Some(&reason);
        self.peers.reasons.insert(node, reason.clone());
        if is_new && (self.is_pinned(&node) || self.peers.bootstrap.contains_key(&node)) {
            self.news(now, News::NotConnected { node, reason });
        }
        let attempts = &mut self.peers.attempts;
        attempts.entry(node).or_default().fail(steady, spread);
        let next = attempts.get(&node).map_or(steady, |a| a.next);
        self.timers.set_by(Timer::Neighbours, next.min(steady + LOOK));
    }

    /// Connects to peers that the operator named, and to others until there are enough.
    pub(crate) fn look_for_neighbours(&mut self, now: Millis) {
        let steady = self.steady;
        self.timers.set(Timer::Neighbours, steady + LOOK);
        // An attempt whose end was lost is over at some time.
        self.peers.dialling.retain(|_, since| *since + 6 * LOOK > steady);
        let pins: Vec<NodeId> = self.tables.pins.iter().map(|(node, _)| *node).collect();
        for node in pins {
            self.choose_connected(&node);
            self.dial(node);
        }
        let wanted = self.config.roads.outbound_peers as usize;
        let chosen = self.peers.connected.values().filter(|peer| peer.chosen).count();
        let missing = wanted.saturating_sub(chosen + self.peers.dialling.len());
        let candidates = self.candidates(now, missing);
        self.keep_connected(missing - candidates.len());
        for node in candidates {
            self.dial(node);
        }
    }

    /// Makes neighbours of up to `count` nodes that this one has connected to for other reasons.
    fn keep_connected(&mut self, count: usize) {
        let others = self.peers.connected.iter().filter(|(_, p)| p.outbound && !p.chosen);
        for node in others.take(count).map(|(node, _)| *node).collect::<Vec<NodeId>>() {
            self.choose_connected(&node);
        }
    }

    /// Makes a neighbour of a node that this one has connected to, if it has.
    fn choose_connected(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.connected.get_mut(node).filter(|p| p.outbound && !p.chosen) {
            peer.chosen = true;
            let addresses = self.addresses(node);
            self.command(Command::Connect { node: *node, addresses });
        }
    }

    /// Up to `count` nodes to connect to, any that are known. Those from the network's definition
    /// are among them as long as there are few others, or no connection to any.
    fn candidates(&mut self, now: Millis, count: usize) -> Vec<NodeId> {
        if count == 0 {
            return Vec::new();
        }
        let usable = |node: &NodeId| *node != self.node && self.may_dial(node);
        let routes = self.routing.routes.iter().filter(|(_, route)| route.is_current(now));
        let mut known: Vec<NodeId> = routes.map(|(node, _)| *node).filter(usable).collect();
        let mut first: Vec<NodeId> = Vec::new();
        if known.len() < count || self.peers.connected.is_empty() {
            let bootstrap = self.peers.bootstrap.keys().filter(|node| usable(node));
            first = bootstrap.copied().collect();
            known.retain(|node| !first.contains(node));
        }
        let mut chosen = Vec::new();
        for _ in 0..MOST_LOOKED_AT {
            // One of those that somebody vouched for, then any.
            let vouched = !first.is_empty() && (chosen.is_empty() || known.is_empty());
            let from = if vouched { &mut first } else { &mut known };
            if chosen.len() == count || from.is_empty() {
                break;
            }
            let index = self.choose() as usize % from.len();
            let node = from.swap_remove(index);
            if !self.addresses(&node).is_empty() {
                chosen.push(node);
            }
        }
        chosen
    }

    /// When a node is tried again, and why the last attempt failed.
    pub(crate) fn failed_attempts(&self, node: &NodeId) -> Option<(Attempts, &str)> {
        let attempts = self.peers.attempts.get(node)?;
        Some((*attempts, self.peers.reasons.get(node).map_or("", String::as_str)))
    }

    fn may_dial(&self, node: &NodeId) -> bool {
        let peers = &self.peers;
        !peers.connected.contains_key(node)
            && !peers.dialling.contains_key(node)
            && peers.attempts.get(node).is_none_or(|attempts| attempts.next <= self.steady)
    }

    fn dial(&mut self, node: NodeId) {
        if !self.may_dial(&node) {
            return;
        }
        let addresses = self.addresses(&node);
        if !addresses.is_empty() {
            self.peers.dialling.insert(node, self.steady);
            self.command(Command::Connect { node, addresses });
        }
    }

    /// Where a node may be reached: as the operator said, as its record says, as the network's
    /// definition says.
    pub(crate) fn addresses(&self, node: &NodeId) -> Vec<String> {
        let pinned = self.tables.pins.get(node).map(|row| row.addresses.clone());
        let mut record = self.node_record(node).map(|record| record.p2p);
        // A node that the world reaches dials no inner addresses because somebody's record says so.
        if self.is_public
            && let Some(addresses) = record.as_mut()
        {
            addresses.retain(|address| !is_private(address));
        }
        let bootstrap = self.peers.bootstrap.get(node).map(|link| link.p2p.clone());
        let mut addresses: Vec<String> = Vec::new();
        for address in [pinned, record, bootstrap].into_iter().flatten().flatten() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Whether there is a way to a node: an address, or a connection that it made itself.
    pub(crate) fn has_way(&self, node: &NodeId) -> bool {
        self.peers.connected.contains_key(node) || !self.addresses(node).is_empty()
    }

    /// Why there is none.
    pub(crate) fn no_way(&self, node: &NodeId) -> String {
        let name = self.node_name(node);
        match self.node_record(node) {
            None => format!("no record of the node {name} has reached this node yet"),
            Some(_) => format!(
                "{name} announces only addresses of its own network, and is not connected to this node"
            ),
        }
    }

    /// A number that nobody outside can guess, and that a repeated run repeats.
    pub(crate) fn choose(&mut self) -> u64 {
        self.peers.choices += 1;
        let input = [self.run.as_slice(), &self.peers.choices.to_be_bytes()].concat();
        let hash = blake3::keyed_hash(&self.keys.secret, &input);
        u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 8]))
    }
}

/// Whether an address leads into somebody's own network, or to a machine itself: `/ip4/…`,
/// `/ip6/…`. Names are not looked up for this.
pub(crate) fn is_private(address: &str) -> bool {
    let mut parts = address.split('/').skip(1);
    match (parts.next(), parts.next().map(str::parse::<IpAddr>)) {
        (Some("ip4" | "ip6"), Some(Ok(ip))) => match ip.to_canonical() {
            IpAddr::V4(v4) => {
                v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()
            }
            IpAddr::V6(v6) => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
            }
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_inner_networks_are_told_from_others() {
        for private in ["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.5/tcp/22", "/ip6/fe80::1/tcp/1"] {
            assert!(is_private(private), "{private}");
        }
        for public in ["/ip4/192.0.2.1/tcp/1", "/ip6/2001:db8::1/tcp/1", "/dns4/a.example/tcp/1"] {
            assert!(!is_private(public), "{public}");
        }
        assert!(is_private("/ip6/::ffff:127.0.0.1/tcp/1"), "in the other family's clothes");
    }
}
