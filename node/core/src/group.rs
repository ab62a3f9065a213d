//! A group of inputs that becomes one commit with one signature.

use bytes::Bytes;
use postroad_proto::frame::{Accepted, Frame};
use postroad_proto::ids::{Hash, Millis};
use postroad_proto::merkle;
use postroad_proto::receipt::{Receipt, ReceiptItem, ReceiptRoot};
use postroad_proto::record::RECORD_VERSION;
use postroad_proto::signed::Signed;

use crate::changes::{Ack, Changes, MailboxId, NewMail, StateChange};
use crate::core::{Core, Output, SessionId};

/// Changes that wait for the next commit, and about how large that will be.
#[derive(Default)]
pub(crate) struct Staged {
    changes: Changes,
    bytes: usize,
}

/// What a record takes in the journal beside its content.
const FRAMING: usize = 64;

impl Staged {
    pub(crate) fn mail(&mut self, mail: NewMail) {
        let own: usize = mail.items.iter().map(|item| item.own.len() + FRAMING).sum();
        self.bytes += mail.shared.len() + own + FRAMING;
        self.changes.mail.push(mail);
    }

    pub(crate) fn ack(&mut self, ack: Ack) {
        self.bytes += ack.ranges.len() * 16 + FRAMING;
        self.changes.acks.push(ack);
    }

    pub(crate) fn state(&mut self, key: Bytes, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + FRAMING;
        self.changes.state.push(StateChange { key, value });
    }

    /// Envelopes staged so far.
    pub(crate) fn envelopes(&self) -> usize {
        self.changes.mail.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What is staged until the next commit.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) staged: Staged,
    /// Receipts owed, by session, in the order in which sessions first came up.
    receipts: Vec<Owed>,
    /// Expired notices owed to sending devices.
    notices: Vec<(MailboxId, ReceiptItem)>,
    /// Answers that wait for the commit.
    pub(crate) released: Vec<Output>,
}

/// The receipts that one session gets in one reply.
struct Owed {
    session: SessionId,
    numbers: Vec<u64>,
    items: Vec<ReceiptItem>,
}

impl Group {
    /// A parcel of `session`'s envelope `number` was taken into custody.
    pub(crate) fn owe_receipt(&mut self, session: SessionId, number: u64, item: ReceiptItem) {
        // Receipts of one session mostly come in a row; the last entry is the likely one.
        let position = self.receipts.iter().rposition(|owed| owed.session == session);
        let owed = match position.and_then(|at| self.receipts.get_mut(at)) {
            Some(owed) => owed,
            None => {
                self.receipts.push(Owed { session, numbers: Vec::new(), items: Vec::new() });
                let last = self.receipts.len() - 1;
                &mut self.receipts[last]
            }
        };
        if owed.numbers.last() != Some(&number) {
            owed.numbers.push(number);
        }
        owed.items.push(item);
    }

    /// Mail of the device that reads `mailbox` expired.
    pub(crate) fn owe_notice(&mut self, mailbox: MailboxId, item: ReceiptItem) {
        self.notices.push((mailbox, item));
    }

    pub(crate) fn release(&mut self, session: SessionId, frame: impl Into<Frame>) {
        self.released.push(Output::Frame { session, frame: frame.into() });
    }
}

impl Core {
    pub(crate) fn seal_group(&mut self, now: Millis) -> Option<Changes> {
        let receipts = core::mem::take(&mut self.group.receipts);
        let notices = core::mem::take(&mut self.group.notices);
        // Repeats alone change nothing, but their fresh receipts need a commit number all the same:
        // the last durable one covers them.
        let writes = !self.group.staged.changes.is_empty() || !notices.is_empty();
        let commit = self.commit + u64::from(writes);
        if !receipts.is_empty() || !notices.is_empty() {
            self.sign_receipts(now, commit, receipts, notices);
        }
        if !writes {
            return None;
        }
        self.commit = commit;
        let mut changes = core::mem::take(&mut self.group.staged).changes;
        changes.commit = commit;
        Some(changes)
    }

    /// One signature for all: every session's items form a subtree, every notice one of its own.
    fn sign_receipts(
        &mut self,
        now: Millis,
        commit: u64,
        receipts: Vec<Owed>,
        notices: Vec<(MailboxId, ReceiptItem)>,
    ) {
        let leaf = |item: &ReceiptItem| item.leaf().unwrap_or(Hash([0; 32]));
        let subtrees: Vec<Hash> = receipts
            .iter()
            .map(|owed| merkle::root(&owed.items.iter().map(leaf).collect::<Vec<_>>()))
            .chain(notices.iter().map(|(_, item)| leaf(item)))
            .collect();
        let root = ReceiptRoot {
            version: RECORD_VERSION,
            flags: 0,
            node: self.node,
            generation: self.generation,
            run: self.run,
            commit,
            at: now,
            merkle_root: merkle::root(&subtrees),
        };
        let Ok(root) = Signed::new(&root, &self.keys.signing, &self.keys.network) else { return };
        self.counters.roots += 1;
        let mut index = 0;
        for Owed { session, numbers, items } in receipts {
            let path = merkle::path(&subtrees, index);
            self.group.release(session, Accepted { numbers, items, path, root: root.clone() });
            index += 1;
        }
        for (mailbox, item) in notices {
            let path = merkle::path(&subtrees, index);
            self.put_notice(now, mailbox, Receipt { item, path, root: root.clone() });
            index += 1;
        }
    }
}
