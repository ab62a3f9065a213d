//! Where every mailbox item lies: in memory, and once that is settled mostly in sled.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::PathBuf;

use postroad_core::changes::MailboxId;

mod disk;

use disk::DiskIndex;

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
/// Changes held back before they are written behind, some 100 bytes each: most mail is gone before
/// it gets there.
const OVERLAY: usize = 65_536;
/// Failures after which this run goes on without an index on disk.
const MAX_FAILURES: u32 = 3;

enum Phase {
    /// Memory has everything, and there is no index on disk or none is wanted.
    Memory,
    /// Memory has everything; the index on disk agrees with it up to the cursor.
    Reconciling { disk: DiskIndex, cursor: Option<Key>, dirty: BTreeSet<Key> },
    /// Memory has what the index on disk lacks: new places, and `None` for what is gone.
    Ready { disk: DiskIndex },
}

/// The index of mailboxes.
pub(crate) struct MailIndex {
    path: Option<PathBuf>,
    cache_bytes: u64,
    entries: BTreeMap<Key, Option<Location>>,
    phase: Phase,
    failures: u32,
}

impl MailIndex {
    pub(crate) fn new(path: Option<PathBuf>, cache_bytes: u64) -> Self {
        Self { path, cache_bytes, entries: BTreeMap::new(), phase: Phase::Memory, failures: 0 }
    }

    /// Starts over from `entries`, which must be complete. The files on disk are deleted when
    /// they are known to be bad.
    pub(crate) fn reset(&mut self, entries: BTreeMap<Key, Location>, bad: bool) {
        self.entries = entries.into_iter().map(|(key, place)| (key, Some(place))).collect();
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

    pub(crate) fn insert(&mut self, key: Key, place: Location) {
        self.touch(key);
        self.entries.insert(key, Some(place));
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        self.touch(*key);
        match self.phase {
            Phase::Ready { .. } => self.entries.insert(*key, None),
            _ => self.entries.remove(key),
        };
    }

    fn touch(&mut self, key: Key) {
        if let Phase::Reconciling { dirty, .. } = &mut self.phase {
            dirty.insert(key);
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Location>, Broken> {
        match (self.entries.get(key), &self.phase) {
            (Some(place), _) => Ok(*place),
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
        let (first, last) = ((*mailbox, first), (*mailbox, last));
        let mut memory = self.entries.range(first..=last).peekable();
        let Phase::Ready { disk } = &self.phase else {
            return Ok(memory.filter_map(|(key, p)| Some((key.1, (*p)?))).take(limit).collect());
        };
        let mut stored = disk.range(first, Some(last)).peekable();
        let mut merged = Vec::new();
        while merged.len() < limit {
            let stored_seq = match stored.peek() {
                Some(Ok((key, _))) => Some(key.1),
                Some(Err(broken)) => return Err(Broken(broken.0.clone())),
                None => None,
            };
            let memory_seq = memory.peek().map(|(key, _)| key.1);
            // Of both the one in memory is the newer.
            if memory_seq.is_some() && memory_seq == stored_seq {
                stored.next();
            }
            if memory_seq.is_some_and(|seq| stored_seq.is_none_or(|other| seq <= other)) {
                merged.extend(memory.next().and_then(|(key, place)| Some((key.1, (*place)?))));
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
            self.entries =
                dirty.into_iter().map(|key| (key, old.get(&key).copied().flatten())).collect();
            self.phase = Phase::Ready { disk };
        }
    }

    /// Writes one batch of what memory holds; true when more is left.
    fn write_behind(&mut self) -> Result<bool, Broken> {
        let Phase::Ready { disk } = &self.phase else { return Ok(false) };
        let batch: Vec<_> = self.entries.iter().take(BATCH).map(|(k, p)| (*k, *p)).collect();
        disk.apply(&batch)?;
        for (key, _) in &batch {
            self.entries.remove(key);
        }
        Ok(!self.entries.is_empty())
    }

    /// Writes everything, for an orderly shutdown.
    pub(crate) fn close(&mut self) -> Result<(), Broken> {
        while self.write_behind()? {}
        match &self.phase {
            Phase::Ready { disk } => disk.flush(),
            _ => Ok(()),
        }
    }
}

/// Brings the disk in line with memory for the keys behind `cursor`; returns the next cursor.
fn reconcile(
    entries: &BTreeMap<Key, Option<Location>>,
    disk: &DiskIndex,
    cursor: Option<Key>,
) -> Result<Option<Key>, Broken> {
    let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
    let wanted: Vec<(Key, Location)> = entries
        .range((from, Bound::Unbounded))
        .take(BATCH)
        .filter_map(|(key, place)| Some((*key, (*place)?)))
        .collect();
    let until = if wanted.len() < BATCH { None } else { wanted.last().map(|(key, _)| *key) };
    let mut missing: BTreeMap<Key, Option<Location>> =
        wanted.into_iter().map(|(key, place)| (key, Some(place))).collect();
    // Of what only the disk has, no more than a batch goes in one step.
    let mut removed = 0;
    let mut reached = until;
    for entry in disk.range_after(cursor, until) {
        let (key, place) = entry?;
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
    disk.apply(&changes)?;
    Ok(reached)
}
