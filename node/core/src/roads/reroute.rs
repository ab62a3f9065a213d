//! Mail for accounts that have moved: it goes on to their new home.

use postroad_proto::ids::{Millis, ParcelId};

use super::outbox::Offered;
use super::settle::{LONGEST_HOLD, Moved, Rerouted};
use crate::changes::{MailView, MailboxId, NewItem, NewMail, ReadError, StoredItem};
use crate::core::{Bound, Core};
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
        // On a full disk it waits where it is.
        while self.staged_bytes() < GROUP_BYTES
            && self.check_space().is_ok()
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
    pub(crate) fn unbind(&mut self, intake: &Intake, id: ParcelId, old: Bound) {
        // Whoever has seen the parcel could offer it too: only its sender may take it away.
        let sender = intake.sender();
        let account = |sender: Option<MailboxId>| sender.map(|sender| sender.account);
        let old_sender = old.lane.and_then(|(sender, _)| account(sender));
        if old_sender.is_none() || old_sender != account(sender) {
            return;
        }
        let outbox = MailboxId::outbox(old.node);
        if let Some(item) = self.remove_item(outbox, old.seq) {
            self.release_from(outbox, old.seq, id, Gone::Dropped);
            self.stage_ack(outbox, &[old.seq]);
            self.no_longer_waits(sender, u64::from(item.bytes));
        }
    }

    /// From one outbox to another, and word to the sender's device. What has come home to this very
    /// node is left to the device, which learns so and offers it again.
    fn move_item(
        &mut self,
        now: Millis,
        Rerouted { from, item: offered, to, late }: &Rerouted,
        view: &dyn MailView,
    ) -> Result<(), ReadError> {
        let stored = view.item(&MailboxId::outbox(*from), offered.seq)?;
        if !self.waits_in_outbox(*from, offered.seq) {
            return Ok(());
        }
        // Its recipient plays with us, or has no home yet: it waits until that is settled.
        if to.hops > MAX_HOPS {
            let why = "its recipient has moved too often".to_owned();
            let until = self.steady + LONGEST_HOLD * 1000;
            self.outbox_mut(*from).lanes.put_off(offered.lane(), offered.seq, until, why);
            self.look_later(*from);
            return Ok(());
        }
        self.settle(*from, offered);
        if to.home != self.node
            && let Some(stored) = stored
        {
            self.put_into_outbox(now, offered, to, stored);
        }
        self.put_refusal(now, offered.sender, late.clone());
        Ok(())
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
        let lane = Some(offered.lane());
        self.hold_bound(stored.id, Bound { node: to.home, seq, lane });
        self.note_expiry(outbox, expires);
        if let Some(sender) = offered.sender {
            self.waits(sender.account, u64::from(bytes));
        }
        self.want_link(to.home);
    }
}
