//! Anti-entropy: what gossip did not bring is found by comparing tables. `spec/node.md`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Done, Frame, Nodes, NodesDigest, NodesDigested, NodesGet, NodesList, NodesListed,
};
use postroad_proto::ids::{Hash, Millis, NodeId};
use postroad_proto::limits::{MAX_FRAME, MAX_NODES};
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::Signed;

use super::Verdict;
use super::asks::Waiting;
use super::routing::entry_of;
use super::table::root;
use crate::core::Core;
use crate::people::accounts::malformed;
use crate::reply::{Answer, Refusal, ok};
use crate::ring::Ring;
use crate::timers::Timer;

/// How often tables are compared, and with how many.
const INTERVAL: Millis = 30_000;
const PARTNERS: usize = 2;
/// Records fetched in one comparison at most.
const MAX_WANTED: usize = 65_536;
/// Records that turned out to be no news, and are not fetched again.
const MAX_STALE: usize = 8192;

/// A comparison that is under way: what is still to be fetched.
#[derive(Default)]
pub(crate) struct Comparison {
    buckets: Vec<u8>,
    wanted: VecDeque<[u8; 8]>,
}

/// Comparisons under way, and what is known from earlier ones.
pub(crate) struct Compare {
    running: BTreeMap<NodeId, Comparison>,
    /// Entries of others whose records are older than ours.
    stale: Ring<[u8; 16]>,
    /// Entries that were not taken for now: there was no room, or they came too early.
    put_off: Ring<[u8; 16]>,
}

impl Default for Compare {
    fn default() -> Self {
        Self {
            running: BTreeMap::new(),
            stale: Ring::new(MAX_STALE),
            put_off: Ring::new(MAX_STALE),
        }
    }
}

impl Compare {
    /// What was not taken for now may be taken by now.
    pub(crate) fn try_put_off_again(&mut self) {
        self.put_off = Ring::new(MAX_STALE);
    }

    fn is_known(&self, entry: &[u8; 16]) -> bool {
        self.stale.contains(entry) || self.put_off.contains(entry)
    }
}

/// A step of a comparison that an answer is awaited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Digest,
    List,
    Get,
}

impl Core {
    /// Compares with two of the nodes that this one chose as neighbours: those it did not choose
    /// come after them.
    pub(crate) fn compare_tables(&mut self, now: Millis) {
        self.timers.set(Timer::Compare, self.steady + INTERVAL);
        self.mend_own_record(now);
        let of = |chosen| {
            let peers = self.peers.connected.iter().filter(move |(_, peer)| peer.chosen == chosen);
            peers.map(|(node, _)| *node).collect::<Vec<NodeId>>()
        };
        let mut partners = of(true);
        if partners.len() < PARTNERS {
            partners.extend(of(false));
        }
        for _ in 0..PARTNERS.min(partners.len()) {
            let index = self.choose() as usize % partners.len();
            let node = partners.swap_remove(index);
            self.compare_with(now, node, false);
        }
    }

    /// Asks `node` for what it has and this node has not. `introduce`: with this node's own record.
    pub(crate) fn compare_with(&mut self, now: Millis, node: NodeId, introduce: bool) {
        if self.compare.running.contains_key(&node) {
            return;
        }
        self.compare.running.insert(node, Comparison::default());
        self.timers.set_by(Timer::Compare, self.steady + INTERVAL);
        let own = self.tables.routes.get(&self.node).filter(|_| introduce);
        let own = own.map(|row| row.record.clone());
        let root = root(&self.routing.digest(now));
        self.ask_compare(node, Step::Digest, NodesDigest { request: 0, root, own }.into());
    }

    fn ask_compare(&mut self, node: NodeId, step: Step, frame: Frame) {
        self.ask(node, Waiting::Compare { node, step }, frame);
    }

    /// An answer to a step came, or none.
    pub(crate) fn on_compared(
        &mut self,
        now: Millis,
        node: NodeId,
        step: Step,
        done: Option<Done>,
    ) {
        let bytes = done.filter(|done| done.code.is_none()).and_then(|done| done.result);
        let next = bytes.and_then(|bytes| match step {
            Step::Digest => self.on_digested(now, node, codec::decode(&bytes, MAX_FRAME).ok()?),
            Step::List => self.on_listed(node, &codec::decode(&bytes, MAX_FRAME).ok()?),
            Step::Get => self.on_nodes(now, node, codec::decode(&bytes, MAX_FRAME).ok()?),
        });
        match next {
            Some((step, frame)) => self.ask_compare(node, step, frame),
            None => {
                self.compare.running.remove(&node);
            }
        }
    }

    fn on_digested(
        &mut self,
        now: Millis,
        node: NodeId,
        theirs: NodesDigested,
    ) -> Option<(Step, Frame)> {
        let own = self.routing.digest(now);
        if theirs.root == root(&own) {
            return None;
        }
        let (values, _) = theirs.buckets.as_chunks::<8>();
        let numbered = (0..=u8::MAX).zip(values).zip(&own);
        let differing = numbered.filter(|((_, theirs), own)| *theirs != *own && **theirs != [0; 8]);
        let running = self.compare.running.get_mut(&node)?;
        running.buckets = differing.map(|((number, _), _)| number).collect();
        self.next_step(node)
    }

    fn on_listed(&mut self, node: NodeId, listed: &NodesListed) -> Option<(Step, Frame)> {
        let (entries, _) = listed.entries.as_chunks::<16>();
        let mut wanted = VecDeque::new();
        for entry in entries {
            let (start, hash) = (first(entry, 0), first(entry, 8));
            let mut held = self.routing.by_prefix(start);
            if held.any(|(_, route)| route.hash == hash) || self.compare.is_known(entry) {
                continue;
            }
            wanted.push_back(start);
        }
        let running = self.compare.running.get_mut(&node)?;
        let room = MAX_WANTED.saturating_sub(running.wanted.len());
        running.wanted.extend(wanted.into_iter().take(room));
        // Those that did not fit the answer are asked for again; an answer that brings nothing ends it.
        let before = running.buckets.len();
        running.buckets.retain(|number| u64::from(*number) >= listed.rest);
        if running.buckets.len() == before {
            running.buckets.clear();
        }
        self.next_step(node)
    }

    fn on_nodes(&mut self, now: Millis, node: NodeId, nodes: Nodes) -> Option<(Step, Frame)> {
        for record in nodes.records.into_iter().take(MAX_NODES) {
            let Some((entry, of, seq)) = entry_of(&record) else { continue };
            let verdict = self.take_record(now, node, record);
            // What is false or older stays so. What comes too early, or found no room, does not.
            let older = self.routing.routes.get(&of).is_some_and(|route| route.seq >= seq);
            match verdict {
                Verdict::Accept => {}
                Verdict::Ignore if !older => self.compare.put_off.insert(entry),
                Verdict::Ignore | Verdict::Reject => self.compare.stale.insert(entry),
            }
            // Whoever hands out what is false has nothing to compare with.
            if verdict == Verdict::Reject {
                return None;
            }
        }
        self.next_step(node)
    }

    fn next_step(&mut self, node: NodeId) -> Option<(Step, Frame)> {
        let running = self.compare.running.get_mut(&node)?;
        if !running.buckets.is_empty() {
            let buckets = running.buckets.clone();
            return Some((Step::List, NodesList { request: 0, buckets: buckets.into() }.into()));
        }
        let count = running.wanted.len().min(MAX_NODES);
        let batch: BTreeSet<[u8; 8]> = running.wanted.drain(..count).collect();
        if batch.is_empty() {
            return None;
        }
        let nodes: Vec<u8> = batch.into_iter().flatten().collect();
        Some((Step::Get, NodesGet { request: 0, nodes: nodes.into() }.into()))
    }

    pub(crate) fn nodes_digest(&mut self, now: Millis, from: NodeId, ask: NodesDigest) -> Answer {
        let is_own = |own: &Signed<NodeRecord>| entry_of(own).is_some_and(|(_, of, _)| of == from);
        if let Some(own) = ask.own.filter(is_own)
            && self.take_record(now, from, own.clone()) == Verdict::Accept
        {
            // It may know nobody else yet: it is told on for it.
            self.publish(&own);
        }
        let values = self.routing.digest(now);
        let own: Hash = root(&values);
        let buckets = if own == ask.root { Vec::new() } else { values.concat() };
        ok(&NodesDigested { root: own, buckets: buckets.into() })
    }

    pub(crate) fn nodes_list(&self, now: Millis, ask: &NodesList) -> Answer {
        let rising = ask.buckets.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising {
            return Err(malformed("buckets by rising number"));
        }
        ok(&self.routing.list(&ask.buckets, now))
    }

    pub(crate) fn nodes_get(&self, now: Millis, ask: &NodesGet) -> Answer {
        if ask.nodes.len() > MAX_NODES * 8 {
            let text = format!("at most {MAX_NODES} nodes in one request");
            return Err(Refusal::new(ErrorCode::TooLarge, text));
        }
        ok(&self.records_by_prefix(&ask.nodes, now))
    }
}

fn first(entry: &[u8; 16], at: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&entry[at..at + 8]);
    bytes
}
