//! Why something waits for another node, and until when.

use postroad_proto::frame::{Locate, Waiting};
use postroad_proto::ids::{Millis, NodeId, ParcelId};

use crate::changes::MailboxId;
use crate::core::{Bound, Core, SessionId};
use crate::people::tokens::check_list;
use crate::reply::DONE;

/// Why mail waits for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// For people.
    pub text: String,
    /// When it is tried again, milliseconds since the Unix epoch; none when something else than time
    /// is waited for.
    pub next_try: Option<Millis>,
}

impl Core {
    pub(crate) fn on_locate(&mut self, session: SessionId, ask: &Locate) {
        if let Err(refusal) = check_list(ask.parcels.len()) {
            return self.answer(session, ask.request, Err(refusal));
        }
        for parcel in &ask.parcels {
            if let Some((node, since, reason)) = self.locate(parcel) {
                let waiting = Waiting {
                    parcel: *parcel,
                    node,
                    since,
                    reason: reason.text,
                    next_try: reason.next_try.unwrap_or(0),
                };
                self.group.release(session, waiting);
            }
        }
        self.answer(session, ask.request, DONE);
    }

    /// Where a parcel waits for another node: for which, since when, why.
    pub(crate) fn locate(&self, parcel: &ParcelId) -> Option<(NodeId, Millis, Reason)> {
        let Bound { node, seq, .. } = **self.held.get(parcel)?.bound.as_ref()?;
        let item = self.mailboxes.get(&MailboxId::outbox(node))?.items.get(&seq)?;
        let outbox = self.outboxes.get(&node);
        let reason = match outbox.and_then(|outbox| outbox.lanes.reason(seq)) {
            Some((until, why)) => Reason {
                text: format!("{} puts it off: {why}", self.node_name(&node)),
                next_try: Some(self.wall(*until)),
            },
            None => self.outbox_reason(&node),
        };
        Some((node, item.since, reason))
    }

    /// Why mail waits for a node, at every moment.
    pub(crate) fn outbox_reason(&self, node: &NodeId) -> Reason {
        let name = self.node_name(node);
        let next_try = None;
        let Some(outbox) = self.outboxes.get(node) else {
            return Reason { text: format!("{name} was not tried yet"), next_try };
        };
        match (&outbox.link, outbox.opening.is_some()) {
            (Some(link), _) if !link.opened => {
                Reason { text: format!("{name} is being greeted"), next_try }
            }
            (Some(_), _) if !outbox.in_flight.is_empty() => {
                Reason { text: format!("offered to {name}, which has not answered yet"), next_try }
            }
            (Some(link), _) if link.envelopes == 0 || link.bytes == 0 => {
                Reason { text: format!("{name} takes no more for the moment"), next_try }
            }
            (Some(_), _) => Reason { text: format!("about to be offered to {name}"), next_try },
            (None, true) if outbox.reason.is_empty() => {
                Reason { text: format!("connecting to {name}"), next_try }
            }
            (None, true) => {
                let text = format!("connecting to {name} again; the last time: {}", outbox.reason);
                Reason { text, next_try }
            }
            (None, false) if outbox.reason.is_empty() => {
                Reason { text: format!("{name} was not tried yet"), next_try }
            }
            (None, false) => {
                let next = outbox.attempts.next;
                let next_try = (next > 0).then(|| self.wall(next));
                Reason { text: format!("{name} is away: {}", outbox.reason), next_try }
            }
        }
    }
}
