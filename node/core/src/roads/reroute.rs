//! Mail for accounts that have moved: it goes on to their new home.

use postroad_proto::ids::{Millis, NodeId, ParcelId};

use super::outbox::Offered;
use super::settle::{Moved, Rerouted};
use crate::changes::{MailView, MailboxId, NewItem, NewMail, ReadError, StoredItem};
use crate::core::Core;
use crate::mail::delivery::Gone;
use crate::mail::intake::Intake;
use crate::mail::item::{self, Own};
use crate::mail::mailbox::Item;

/// Staged bytes beyond which the rest waits for the next group.
const GROUP_BYTES: usize = 256 << 10;
/// How often one parcel is sent on.
const MAX_HOPS: u64 = 3;

impl Core {
    /// Sends on what its recipients' old homes have refused as moved: as much as fits a group, in
    /// the order in which it was sent.
    pub(crate) fn reroute(&mut self, now: Millis, view: &dyn MailView) -> Result<(), ReadError> {
        while self.staged_bytes() < GROUP_BYTES
            && let Some(rerouted) = self.rerouting.pop_front()
        {
            if let Err(error) = self.move_item(now, &rerouted, view) {
                self.rerouting.push_front(rerouted);
                return Err(error);
            }
        }
        Ok(())
    }

    /// A device has offered anew, for another home, what waited for one that may be gone for good:
    /// it does not wait for that any longer.
    pub(crate) fn unbind(&mut self, intake: &Intake, id: ParcelId, (node, seq): (NodeId, u64)) {
        let outbox = MailboxId::outbox(node);
        if let Some(held) = self.held.get_mut(&id)
            && held.bound.as_deref() == Some(&(node, seq))
        {
            held.bound = None;
        }
        if let Some(item) = self.remove_item(outbox, seq) {
            self.release_copy(id, Gone::Dropped);
            self.stage_ack(outbox, &[seq]);
            self.no_longer_waits(intake.sender(), u64::from(item.bytes));
        }
    }

    /// From one outbox to another, and word to the sender's device. What cannot go on (the new home
    /// is this very node, or unknown, or too much waits for it, or it has been sent on too often)
    /// is left to the device, which learns where to and offers it again.
    fn move_item(
        &mut self,
        now: Millis,
        Rerouted { from, item: offered, to, late }: &Rerouted,
        view: &dyn MailView,
    ) -> Result<(), ReadError> {
        let found = view.items(&MailboxId::outbox(*from), offered.seq - 1, 1, 1)?;
        let stored = found.into_iter().find(|item| item.seq == offered.seq);
        if !self.waits_in_outbox(*from, offered.seq) {
            return Ok(());
        }
        self.settle(*from, offered);
        if let Some(stored) = stored.filter(|_| self.may_go_on(offered, to)) {
            self.put_into_outbox(now, offered, to, stored);
        }
        self.put_refusal(now, offered.sender, late.clone());
        Ok(())
    }

    fn may_go_on(&self, offered: &Offered, to: &Moved) -> bool {
        let held = self.mailboxes.get(&MailboxId::outbox(to.home)).map_or(0, |held| held.bytes);
        to.home != self.node
            && to.hops <= MAX_HOPS
            && held + offered.bytes <= self.config.outbox_bytes_per_node
            && self.check_space().is_ok()
            && self.check_route(&to.home).is_ok()
    }

    fn put_into_outbox(&mut self, now: Millis, offered: &Offered, to: &Moved, stored: StoredItem) {
        let moved = Some((to.record.0, to.record.1, to.hops));
        let own = item::own(&stored).map(|own| Own { moved, ..own });
        let Ok(own) = own.and_then(|own| item::encode(&own)) else { return };
        let outbox = MailboxId::outbox(to.home);
        let seq = self.next_seq(outbox);
        let bytes = (stored.shared.len() + own.len()) as u32;
        let expires = stored.expires;
        let item = NewItem { mailbox: outbox, seq, id: stored.id, expires, own };
        self.group.staged.mail(NewMail { shared: stored.shared, items: vec![item] });
        let item = Item { id: stored.id, bytes, expires, label: None, since: now };
        self.mailbox_mut(outbox).insert(seq, item);
        self.hold_bound(stored.id, to.home, seq);
        self.note_expiry(outbox, expires);
        if let Some(sender) = offered.sender {
            self.waits(sender.account, u64::from(bytes));
        }
        self.want_link(to.home);
    }
}
