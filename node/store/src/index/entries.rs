//! What memory knows of items, by mailbox and number: a mailbox's name is held and compared once, not
//! for each of its items, which are millions after a start.

use std::collections::BTreeMap;
use std::ops::Bound;

use postroad_core::changes::MailboxId;

use super::{Key, Location};

/// What memory knows of an item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// `None` once it is gone.
    pub(super) place: Option<Location>,
    /// Whether the index on disk may have it, too: only then must it be told that it is gone.
    pub(super) on_disk: bool,
}

/// Entries in order of mailbox and number.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// None of them empty.
    mailboxes: BTreeMap<MailboxId, BTreeMap<u64, Entry>>,
    count: usize,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, (mailbox, seq): &Key) -> Option<&Entry> {
        self.mailboxes.get(mailbox)?.get(seq)
    }

    pub(super) fn get_mut(&mut self, (mailbox, seq): &Key) -> Option<&mut Entry> {
        self.mailboxes.get_mut(mailbox)?.get_mut(seq)
    }

    pub(super) fn insert(&mut self, (mailbox, seq): Key, entry: Entry) {
        let old = self.mailboxes.entry(mailbox).or_default().insert(seq, entry);
        self.count += usize::from(old.is_none());
    }

    pub(super) fn remove(&mut self, (mailbox, seq): &Key) -> Option<Entry> {
        let held = self.mailboxes.get_mut(mailbox)?;
        let removed = held.remove(seq)?;
        self.count -= 1;
        if held.is_empty() {
            self.mailboxes.remove(mailbox);
        }
        Some(removed)
    }

    /// What is known of a mailbox that was not known before; in order it takes least time.
    pub(super) fn add_mailbox(
        &mut self,
        mailbox: MailboxId,
        entries: impl Iterator<Item = (u64, Entry)>,
    ) {
        let held: BTreeMap<u64, Entry> = entries.collect();
        self.count += held.len();
        if !held.is_empty() {
            self.mailboxes.insert(mailbox, held);
        }
    }

    /// Those of `mailbox` from `first` to `last`, which is not below it.
    pub(super) fn range(
        &self,
        mailbox: &MailboxId,
        first: u64,
        last: u64,
    ) -> impl Iterator<Item = (u64, &Entry)> + Clone {
        let held = self.mailboxes.get(mailbox).into_iter();
        held.flat_map(move |held| held.range(first..=last)).map(|(seq, entry)| (*seq, entry))
    }

    /// Those behind `cursor`; without one all.
    pub(super) fn after(&self, cursor: Option<Key>) -> impl Iterator<Item = (Key, &Entry)> {
        let from = match cursor {
            Some((mailbox, _)) => Bound::Included(mailbox),
            None => Bound::Unbounded,
        };
        let mailboxes = self.mailboxes.range((from, Bound::Unbounded));
        mailboxes.flat_map(move |(mailbox, held)| {
            let behind = match cursor {
                Some((at, seq)) if at == *mailbox => Bound::Excluded(seq),
                _ => Bound::Unbounded,
            };
            let entries = held.range((behind, Bound::Unbounded));
            entries.map(|(seq, entry)| ((*mailbox, *seq), entry))
        })
    }
}
