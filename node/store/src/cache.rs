//! The bodies committed last, so that delivering them right away reads no disk.

use std::collections::{HashMap, VecDeque};

use postroad_core::changes::{MailboxId, StoredItem};

/// Bytes of bodies kept.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Items kept, whatever their size.
const MAX_ITEMS: usize = 16 * 1024;

type Key = (MailboxId, u64);

/// First in, first out. What several items share is counted for each: the bound is an upper one.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    items: HashMap<Key, StoredItem, foldhash::fast::RandomState>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Cache {
    pub(crate) fn get(&self, key: &Key) -> Option<&StoredItem> {
        self.items.get(key)
    }

    pub(crate) fn insert(&mut self, mailbox: MailboxId, item: StoredItem) {
        let key = (mailbox, item.seq);
        let size = item.shared.len() + item.own.len();
        if size > MAX_BYTES {
            return;
        }
        self.bytes += size;
        match self.items.insert(key, item) {
            Some(old) => self.bytes -= old.shared.len() + old.own.len(),
            None => self.order.push_back(key),
        }
        while self.bytes > MAX_BYTES || self.order.len() > MAX_ITEMS {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(&oldest);
        }
    }

    /// Its place in the order stays behind and is skipped when it comes up.
    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(item) = self.items.remove(key) {
            self.bytes -= item.shared.len() + item.own.len();
        }
    }
}
