//! Where every mailbox item lies: in memory, and once that is settled mostly in sled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use postroad_core::changes::MailboxId;

mod disk;
mod entries;

use disk::DiskIndex;
use entries::{Entries, Entry};

use crate::stats::IndexState;

/// A mailbox item's name.
pub(crate) type Key = (MailboxId, u64);

/// Where an item lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    /// Of the frame, with header and padding.
    pub(crate) length: u32,
    /// Of the item's shared and own parts.
    pub(crate) bytes: u32,
    /// The item's part of the frame.
    pub(crate) weight: u32,
}

/// The index on disk failed. It is thrown away and the truth read from the journal again.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) String);

/// Entries handled in one step.
const BATCH: usize = 2048;
/// Changes held back before they are written behind, some 50 bytes each: most mail is gone before
/// it gets there.
const OVERLAY: usize = 131_072;
/// Failures after which this run goes on without an index on disk.
const MAX_FAILURES: u32 = 3;

enum Phase {
    /// Memory has everything, and there is no index on disk or none is wanted.
    Memory,
    /// Memory has everything; the index on disk agrees with it up to the cursor.
    Reconciling { disk: DiskIndex, cursor: Option<Key>, dirty: BTreeSet<Key> },
    /// Memory has what the index on disk lacks: new places, and what is gone from there.
    Ready { disk: DiskIndex },
}

/// The index of mailboxes.
pub(crate) struct MailIndex {
    path: Option<PathBuf>,
    cache_bytes: u64,
    entries: Entries,
    phase: Phase,
    failures: u32,
}

impl MailIndex {
    pub(crate) fn new(path: Option<PathBuf>, cache_bytes: u64) -> Self {
        Self { path, cache_bytes, entries: Entries::default(), phase: Phase::Memory, failures: 0 }
    }

    /// Starts over from nothing: what there is follows by [`Self::add_mailbox`]. The files on disk
    /// are deleted when they are known to be bad.
    pub(crate) fn reset(&mut self, bad: bool) {
        self.entries = Entries::default();
        self.phase = Phase::Memory;
        let Some(path) = self.path.as_deref().filter(|_| bad) else { return };
        disk::remove(path);
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            // Memory is slower to start from and larger, but it must not keep compaction waiting.
            tracing::error!("the mailbox index keeps failing: memory stands in for it");
            self.path = None;
        }
    }

    /// After [`Self::reset`]: the places of all items of a mailbox, by number; in order they take
    /// least time.
    pub(crate) fn add_mailbox(
        &mut self,
        mailbox: MailboxId,
        places: impl Iterator<Item = (u64, Location)>,
    ) {
        let entry = |place| Entry { place: Some(place), on_disk: false };
        self.entries.add_mailbox(mailbox, places.map(|(seq, place)| (seq, entry(place))));
    }

    /// True when the index on disk, if one is wanted, agrees with the journal.
    pub(crate) fn settled(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. }) || self.path.is_none()
    }

    pub(crate) fn state(&self) -> IndexState {
        match (&self.path, &self.phase) {
            (None, _) => IndexState::None,
            (_, Phase::Ready { .. }) => IndexState::Ready,
            _ => IndexState::Reconciling,
        }
    }

    /// A new item: its number was never used before.
    pub(crate) fn insert(&mut self, key: Key, place: Location) {
        self.touch(key);
        self.entries.insert(key, Entry { place: Some(place), on_disk: false });
    }

    /// An item lies elsewhere from now on.
    pub(crate) fn relocate(&mut self, key: Key, place: Location) {
        self.touch(key);
        let on_disk = self.entries.get(&key).is_none_or(|entry| entry.on_disk);
        self.entries.insert(key, Entry { place: Some(place), on_disk });
    }

    /// Removes an item; returns where it lay.
    pub(crate) fn take(&mut self, key: &Key) -> Result<Option<Location>, Broken> {
        self.touch(*key);
        let Phase::Ready { disk } = &self.phase else {
            return Ok(self.entries.remove(key).and_then(|entry| entry.place));
        };
        match self.entries.get_mut(key) {
            Some(entry) if entry.on_disk => Ok(entry.place.take()),
            // Most mail is gone before the disk ever hears of it.
            Some(_) => Ok(self.entries.remove(key).and_then(|entry| entry.place)),
            None => {
                let place = disk.get(key)?;
                if place.is_some() {
                    self.entries.insert(*key, Entry { place: None, on_disk: true });
                }
                Ok(place)
            }
        }
    }

    fn touch(&mut self, key: Key) {
        if let Phase::Reconciling { dirty, .. } = &mut self.phase {
            dirty.insert(key);
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Location>, Broken> {
        match (self.entries.get(key), &self.phase) {
            (Some(entry), _) => Ok(entry.place),
            (None, Phase::Ready { disk }) => disk.get(key),
            (None, _) => Ok(None),
        }
    }

    /// At most `limit` items of `mailbox` from `first` to `last`, in order.
    pub(crate) fn range(
        &self,
        mailbox: &MailboxId,
        first: u64,
        last: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Location)>, Broken> {
        if first > last {
            return Ok(Vec::new());
        }
        let count = (last - first).saturating_add(1);
        let memory = self.entries.range(mailbox, first, last);
        let complete = || memory.clone().take(limit).count() as u64 == count;
        let disk = match &self.phase {
            // What is acked mostly came a moment ago: then there is nothing to ask the disk.
            Phase::Ready { disk }
                if disk.reaches(mailbox, first) && (count > limit as u64 || !complete()) =>
            {
                disk
            }
            _ => {
                let places = memory.filter_map(|(seq, entry)| Some((seq, entry.place?)));
                return Ok(places.take(limit).collect());
            }
        };
        let mut memory = memory.peekable();
        let mut stored = disk.range((*mailbox, first), Some((*mailbox, last))).peekable();
        let mut merged = Vec::new();
        while merged.len() < limit {
            let stored_seq = match stored.peek() {
                Some(Ok((key, _))) => Some(key.1),
                Some(Err(broken)) => return Err(Broken(broken.0.clone())),
                None => None,
            };
            let memory_seq = memory.peek().map(|(seq, _)| *seq);
            // Of both the one in memory is the newer.
            if memory_seq.is_some() && memory_seq == stored_seq {
                stored.next();
            }
            if memory_seq.is_some_and(|seq| stored_seq.is_none_or(|other| seq <= other)) {
                merged.extend(memory.next().and_then(|(seq, entry)| Some((seq, entry.place?))));
            } else if let Some(next) = stored.next() {
                let (key, place) = next?;
                merged.push((key.1, place));
            } else {
                break;
            }
        }
        Ok(merged)
    }

    /// One bounded step towards agreement; true when there is more to do at once.
    pub(crate) fn step(&mut self) -> Result<bool, Broken> {
        let Some(path) = &self.path else { return Ok(false) };
        match &mut self.phase {
            Phase::Memory => {
                let disk = DiskIndex::open_or_rebuild(path, self.cache_bytes)?;
                self.phase = Phase::Reconciling { disk, cursor: None, dirty: BTreeSet::new() };
                Ok(true)
            }
            Phase::Reconciling { disk, cursor, .. } => {
                let next = reconcile(&self.entries, disk, *cursor)?;
                match next {
                    Some(next) => *cursor = Some(next),
                    None => self.settle(),
                }
                Ok(true)
            }
            Phase::Ready { .. } if self.entries.len() > OVERLAY => self.write_behind(),
            Phase::Ready { .. } => Ok(false),
        }
    }

    /// From here on memory keeps only what changed while the two were compared.
    fn settle(&mut self) {
        let phase = std::mem::replace(&mut self.phase, Phase::Memory);
        if let Phase::Reconciling { disk, dirty, .. } = phase {
            let old = std::mem::take(&mut self.entries);
            let place = |key: &Key| old.get(key).and_then(|entry| entry.place);
            for key in dirty {
                self.entries.insert(key, Entry { place: place(&key), on_disk: true });
            }
            self.phase = Phase::Ready { disk };
        }
    }

    /// Writes one batch of what memory holds; true when more is left.
    fn write_behind(&mut self) -> Result<bool, Broken> {
        let Phase::Ready { disk } = &mut self.phase else { return Ok(false) };
        let batch: Vec<_> =
            self.entries.after(None).take(BATCH).map(|(key, entry)| (key, entry.place)).collect();
        disk.apply(&batch)?;
        for (key, _) in &batch {
            self.entries.remove(key);
        }
        Ok(self.entries.len() > 0)
    }

    /// For an orderly shutdown. What memory still has is not written: the next start compares the
    /// index with the journal anyway, and whoever stops a node does not wait for minutes.
    pub(crate) fn close(&mut self) -> Result<(), Broken> {
        match &self.phase {
            Phase::Ready { disk } => disk.flush(),
            _ => Ok(()),
        }
    }
}

/// Brings the disk in line with memory for the keys behind `cursor`; returns the next cursor.
fn reconcile(
    entries: &Entries,
    disk: &mut DiskIndex,
    cursor: Option<Key>,
) -> Result<Option<Key>, Broken> {
    let wanted: Vec<(Key, Location)> = entries
        .after(cursor)
        .take(BATCH)
        .filter_map(|(key, entry)| Some((key, entry.place?)))
        .collect();
    let until = if wanted.len() < BATCH { None } else { wanted.last().map(|(key, _)| *key) };
    let mut missing: BTreeMap<Key, Option<Location>> =
        wanted.into_iter().map(|(key, place)| (key, Some(place))).collect();
    // Of what only the disk has, no more than a batch goes in one step.
    let mut removed = 0;
    let mut reached = until;
    let mut kept = Vec::new();
    for entry in disk.range_after(cursor, until) {
        let (key, place) = entry?;
        kept.push(key);
        match missing.get(&key) {
            Some(Some(wanted)) if *wanted == place => {
                missing.remove(&key);
            }
            Some(_) => {}
            None => {
                missing.insert(key, None);
                removed += 1;
            }
        }
        if removed >= BATCH {
            reached = Some(key);
            break;
        }
    }
    let changes: Vec<_> = match reached {
        Some(reached) => missing.range(..=reached).map(|(k, p)| (*k, *p)).collect(),
        None => missing.into_iter().collect(),
    };
    for key in &kept {
        disk.note(key);
    }
    disk.apply(&changes)?;
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Location = Location { segment: 1, offset: 128, length: 64, bytes: 40, weight: 64 };

    fn ready(dir: &std::path::Path) -> MailIndex {
        let mut index = MailIndex::new(Some(dir.join("index")), 1 << 20);
        while index.step().unwrap() {}
        assert!(index.settled());
        index
    }

    fn key(seq: u64) -> Key {
        let account = postroad_proto::ids::AccountId([7; 32]);
        (MailboxId { account, device: 1 }, seq)
    }

    #[test]
    fn mail_that_is_gone_before_the_disk_hears_of_it_leaves_nothing_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = ready(dir.path());
        index.insert(key(1), PLACE);
        assert_eq!(index.take(&key(1)).unwrap(), Some(PLACE));
        assert!(index.entries.len() == 0);
        assert_eq!(index.take(&key(1)).unwrap(), None);
        assert!(index.entries.len() == 0);
    }

    #[test]
    fn the_disk_hears_that_what_it_has_is_gone_or_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = ready(dir.path());
        let there = Location { segment: 2, ..PLACE };
        for seq in 1..=4 {
            index.insert(key(seq), PLACE);
        }
        assert!(!index.write_behind().unwrap());
        assert!(index.entries.len() == 0);
        assert_eq!(index.take(&key(1)).unwrap(), Some(PLACE));
        index.relocate(key(2), there);
        index.relocate(key(3), there);
        assert_eq!(index.take(&key(3)).unwrap(), Some(there));
        let expected = [(2, there), (4, PLACE)];
        assert_eq!(index.range(&key(0).0, 0, u64::MAX, 10).unwrap(), expected);
        while index.write_behind().unwrap() {}
        assert!(index.entries.len() == 0);
        assert_eq!(index.range(&key(0).0, 0, u64::MAX, 10).unwrap(), expected);
        assert_eq!(index.get(&key(1)).unwrap(), None);
    }

    #[test]
    fn a_range_that_memory_knows_whole_is_right_without_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = ready(dir.path());
        for seq in 1..=3 {
            index.insert(key(seq), PLACE);
        }
        index.write_behind().unwrap();
        index.take(&key(2)).unwrap();
        index.insert(key(4), PLACE);
        let numbers = |from, to| {
            let found = index.range(&key(0).0, from, to, usize::MAX).unwrap();
            found.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
        };
        assert_eq!(numbers(2, 2), []);
        assert_eq!(numbers(4, 4), [4]);
        assert_eq!(numbers(1, 4), [1, 3, 4]);
        assert_eq!(numbers(3, 9), [3, 4]);
    }
}
