//! Mail that another node brings.

use postroad_proto::frame::Batch;
use postroad_proto::ids::{Millis, NodeId};
use postroad_proto::limits::MAX_BATCH;

use super::LinkId;
use crate::core::Core;
use crate::group::Creditor;
use crate::mail::intake::{Intake, Source};

impl Core {
    pub(crate) fn on_batch(&mut self, now: Millis, link: LinkId, node: NodeId, batch: Batch) {
        let count = batch.envelopes.len();
        let bytes = batch.envelopes.iter().map(|envelope| envelope.cost()).sum();
        if count == 0 || count > MAX_BATCH {
            let how = format!("a batch of {count} envelopes; expected 1 to {MAX_BATCH}");
            return self.misbehaved(now, link, node, how);
        }
        if !self.charge(link, count as u64, bytes) {
            return self.misbehaved(now, link, node, "sends more than its credit".into());
        }
        let creditor = Creditor::Batch { link, number: batch.number };
        self.group.open_reply(creditor);
        // Accounts whose mail is put off within this batch: what follows must not overtake it.
        let mut put_off = Vec::new();
        for (index, envelope) in batch.envelopes.into_iter().enumerate() {
            let source = Source::Peer { creditor, index: index as u64, origin: node };
            self.take_envelope(now, Intake::new(source, envelope), &mut put_off);
        }
        let (taken, refused) = self.group.tally(creditor);
        self.judge(now, link, node, taken, refused);
        self.contact(node);
    }
}
