//! Mail for other nodes comes into custody, within what one sender and one node may pile up.

use postroad_proto::envelope::{Class, Parcel};
use postroad_proto::error::ErrorCode;
use postroad_proto::ids::{AccountId, Millis, NodeId, ParcelId};
use serde_bytes::ByteArray;

use crate::bucket::Bucket;
use crate::changes::MailboxId;
use crate::core::{Bound, Core};
use crate::mail::admission::Admission;
use crate::mail::intake::{Custody, Intake, Rejection};
use crate::mail::item::Own;
use crate::people::accounts::malformed;
use crate::reply::Refusal;

/// Parcels of one account per hour that other nodes may refuse for good, some of them at once, and
/// how long it waits when there are more.
const REFUSED_PER_HOUR: u64 = 120;
const REFUSED_AT_ONCE: u64 = 120;
const BARRED: Millis = 600_000;

impl Core {
    /// Takes a parcel for another node into custody.
    pub(crate) fn bind(
        &mut self,
        now: Millis,
        intake: &mut Intake,
        home: NodeId,
        parcel: &Parcel,
        id: ParcelId,
    ) -> Result<(), Rejection> {
        let Some(sender) = intake.sender() else { return Ok(()) };
        self.check_route(&home)?;
        let mut parcel = parcel.clone();
        if parcel.tag.is_some() {
            return Err(malformed("the tag of a request is this node's to fill in").into());
        }
        if intake.envelope.class() == Some(Class::Request) {
            let tag = self.request_tag(&sender.account, &parcel.account)?;
            self.take_request(now, sender.account)?;
            parcel.tag = Some(ByteArray::new(tag));
        }
        self.check_outbox(sender.account, home, intake.envelope.cost())?;
        let outbox = MailboxId::outbox(home);
        let own = Own { copies: 1, parcel: Some(parcel.clone()), ..Own::default() };
        let seq = self.put_item(now, intake, id, outbox, &own, &Admission::default())?;
        let lane = Some((Some(sender), parcel.account));
        self.hold_bound(id, Bound { node: home, seq, lane });
        let item = self.mailboxes.get(&outbox).and_then(|held| held.items.get(&seq));
        let bytes = item.map_or(0, |item| u64::from(item.bytes));
        self.waits(sender.account, bytes);
        self.counters.accepted += 1;
        self.owe_custody(intake, id, Custody::Origin);
        self.want_link(home);
        Ok(())
    }

    /// Another node refused mail of `sender` for good. Whoever goes on like that has to wait, or all
    /// others here would.
    pub(crate) fn blame(&mut self, now: Millis, sender: Option<MailboxId>) {
        let steady = self.steady;
        let Some(sender) = sender else { return };
        let rates = self.rates_of(sender.account);
        let refused = rates.refused.get_or_insert_with(|| Bucket::full(REFUSED_AT_ONCE, now));
        if refused.take(REFUSED_PER_HOUR, REFUSED_AT_ONCE, now).is_err() {
            rates.barred_until = steady + BARRED;
        }
    }

    fn check_outbox(&self, sender: AccountId, home: NodeId, bytes: u64) -> Result<(), Refusal> {
        let barred_until = self.rates.get(&sender).map_or(0, |rates| rates.barred_until);
        if barred_until > self.steady {
            let seconds = (barred_until - self.steady).div_ceil(1000);
            let text = "other nodes refuse too much of what this account sends";
            return Err(Refusal::after(ErrorCode::Rate, seconds, text));
        }
        let config = &self.config;
        let (messages, waiting) = self.sender_waiting.get(&sender).copied().unwrap_or_default();
        if messages >= config.outbox_messages || waiting + bytes > config.outbox_bytes {
            let text = format!("{messages} messages of this account wait for other nodes already");
            return Err(Refusal::after(ErrorCode::SenderQuota, 60, text));
        }
        let held = self.mailboxes.get(&MailboxId::outbox(home)).map_or(0, |held| held.bytes);
        if held + bytes > config.outbox_bytes_per_node {
            let text = format!("{held} bytes wait for {} already", self.node_name(&home));
            return Err(Refusal::after(ErrorCode::SenderQuota, 300, text));
        }
        Ok(())
    }

    /// One message of `sender` more waits for other nodes.
    pub(crate) fn waits(&mut self, sender: AccountId, bytes: u64) {
        let waiting = self.sender_waiting.entry(sender).or_default();
        *waiting = (waiting.0 + 1, waiting.1 + bytes);
    }

    /// One message of `sender` less waits for other nodes.
    pub(crate) fn no_longer_waits(&mut self, sender: Option<MailboxId>, bytes: u64) {
        let Some(sender) = sender.map(|sender| sender.account) else { return };
        // What was there before the node started was not counted.
        if let Some(waiting) = self.sender_waiting.get_mut(&sender) {
            *waiting = (waiting.0.saturating_sub(1), waiting.1.saturating_sub(bytes));
            if waiting.0 == 0 {
                self.sender_waiting.remove(&sender);
            }
        }
    }
}
