//! Deadlines: what nobody fetched in time is deleted, and its sender told.

use postroad_proto::ids::{Millis, ParcelId};
use postroad_proto::receipt::{ReceiptItem, ReceiptKind, role};

use crate::changes::{MailView, MailboxId, ReadError};
use crate::core::Core;
use crate::group::Bereaved;
use crate::mail::delivery::Gone;
use crate::mail::item;
use crate::mail::stamp::Stamp;

/// Items that expire in one group.
const BATCH: usize = 1024;

impl Core {
    /// Deletes a batch of what is past its deadline and the allowance for clocks. Call every second
    /// or so, again in the next group while it returns true.
    ///
    /// # Errors
    /// When the store fails.
    pub fn expire(&mut self, now: Millis, view: &dyn MailView) -> Result<bool, ReadError> {
        self.set_clock(now);
        self.reroute(now, view)?;
        let seconds = now / 1000;
        let mut left = BATCH;
        while let Some((at, mailbox)) = self.expiries.first().copied() {
            if at > seconds {
                return Ok(false);
            }
            if left == 0 {
                return Ok(true);
            }
            self.expiries.pop_first();
            left -= self.expire_mailbox(seconds, mailbox, left, view)?;
        }
        Ok(false)
    }

    fn expire_mailbox(
        &mut self,
        seconds: u64,
        mailbox: MailboxId,
        limit: usize,
        view: &dyn MailView,
    ) -> Result<usize, ReadError> {
        let Some(held) = self.mailboxes.get_mut(&mailbox) else { return Ok(0) };
        held.next_expiry = None;
        let due: Vec<(u64, ParcelId)> = held
            .items
            .iter()
            .filter(|(_, item)| item.expires <= seconds)
            .take(limit)
            .map(|(seq, item)| (*seq, item.id))
            .collect();
        for (seq, id) in &due {
            let origin = match self.origin_of(mailbox, *seq, view) {
                Ok(origin) => origin,
                Err(error) => {
                    self.note_expiry(mailbox, seconds);
                    return Err(error);
                }
            };
            let removed = self.remove_item(mailbox, *seq);
            if let (Some(_), Some(Origin { whom: Bereaved::Device(sender), .. }), Some(item)) =
                (mailbox.destination(), &origin, removed)
            {
                self.no_longer_waits(Some(*sender), u64::from(item.bytes));
            }
            self.counters.expired += 1;
            if let (Some(held), Some(origin)) =
                (self.release_from(mailbox, *seq, *id, Gone::Expired), origin)
                && !held.acked
                && u64::from(held.at_first) >= origin.copies
            {
                let role = if mailbox.destination().is_some() { role::ORIGIN } else { role::HOME };
                self.group.owe_notice(origin.whom, expired(*id, seconds, role));
            }
            self.stage_ack(mailbox, &[*seq]);
        }
        let next = self
            .mailboxes
            .get(&mailbox)
            .and_then(|held| held.items.values().map(|item| item.expires).min());
        if let Some(next) = next {
            self.note_expiry(mailbox, next);
        }
        Ok(due.len())
    }

    /// Where an item came from, as is written with it.
    fn origin_of(
        &self,
        mailbox: MailboxId,
        seq: u64,
        view: &dyn MailView,
    ) -> Result<Option<Origin>, ReadError> {
        Ok(view.item(&mailbox, seq)?.and_then(|found| {
            let mail = item::shared(&found).ok()?.mail?;
            let copies = item::own(&found).ok()?.copies;
            if let Some(node) = mail.origin {
                return Some(Origin {
                    whom: Bereaved::Elsewhere { node, stamp: mail.stamp },
                    copies,
                });
            }
            let stamp = Stamp::open(&mail.stamp, &self.keys.secret)?;
            let account = *self.accounts_by_number.get(&stamp.account)?;
            let sender = MailboxId { account, device: stamp.device };
            Some(Origin { whom: Bereaved::Device(sender), copies })
        }))
    }

    /// Something in `mailbox` expires at `at` (seconds).
    pub(crate) fn note_expiry(&mut self, mailbox: MailboxId, at: u64) {
        let held = self.mailbox_mut(mailbox);
        let before = held.next_expiry;
        if before.is_some_and(|before| before <= at) {
            return;
        }
        held.next_expiry = Some(at);
        if let Some(before) = before {
            self.expiries.remove(&(before, mailbox));
        }
        self.expiries.insert((at, mailbox));
    }
}

/// Who sent an item, and to how many mailboxes: fewer copies at the start of the node than that
/// mean that a device had acked one before.
struct Origin {
    whom: Bereaved,
    copies: u64,
}

fn expired(parcel: ParcelId, seconds: u64, role: u64) -> ReceiptItem {
    ReceiptItem {
        parcel,
        kind: ReceiptKind::Expired.number(),
        role,
        copies: 0,
        until: seconds,
        devices: None,
    }
}
