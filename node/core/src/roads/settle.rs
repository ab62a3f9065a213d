//! What becomes of a batch: receipts and refusals settle items, all else is offered again.

use std::collections::{BTreeMap, HashMap, HashSet};

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{BatchReply, LateRefusal, Records, RefusedParcel};
use postroad_proto::ids::{Millis, NodeId, ParcelId};
use postroad_proto::limits::MAX_PATH;
use postroad_proto::merkle::{self, Tree};
use postroad_proto::receipt::{ReceiptEntry, ReceiptItem, ReceiptKind, role};

use super::lanes::LaneKey;
use super::neighbours::Attempts;
use super::news::News;
use super::outbox::Offered;
use crate::changes::MailboxId;
use crate::core::Core;
use crate::mail::delivery::Gone;
use crate::reply::cut;
use crate::state::SeenRow;

/// Bounds of how long a refusal puts mail off.
const LEAST_HOLD: u64 = 1;
pub(super) const LONGEST_HOLD: u64 = 600;

/// Mail whose recipient has another home.
#[derive(Debug)]
pub(crate) struct Rerouted {
    pub(crate) from: NodeId,
    pub(crate) item: Offered,
    pub(crate) to: Moved,
    /// What the sender is told.
    pub(crate) late: LateRefusal,
}

/// Where to.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) home: NodeId,
    /// Epoch and number of the record that says so.
    pub(crate) record: (u64, u64),
    /// How often it has been sent on, this time included.
    pub(crate) hops: u64,
}

/// Whether a refusal for good speaks against who sent the mail: not when the recipient has changed.
pub(crate) fn blames_sender(code: ErrorCode) -> bool {
    !matches!(code, ErrorCode::Moved | ErrorCode::StaleDevices)
}

impl Core {
    pub(crate) fn on_batch_reply(&mut self, now: Millis, node: NodeId, reply: BatchReply) {
        let steady = self.steady;
        let Some((sent, offered)) = self.outbox_mut(node).in_flight.remove(&reply.number) else {
            return self.drop_link(now, node, "a reply to no batch".into());
        };
        let mut receipts = match self.check_receipts(node, &offered, &reply) {
            Ok(receipts) => receipts,
            Err(how) => {
                self.outbox_mut(node).in_flight.insert(reply.number, (sent, offered));
                return self.drop_link(now, node, how);
            }
        };
        // A node that opens streams and breaks them off is no better than one that is away.
        let outbox = self.outbox_mut(node);
        outbox.attempts = Attempts::default();
        if let Some(link) = outbox.link.as_mut() {
            link.used = steady;
        }
        if !core::mem::take(&mut outbox.reason).is_empty() {
            self.news(now, News::MailFlows { node });
        }
        let lanes: Vec<LaneKey> = offered.iter().map(Offered::lane).collect();
        let mut again = Vec::new();
        let mut told: BTreeMap<MailboxId, Vec<ReceiptEntry>> = BTreeMap::new();
        for item in offered {
            let receipt = receipts.remove(&item.parcel);
            let refused = reply.refused.iter().find(|refused| {
                refused.envelope == item.envelope
                    && refused.account.is_none_or(|account| account == item.account)
            });
            match (receipt, refused) {
                (Some(receipt), _) => {
                    self.settle(node, &item);
                    self.counters.handed_over += 1;
                    if let Some(sender) = item.sender {
                        told.entry(sender).or_default().push(receipt);
                    }
                }
                // It expired meanwhile, or waits for another home.
                (None, _) if !self.waits_in_outbox(node, item.seq) => {}
                (None, Some(refused)) if !refused.retriable => {
                    self.refused_for_good(now, node, &item, refused);
                }
                (None, refused) => {
                    let (seconds, why) = refused.map_or_else(
                        || (30, "it did not say what became of it".to_owned()),
                        |r| (r.retry_after, format!("{}: {}", r.code, cut(r.detail.clone()))),
                    );
                    let until = self.steady + seconds.clamp(LEAST_HOLD, LONGEST_HOLD) * 1000;
                    again.push((item, until, why));
                }
            }
        }
        if let Some(root) = reply.root.filter(|_| !told.is_empty()) {
            self.put_receipts(now, told, reply.path, root);
        }
        let outbox = self.outbox_mut(node);
        // Before what waits behind it, in its own order.
        for (item, until, why) in again.into_iter().rev() {
            outbox.lanes.put_off(item.lane(), item.seq, until, why);
        }
        outbox.ready.extend(outbox.lanes.answered(lanes.into_iter()));
        self.pumping.insert(node);
        self.look_later(node);
    }

    pub(crate) fn waits_in_outbox(&self, node: NodeId, seq: u64) -> bool {
        let held = self.mailboxes.get(&MailboxId::outbox(node));
        held.is_some_and(|held| held.items.contains_key(&seq))
    }

    /// The receipts of a reply, if every one is for something that was offered, and its node
    /// signed them.
    fn check_receipts(
        &mut self,
        node: NodeId,
        offered: &[Offered],
        reply: &BatchReply,
    ) -> Result<HashMap<ParcelId, ReceiptEntry>, String> {
        let Some(signed) = &reply.root else {
            return match reply.items.is_empty() {
                true => Ok(HashMap::new()),
                false => Err("receipts without a signature".into()),
            };
        };
        if reply.items.is_empty() {
            return Err("a signature without receipts".into());
        }
        if reply.items.len() > offered.len() {
            return Err("more receipts than parcels".into());
        }
        let leaves: Result<_, _> = reply.items.iter().map(ReceiptItem::leaf).collect();
        let tree = Tree::new(leaves.map_err(|e| e.to_string())?);
        // All hang below one root, so one signature stands for all; often for other batches, too.
        let seen = self.tables.seen.get(&node).filter(|row| row.root == *signed);
        let root = match seen.and_then(|row| crate::rollback::read(&row.root)) {
            Some(verified) => verified,
            None => signed.open(&self.keys.network).map_err(|e| format!("a receipt: {e}"))?,
        };
        let longest = reply.path.len() + tree.path(0).len();
        if longest > MAX_PATH || merkle::climb(tree.root(), &reply.path) != root.merkle_root {
            return Err("receipts that do not hang below the signed root".into());
        }
        if root.node != node {
            return Err("a receipt that another node signed".into());
        }
        let parcels: HashSet<ParcelId> = offered.iter().map(|offered| offered.parcel).collect();
        let custody = (ReceiptKind::AtNode.number(), role::HOME);
        let mut receipts = HashMap::with_capacity(reply.items.len());
        for (index, item) in reply.items.iter().enumerate() {
            if (item.kind, item.role) != custody || !parcels.contains(&item.parcel) {
                return Err("a receipt for what was not offered".into());
            }
            let entry = ReceiptEntry { item: item.clone(), path: tree.path(index) };
            if receipts.insert(item.parcel, entry).is_some() {
                return Err("two receipts for one parcel".into());
            }
        }
        let row = self.tables.seen.get(&node).and_then(|row| crate::rollback::read(&row.root));
        if row.is_none_or(|held| (held.generation, held.commit) < (root.generation, root.commit)) {
            let row = SeenRow { root: signed.clone() };
            self.tables.seen.put(node, row, &mut self.group.staged);
        }
        Ok(receipts)
    }

    /// A recipient's records as its home gave them, if they hold: they go into a mailbox here.
    fn check_records(&self, item: &Offered, records: &Records) -> Option<Records> {
        let record = records.record.open(&self.keys.network).ok()?;
        let devices = records.devices.open(&self.keys.network).ok()?;
        let fits = record.account == item.account && devices.account == item.account;
        let (record, devices) = (records.record.clone(), records.devices.clone());
        fits.then_some(Records { record, devices, handle: None, fallback: Vec::new() })
    }

    fn refused_for_good(
        &mut self,
        now: Millis,
        node: NodeId,
        item: &Offered,
        refused: &RefusedParcel,
    ) {
        self.counters.refused += 1;
        if blames_sender(refused.code) {
            self.blame(now, item.sender);
        }
        let mut late = LateRefusal {
            parcel: item.parcel,
            node,
            code: refused.code,
            detail: cut(refused.detail.clone()),
            record: None,
            records: None,
        };
        match refused.code {
            ErrorCode::Moved => {
                let moved = refused.record.as_ref().and_then(|record| {
                    let opened = record.open(&self.keys.network).ok()?;
                    let record = (opened.epoch, opened.seq);
                    let is_news = item.moved.is_none_or(|by| record > (by.0, by.1));
                    let fits = opened.account == item.account && opened.home != node && is_news;
                    let hops = item.moved.map_or(0, |by| by.2) + 1;
                    fits.then_some(Moved { home: opened.home, record, hops })
                });
                let Some(to) = moved else {
                    late.detail = "it has moved, says its home, without proof".into();
                    self.settle(node, item);
                    return self.put_refusal(now, item.sender, late);
                };
                late.record = refused.record.clone();
                self.rerouting.push_back(Rerouted { from: node, item: item.clone(), to, late });
            }
            ErrorCode::StaleDevices => {
                late.records = refused.records.as_ref().and_then(|r| self.check_records(item, r));
                self.settle(node, item);
                self.put_refusal(now, item.sender, late);
            }
            _ => {
                self.settle(node, item);
                self.put_refusal(now, item.sender, late);
            }
        }
    }

    /// An item of an outbox is done with, whatever became of it.
    pub(crate) fn settle(&mut self, node: NodeId, offered: &Offered) {
        let outbox = MailboxId::outbox(node);
        if self.remove_item(outbox, offered.seq).is_none() {
            return;
        }
        self.release_from(outbox, offered.seq, offered.parcel, Gone::Dropped);
        self.stage_ack(outbox, &[offered.seq]);
        self.no_longer_waits(offered.sender, offered.bytes);
    }
}
