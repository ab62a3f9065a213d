//! Mail as the segments have it, brought together at the start: millions of items, so each is
//! touched as seldom as can be, and memory is taken in large pieces.

use std::collections::{BTreeMap, HashMap};

use postroad_core::changes::MailboxId;
use postroad_proto::ids::ParcelId;

use crate::contents::{AckSet, Contents};
use crate::index::Location;

/// An item of a mailbox, and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) seq: u64,
    pub(super) id: ParcelId,
    pub(super) expires: u64,
    pub(super) place: Location,
}

/// Segments of what is dead, and when it died.
pub(super) type Dead = Vec<(u32, u64)>;

/// The items of all segments by mailbox, as they were found.
#[derive(Default)]
pub(super) struct FoundMail {
    mailboxes: HashMap<MailboxId, Vec<Held>, foldhash::fast::RandomState>,
}

impl FoundMail {
    /// Adds what a segment holds; the younger segments come later. Returns the bytes of all of it.
    pub(super) fn add(&mut self, segment: u32, contents: &Contents) -> u64 {
        let weights = contents.weights();
        let mut total = 0;
        // A footer has the items of one mailbox in a row.
        for group in contents.items.chunk_by(|a, b| a.mailbox == b.mailbox) {
            let Some(first) = group.first() else { continue };
            let held = self.mailboxes.entry(first.mailbox).or_default();
            held.reserve(group.len());
            for item in group {
                let at = item.record as usize;
                let (Some(span), Some(weight)) = (contents.records.get(at), weights.get(at)) else {
                    continue;
                };
                total += u64::from(*weight);
                let (offset, length, weight) = (span.offset, span.length, *weight);
                let place = Location { segment, offset, length, bytes: item.bytes, weight };
                held.push(Held { seq: item.seq, id: item.id, expires: item.expires, place });
            }
        }
        total
    }

    /// What is left of it when copies and acks are taken off: mailboxes in order, and their items.
    pub(super) fn settle(
        self,
        contents: &BTreeMap<u32, Contents>,
    ) -> (Vec<(MailboxId, Vec<Held>)>, Dead) {
        let mut acks: HashMap<MailboxId, Vec<&AckSet>, foldhash::fast::RandomState> =
            HashMap::default();
        for (mailbox, set) in contents.values().flat_map(|found| &found.acks) {
            acks.entry(*mailbox).or_default().push(set);
        }
        let mut dead = Dead::new();
        let mut mailboxes: Vec<_> = self.mailboxes.into_iter().collect();
        mailboxes.sort_unstable_by_key(|(mailbox, _)| *mailbox);
        for (mailbox, held) in &mut mailboxes {
            drop_copies(held, &mut dead);
            for set in acks.get(mailbox).into_iter().flatten() {
                drop_acked(held, set, &mut dead);
            }
            held.shrink_to_fit();
        }
        mailboxes.retain(|(_, held)| !held.is_empty());
        (mailboxes, dead)
    }
}

/// Puts items in order; of two copies the one in the younger segment, which came later, counts.
fn drop_copies(held: &mut Vec<Held>, dead: &mut Dead) {
    if held.is_sorted_by(|a, b| a.seq < b.seq) {
        return;
    }
    held.sort_by_key(|item| item.seq);
    held.dedup_by(|later, kept| {
        let is_copy = later.seq == kept.seq;
        if is_copy {
            dead.push((kept.place.segment, 0));
            *kept = *later;
        }
        is_copy
    });
}

fn drop_acked(held: &mut Vec<Held>, set: &AckSet, dead: &mut Dead) {
    // Ranges rise, so what is kept between them moves to the front once.
    let (mut kept, mut from) = (0, 0);
    for (first, last) in &set.ranges {
        let start = held.partition_point(|item| item.seq < *first).max(from);
        let end = held.partition_point(|item| item.seq <= *last).max(start);
        held.copy_within(from..start, kept);
        kept += start - from;
        dead.extend(held[start..end].iter().map(|item| (item.place.segment, set.time)));
        from = end;
    }
    held.copy_within(from.., kept);
    held.truncate(kept + held.len() - from);
}
