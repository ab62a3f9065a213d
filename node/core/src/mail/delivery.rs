//! From mailboxes to devices: pushes within credit, acks, notices.

use std::collections::BTreeMap;

use bytes::Bytes;
use postroad_proto::frame::{Ack, LateRefusal};
use postroad_proto::ids::{Millis, NodeId, ParcelId};
use postroad_proto::limits::{MAX_DEADLINE_SECONDS, MAX_LIST};
use postroad_proto::merkle::Step;
use postroad_proto::receipt::{Receipt, ReceiptEntry, ReceiptRoot, Receipts};
use postroad_proto::signed::Signed;

use crate::changes::{self, MailView, MailboxId, NewItem, NewMail, ReadError};
use crate::core::{Bound, Core, Held, Output, SessionId};
use crate::mail::item::{self, Shared, SharedReceipts};
use crate::mail::mailbox::{Item, Mailbox, SEQ_BLOCK};
use crate::reply::DONE;
use crate::state::FloorRow;

/// How a copy of a parcel left its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Its device has it.
    Acked,
    /// Its time was over.
    Expired,
    /// Its mailbox is no more.
    Dropped,
}

/// Items, and bytes, read for one session before the next one's turn.
const BATCH_ITEMS: u64 = 64;
const BATCH_BYTES: u64 = 256 * 1024;
/// Bytes read for all sessions before inputs are looked at again.
const TURN_BYTES: u64 = 8 << 20;

impl Core {
    pub(crate) fn deliver_waiting(&mut self, view: &dyn MailView) -> Result<bool, ReadError> {
        let after = self.waiting.range(self.next_turn..).copied();
        let turn: Vec<SessionId> =
            after.chain(self.waiting.range(..self.next_turn).copied()).collect();
        let mut left = TURN_BYTES;
        for id in turn {
            let Some(rest) = left.checked_sub(BATCH_BYTES) else {
                self.next_turn = id;
                return Ok(true);
            };
            let (bytes, more) = self.push_batch(id, view)?;
            left = rest + BATCH_BYTES.saturating_sub(bytes);
            if !more {
                self.waiting.remove(&id);
                self.answer_pings(id);
            }
        }
        Ok(self.pump(view)? || !self.waiting.is_empty())
    }

    /// Pushes one batch. Returns its bytes, and whether more can be pushed now.
    fn push_batch(&mut self, id: SessionId, view: &dyn MailView) -> Result<(u64, bool), ReadError> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok((0, false)) };
        let Some(mailbox) = session.mailbox else { return Ok((0, false)) };
        let Some(held) = self.mailboxes.get(&mailbox) else { return Ok((0, false)) };
        let last = held.last_seq();
        if last <= session.pushed || session.credit_messages == 0 || session.credit_bytes == 0 {
            return Ok((0, false));
        }
        let items = session.credit_messages.min(BATCH_ITEMS);
        let bytes = session.credit_bytes.min(BATCH_BYTES);
        let mut pushed = 0;
        let waiting = held.items.range(session.pushed + 1..).take(items as usize);
        for (seq, item) in waiting {
            let size = u64::from(item.bytes);
            if pushed > 0 && pushed + size > bytes {
                break;
            }
            // What is damaged on disk expires in its time.
            let found = view.item(&mailbox, *seq)?;
            session.pushed = *seq;
            let Some(frame) = found.and_then(|found| item::frame(&found).ok()) else { continue };
            session.credit_messages = session.credit_messages.saturating_sub(1);
            session.credit_bytes = session.credit_bytes.saturating_sub(size);
            pushed += size;
            self.counters.pushed += 1;
            self.outputs.push(Output::Frame { session: id, frame });
        }
        Ok((pushed, session.pushed < last))
    }

    fn answer_pings(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        for request in core::mem::take(&mut session.pings) {
            self.answer(id, request, DONE);
        }
        // Pings promise nothing durable, so they do not wait for a commit.
        self.outputs.append(&mut self.group.released);
    }

    pub(crate) fn on_ack(&mut self, id: SessionId, mailbox: MailboxId, ack: &Ack) {
        let rising = ack.ranges.windows(2).all(|pair| pair[0].1 < pair[1].0)
            && ack.ranges.iter().all(|(from, to)| from <= to);
        if !rising || ack.ranges.len() > MAX_LIST {
            let text = "ack ranges rise, apart, at most 256";
            return self.hang_up(id, postroad_proto::error::ErrorCode::Malformed, text);
        }
        // Numbers of another generation name other items.
        if ack.generation != self.generation {
            return;
        }
        let mut removed = Vec::new();
        for (from, to) in &ack.ranges {
            let Some(held) = self.mailboxes.get(&mailbox) else { return };
            let due: Vec<u64> = held.items.range(*from..=*to).map(|(seq, _)| *seq).collect();
            removed.extend(due);
        }
        for seq in &removed {
            if let Some(item) = self.remove_item(mailbox, *seq) {
                self.release_from(mailbox, *seq, item.id, Gone::Acked);
                self.counters.acked += 1;
            }
        }
        self.stage_ack(mailbox, &removed);
    }

    pub(crate) fn remove_item(&mut self, mailbox: MailboxId, seq: u64) -> Option<Item> {
        self.mailboxes.get_mut(&mailbox)?.remove(seq)
    }

    /// One more copy of a parcel is in custody.
    pub(crate) fn hold(&mut self, id: ParcelId) -> &mut Held {
        let held = self.held.entry(id).or_default();
        held.copies = held.copies.saturating_add(1);
        held.at_first = held.at_first.saturating_add(1);
        held
    }

    /// A parcel is in custody for another node.
    pub(crate) fn hold_bound(&mut self, id: ParcelId, bound: Bound) {
        let held = self.hold(id);
        held.outbound = held.outbound.saturating_add(1);
        held.bound = Some(Box::new(bound));
    }

    /// [`Self::release_copy`] for a copy that lay in the mailbox or outbox `from`.
    pub(crate) fn release_from(
        &mut self,
        from: MailboxId,
        seq: u64,
        id: ParcelId,
        how: Gone,
    ) -> Option<Held> {
        if let Some(node) = from.destination()
            && let Some(held) = self.held.get_mut(&id)
        {
            held.outbound = held.outbound.saturating_sub(1);
            held.bound.take_if(|bound| (bound.node, bound.seq) == (node, seq));
        }
        self.release_copy(id, how)
    }

    /// One copy of a parcel is gone. Returns what is known of the parcel if it was the last.
    /// Only what a device acked is remembered as a repeat: the rest is judged anew.
    fn release_copy(&mut self, id: ParcelId, how: Gone) -> Option<Held> {
        let held = self.held.get_mut(&id)?;
        held.acked |= how == Gone::Acked;
        held.copies = held.copies.saturating_sub(1);
        if held.copies > 0 {
            return None;
        }
        let held = self.held.remove(&id)?;
        if held.acked {
            self.recent.insert(id);
        }
        Some(held)
    }

    /// Writes down that `removed` (rising) need not be kept.
    pub(crate) fn stage_ack(&mut self, mailbox: MailboxId, removed: &[u64]) {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for seq in removed {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == *seq => *to = *seq,
                _ => ranges.push((*seq, *seq)),
            }
        }
        if !ranges.is_empty() {
            self.group.staged.ack(changes::Ack { mailbox, ranges });
        }
    }

    pub(crate) fn mailbox_mut(&mut self, id: MailboxId) -> &mut Mailbox {
        self.mailboxes.entry(id).or_insert_with(|| Mailbox::starting_at(1))
    }

    /// The next sequence number of a mailbox.
    pub(crate) fn next_seq(&mut self, id: MailboxId) -> u64 {
        let mailbox = self.mailboxes.entry(id).or_insert_with(|| Mailbox::starting_at(1));
        let seq = mailbox.next;
        mailbox.next += 1;
        if seq >= mailbox.block_end {
            mailbox.block_end = seq + SEQ_BLOCK;
            let row = FloorRow { next: mailbox.block_end };
            self.tables.floors.put(id, row, &mut self.group.staged);
        }
        seq
    }

    /// Mail came for whoever reads this mailbox.
    pub(crate) fn wake(&mut self, mailbox: MailboxId) {
        if let Some(session) = self.online.get(&mailbox) {
            self.waiting.insert(*session);
        }
    }

    /// Puts a receipt into the mailbox of the device whose mail it is about.
    pub(crate) fn put_receipt(&mut self, now: Millis, mailbox: MailboxId, receipt: Receipt) {
        let Receipts { entries, path, root } = receipt.into();
        self.put_receipts(now, BTreeMap::from([(mailbox, entries)]), path, root);
    }

    /// Puts receipts that one signature stands for into the mailboxes of the devices whose mail they
    /// are about, as one record.
    pub(crate) fn put_receipts(
        &mut self,
        now: Millis,
        entries: BTreeMap<MailboxId, Vec<ReceiptEntry>>,
        path: Vec<Step>,
        root: Signed<ReceiptRoot>,
    ) {
        // Another node, or the same one after a rollback, may sign for the same parcel later.
        let Some(said) = crate::rollback::read(&root) else { return };
        let mut notices = Vec::with_capacity(entries.len());
        for (mailbox, entries) in entries {
            let words = entries.iter().map(|entry| (&entry.item.parcel, entry.item.kind));
            let id = notice_id(words, &said.node, said.generation);
            if let Ok(own) = item::encode(&entries) {
                notices.push(NewNotice { mailbox, id, own });
            }
        }
        let receipts = Some(SharedReceipts { path, root });
        self.put_notices(now, notices, &Shared { receipts, ..Shared::default() });
    }

    /// Puts a refusal into the mailbox of the device whose mail it is about.
    pub(crate) fn put_refusal(
        &mut self,
        now: Millis,
        mailbox: Option<MailboxId>,
        refused: LateRefusal,
    ) {
        let Some(mailbox) = mailbox else { return };
        let id = notice_id([(&refused.parcel, 0)], &refused.node, refused.code.number());
        let notice = NewNotice { mailbox, id, own: Bytes::new() };
        self.put_notices(
            now,
            vec![notice],
            &Shared { refused: Some(refused), ..Shared::default() },
        );
    }

    fn put_notices(&mut self, now: Millis, notices: Vec<NewNotice>, shared: &Shared) {
        let Ok(shared) = item::encode(shared) else { return };
        let mut mail = NewMail { shared, items: Vec::with_capacity(notices.len()) };
        let expires = now / 1000 + MAX_DEADLINE_SECONDS;
        for NewNotice { mailbox, id, own } in notices {
            // A device that is gone has no mailbox to read them from.
            let row = self.tables.accounts.get(&mailbox.account);
            let is_device = row.is_some_and(|row| row.devices.has(mailbox.device));
            if !is_device || self.held.contains_key(&id) {
                continue;
            }
            let seq = self.next_seq(mailbox);
            let bytes = (mail.shared.len() + own.len()) as u32;
            mail.items.push(NewItem { mailbox, seq, id, expires, own });
            let item = Item { id, bytes, expires, label: None, since: now };
            self.mailbox_mut(mailbox).insert(seq, item);
            self.hold(id);
            self.note_expiry(mailbox, expires);
            self.wake(mailbox);
        }
        if !mail.items.is_empty() {
            self.group.staged.mail(mail);
        }
    }

    /// Empties a mailbox for good.
    pub(crate) fn drop_mailbox(&mut self, mailbox: MailboxId) {
        self.drop_prekeys(mailbox);
        let seqs: Vec<u64> = self
            .mailboxes
            .get(&mailbox)
            .map(|m| m.items.keys().copied().collect())
            .unwrap_or_default();
        for seq in &seqs {
            if let Some(item) = self.remove_item(mailbox, *seq) {
                // Nobody is told: mail to a device that is gone is answered with silence, as mail
                // to one that never was.
                self.release_from(mailbox, *seq, item.id, Gone::Dropped);
            }
        }
        self.stage_ack(mailbox, &seqs);
    }
}

/// A notice on its way into a mailbox.
struct NewNotice {
    mailbox: MailboxId,
    id: ParcelId,
    own: Bytes,
}

/// The id of a notice, apart from those of the parcels it is about: the latter must not look held.
/// The same words of the same node about the same parcels are kept once.
fn notice_id<'a>(
    words: impl IntoIterator<Item = (&'a ParcelId, u64)>,
    node: &NodeId,
    word: u64,
) -> ParcelId {
    let mut hasher = blake3::Hasher::new_derive_key("postroad v1 notice");
    hasher.update(&node.0);
    hasher.update(&word.to_be_bytes());
    for (parcel, kind) in words {
        hasher.update(&parcel.0);
        hasher.update(&kind.to_be_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    ParcelId(id)
}
