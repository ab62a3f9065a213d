//! Mail streams: who opened them, and what the other side may send. `spec/node.md`.

use std::collections::BTreeMap;

use postroad_proto::PROTOCOL_VERSIONS;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Credit, Frame, Late, MailOpen, MailOpened};
use postroad_proto::ids::{Hash, Millis, NodeId};
use postroad_proto::receipt::{ReceiptKind, role};
use serde_bytes::ByteArray;

use super::news::News;
use super::outbox::PATIENCE;
use super::routing::{INTRODUCED_PER_HOUR, RENEWALS_AT_ONCE};
use super::{Command, LinkId};
use crate::bucket::Bucket;
use crate::changes::MailboxId;
use crate::core::Core;
use crate::mail::ephemeral;
use crate::mail::stamp::Stamp;
use crate::map::Map;
use crate::reply::Refusal;
use crate::ring::Ring;
use crate::rollback::TOLD_PER_HOUR;
use crate::timers::Timer;

/// Envelopes that a node which was never heard of may send before the first is answered, and the
/// most that any may.
const FIRST_WINDOW: u64 = 64;
const LARGEST_WINDOW: u64 = 4096;
/// Bytes of credit per envelope, and their bounds.
const WINDOW_BYTES: u64 = 16 << 10;
const LEAST_BYTES: u64 = 1 << 20;
const MOST_BYTES: u64 = 32 << 20;
/// Refused parcels per hour that a node may bring, some of them at once, before it is hung up on.
const REFUSED_PER_HOUR: u64 = 36_000;
const REFUSED_AT_ONCE: u64 = 1_000;
/// How long it is not listened to then.
const BARRED: Millis = 60_000;
/// News of expired mail per hour that a node may bring: each becomes an item of a mailbox.
const LATE_PER_HOUR: u64 = 2_000;
/// Questions per hour that a node may ask about the table of nodes.
const QUESTIONS_PER_HOUR: u64 = 7_200;
const QUESTIONS_AT_ONCE: u64 = 1_200;
/// Streams from one node: it opens one, and another while it has not noticed that the first is gone.
const MAX_LINKS_PER_NODE: usize = 2;
/// Stamps remembered.
const MAX_STAMPS: usize = 65_536;
/// Nodes whose behaviour is remembered.
const MAX_ORIGINS: usize = 100_000;

/// A stream on which another node brings mail.
pub(crate) struct InLink {
    pub(crate) node: NodeId,
    since: Millis,
    opened: bool,
    /// What the other may still send.
    envelopes: u64,
    bytes: u64,
    /// Whether it is closed after the next reply.
    over: bool,
}

/// What is remembered of another node's behaviour, in memory only.
pub(crate) struct Origin {
    window: u64,
    refused: Bucket,
    barred_until: Millis,
    questions: Bucket,
    late: Bucket,
    /// Typing and presence of its users.
    pub(crate) ephemerals: Bucket,
    pub(crate) renewals: Bucket,
    /// Its new generations that this node's devices were told of.
    pub(crate) told: Bucket,
    /// Nodes that were not known before it passed their records on.
    pub(crate) introduced: Bucket,
    pub(crate) lookups: Option<Bucket>,
    pub(crate) requests: Option<Bucket>,
    /// Requests of its users that were answered kindly: it may bring more of them.
    pub(crate) kindly: u64,
}

impl Origin {
    fn new(now: Millis) -> Self {
        Self {
            window: FIRST_WINDOW,
            refused: Bucket::full(REFUSED_AT_ONCE, now),
            barred_until: 0,
            questions: Bucket::full(QUESTIONS_AT_ONCE, now),
            late: Bucket::full(LATE_PER_HOUR, now),
            ephemerals: Bucket::full(ephemeral::AT_ONCE * ephemeral::PER_NODE, now),
            renewals: Bucket::full(RENEWALS_AT_ONCE, now),
            told: Bucket::full(TOLD_PER_HOUR, now),
            introduced: Bucket::full(INTRODUCED_PER_HOUR, now),
            lookups: None,
            requests: None,
            kindly: 0,
        }
    }

    fn bytes(&self) -> u64 {
        (self.window * WINDOW_BYTES).clamp(LEAST_BYTES, MOST_BYTES)
    }
}

/// Every stream that is open.
pub(crate) struct Links {
    pub(crate) incoming: BTreeMap<LinkId, InLink>,
    /// Which node a stream of our own leads to.
    pub(crate) outgoing: BTreeMap<LinkId, NodeId>,
    origins: Map<NodeId, Origin>,
    /// Stamps of which it was told that their mail expired: each is good for that once.
    late: Ring<[u8; 16]>,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            incoming: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            origins: Map::default(),
            late: Ring::new(MAX_STAMPS),
        }
    }
}

impl Core {
    pub(crate) fn origin(&mut self, now: Millis, node: NodeId) -> &mut Origin {
        let origins = &mut self.links.origins;
        if origins.len() >= MAX_ORIGINS && !origins.contains_key(&node) {
            origins.clear();
        }
        origins.entry(node).or_insert_with(|| Origin::new(now))
    }

    /// One question about the table of nodes.
    pub(crate) fn take_question(&mut self, now: Millis, node: NodeId) -> Result<(), Refusal> {
        let questions = &mut self.origin(now, node).questions;
        questions.take(QUESTIONS_PER_HOUR, QUESTIONS_AT_ONCE, now).map_err(|seconds| {
            Refusal::after(ErrorCode::Rate, seconds, "too many questions about nodes")
        })
    }

    pub(crate) fn on_incoming_link(&mut self, now: Millis, link: LinkId, node: NodeId) {
        let of_node: Vec<LinkId> = self
            .links
            .incoming
            .iter()
            .filter(|(_, held)| held.node == node)
            .map(|(id, _)| *id)
            .collect();
        if of_node.len() >= MAX_LINKS_PER_NODE {
            for old in of_node {
                self.close_incoming(old);
            }
        }
        let steady = self.steady;
        if self.origin(now, node).barred_until > steady {
            return self.command(Command::CloseLink { link });
        }
        let held =
            InLink { node, since: steady, opened: false, envelopes: 0, bytes: 0, over: false };
        self.links.incoming.insert(link, held);
        self.timers.set_by(Timer::Links, steady + PATIENCE);
    }

    /// Closes streams of those who opened one and then said nothing.
    pub(crate) fn close_silent_links(&mut self, now: Millis) {
        let steady = self.steady;
        let unopened = self.links.incoming.iter().filter(|(_, held)| !held.opened);
        let (silent, rest): (Vec<_>, Vec<_>) = unopened
            .map(|(link, held)| (*link, held.node, held.since + PATIENCE))
            .partition(|(_, _, end)| *end <= steady);
        for (link, node, _) in silent {
            self.misbehaved(now, link, node, "opened a mail stream and said nothing".into());
        }
        if let Some(next) = rest.into_iter().map(|(_, _, end)| end).min() {
            self.timers.set(Timer::Links, next);
        }
    }

    pub(crate) fn on_link_frame(&mut self, now: Millis, link: LinkId, frame: Frame) {
        if let Some(node) = self.links.outgoing.get(&link).copied() {
            return self.on_taker_frame(now, node, link, frame);
        }
        let Some(held) = self.links.incoming.get(&link) else { return };
        let (node, opened) = (held.node, held.opened);
        match frame {
            Frame::MailOpen(open) if !opened => self.on_mail_open(now, link, node, &open),
            Frame::Batch(batch) if opened => self.on_batch(now, link, node, *batch),
            Frame::Late(late) if opened => self.on_late(now, node, *late),
            Frame::EphemeralSend(said) if opened => self.bring_ephemeral(now, node, *said),
            other => {
                self.misbehaved(now, link, node, format!("{} out of turn", other.name()));
            }
        }
    }

    fn on_mail_open(&mut self, now: Millis, link: LinkId, node: NodeId, open: &MailOpen) {
        let (low, high) = PROTOCOL_VERSIONS;
        let version = high.min(open.versions.1);
        if version < low.max(open.versions.0) {
            let how = format!("speaks versions {:?} only", open.versions);
            return self.misbehaved(now, link, node, how);
        }
        if let Some(root) = &open.quoted {
            self.check_quote(now, root);
        }
        self.heard_generation(now, node, open.generation);
        let opened = MailOpened {
            version,
            generation: self.generation,
            run: ByteArray::new(self.run),
            quoted: self.tables.seen.get(&node).map(|row| row.root.clone()),
        };
        self.command(Command::Frame { link, frame: opened.into() });
        if let Some(held) = self.links.incoming.get_mut(&link) {
            held.opened = true;
        }
        self.grant(now, link);
    }

    /// What a batch costs, taken from the credit. False when there was not enough.
    pub(crate) fn charge(&mut self, link: LinkId, envelopes: u64, bytes: u64) -> bool {
        let Some(held) = self.links.incoming.get_mut(&link) else { return false };
        let enough = held.envelopes >= envelopes && held.bytes >= bytes;
        held.envelopes = held.envelopes.saturating_sub(envelopes);
        held.bytes = held.bytes.saturating_sub(bytes);
        enough
    }

    /// So many parcels were taken, and so many refused for good: the other may send more or less.
    pub(crate) fn judge(
        &mut self,
        now: Millis,
        link: LinkId,
        node: NodeId,
        taken: u64,
        refused: u64,
    ) {
        let steady = self.steady;
        let origin = self.origin(now, node);
        origin.window = (origin.window + taken).min(LARGEST_WINDOW);
        let patient = (0..refused)
            .all(|_| origin.refused.take(REFUSED_PER_HOUR, REFUSED_AT_ONCE, now).is_ok());
        if patient {
            return;
        }
        origin.window = FIRST_WINDOW;
        origin.barred_until = steady + BARRED;
        if let Some(held) = self.links.incoming.get_mut(&link) {
            held.over = true;
        }
    }

    /// Fills the credit up to the window: after the greeting, and with each reply.
    pub(crate) fn grant(&mut self, now: Millis, link: LinkId) {
        let Some(held) = self.links.incoming.get(&link) else { return };
        let (node, over) = (held.node, held.over);
        if over {
            return self.misbehaved(now, link, node, "brings too much that is refused".into());
        }
        let origin = self.origin(now, node);
        let (window, window_bytes) = (origin.window, origin.bytes());
        let Some(held) = self.links.incoming.get_mut(&link) else { return };
        let messages = window.saturating_sub(held.envelopes);
        let bytes = window_bytes.saturating_sub(held.bytes);
        held.envelopes += messages;
        held.bytes += bytes;
        if messages > 0 || bytes > 0 {
            self.command(Command::Frame { link, frame: Credit { messages, bytes }.into() });
        }
    }

    /// Mail of a user of this node was not fetched in time, says the node that held it.
    fn on_late(&mut self, now: Millis, node: NodeId, late: Late) {
        // The stamp is sealed by this node, so it stands for mail that did go out.
        let Some(stamp) = Stamp::open(&late.stamp, &self.keys.secret) else { return };
        let mut mark = [0; 16];
        mark.copy_from_slice(&Hash::of(&late.stamp).0[..16]);
        if self.links.late.contains(&mark) {
            return;
        }
        let Some(account) = self.accounts_by_number.get(&stamp.account).copied() else { return };
        if self.origin(now, node).late.take(LATE_PER_HOUR, LATE_PER_HOUR, now).is_err() {
            return;
        }
        let signed = late.receipt.verify(&self.keys.network);
        let expired = (ReceiptKind::Expired.number(), role::HOME);
        if (late.receipt.item.kind, late.receipt.item.role) == expired
            && signed.is_ok_and(|root| root.node == node)
        {
            let mailbox = MailboxId { account, device: stamp.device };
            self.links.late.insert(mark);
            self.put_receipt(now, mailbox, late.receipt);
        }
    }

    /// Ends a stream whose other side does not keep to the protocol.
    pub(crate) fn misbehaved(&mut self, now: Millis, link: LinkId, node: NodeId, how: String) {
        self.news(now, News::Misbehaved { node, how });
        self.close_incoming(link);
    }

    fn close_incoming(&mut self, link: LinkId) {
        if self.links.incoming.remove(&link).is_some() {
            self.command(Command::CloseLink { link });
        }
    }
}
