//! What one segment holds, without the bodies: collected while it is written, stored in its
//! footer, or found again by scanning it.

use std::collections::{BTreeMap, HashMap};

use postroad_core::changes::MailboxId;
use postroad_proto::ids::ParcelId;

use crate::frame::framed;
use crate::record::{Item, Record};

/// The lowest and highest number of each mailbox.
pub(crate) type Spans = HashMap<MailboxId, (u64, u64), foldhash::fast::RandomState>;

/// Names a state key without holding it.
pub(crate) type KeyHash = [u8; 16];

/// The hash that stands for `key`.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    let mut hash = [0; 16];
    blake3::Hasher::new().update(key).finalize_xof().fill(&mut hash);
    hash
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub(crate) offset: u32,
    /// With header and padding.
    pub(crate) length: u32,
}

/// One mailbox item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemRef {
    pub(crate) mailbox: MailboxId,
    pub(crate) seq: u64,
    pub(crate) id: ParcelId,
    pub(crate) expires: u64,
    /// Its record, as an index into [`Contents::records`].
    pub(crate) record: u32,
    /// Bytes of its shared and own parts.
    pub(crate) bytes: u32,
}

/// One state change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateRef {
    pub(crate) hash: KeyHash,
    pub(crate) commit: u64,
    pub(crate) span: Span,
    pub(crate) tombstone: bool,
}

/// What was acked in one mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AckSet {
    /// When the first of them came, in seconds; 0 when not known.
    pub(crate) time: u64,
    /// Inclusive, rising, apart and not adjacent.
    pub(crate) ranges: Vec<(u64, u64)>,
}

impl AckSet {
    /// Adds a range.
    pub(crate) fn add(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let from = self.ranges.partition_point(|range| range.1 < first.saturating_sub(1));
        let to = self.ranges.partition_point(|range| range.0 <= last.saturating_add(1));
        let mut merged = (first, last);
        if let Some(touched) = self.ranges.get(from..to) {
            for range in touched {
                merged = (merged.0.min(range.0), merged.1.max(range.1));
            }
        }
        self.ranges.splice(from..to.max(from), [merged]);
    }

    /// Remembers the earlier of two times.
    pub(crate) fn note_time(&mut self, time: u64) {
        if self.time == 0 || (time != 0 && time < self.time) {
            self.time = time;
        }
    }
}

/// What one segment holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The highest commit known to it.
    pub(crate) last_commit: u64,
    /// When its first group was written, in seconds; 0 when not known.
    pub(crate) first_time: u64,
    /// Damaged records found when it was scanned.
    pub(crate) damaged: u32,
    /// Groups closed in it.
    pub(crate) groups: u32,
    pub(crate) records: Vec<Span>,
    pub(crate) items: Vec<ItemRef>,
    pub(crate) acks: BTreeMap<MailboxId, AckSet>,
    pub(crate) state: Vec<StateRef>,
    /// The lowest and highest number held of each mailbox.
    pub(crate) spans: Spans,
    /// Ranges noted, merged or not: bounds what their part of the footer takes.
    pub(crate) ack_ranges: usize,
}

impl Contents {
    /// Adds what a frame holds.
    pub(crate) fn note(&mut self, record: &Record<'_>, span: Span) {
        match record {
            Record::Mail { shared, items, .. } => {
                self.note_mail(shared.len(), items.iter().copied(), span);
            }
            Record::Ack { time, mailbox, ranges, .. } => self.note_ack(mailbox, *time, ranges),
            Record::State { commit, key, value } => self.state.push(StateRef {
                hash: key_hash(key),
                commit: *commit,
                span,
                tombstone: value.is_none(),
            }),
            Record::End(end) => self.note_end(end.commit, end.time),
            Record::Mark { commit } => self.last_commit = self.last_commit.max(*commit),
            Record::Footer => {}
        }
    }

    /// Adds a mail record whose shared part has so many bytes.
    pub(crate) fn note_mail<'a>(
        &mut self,
        shared: usize,
        items: impl Iterator<Item = Item<'a>>,
        span: Span,
    ) {
        let record = self.records.len() as u32;
        self.records.push(span);
        for item in items {
            let bytes = (shared + item.own.len()) as u32;
            let Item { mailbox, seq, id, expires, .. } = item;
            self.note_item(ItemRef { mailbox, seq, id, expires, record, bytes });
        }
    }

    pub(crate) fn note_item(&mut self, item: ItemRef) {
        self.note_span(item.mailbox, (item.seq, item.seq));
        self.items.push(item);
    }

    /// The lowest and highest number of some items of a mailbox.
    pub(crate) fn note_span(&mut self, mailbox: MailboxId, span: (u64, u64)) {
        let held = self.spans.entry(mailbox).or_insert(span);
        *held = (held.0.min(span.0), held.1.max(span.1));
    }

    pub(crate) fn note_ack(&mut self, mailbox: &MailboxId, time: u64, ranges: &[(u64, u64)]) {
        let set = self.acks.entry(*mailbox).or_default();
        set.note_time(time);
        for (first, last) in ranges {
            set.add(*first, *last);
        }
        self.ack_ranges += ranges.len();
    }

    pub(crate) fn note_end(&mut self, commit: u64, time: u64) {
        self.last_commit = self.last_commit.max(commit);
        self.groups += 1;
        if self.first_time == 0 {
            self.first_time = time;
        }
    }

    /// How many bytes of the segment each item stands for: records are shared by their items.
    pub(crate) fn weights(&self) -> Vec<u32> {
        let mut sharers = vec![0u32; self.records.len()];
        for item in &self.items {
            if let Some(count) = sharers.get_mut(item.record as usize) {
                *count += 1;
            }
        }
        self.records.iter().zip(sharers).map(|(span, count)| span.length / count.max(1)).collect()
    }

    /// About what a footer of it takes in the segment.
    pub(crate) fn footer_estimate(&self) -> usize {
        framed(
            64 + self.records.len() * 8
                + self.items.len() * 32
                + (self.spans.len() + self.acks.len()) * 53
                + self.ack_ranges * 16
                + self.state.len() * 32,
        ) + 64
    }
}
