//! Mailboxes: what waits for each device, and how much room it takes.

use std::collections::BTreeMap;

use postroad_proto::ids::ParcelId;
use postroad_proto::token::Label;

use crate::map::Map;

/// Sequence numbers are written down this many at a time: a restart skips the rest of a block, so
/// that a number is never used twice, at one small write per block.
pub(crate) const SEQ_BLOCK: u64 = 256;

/// One item in custody; its content is in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) id: ParcelId,
    pub(crate) bytes: u32,
    /// Seconds since the Unix epoch.
    pub(crate) expires: u64,
    /// Which token's share it fills; none for notices and after a restart.
    pub(crate) label: Option<Label>,
    /// Milliseconds since the Unix epoch; the start of the node for what is older.
    pub(crate) since: u64,
}

/// One device's mailbox.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    pub(crate) items: BTreeMap<u64, Item>,
    pub(crate) bytes: u64,
    /// Bytes by the token they came under.
    shares: Map<Label, u64>,
    /// The next sequence number, and where the block that was written down ends.
    pub(crate) next: u64,
    pub(crate) block_end: u64,
    /// No item expires before this, seconds since the Unix epoch.
    pub(crate) next_expiry: Option<u64>,
}

impl Mailbox {
    pub(crate) fn starting_at(next: u64) -> Self {
        Self { next, block_end: next, ..Self::default() }
    }

    pub(crate) fn insert(&mut self, seq: u64, item: Item) {
        self.bytes += u64::from(item.bytes);
        if let Some(label) = item.label {
            *self.shares.entry(label).or_default() += u64::from(item.bytes);
        }
        self.items.insert(seq, item);
    }

    /// The first items of an empty mailbox, none of them under a label; in order they take least
    /// time.
    pub(crate) fn fill(&mut self, items: impl Iterator<Item = (u64, Item)>) {
        self.items = items.collect();
        self.bytes = self.items.values().map(|item| u64::from(item.bytes)).sum();
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Item> {
        let item = self.items.remove(&seq)?;
        self.bytes -= u64::from(item.bytes);
        if let Some(label) = item.label
            && let Some(share) = self.shares.get_mut(&label)
        {
            *share = share.saturating_sub(u64::from(item.bytes));
            if *share == 0 {
                self.shares.remove(&label);
            }
        }
        Some(item)
    }

    pub(crate) fn share(&self, label: &Label) -> u64 {
        self.shares.get(label).copied().unwrap_or(0)
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.items.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    pub(crate) fn oldest(&self) -> Option<u64> {
        self.items.first_key_value().map(|(_, item)| item.since)
    }
}
