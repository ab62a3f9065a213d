//! Deadlines: what nobody fetched in time is deleted, and its sender told.

use postroad_proto::ids::{Millis, ParcelId};
use postroad_proto::receipt::{ReceiptItem, ReceiptKind, role};

use crate::changes::{MailView, MailboxId, ReadError};
use crate::core::Core;
use crate::item;
use crate::stamp::Stamp;

/// Items that expire in one group.
const BATCH: usize = 1024;

impl Core {
    /// Deletes what is past its deadline and the allowance for clocks. Call every second or so,
    /// again in the next group while it returns true.
    ///
    /// # Errors
    /// When the store fails.
    pub fn expire(&mut self, now: Millis, view: &dyn MailView) -> Result<bool, ReadError> {
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
            let sender = self.sender_of(mailbox, *seq, view)?;
            self.remove_item(mailbox, *seq);
            self.counters.expired += 1;
            if self.release_copy(*id, false)
                && let Some(sender) = sender
            {
                self.group.owe_notice(sender, expired(*id, seconds));
            }
        }
        let seqs: Vec<u64> = due.iter().map(|(seq, _)| *seq).collect();
        self.stage_ack(mailbox, &seqs);
        let next = self
            .mailboxes
            .get(&mailbox)
            .and_then(|held| held.items.values().map(|item| item.expires).min());
        if let Some(next) = next {
            self.note_expiry(mailbox, next);
        }
        Ok(due.len())
    }

    /// The mailbox of the device that sent an item, by the stamp on it.
    fn sender_of(
        &self,
        mailbox: MailboxId,
        seq: u64,
        view: &dyn MailView,
    ) -> Result<Option<MailboxId>, ReadError> {
        let found = view.items(&mailbox, seq - 1, 1, 1)?;
        let stamp = found
            .first()
            .filter(|found| found.seq == seq)
            .and_then(|found| item::shared(found).ok())
            .and_then(|shared| shared.mail)
            .and_then(|mail| Stamp::open(&mail.stamp, &self.keys.secret));
        Ok(stamp.and_then(|stamp| {
            let account = *self.accounts_by_number.get(&stamp.account)?;
            Some(MailboxId { account, device: stamp.device })
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

fn expired(parcel: ParcelId, seconds: u64) -> ReceiptItem {
    ReceiptItem {
        parcel,
        kind: ReceiptKind::Expired.number(),
        role: role::HOME,
        copies: 0,
        until: seconds,
        devices: None,
    }
}
