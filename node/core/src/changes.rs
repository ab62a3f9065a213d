//! What one commit writes, and what the core reads back: the words the core and a store share.

use bytes::Bytes;
use postroad_proto::ids::{AccountId, DeviceNumber, NodeId, ParcelId};

/// A mailbox: one device of one account homed here. Devices are numbered from 1; a mailbox with
/// device number 0 is the outbox for the node whose id stands in the account's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId {
    /// The account.
    pub account: AccountId,
    /// The device within it.
    pub device: DeviceNumber,
}

impl MailboxId {
    /// The outbox for `node`.
    pub fn outbox(node: NodeId) -> Self {
        Self { account: AccountId(node.0), device: 0 }
    }

    /// The node whose outbox it is, if it is one.
    pub fn destination(&self) -> Option<NodeId> {
        (self.device == 0).then_some(NodeId(self.account.0))
    }
}

/// All that one group of inputs changes. A store makes it durable as one: after a crash either
/// all of it is there or nothing.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The number of this commit: one more than the previous, for the life of a data directory.
    pub commit: u64,
    /// Mail taken into custody: one record per envelope.
    pub mail: Vec<NewMail>,
    /// Mailbox items that need not be kept any more. Alone they force no sync.
    pub acks: Vec<Ack>,
    /// Everything else, by key. Of one key the last change counts.
    pub state: Vec<StateChange>,
    /// Whether a receipt names this commit, whatever else is in it.
    pub named: bool,
}

impl Changes {
    /// True when nothing would be written.
    pub fn is_empty(&self) -> bool {
        self.mail.is_empty() && self.acks.is_empty() && self.state.is_empty()
    }

    /// True when a promise hangs on this commit, so that it must be synced before it is answered.
    /// Acks alone are not: losing one costs a repeat, which the client drops.
    pub fn needs_sync(&self) -> bool {
        self.named || !self.mail.is_empty() || self.state.iter().any(|change| change.promised)
    }
}

/// One envelope's mail: the part all its items share is stored once.
#[derive(Debug, Clone)]
pub struct NewMail {
    /// What every item of it shares (the encoded body and its attributes). Opaque to the store.
    pub shared: Bytes,
    /// The mailbox items that point to it; at least one.
    pub items: Vec<NewItem>,
}

/// One item in one mailbox.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// Where it lies.
    pub mailbox: MailboxId,
    /// Its place there; rising, never reused.
    pub seq: u64,
    /// The parcel it belongs to.
    pub id: ParcelId,
    /// When it may be deleted unread, in seconds since the Unix epoch.
    pub expires: u64,
    /// What only this item carries (header, label). Opaque to the store.
    pub own: Bytes,
}

/// Items of one mailbox that are done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Inclusive ranges of sequence numbers, rising and apart. They may name what is not there.
    pub ranges: Vec<(u64, u64)>,
}

/// One key's new value, or `None` to delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// At most 128 bytes.
    pub key: Bytes,
    /// At most 64 KiB.
    pub value: Option<Bytes>,
    /// Whether a promise hangs on it. What others can tell again (a node's record) rides along
    /// with the next sync.
    pub promised: bool,
}

/// A mailbox item read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredItem {
    /// Its place in the mailbox.
    pub seq: u64,
    /// The parcel it belongs to.
    pub id: ParcelId,
    /// As given in [`NewItem::expires`].
    pub expires: u64,
    /// As given in [`NewMail::shared`].
    pub shared: Bytes,
    /// As given in [`NewItem::own`].
    pub own: Bytes,
}

/// A mailbox item as found at start-up: all but its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveredItem {
    /// Where it lies.
    pub mailbox: MailboxId,
    /// Its place there.
    pub seq: u64,
    /// The parcel it belongs to.
    pub id: ParcelId,
    /// As given in [`NewItem::expires`].
    pub expires: u64,
    /// Bytes of its shared and own parts together.
    pub bytes: u32,
}

/// What a store holds when it is opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The last durable commit; 0 in a new directory.
    pub commit: u64,
    /// Every key with its value.
    pub state: Vec<(Bytes, Bytes)>,
    /// Every item not acked, in order of mailbox and number.
    pub mail: Vec<RecoveredItem>,
}

/// The items of a mailbox could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the mailbox could not be read: {0}")]
pub struct ReadError(pub String);

/// How the core reads mail it has in custody. Only what is durable is visible.
pub trait MailView {
    /// The items of `mailbox` with a sequence number above `after`, oldest first: at most
    /// `max_items` of them, and no more than fit into `max_bytes` (but always one, if there is
    /// one). An item that is damaged on disk is left out and counted by the store.
    fn items(
        &self,
        mailbox: &MailboxId,
        after: u64,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredItem>, ReadError>;

    /// The item of `mailbox` with the number `seq`, from 1, unless it is damaged.
    ///
    /// # Errors
    /// When the store fails.
    fn item(&self, mailbox: &MailboxId, seq: u64) -> Result<Option<StoredItem>, ReadError> {
        let found = self.items(mailbox, seq.saturating_sub(1), 1, 1)?;
        Ok(found.into_iter().find(|item| item.seq == seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_promised_forces_a_sync() {
        let change = |promised| StateChange { key: Bytes::new(), value: None, promised };
        let mut changes = Changes { state: vec![change(false)], ..Changes::default() };
        assert!(!changes.is_empty() && !changes.needs_sync());
        changes.state.push(change(true));
        assert!(changes.needs_sync());
    }
}
