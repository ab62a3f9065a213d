//! Outboxes: what waits for other nodes, and how it is handed over.
//!
//! The items of an outbox lie in the store like those of a mailbox. Here is what is known of the
//! way: the stream, what was offered on it, and why something waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use postroad_proto::PROTOCOL_VERSIONS;
use postroad_proto::frame::{EphemeralSend, Frame, Late, MailOpen, MailOpened};
use postroad_proto::ids::{AccountId, Millis, NodeId, ParcelId};
use serde_bytes::ByteArray;

use super::lanes::{LaneKey, Lanes};
use super::links::InLink;
use super::neighbours::Attempts;
use super::news::News;
use super::{Command, LinkId};
use crate::changes::MailboxId;
use crate::core::Core;
use crate::timers::Timer;

/// How long an answer on a stream may take, while nothing else comes and at most.
pub(super) const PATIENCE: Millis = 30_000;
pub(super) const LONG_PATIENCE: Millis = 120_000;
/// After so long a stream that was asked for is asked for again.
pub(super) const OPENING: Millis = 180_000;
/// A stream on which nothing was handed over for so long is closed.
pub(super) const IDLE: Millis = 20_000;
/// Those who show a node its own receipt spread over so long per known node, and at most.
const QUOTE_SPREAD: Millis = 100;
const LONGEST_SPREAD: Millis = 600_000;
/// Attempts to show it.
const MAX_QUOTES: u32 = 5;
/// Credit beyond this is not counted: nobody needs more in flight.
const MOST_ENVELOPES: u64 = 4096;
const MOST_BYTES: u64 = 8 << 20;
/// News of expired mail that wait for one node, at most.
const MAX_LATE: usize = 1024;

/// A stream to the node.
pub(crate) struct OutLink {
    pub(crate) id: LinkId,
    pub(crate) opened: bool,
    pub(crate) envelopes: u64,
    pub(crate) bytes: u64,
    pub(crate) next_batch: u64,
    /// When the other was last heard of on it, or something was first awaited.
    pub(crate) heard: Millis,
    /// When it was opened, or a batch was answered.
    pub(crate) used: Millis,
}

/// An item that was offered.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    pub(crate) seq: u64,
    pub(crate) parcel: ParcelId,
    pub(crate) account: AccountId,
    /// Its envelope's place in the batch.
    pub(crate) envelope: u64,
    /// Its sender, a user of this node.
    pub(crate) sender: Option<MailboxId>,
    /// Epoch and number of the record by which it was sent on to this node, and how often it was.
    pub(crate) moved: Option<(u64, u64, u64)>,
    pub(crate) bytes: u64,
}

impl Offered {
    pub(crate) fn lane(&self) -> LaneKey {
        (self.sender, self.account)
    }
}

/// The way to one node.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) link: Option<OutLink>,
    pub(crate) opening: Option<Millis>,
    pub(crate) attempts: Attempts,
    /// Why the last attempt failed; empty when none did.
    pub(crate) reason: String,
    pub(crate) in_flight: BTreeMap<u64, (Millis, Vec<Offered>)>,
    pub(crate) lanes: Lanes,
    /// Items up to this one were looked at.
    pub(crate) cursor: u64,
    /// Items before that whose lane is free again: the first is offered first.
    pub(crate) ready: BTreeSet<u64>,
    late: VecDeque<Late>,
    /// Typing and presence that wait for a stream, and since when.
    pub(crate) ephemerals: VecDeque<(Millis, EphemeralSend)>,
    /// Whether the node is to be shown the highest receipt of its, once: it may have been rolled
    /// back.
    quote_due: bool,
}

impl Core {
    pub(crate) fn outbox_mut(&mut self, node: NodeId) -> &mut Outbox {
        self.outboxes.entry(node).or_default()
    }

    pub(crate) fn has_something_for(&self, node: &NodeId) -> bool {
        let waits = |held: &crate::mail::mailbox::Mailbox| !held.items.is_empty();
        let owed = |outbox: &Outbox| !outbox.late.is_empty() || outbox.quote_due;
        self.mailboxes.get(&MailboxId::outbox(*node)).is_some_and(waits)
            || self.outboxes.get(node).is_some_and(owed)
    }

    /// Forgets the ways to nodes for which nothing waits and to which there is no stream.
    pub(crate) fn forget_idle_outboxes(&mut self) {
        let nodes = self.outboxes.iter().filter(|(_, outbox)| {
            outbox.link.is_none() && outbox.opening.is_none() && outbox.in_flight.is_empty()
        });
        let idle: Vec<NodeId> =
            nodes.map(|(node, _)| *node).filter(|node| !self.has_something_for(node)).collect();
        for node in idle {
            self.outboxes.remove(&node);
        }
    }

    /// A node has a new record, so it may have started anew, on older data: it is shown what it
    /// signed last. Not by everybody at the same moment.
    pub(crate) fn quote_later(&mut self, node: NodeId) {
        if self.tables.seen.get(&node).is_none() {
            return;
        }
        let outbox = self.outbox_mut(node);
        outbox.quote_due = true;
        let crowd = (self.routing.routes.len() as u64 * QUOTE_SPREAD).min(LONGEST_SPREAD);
        let at = self.steady + self.choose() % crowd.max(1);
        self.timers.set_by(Timer::Outbox(node), at);
    }

    /// At start: mail waits from before.
    pub(crate) fn reopen_outboxes(&mut self) {
        let mailboxes = self.sorted_mailboxes().into_iter();
        let waiting = mailboxes.filter(|(_, held)| !held.items.is_empty());
        let nodes: Vec<NodeId> = waiting.filter_map(|(id, _)| id.destination()).collect();
        for node in nodes {
            self.want_link(node);
        }
    }

    /// Sees to it that there is a stream to `node`, unless it is too early for another attempt.
    pub(crate) fn want_link(&mut self, node: NodeId) {
        let steady = self.steady;
        let outbox = self.outbox_mut(node);
        if outbox.link.is_some() {
            self.pumping.insert(node);
            return;
        }
        if outbox.opening.is_some() {
            return;
        }
        if outbox.attempts.next > steady {
            let next = outbox.attempts.next;
            self.timers.set_by(Timer::Outbox(node), next);
            return;
        }
        if !self.has_way(&node) {
            self.outbox_mut(node).reason = self.no_way(&node);
            return;
        }
        let addresses = self.addresses(&node);
        self.outbox_mut(node).opening = Some(steady);
        self.timers.set_by(Timer::Outbox(node), self.steady + OPENING);
        self.command(Command::OpenLink { node, addresses });
    }

    /// There was word from `node`: what waits for it need not wait any longer.
    pub(crate) fn contact(&mut self, node: NodeId) {
        if self.outboxes.get(&node).is_some_and(|outbox| outbox.attempts.failed > 0) {
            self.try_now(node);
        }
    }

    /// Forgets failed attempts and tries again, if there is something to hand over.
    pub(crate) fn try_now(&mut self, node: NodeId) {
        if let Some(outbox) = self.outboxes.get_mut(&node) {
            outbox.attempts = Attempts::default();
        }
        if self.has_something_for(&node) {
            self.want_link(node);
        }
    }

    pub(crate) fn on_own_link(&mut self, link: LinkId, node: NodeId) {
        let quoted = self.tables.seen.get(&node).map(|row| row.root.clone());
        let open = MailOpen {
            versions: PROTOCOL_VERSIONS,
            generation: self.generation,
            run: ByteArray::new(self.run),
            quoted,
        };
        let steady = self.steady;
        let outbox = self.outbox_mut(node);
        outbox.opening = None;
        let new = OutLink {
            id: link,
            opened: false,
            envelopes: 0,
            bytes: 0,
            next_batch: 1,
            heard: steady,
            used: steady,
        };
        if let Some(old) = outbox.link.replace(new) {
            outbox.rewind();
            self.links.outgoing.remove(&old.id);
            self.command(Command::CloseLink { link: old.id });
        }
        self.links.outgoing.insert(link, node);
        self.command(Command::Frame { link, frame: open.into() });
        self.timers.set_by(Timer::Outbox(node), self.steady + PATIENCE);
    }

    /// A frame on a stream that this node opened.
    pub(crate) fn on_taker_frame(&mut self, now: Millis, node: NodeId, link: LinkId, frame: Frame) {
        let steady = self.steady;
        let Some(held) = self.outbox_mut(node).link.as_mut().filter(|held| held.id == link) else {
            return;
        };
        held.heard = steady;
        match frame {
            Frame::MailOpened(opened) if !held.opened => self.on_mail_opened(now, node, &opened),
            Frame::Credit(credit) if held.opened => {
                held.envelopes = held.envelopes.saturating_add(credit.messages).min(MOST_ENVELOPES);
                held.bytes = held.bytes.saturating_add(credit.bytes).min(MOST_BYTES);
                self.pumping.insert(node);
            }
            Frame::BatchReply(reply) if held.opened => self.on_batch_reply(now, node, *reply),
            other => self.drop_link(now, node, format!("{} out of turn", other.name())),
        }
    }

    fn on_mail_opened(&mut self, now: Millis, node: NodeId, opened: &MailOpened) {
        let (low, high) = PROTOCOL_VERSIONS;
        if !(low..=high).contains(&opened.version) {
            let how = format!("speaks version {} only", opened.version);
            return self.drop_link(now, node, how);
        }
        if let Some(root) = &opened.quoted {
            self.check_quote(now, root);
        }
        self.heard_generation(now, node, opened.generation);
        let outbox = self.outbox_mut(node);
        let Some(link) = outbox.link.as_mut() else { return };
        link.opened = true;
        let id = link.id;
        outbox.quote_due = false;
        for late in core::mem::take(&mut self.outbox_mut(node).late) {
            self.command(Command::Frame { link: id, frame: late.into() });
        }
        self.release_ephemerals(node);
        self.pumping.insert(node);
    }

    pub(crate) fn on_link_failed(&mut self, now: Millis, node: NodeId, reason: String) {
        self.outbox_mut(node).opening = None;
        self.put_off(now, node, reason);
    }

    pub(crate) fn on_link_down(
        &mut self,
        now: Millis,
        link: LinkId,
        reason: String,
        garbage: bool,
    ) {
        if let Some(InLink { node, .. }) = self.links.incoming.remove(&link)
            && garbage
        {
            self.news(now, News::Misbehaved { node, how: reason.clone() });
        }
        let Some(node) = self.links.outgoing.remove(&link) else { return };
        let outbox = self.outbox_mut(node);
        if outbox.link.as_ref().is_some_and(|held| held.id == link) {
            outbox.link = None;
            outbox.rewind();
            self.put_off(now, node, reason);
        }
    }

    /// Closes a stream whose other end does not keep to the protocol.
    pub(crate) fn drop_link(&mut self, now: Millis, node: NodeId, how: String) {
        self.close_own_link(node);
        self.news(now, News::Misbehaved { node, how: how.clone() });
        self.put_off(now, node, how);
    }

    pub(crate) fn close_own_link(&mut self, node: NodeId) {
        let outbox = self.outbox_mut(node);
        let link = outbox.link.take();
        outbox.rewind();
        if let Some(OutLink { id, .. }) = link {
            self.links.outgoing.remove(&id);
            self.command(Command::CloseLink { link: id });
        }
    }

    /// It did not work: again later, if there is still something to hand over.
    fn put_off(&mut self, now: Millis, node: NodeId, reason: String) {
        let (steady, spread) = (self.steady, self.choose());
        let had_signs = !core::mem::take(&mut self.outbox_mut(node).ephemerals).is_empty();
        let waits = self.has_something_for(&node);
        let outbox = self.outbox_mut(node);
        if waits || had_signs {
            outbox.attempts.fail(steady, spread);
        }
        if !waits {
            return;
        }
        // Its next record is another occasion.
        outbox.quote_due &= outbox.attempts.failed < MAX_QUOTES;
        let next = outbox.attempts.next;
        let is_new = outbox.reason != reason;
        outbox.reason.clone_from(&reason);
        if is_new {
            self.news(now, News::MailWaits { node, reason });
        }
        self.timers.set_by(Timer::Outbox(node), next);
    }

    /// Something about this outbox is due.
    pub(crate) fn look_after_outbox(&mut self, now: Millis, node: NodeId) {
        let steady = self.steady;
        let outbox = self.outbox_mut(node);
        // Connections wait for a place, which is nobody's failure; but a command may be lost.
        if outbox.opening.is_some_and(|since| since + OPENING <= steady) {
            outbox.opening = None;
        }
        let outbox = self.outbox_mut(node);
        if outbox.patience_ends().is_some_and(|end| end <= steady) {
            self.drop_link(now, node, "it takes mail and does not answer".into());
        }
        let is_idle = self.outbox_mut(node).idle_ends().is_some_and(|end| end <= steady);
        if is_idle && !self.has_something_for(&node) {
            self.close_own_link(node);
        }
        let outbox = self.outbox_mut(node);
        outbox.ready.extend(outbox.lanes.release_due(steady));
        self.pumping.insert(node);
        if self.has_something_for(&node) {
            self.want_link(node);
        }
        if let Some(next) = self.outbox_mut(node).next_look(steady) {
            self.timers.set_by(Timer::Outbox(node), next);
        }
    }

    /// Tells another node that mail of its user expired here: now, or when there is a stream.
    pub(crate) fn send_late(&mut self, node: NodeId, late: Late) {
        if !self.has_way(&node) {
            return;
        }
        let outbox = self.outbox_mut(node);
        match &outbox.link {
            Some(link) if link.opened => {
                let link = link.id;
                self.command(Command::Frame { link, frame: late.into() });
            }
            _ => {
                if outbox.late.len() == MAX_LATE {
                    outbox.late.pop_front();
                }
                outbox.late.push_back(late);
                self.want_link(node);
            }
        }
    }
}
