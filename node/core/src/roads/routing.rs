//! The routing table: the record of every node of the network. `spec/node.md`.

use bytes::Bytes;
use postroad_proto::codec;
use postroad_proto::frame::Nodes;
use postroad_proto::ids::{Millis, NodeId};
use postroad_proto::limits::{
    CLOCK_ALLOWANCE_SECONDS, MAX_DEADLINE_SECONDS, MAX_NODE_RECORD, MAX_NODES, NODE_RECORD_SECONDS,
};
use postroad_proto::record::{CRITICAL_FLAGS, NodeRecord, RECORD_VERSION};
use postroad_proto::signed::Signed;

use super::neighbours::is_private;
use super::news::News;
use super::table::{Route, prefix};
use super::{Command, Verdict};
use crate::core::{Core, Output};
use crate::state::RouteRow;
use crate::timers::Timer;

/// Bytes that a signed record takes when it is encoded: payload, signature and their heads.
const MAX_SIGNED: usize = MAX_NODE_RECORD + 128;
/// How often records that are over for good are looked for.
const CLEAN: Millis = 3_600_000;
/// New records of one node that are taken per hour, some of them at once.
pub(crate) const RENEWALS_PER_HOUR: u64 = 60;
pub(crate) const RENEWALS_AT_ONCE: u64 = 60;
/// How soon records that are over make room when there is none.
const MAKE_ROOM: Millis = 60_000;
/// Nodes that were not known before, per hour, of which one peer may tell by gossip. More of them
/// are found when tables are compared, by whoever is asked.
pub(crate) const INTRODUCED_PER_HOUR: u64 = 1_200;
/// An own record older than this was not renewed in its time: the machine slept. Seconds.
const OVERDUE: u64 = 108_000;
/// How soon a node that was not known may be connected to.
const SOON: Millis = 200;
/// Least time between two renewals of the own record.
const RENEWAL: Millis = 60_000;

impl Core {
    /// Fills the table from what the store holds.
    pub(crate) fn load_routes(&mut self) {
        for (node, row) in self.tables.routes.iter() {
            // Its signature was checked when it came in.
            if let Ok(record) = decode(&row.record) {
                self.routing.routes.insert(*node, Route::new(&record, &row.record));
            }
        }
    }

    /// The record held of a node, current or not.
    pub(crate) fn node_record(&self, node: &NodeId) -> Option<NodeRecord> {
        decode(&self.tables.routes.get(node)?.record).ok()
    }

    /// How people call a node: its name, or its id. A name is the node's own word.
    pub fn node_name(&self, node: &NodeId) -> String {
        if *node == self.node {
            return self.keys.name.clone();
        }
        let own = self.routing.routes.get(node).map(|route| &*route.name);
        match own.filter(|name| !name.is_empty()).or_else(|| self.name_given(node)) {
            Some(name) => name.to_owned(),
            None => node.to_string(),
        }
    }

    /// What the operator or the network's definition calls a node.
    fn name_given(&self, node: &NodeId) -> Option<&str> {
        let pinned = self.tables.pins.get(node).map(|row| row.name.as_str());
        let name = pinned.or_else(|| Some(self.peers.bootstrap.get(node)?.name.as_str()));
        name.filter(|name| !name.is_empty())
    }

    /// The number that this node's next own record is to carry.
    pub fn own_record_seq(&self, now: Millis) -> u64 {
        let last = self.routing.routes.get(&self.node).map_or(0, |route| route.seq);
        (now / 1000).max(last.saturating_add(1))
    }

    /// This node's own record: kept, and told to everybody.
    pub fn set_record(&mut self, now: Millis, record: Signed<NodeRecord>) {
        let Ok(opened) = decode(&record) else { return };
        if opened.node != self.node {
            return;
        }
        self.is_public = opened.p2p.iter().any(|address| !is_private(address));
        self.publish(&record);
        self.keep_record(now, &opened, record);
    }

    pub(crate) fn publish(&mut self, record: &Signed<NodeRecord>) {
        if let Ok(bytes) = codec::encode(record) {
            self.command(Command::Publish { record: bytes.into() });
        }
    }

    pub(crate) fn on_gossip(&mut self, now: Millis, id: u64, from: NodeId, bytes: &Bytes) {
        let verdict = match codec::decode::<Signed<NodeRecord>>(bytes, MAX_SIGNED) {
            Ok(record) if self.may_introduce(now, from, &record) => {
                self.take_record(now, from, record)
            }
            Ok(_) => Verdict::Ignore,
            Err(_) => {
                self.news(now, News::BadRecord { from });
                Verdict::Reject
            }
        };
        self.command(Command::Verdict { id, verdict });
    }

    fn may_introduce(&mut self, now: Millis, from: NodeId, record: &Signed<NodeRecord>) -> bool {
        let known = entry_of(record).is_none_or(|(_, of, _)| self.routing.routes.contains_key(&of));
        let introduced = &mut self.origin(now, from).introduced;
        known || introduced.take(INTRODUCED_PER_HOUR, INTRODUCED_PER_HOUR, now).is_ok()
    }

    /// A record that `from` passed on: kept if it is news.
    pub(crate) fn take_record(
        &mut self,
        now: Millis,
        from: NodeId,
        signed: Signed<NodeRecord>,
    ) -> Verdict {
        let Ok(record) = decode(&signed) else {
            self.news(now, News::BadRecord { from });
            return Verdict::Reject;
        };
        let node = record.node;
        let held = self.tables.routes.get(&node);
        if held.is_some_and(|row| row.record.payload == signed.payload) {
            return Verdict::Ignore;
        }
        // Of a version to come: nobody is to blame for passing it on.
        if record.version != RECORD_VERSION || record.flags & CRITICAL_FLAGS != 0 {
            return Verdict::Ignore;
        }
        // What is stale needs no look at its signature.
        let known = self.routing.routes.get(&node).cloned();
        if known.as_ref().is_some_and(|known| record.seq < known.seq) {
            return Verdict::Ignore;
        }
        let lifetime = NODE_RECORD_SECONDS + CLOCK_ALLOWANCE_SECONDS;
        let too_long = record.expires > record.issued.saturating_add(lifetime);
        if too_long || signed.open(&self.keys.network).is_err() {
            self.news(now, News::BadRecord { from });
            return Verdict::Reject;
        }
        if record.issued > now / 1000 + CLOCK_ALLOWANCE_SECONDS {
            self.news(now, News::FutureRecord { node, from });
            return Verdict::Ignore;
        }
        if !record.is_current(now / 1000) {
            return Verdict::Ignore;
        }
        if node == self.node {
            // Our own, and newer than what we hold: told before our data was rolled back.
            self.news(now, News::OwnRecord { from });
            if let Some(known) = self.routing.routes.get_mut(&node) {
                known.seq = record.seq;
            }
            self.renew_record();
            return Verdict::Ignore;
        }
        match known {
            // Anybody can make records without end; each costs everybody a little.
            Some(_) if !self.take_renewal(now, node) => return Verdict::Ignore,
            Some(known) if known.seq == record.seq => {
                if let Some(route) = self.routing.routes.get_mut(&node)
                    && !core::mem::replace(&mut route.equivocates, true)
                {
                    self.news(now, News::Equivocates { node, from });
                }
                // All must keep the same one, or their tables never agree.
                if prefix(&signed.hash().0) >= known.hash {
                    return Verdict::Ignore;
                }
            }
            None if !self.has_room_for(now, &node) => return Verdict::Ignore,
            _ => {}
        }
        self.keep_record(now, &record, signed);
        Verdict::Accept
    }

    /// Asks for a new own record. Not at once each time: should two nodes run with one key, they
    /// would never end.
    fn renew_record(&mut self) {
        if self.peers.renewed_at.is_none_or(|at| at + RENEWAL <= self.steady) {
            self.peers.renewed_at = Some(self.steady);
            self.command(Command::RenewRecord);
        }
    }

    /// A record that was made while this node's clock was ahead is no good to anybody; nor is one
    /// that others hold a newer one of, or one that will soon be over.
    pub(crate) fn mend_own_record(&mut self, now: Millis) {
        let own = self.node_record(&self.node);
        let known = self.routing.routes.get(&self.node).map(|route| route.seq);
        let is_off = |own: NodeRecord| {
            own.issued > now / 1000 + CLOCK_ALLOWANCE_SECONDS
                || own.issued + OVERDUE < now / 1000
                || known > Some(own.seq)
        };
        if own.is_some_and(is_off) {
            self.renew_record();
        }
    }

    fn take_renewal(&mut self, now: Millis, node: NodeId) -> bool {
        let renewals = &mut self.origin(now, node).renewals;
        renewals.take(RENEWALS_PER_HOUR, RENEWALS_AT_ONCE, now).is_ok()
    }

    fn has_room_for(&mut self, now: Millis, node: &NodeId) -> bool {
        let most = self.config.roads.max_routes;
        if self.is_named(node) || (self.routing.routes.len() as u64) < most {
            return true;
        }
        if self.routing.emptied_at.is_none_or(|at| at + MAKE_ROOM <= self.steady) {
            self.routing.emptied_at = Some(self.steady);
            self.drop_dead_routes(now);
        }
        (self.routing.routes.len() as u64) < most
    }

    /// Whether the operator or the network's definition names a node.
    fn is_named(&self, node: &NodeId) -> bool {
        self.is_pinned(node) || self.peers.bootstrap.contains_key(node)
    }

    fn keep_record(&mut self, now: Millis, record: &NodeRecord, signed: Signed<NodeRecord>) {
        let node = record.node;
        let mut route = Route::new(record, &signed);
        self.routing.fresh_until =
            self.routing.fresh_until.min(record.expires.saturating_add(CLOCK_ALLOWANCE_SECONDS));
        let before = self.routing.routes.get(&node);
        let highest = before.map_or(0, |b| b.generation);
        let is_set_back = route.generation < highest;
        route.generation = route.generation.max(highest);
        route.equivocates = before.is_some_and(|b| b.equivocates);
        let (is_new, raised) = match before {
            Some(before) => (false, route.generation > before.generation),
            None => (true, false),
        };
        let moved = self.node_record(&node).is_none_or(|held| held.p2p != record.p2p);
        let generation = route.generation;
        if is_set_back && node != self.node {
            self.news(now, News::SetBack { node, generation: record.generation });
        }
        self.routing.routes.insert(node, route);
        self.routing.touch(&node);
        self.tables.routes.put(node, RouteRow { record: signed }, &mut self.group.staged);
        self.timers.set_by(Timer::Routes, self.steady + CLEAN);
        if node == self.node {
            return;
        }
        if is_new {
            self.news(now, News::NewNode { node, name: record.name.clone() });
            self.timers.set_by(Timer::Neighbours, self.steady + SOON);
        }
        if !is_new {
            self.quote_later(node);
        }
        if raised {
            self.tell_generation(now, node, generation);
        }
        if moved {
            self.try_now(node);
        }
    }

    /// Tidies up, once an hour.
    pub(crate) fn clean_routes(&mut self, now: Millis) {
        self.drop_dead_routes(now);
        self.forget_idle_outboxes();
        self.compare.try_put_off_again();
        self.timers.set(Timer::Routes, self.steady + CLEAN);
    }

    /// Forgets nodes that no mail can wait for any more; of a large table also those whose record is
    /// over and for which nothing waits.
    fn drop_dead_routes(&mut self, now: Millis) {
        let is_large = self.routing.routes.len() as u64 > self.config.roads.max_routes / 2;
        let gone = |node: &NodeId, route: &Route| {
            let kept = match is_large && !self.is_named(node) && !self.has_something_for(node) {
                true => CLOCK_ALLOWANCE_SECONDS,
                false => MAX_DEADLINE_SECONDS,
            };
            route.expires.saturating_add(kept) < now / 1000
        };
        let routes = self.routing.routes.iter();
        let dead: Vec<NodeId> = routes
            .filter(|(node, route)| **node != self.node && gone(node, route))
            .map(|(node, _)| *node)
            .collect();
        for node in dead {
            self.routing.routes.remove(&node);
            self.routing.touch(&node);
            self.tables.routes.remove(&node, &mut self.group.staged);
            self.news(now, News::Forgotten { node });
        }
    }

    /// The records of nodes whose ids begin so.
    pub(crate) fn records_by_prefix(&self, prefixes: &[u8], now: Millis) -> Nodes {
        let (prefixes, _) = prefixes.as_chunks::<8>();
        let found = prefixes.iter().take(MAX_NODES).filter_map(|start| {
            let (node, _) =
                self.routing.by_prefix(*start).find(|(_, route)| route.is_current(now))?;
            self.tables.routes.get(node).map(|row| row.record.clone())
        });
        Nodes { records: found.collect() }
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.group.released.push(Output::Road(command));
    }
}

/// What a record says, unchecked.
fn decode(signed: &Signed<NodeRecord>) -> Result<NodeRecord, codec::CodecError> {
    codec::decode(&signed.payload, MAX_NODE_RECORD)
}

/// How a record stands in a list of its bucket, whose it is, and its number.
pub(crate) fn entry_of(signed: &Signed<NodeRecord>) -> Option<([u8; 16], NodeId, u64)> {
    let record = decode(signed).ok()?;
    let mut entry = [0; 16];
    entry[..8].copy_from_slice(&record.node.0[..8]);
    entry[8..].copy_from_slice(&signed.hash().0[..8]);
    Some((entry, record.node, record.seq))
}
