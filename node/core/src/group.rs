//! A group of inputs that becomes one commit with one signature.

use bytes::Bytes;
use postroad_proto::blob::Blob;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Accepted, BatchReply, Frame, Late, RefusedParcel};
use postroad_proto::ids::{Hash, Millis, NodeId};
use postroad_proto::merkle;
use postroad_proto::receipt::{Receipt, ReceiptItem, ReceiptRoot};
use postroad_proto::record::RECORD_VERSION;
use postroad_proto::signed::Signed;

use crate::changes::{Ack, Changes, MailboxId, NewMail, StateChange};
use crate::core::{Core, Output, SessionId};
use crate::roads::settle::blames_sender;
use crate::roads::{Command, LinkId};

/// Changes that wait for the next commit, and about how large that will be.
#[derive(Default)]
pub(crate) struct Staged {
    changes: Changes,
    bytes: usize,
}

/// Refused parcels of one batch that carry records, of up to 4 KiB each.
const MAX_ATTACHED: usize = 8;
/// Refused parcels of one batch that carry the record of a move, of up to 1 KiB each.
const MAX_PROOFS: usize = 32;
/// Bytes of detail per refused parcel of a batch.
const MAX_BATCH_DETAIL: usize = 160;
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

    pub(crate) fn state(&mut self, key: Bytes, value: Option<Bytes>, promised: bool) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + FRAMING;
        self.changes.state.push(StateChange { key, value, promised });
    }

    /// Envelopes staged so far.
    pub(crate) fn envelopes(&self) -> usize {
        self.changes.mail.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// To whom receipts are owed in one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creditor {
    /// A client, for its envelopes of this group.
    Session(SessionId),
    /// Another node, for one batch.
    Batch { link: LinkId, number: u64 },
}

/// Who is to learn that mail expired.
#[derive(Debug, Clone)]
pub(crate) enum Bereaved {
    /// The device that reads this mailbox.
    Device(MailboxId),
    /// A user of another node, which finds them by its stamp.
    Elsewhere { node: NodeId, stamp: Blob },
}

/// What is staged until the next commit.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) staged: Staged,
    /// Replies owed, in the order in which their creditors first came up.
    replies: Vec<Owed>,
    /// Notices of what expired.
    notices: Vec<(Bereaved, ReceiptItem)>,
    /// Answers that wait for the commit.
    pub(crate) released: Vec<Output>,
}

/// One reply.
struct Owed {
    to: Creditor,
    numbers: Vec<u64>,
    items: Vec<ReceiptItem>,
    refused: Vec<RefusedParcel>,
    /// How many of the items are no repeats.
    taken: u64,
}

impl Group {
    /// There will be a reply to `to`, be there receipts in it or not.
    pub(crate) fn open_reply(&mut self, to: Creditor) {
        self.owed(to);
    }

    fn owed(&mut self, to: Creditor) -> &mut Owed {
        // Receipts of one creditor mostly come in a row; the last entry is the likely one.
        let at = self.replies.iter().rposition(|owed| owed.to == to).unwrap_or_else(|| {
            let (numbers, items, refused) = (Vec::new(), Vec::new(), Vec::new());
            let owed = Owed { to, numbers, items, refused, taken: 0 };
            self.replies.push(owed);
            self.replies.len() - 1
        });
        &mut self.replies[at]
    }

    /// A parcel of envelope `number` was taken into custody.
    pub(crate) fn owe_receipt(&mut self, to: Creditor, number: u64, item: ReceiptItem) {
        let owed = self.owed(to);
        if owed.numbers.last() != Some(&number) {
            owed.numbers.push(number);
        }
        owed.items.push(item);
    }

    /// A parcel of a batch was not taken. The reply must fit a frame: records beyond the first few
    /// are left out, whoever needs them can ask; and what would need one more proof of a move is
    /// to come again.
    pub(crate) fn refuse(&mut self, to: Creditor, mut refused: RefusedParcel) {
        let owed = self.owed(to);
        let with_records = owed.refused.iter().filter(|refused| refused.records.is_some()).count();
        if with_records >= MAX_ATTACHED {
            refused.records = None;
        }
        let with_record = owed.refused.iter().filter(|refused| refused.record.is_some()).count();
        if with_record >= MAX_PROOFS && refused.record.take().is_some() {
            refused.code = ErrorCode::Busy;
            refused.retriable = true;
            refused.retry_after = 1;
        }
        refused.detail.truncate(refused.detail.floor_char_boundary(MAX_BATCH_DETAIL));
        owed.refused.push(refused);
    }

    /// Parcels taken, and refused to the blame of whoever sent them, of what is owed to `to`.
    pub(crate) fn tally(&mut self, to: Creditor) -> (u64, u64) {
        let owed = self.owed(to);
        let refused = owed.refused.iter().filter(|r| !r.retriable && blames_sender(r.code)).count();
        (owed.taken, refused as u64)
    }

    /// A parcel was taken that was not here before.
    pub(crate) fn count_taken(&mut self, by: Creditor) {
        self.owed(by).taken += 1;
    }

    /// Mail expired.
    pub(crate) fn owe_notice(&mut self, whom: Bereaved, item: ReceiptItem) {
        self.notices.push((whom, item));
    }

    pub(crate) fn release(&mut self, session: SessionId, frame: impl Into<Frame>) {
        self.released.push(Output::Frame { session, frame: frame.into() });
    }
}

impl Core {
    pub(crate) fn seal_group(&mut self, now: Millis) -> Option<Changes> {
        let replies = core::mem::take(&mut self.group.replies);
        let notices = core::mem::take(&mut self.group.notices);
        let staged = &self.group.staged.changes;
        let writes = !staged.is_empty() || !notices.is_empty();
        // A receipt names a commit that is on stable storage, or a power loss would look like a
        // rollback. Repeats alone write nothing that is synced: the last sync covers them.
        if staged.needs_sync() || !notices.is_empty() {
            self.synced = self.commit + 1;
        }
        self.sign_receipts(now, replies, notices);
        if !writes {
            return None;
        }
        self.commit += 1;
        let mut changes = core::mem::take(&mut self.group.staged).changes;
        changes.commit = self.commit;
        changes.named = self.synced == self.commit;
        Some(changes)
    }

    /// One signature for all: every creditor's items form a subtree, every notice one of its own.
    fn sign_receipts(
        &mut self,
        now: Millis,
        replies: Vec<Owed>,
        notices: Vec<(Bereaved, ReceiptItem)>,
    ) {
        let leaf = |item: &ReceiptItem| item.leaf().unwrap_or(Hash([0; 32]));
        let trees = replies.iter().filter(|owed| !owed.items.is_empty());
        let subtrees: Vec<Hash> = trees
            .map(|owed| merkle::root(&owed.items.iter().map(leaf).collect::<Vec<_>>()))
            .chain(notices.iter().map(|(_, item)| leaf(item)))
            .collect();
        let signs = !subtrees.is_empty();
        let tree = merkle::Tree::new(subtrees);
        let root = if signs { self.sign_root(now, tree.root()) } else { None };
        let mut index = 0;
        let mut next_path = || {
            index += 1;
            tree.path(index - 1)
        };
        for owed in replies {
            let path = if owed.items.is_empty() { Vec::new() } else { next_path() };
            self.reply(now, owed, path, root.as_ref());
        }
        let Some(root) = root else { return };
        for (whom, item) in notices {
            let receipt = Receipt { item, path: next_path(), root: root.clone() };
            match whom {
                Bereaved::Device(mailbox) => self.put_receipt(now, mailbox, receipt),
                Bereaved::Elsewhere { node, stamp } => {
                    self.send_late(node, Late { stamp, receipt });
                }
            }
        }
    }

    fn sign_root(&mut self, now: Millis, merkle_root: Hash) -> Option<Signed<ReceiptRoot>> {
        let root = ReceiptRoot {
            version: RECORD_VERSION,
            flags: 0,
            node: self.node,
            generation: self.generation,
            run: self.run,
            commit: self.synced,
            at: now,
            merkle_root,
        };
        self.counters.roots += 1;
        Signed::new(&root, &self.keys.signing, &self.keys.network).ok()
    }

    fn reply(
        &mut self,
        now: Millis,
        owed: Owed,
        path: Vec<merkle::Step>,
        root: Option<&Signed<ReceiptRoot>>,
    ) {
        let Owed { to, numbers, items, refused, .. } = owed;
        let root = root.filter(|_| !items.is_empty()).cloned();
        match (to, root) {
            (Creditor::Session(session), Some(root)) => {
                self.group.release(session, Accepted { numbers, items, path, root });
            }
            (Creditor::Session(_), None) => {}
            (Creditor::Batch { link, number }, root) => {
                let reply = BatchReply { number, items, path, root, refused };
                self.command(Command::Frame { link, frame: reply.into() });
                self.grant(now, link);
            }
        }
    }
}
