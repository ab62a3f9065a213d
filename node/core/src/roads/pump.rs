//! From outboxes to streams: batches within credit.

use std::collections::BTreeSet;

use postroad_proto::envelope::{Envelope, Parcel, Route};
use postroad_proto::frame::Batch;
use postroad_proto::ids::NodeId;
use postroad_proto::limits::MAX_BATCH;

use super::Command;
use super::lanes::LaneKey;
use super::outbox::{Offered, OutLink};
use crate::changes::{MailView, MailboxId, ReadError, StoredItem};
use crate::core::Core;
use crate::mail::item;
use crate::mail::stamp::Stamp;
use crate::timers::Timer;

/// Bytes of a batch of more than one envelope: with what the encoding adds it fits a frame.
const BATCH_BYTES: u64 = 96 << 10;
/// Batches made for one node before the next one's turn.
const BATCHES_PER_TURN: usize = 16;
/// Items looked at for one batch: most may have to wait for others.
const LOOKED_PER_BATCH: usize = 512;
/// Nodes that mail is handed to before others' work is looked at again.
const NODES_PER_TURN: usize = 16;

/// A batch in the making.
#[derive(Default)]
struct Making {
    number: u64,
    envelopes: Vec<Envelope>,
    offered: Vec<Offered>,
    bytes: u64,
    /// Whether it was ended because much of what was read has to wait: more may follow.
    unfinished: bool,
}

impl Core {
    /// Hands over what can be handed over. True when there is more to do at once.
    pub(crate) fn pump(&mut self, view: &dyn MailView) -> Result<bool, ReadError> {
        let from = self.next_pumped.unwrap_or(NodeId([0; 32]));
        let turn = self.pumping.range(from..).chain(self.pumping.range(..from)).copied();
        let mut nodes: Vec<NodeId> = turn.take(NODES_PER_TURN + 1).collect();
        self.next_pumped = nodes.get(NODES_PER_TURN).copied();
        nodes.truncate(NODES_PER_TURN);
        self.pumping.retain(|node| !nodes.contains(node));
        let mut more = BTreeSet::new();
        let mut failed = None;
        for node in nodes {
            match self.pump_node(node, view) {
                Ok(true) => drop(more.insert(node)),
                Ok(false) => {}
                Err(error) => {
                    // What was about to be offered is in no list any more.
                    self.close_own_link(node);
                    self.outbox_mut(node).start_over();
                    self.timers.set_by(Timer::Outbox(node), self.steady);
                    failed = Some(error);
                }
            }
        }
        self.pumping.append(&mut more);
        failed.map_or(Ok(!self.pumping.is_empty()), Err)
    }

    fn pump_node(&mut self, node: NodeId, view: &dyn MailView) -> Result<bool, ReadError> {
        for _ in 0..BATCHES_PER_TURN {
            let Some(making) = self.make_batch(node, view)? else { return Ok(false) };
            if making.offered.is_empty() {
                return Ok(making.unfinished);
            }
            let steady = self.steady;
            let Some(outbox) = self.outboxes.get_mut(&node) else { return Ok(false) };
            let Some(link) = outbox.link.as_mut() else { return Ok(false) };
            link.next_batch += 1;
            if outbox.in_flight.is_empty() {
                // From here on an answer is awaited.
                link.heard = steady;
            }
            link.envelopes = link.envelopes.saturating_sub(making.envelopes.len() as u64);
            let cost = making.envelopes.iter().map(Envelope::cost).sum();
            link.bytes = link.bytes.saturating_sub(cost);
            let link = link.id;
            self.counters.offered += making.offered.len() as u64;
            outbox.in_flight.insert(making.number, (steady, making.offered));
            let batch = Batch { number: making.number, envelopes: making.envelopes };
            self.outputs
                .push(crate::core::Output::Road(Command::Frame { link, frame: batch.into() }));
            self.look_later(node);
        }
        Ok(true)
    }

    pub(super) fn look_later(&mut self, node: NodeId) {
        let steady = self.steady;
        let next = self.outboxes.get(&node).and_then(|outbox| outbox.next_look(steady));
        if let Some(next) = next {
            self.timers.set_by(Timer::Outbox(node), next);
        }
    }

    fn make_batch(
        &mut self,
        node: NodeId,
        view: &dyn MailView,
    ) -> Result<Option<Making>, ReadError> {
        let mailbox = MailboxId::outbox(node);
        let Some(outbox) = self.outboxes.get_mut(&node) else { return Ok(None) };
        let has_credit = |link: &&OutLink| link.opened && link.envelopes > 0 && link.bytes > 0;
        let Some(link) = outbox.link.as_ref().filter(has_credit) else { return Ok(None) };
        let (mut envelopes, mut bytes) = (link.envelopes.min(MAX_BATCH as u64), link.bytes);
        let mut making = Making { number: link.next_batch, ..Making::default() };
        let mut looked = 0;
        while let Some(seq) = self.next_item(node) {
            if looked >= LOOKED_PER_BATCH {
                making.unfinished = true;
                return Ok(Some(making));
            }
            looked += 1;
            let added = match self.closed_lane(node, seq, making.number) {
                // Most of what waits behind a batch need not even be read.
                Some(lane) => {
                    self.outbox_mut(node).lanes.wait(lane, seq);
                    Added::Taken
                }
                None => match view.item(&mailbox, seq)? {
                    Some(item) => self.add(node, &mut making, &item, (&mut envelopes, &mut bytes)),
                    // Damaged on disk, it expires in its time; or it has expired.
                    None => Added::Taken,
                },
            };
            match added {
                Added::Taken => self.outbox_mut(node).step_past(seq),
                Added::NoRoom => break,
            }
        }
        Ok((!making.offered.is_empty()).then_some(making))
    }

    /// Of what was put off and is free again the first, else the next that was not looked at yet.
    fn next_item(&self, node: NodeId) -> Option<u64> {
        let outbox = self.outboxes.get(&node)?;
        outbox.ready.first().copied().or_else(|| {
            let held = self.mailboxes.get(&MailboxId::outbox(node))?;
            held.items.range(outbox.cursor + 1..).next().map(|(seq, _)| *seq)
        })
    }

    /// The lane of an item, if that is known without reading it and has to wait for others.
    fn closed_lane(&self, node: NodeId, seq: u64, batch: u64) -> Option<LaneKey> {
        let held = self.mailboxes.get(&MailboxId::outbox(node))?;
        let bound = self.held.get(&held.items.get(&seq)?.id)?.bound.as_ref()?;
        let lane = bound.lane.filter(|_| (bound.node, bound.seq) == (node, seq))?;
        self.outboxes.get(&node)?.lanes.is_closed(&lane, batch).then_some(lane)
    }

    /// Adds an item to the batch, or to its lane.
    fn add(
        &mut self,
        node: NodeId,
        making: &mut Making,
        stored: &StoredItem,
        (envelopes, bytes): (&mut u64, &mut u64),
    ) -> Added {
        let Some(Rebuilt { envelope, parcel, moved }) = rebuild(stored, node) else {
            return Added::Taken;
        };
        let Some(outbox) = self.outboxes.get_mut(&node) else { return Added::Taken };
        let sender = Stamp::open(&envelope.stamp, &self.keys.secret).and_then(|stamp| {
            let account = *self.accounts_by_number.get(&stamp.account)?;
            Some(MailboxId { account, device: stamp.device })
        });
        let lane = (sender, parcel.account);
        if outbox.lanes.is_closed(&lane, making.number) {
            outbox.lanes.wait(lane, stored.seq);
            return Added::Taken;
        }
        // Parcels of one body go together: it crosses once.
        let shared = making.envelopes.last().is_some_and(|last| {
            last.body_hash == envelope.body_hash
                && last.attributes() == envelope.attributes()
                && last.stamp == envelope.stamp
        });
        let headers = parcel.headers.iter().map(|header| header.sealed.len() as u64);
        let cost = if shared { headers.sum() } else { envelope.cost() };
        let full = !making.offered.is_empty() && making.bytes + cost > BATCH_BYTES;
        if full || *bytes < cost || (!shared && *envelopes == 0) {
            return Added::NoRoom;
        }
        outbox.lanes.go_with(lane, making.number);
        let account = parcel.account;
        match making
            .envelopes
            .last_mut()
            .filter(|_| shared)
            .and_then(|last| last.routes.first_mut())
        {
            Some(route) => route.parcels.push(parcel),
            None => {
                *envelopes -= 1;
                making.envelopes.push(envelope);
            }
        }
        *bytes -= cost;
        making.bytes += cost;
        making.offered.push(Offered {
            seq: stored.seq,
            parcel: stored.id,
            account,
            envelope: making.envelopes.len() as u64 - 1,
            sender,
            moved,
            bytes: (stored.shared.len() + stored.own.len()) as u64,
        });
        Added::Taken
    }
}

/// What became of an item that was looked at.
enum Added {
    /// It is in the batch, in its lane, or no use.
    Taken,
    /// The batch is full, or the credit used up.
    NoRoom,
}

/// What an item of an outbox stands for.
struct Rebuilt {
    /// With its one parcel.
    envelope: Envelope,
    parcel: Parcel,
    /// See [`Offered::moved`].
    moved: Option<(u64, u64, u64)>,
}

/// Puts an item of an outbox together again.
fn rebuild(stored: &StoredItem, node: NodeId) -> Option<Rebuilt> {
    let mail = item::shared(stored).ok()?.mail?;
    let own = item::own(stored).ok()?;
    let parcel = own.parcel?;
    let envelope = Envelope {
        version: mail.attributes.version,
        flags: mail.attributes.flags,
        class: mail.attributes.class,
        mode: mail.attributes.mode,
        deadline: mail.attributes.deadline,
        body_hash: mail.body_hash,
        body: mail.body,
        stamp: mail.stamp,
        routes: vec![Route { home: node, backups: vec![], parcels: vec![parcel.clone()] }],
    };
    Some(Rebuilt { envelope, parcel, moved: own.moved })
}
