//! The contract in memory: for tests of what sits on a store, and the model for tests of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use postroad_core::changes::{
    Changes, MailView, MailboxId, ReadError, Recovered, RecoveredItem, StoredItem,
};

use crate::error::StoreError;
use crate::stats::StoreStats;
use crate::{Room, Store, record};

/// A store that lasts as long as the process. [`MemoryStore::recovered`] shows what an opened
/// journal would hand back.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    commit: u64,
    commits: u64,
    mail: BTreeMap<(MailboxId, u64), StoredItem>,
    state: BTreeMap<Bytes, Bytes>,
}

impl MemoryStore {
    /// What a journal with the same commits would recover, in order of mailbox, number and key.
    pub fn recovered(&self) -> Recovered {
        let mail = self.mail.iter().map(|((mailbox, seq), item)| RecoveredItem {
            mailbox: *mailbox,
            seq: *seq,
            id: item.id,
            expires: item.expires,
            bytes: (item.shared.len() + item.own.len()) as u32,
        });
        Recovered {
            commit: self.commit,
            state: self.state.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            mail: mail.collect(),
        }
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        record::check(changes, self.commit)?;
        for mail in &changes.mail {
            for item in &mail.items {
                let stored = StoredItem {
                    seq: item.seq,
                    id: item.id,
                    expires: item.expires,
                    shared: mail.shared.clone(),
                    own: item.own.clone(),
                };
                self.mail.insert((item.mailbox, item.seq), stored);
            }
        }
        for ack in &changes.acks {
            for (first, last) in ack.ranges.iter().filter(|(first, last)| first <= last) {
                let keys = self.mail.range((ack.mailbox, *first)..=(ack.mailbox, *last));
                let keys: Vec<_> = keys.map(|(key, _)| *key).collect();
                for key in keys {
                    self.mail.remove(&key);
                }
            }
        }
        for change in &changes.state {
            match &change.value {
                Some(value) => self.state.insert(change.key.clone(), value.clone()),
                None => self.state.remove(&change.key),
            };
        }
        self.commit = changes.commit;
        self.commits += 1;
        Ok(())
    }

    fn room(&mut self, _bytes: usize) -> Result<Room, StoreError> {
        Ok(Room::Open)
    }

    fn maintain(&mut self, _now: u64) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn stats(&self) -> StoreStats {
        let bytes = self.mail.values().map(|item| (item.shared.len() + item.own.len()) as u64);
        StoreStats {
            live_items: self.mail.len() as u64,
            live_bytes: bytes.sum(),
            live_keys: self.state.len() as u64,
            commit: self.commit,
            commits: self.commits,
            ..StoreStats::default()
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl MailView for MemoryStore {
    fn items(
        &self,
        mailbox: &MailboxId,
        after: u64,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredItem>, ReadError> {
        let Some(first) = after.checked_add(1) else {
            return Ok(Vec::new());
        };
        let mut bytes = 0;
        let mut items = Vec::new();
        for (_, item) in self.mail.range((*mailbox, first)..=(*mailbox, u64::MAX)) {
            bytes += item.shared.len() + item.own.len();
            if items.len() >= max_items || (bytes > max_bytes && !items.is_empty()) {
                break;
            }
            items.push(item.clone());
        }
        Ok(items)
    }
}

#[cfg(test)]
impl MemoryStore {
    /// Starts over from what another store has recovered.
    pub(crate) fn restore(&mut self, store: &dyn Store, recovered: &Recovered) {
        self.commit = recovered.commit;
        self.state = recovered.state.iter().cloned().collect();
        self.mail.clear();
        for found in &recovered.mail {
            let items = store.items(&found.mailbox, found.seq - 1, 1, 0).unwrap();
            self.mail.extend(items.into_iter().map(|item| ((found.mailbox, item.seq), item)));
        }
    }
}
