//! What an operator may see of the roads.

use std::collections::BTreeSet;

use postroad_proto::ids::{AccountId, Millis, NodeId, ParcelId};
use postroad_proto::record::NodeRecord;

use super::why::Reason;
use crate::changes::MailboxId;
use crate::core::Core;
use crate::inspect::QueueRow;

/// Characters of an id that stand for it at least.
const MIN_PREFIX: usize = 4;

/// A connected node.
#[derive(Debug, Clone)]
pub struct PeerView {
    /// Which.
    pub node: NodeId,
    /// Its name, or its id.
    pub name: String,
    /// Whether this node dialled.
    pub outbound: bool,
    /// Since when, milliseconds since the Unix epoch.
    pub since: Millis,
    /// Where it is.
    pub address: String,
    /// Whether the operator named it.
    pub pinned: bool,
}

/// A peer that the operator or the network's definition named.
#[derive(Debug, Clone)]
pub struct PinView {
    /// Which.
    pub node: NodeId,
    /// Its name, or its id.
    pub name: String,
    /// Multiaddresses, best first.
    pub addresses: Vec<String>,
    /// Whether the operator named it.
    pub by_operator: bool,
    /// Whether there is a connection to it.
    pub connected: bool,
    /// Attempts that failed since the last connection.
    pub failed: u32,
    /// When it is tried again, milliseconds since the Unix epoch.
    pub next_try: Option<Millis>,
    /// Why the last attempt failed; empty when none did.
    pub reason: String,
}

/// A node whose record is known.
#[derive(Debug, Clone)]
pub struct RouteView {
    /// Which.
    pub node: NodeId,
    /// Its name, or its id.
    pub name: String,
    /// Free text of its own.
    pub region: String,
    /// Rises with each of its records.
    pub seq: u64,
    /// Raised when its data was rolled back.
    pub generation: u64,
    /// Seconds since the Unix epoch.
    pub issued: u64,
    /// Seconds since the Unix epoch.
    pub expires: u64,
    /// Multiaddresses.
    pub addresses: Vec<String>,
    /// Whether its record is still good.
    pub current: bool,
    /// Whether it is this node.
    pub own: bool,
    /// Whether there is a connection to it.
    pub connected: bool,
    /// Whether it was seen to sign different records with one number.
    pub equivocates: bool,
}

/// What waits for a node.
#[derive(Debug, Clone)]
pub struct OutboxView {
    /// Which.
    pub node: NodeId,
    /// Its name, or its id.
    pub name: String,
    /// Items.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
    /// When the oldest came, milliseconds since the Unix epoch.
    pub oldest: Option<Millis>,
    /// Why it waits, and until when.
    pub reason: Reason,
}

/// A parcel in custody here.
#[derive(Debug, Clone)]
pub struct ParcelView {
    /// Copies that are kept: one per device homed here that has not acked, or one for another node.
    pub copies: u8,
    /// When it waits for another node: for which, since when, why.
    pub waits: Option<(NodeId, Millis, Reason)>,
}

impl Core {
    /// Connected nodes.
    pub fn peers(&self) -> Vec<PeerView> {
        let connected = self.peers.connected.iter();
        let view = connected.map(|(node, peer)| PeerView {
            node: *node,
            name: self.node_name(node),
            outbound: peer.outbound,
            since: peer.since,
            address: peer.address.clone(),
            pinned: self.is_pinned(node),
        });
        view.collect()
    }

    /// Whether the operator named a node as a peer.
    pub fn is_pinned(&self, node: &NodeId) -> bool {
        self.tables.pins.get(node).is_some()
    }

    /// Peers that the operator or the network's definition named.
    pub fn named_peers(&self) -> usize {
        let pins =
            self.tables.pins.iter().filter(|(node, _)| !self.peers.bootstrap.contains_key(node));
        self.peers.bootstrap.len() + pins.count()
    }

    /// Peers that the operator or the network's definition named, connected or not.
    pub fn pins(&self) -> Vec<PinView> {
        let pinned = self.tables.pins.iter().map(|(node, _)| (*node, true));
        let bootstrap = self.peers.bootstrap.keys().map(|node| (*node, false));
        let named = pinned.chain(bootstrap.filter(|(node, _)| !self.is_pinned(node)));
        let view = named.map(|(node, by_operator)| {
            let attempts = self.failed_attempts(&node);
            PinView {
                node,
                name: self.node_name(&node),
                addresses: self.addresses(&node),
                by_operator,
                connected: self.peers.connected.contains_key(&node),
                failed: attempts.map_or(0, |(attempts, _)| attempts.failed),
                next_try: attempts.map(|(attempts, _)| self.wall(attempts.next)),
                reason: attempts.map(|(_, reason)| reason.to_owned()).unwrap_or_default(),
            }
        });
        view.collect()
    }

    /// Nodes that were seen to sign different records with one number.
    pub fn equivocators(&self) -> Vec<NodeId> {
        let routes = self.routing.routes.iter().filter(|(_, route)| route.equivocates);
        routes.map(|(node, _)| *node).collect()
    }

    /// Mail streams that this node opened, and that others did.
    pub fn link_count(&self) -> (usize, usize) {
        (self.links.outgoing.len(), self.links.incoming.len())
    }

    /// When this node found that its data had been rolled back, seconds since the Unix epoch.
    pub fn rolled_back_at(&self) -> Option<u64> {
        let at = self.tables.node.get(&())?.generation_at;
        (at != 0).then_some(at)
    }

    /// Where an account that was homed here has gone.
    pub fn moved(&self, account: &AccountId) -> Option<NodeId> {
        let row = self.tables.accounts.get(account).filter(|row| row.moved)?;
        Some(row.record.open(&self.keys.network).ok()?.home)
    }

    /// Whether a parcel was acked by a device here lately.
    pub fn was_here(&self, parcel: &ParcelId) -> bool {
        self.recent.contains(parcel)
    }

    /// Every known node, this one among them.
    pub fn routes(&self, now: Millis) -> Vec<RouteView> {
        self.routing.routes.keys().filter_map(|node| self.route(node, now)).collect()
    }

    /// How many nodes are known, this one among them.
    pub fn route_count(&self) -> usize {
        self.routing.routes.len()
    }

    /// A known node.
    pub fn route(&self, node: &NodeId, now: Millis) -> Option<RouteView> {
        let route = self.routing.routes.get(node)?;
        let record: NodeRecord = self.node_record(node)?;
        Some(RouteView {
            node: *node,
            name: self.node_name(node),
            region: record.region,
            seq: route.seq,
            generation: route.generation,
            issued: record.issued,
            expires: route.expires,
            addresses: record.p2p,
            current: route.is_current(now),
            own: *node == self.node,
            connected: self.peers.connected.contains_key(node),
            equivocates: route.equivocates,
        })
    }

    /// The nodes that somebody means by an id, its beginning, or a name. Names are the nodes' own words, so there
    /// may be several.
    pub fn find_nodes(&self, text: &str) -> Vec<NodeId> {
        if let Ok(node) = text.parse::<NodeId>() {
            return vec![node];
        }
        let named =
            self.tables.pins.iter().map(|(node, _)| node).chain(self.peers.bootstrap.keys());
        let nodes: BTreeSet<&NodeId> = self.routing.routes.keys().chain(named).collect();
        let beginning = text.len() >= MIN_PREFIX;
        let meant = |node: &&NodeId| {
            self.node_name(node) == text || (beginning && node.to_string().starts_with(text))
        };
        nodes.into_iter().filter(meant).copied().collect()
    }

    /// The record of a node as it was received, signed.
    pub fn signed_record(
        &self,
        node: &NodeId,
    ) -> Option<postroad_proto::signed::Signed<NodeRecord>> {
        self.tables.routes.get(node).map(|row| row.record.clone())
    }

    /// Where a node may be reached, best first.
    pub fn node_addresses(&self, node: &NodeId) -> Vec<String> {
        self.addresses(node)
    }

    /// What waits for a node.
    pub fn outbox(&self, node: &NodeId) -> Option<OutboxView> {
        let held = self.mailboxes.get(&MailboxId::outbox(*node))?;
        Some(OutboxView {
            node: *node,
            name: self.node_name(node),
            messages: held.items.len() as u64,
            bytes: held.bytes,
            oldest: held.oldest(),
            reason: self.outbox_reason(node),
        })
    }

    /// Every outbox in which something waits.
    pub fn outboxes(&self) -> Vec<OutboxView> {
        let mailboxes = self.sorted_mailboxes().into_iter();
        let nodes = mailboxes.filter(|(_, held)| !held.items.is_empty());
        nodes.filter_map(|(id, _)| self.outbox(&id.destination()?)).collect()
    }

    /// A parcel that is in custody here.
    pub fn parcel(&self, parcel: &ParcelId) -> Option<ParcelView> {
        let held = self.held.get(parcel)?;
        let waits = self.locate(parcel);
        Some(ParcelView { copies: held.copies, waits })
    }

    pub(crate) fn outbox_rows(&self) -> Vec<QueueRow> {
        let rows = self.outboxes().into_iter().map(|outbox| QueueRow {
            to: outbox.name,
            messages: outbox.messages,
            bytes: outbox.bytes,
            oldest: outbox.oldest,
            reason: outbox.reason.text,
            next_try: outbox.reason.next_try,
        });
        rows.collect()
    }
}
