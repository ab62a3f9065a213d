//! The journal: every commit is one group of frames in one segment, behind one sync.
//!
//! A commit that touches both mail and state goes whole into a mail segment. So it is atomic by
//! the rule that holds for every group (see `scan.rs`), costs one sync, and needs no link between
//! two files that could break. The two families only decide where a group goes: state that came
//! in with mail moves to the state family when compaction rewrites its mail segment. Records carry
//! their own commit, so it does not matter where they lie.
//!
//! - `room.rs` allocates, `upkeep.rs` seals and runs the background steps, `compact.rs` rewrites,
//!   `open.rs` recovers, `read.rs` reads back.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use postroad_core::changes::{Changes, MailboxId, NewMail, StoredItem};

use crate::cache::Cache;
use crate::contents::{ItemRef, KeyHash, Span, key_hash};
use crate::error::StoreError;
use crate::files::{Files, JournalFile};
use crate::frame::{Family, FrameWriter};
use crate::index::{Broken, Location, MailIndex};
use crate::options::Options;
use crate::record::{self, End, Item};
use crate::{Room, Store, StoreStats};

mod compact;
mod found;
mod open;
mod read;
mod room;
mod segment;
mod upkeep;

use compact::Job;
pub(crate) use open::{footer_of, read_header};
use segment::{Active, Segment};

/// A larger buffer is not kept for the next group, bytes.
const KEPT_BUFFER: usize = 2 << 20;

/// The latest record of a key.
#[derive(Debug, Clone, Copy)]
struct StatePlace {
    commit: u64,
    segment: u32,
    span: Span,
    tombstone: bool,
    /// Records of the key in all segments, this one included.
    records: u32,
}

/// A store on a disk.
pub struct Journal<F: Files> {
    files: F,
    options: Options,
    /// The first fault; every call returns it from then on.
    fault: Option<(String, String)>,
    segments: BTreeMap<u32, Segment<F::File>>,
    /// The segments being written, by family.
    active: [Option<Active>; 2],
    /// Segments that are written full and await their footer.
    retired: VecDeque<Active>,
    /// Size of the reserve file, when it is there.
    reserve: Option<u64>,
    full: bool,
    next_number: u32,
    last_commit: u64,
    /// The time last told, in seconds; 0 before that.
    now: u64,
    mail: MailIndex,
    state: HashMap<KeyHash, StatePlace>,
    cache: Cache,
    job: Option<Job>,
    /// The segment whose compaction last found no room, and until when it rests.
    resting: Option<(u32, u64)>,
    counts: Counts,
    /// What groups are put together in: fresh memory for each would have to be zeroed.
    buffer: Vec<u8>,
    /// Damaged records met while reading; guards which are counted already.
    unreadable: Mutex<read::Unreadable>,
}

#[derive(Debug, Default)]
struct Counts {
    items: u64,
    bytes: u64,
    keys: u64,
    commits: u64,
    syncs: AtomicU64,
    damaged: u64,
    compacted: u64,
}

/// An ack reduced to what it removes. Numbers it names that are not there yet stay untouched for
/// ever, although replay does not know in which order acks and mail came.
struct PlannedAck {
    mailbox: MailboxId,
    ranges: Vec<(u64, u64)>,
    removes: Vec<u64>,
}

impl<F: Files> Journal<F> {
    fn check_fault(&self) -> Result<(), StoreError> {
        match &self.fault {
            Some((doing, reason)) => {
                Err(StoreError::Io { doing: doing.clone(), reason: reason.clone() })
            }
            None => Ok(()),
        }
    }

    /// Poisons the store.
    fn poison(&mut self, doing: &str, error: &std::io::Error) -> StoreError {
        self.fault = Some((doing.to_owned(), error.to_string()));
        StoreError::io(doing, error)
    }

    fn plan_acks(&self, changes: &Changes) -> Result<Vec<PlannedAck>, Broken> {
        if changes.acks.is_empty() {
            return Ok(Vec::new());
        }
        let new = changes.mail.iter().flat_map(|mail| &mail.items);
        let mut new: Vec<_> = new.map(|item| (item.mailbox, item.seq)).collect();
        new.sort_unstable();
        let mut planned = Vec::with_capacity(changes.acks.len());
        for ack in &changes.acks {
            let mut plan =
                PlannedAck { mailbox: ack.mailbox, ranges: Vec::new(), removes: Vec::new() };
            for (first, last) in ack.ranges.iter().copied() {
                let held = self.mail.range(&ack.mailbox, first, last, usize::MAX)?;
                let from = new.partition_point(|key| *key < (ack.mailbox, first));
                let new = new.iter().skip(from).map_while(|(mailbox, seq)| {
                    (*mailbox == ack.mailbox && *seq <= last).then_some(*seq)
                });
                let mut seqs: Vec<u64> = held.iter().map(|(seq, _)| *seq).chain(new).collect();
                seqs.sort_unstable();
                if let (Some(low), Some(high)) = (seqs.first(), seqs.last()) {
                    plan.ranges.push((*low, *high));
                    plan.removes.append(&mut seqs);
                }
            }
            if !plan.ranges.is_empty() {
                planned.push(plan);
            }
        }
        Ok(planned)
    }

    /// Writes one group into the active segment of `slot` and syncs it if asked to.
    fn write_group(
        &mut self,
        slot: Family,
        end: End,
        write: impl FnOnce(&mut FrameWriter, &mut Active),
    ) -> Result<(), StoreError> {
        let Some(mut active) = self.active[slot as usize].take() else {
            return Err(StoreError::Full);
        };
        let Some(segment) = self.segments.get(&active.number) else {
            return Err(StoreError::Corrupt("the active segment is not open".to_owned()));
        };
        let buffer = std::mem::take(&mut self.buffer);
        let mut writer = FrameWriter::with_buffer(segment.header.salt, active.used, buffer);
        write(&mut writer, &mut active);
        let (offset, _) = writer.frame(|out| {
            record::put_end(out, &End { start: active.used, records: active.pending, ..end });
        });
        debug_assert!(offset >= active.used);
        let used = writer.position();
        let bytes = writer.into_bytes();
        let mut done = segment.file.write_at(&bytes, active.used.into());
        if bytes.capacity() <= KEPT_BUFFER {
            self.buffer = bytes;
        }
        if done.is_ok() && end.synced {
            self.counts.syncs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            done = segment.file.sync();
        }
        if let Err(error) = done {
            return Err(self.poison("writing a commit", &error));
        }
        active.used = used;
        active.pending = 0;
        active.unmarked |= end.synced;
        active.contents.note_end(end.commit, end.time);
        self.active[slot as usize] = Some(active);
        Ok(())
    }

    fn commit_checked(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let acks = match self.plan_acks(changes) {
            Ok(acks) => acks,
            Err(broken) => {
                self.rebuild_index(&broken)?;
                self.plan_acks(changes).map_err(|broken| StoreError::Corrupt(broken.0))?
            }
        };
        let family = if changes.mail.is_empty() && !changes.state.is_empty() {
            Family::State
        } else {
            Family::Mail
        };
        let slot = self.place(family, footprint(changes), true)?.ok_or(StoreError::Full)?;
        let time = self.now;
        let commit = changes.commit;
        let end =
            End { commit, synced: changes.needs_sync(), copies: false, start: 0, records: 0, time };
        let (mut mail_spans, mut state_spans) = (Vec::new(), Vec::new());
        let kept = last_of_each_key(changes);
        self.write_group(slot, end, |writer, active| {
            for mail in &changes.mail {
                mail_spans.push(active.add_mail(writer, commit, &mail.shared, items_of(mail)));
            }
            for ack in &acks {
                active.add_ack(writer, commit, time, &ack.mailbox, &ack.ranges);
            }
            for change in kept {
                let span = active.add_state(writer, commit, &change.key, change.value.as_deref());
                state_spans.push((key_hash(&change.key), span, change.value.is_none()));
            }
        })?;
        self.last_commit = commit;
        self.counts.commits += 1;
        let number = self.active[slot as usize].as_ref().map_or(0, |active| active.number);
        for (mail, span) in changes.mail.iter().zip(mail_spans) {
            self.apply_mail(number, mail, span);
        }
        for ack in acks {
            for seq in ack.removes {
                self.remove_item((ack.mailbox, seq))?;
            }
        }
        for (hash, span, tombstone) in state_spans {
            self.apply_state(hash, commit, number, span, tombstone);
        }
        Ok(())
    }

    fn apply_mail(&mut self, number: u32, mail: &NewMail, span: Span) {
        for item in &mail.items {
            let place = Location {
                segment: number,
                offset: span.offset,
                length: span.length,
                bytes: (mail.shared.len() + item.own.len()) as u32,
                weight: span.length / mail.items.len().max(1) as u32,
            };
            self.insert_item((item.mailbox, item.seq), place);
            let stored = StoredItem {
                seq: item.seq,
                id: item.id,
                expires: item.expires,
                shared: mail.shared.clone(),
                own: item.own.clone(),
            };
            self.cache.insert(item.mailbox, stored);
        }
    }

    fn insert_item(&mut self, key: (MailboxId, u64), place: Location) {
        self.counts.items += 1;
        self.counts.bytes += u64::from(place.bytes);
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.mail.add(place.weight, true);
        }
        self.mail.insert(key, place);
    }

    fn remove_item(&mut self, key: (MailboxId, u64)) -> Result<(), StoreError> {
        let place = match self.mail.take(&key) {
            Ok(place) => place,
            Err(broken) => {
                // The ack is in the journal already, so the new index comes without the item.
                self.rebuild_index(&broken)?;
                None
            }
        };
        if let Some(place) = place {
            self.counts.items -= 1;
            self.counts.bytes -= u64::from(place.bytes);
            self.bury(place.segment, |segment| segment.mail.bury(place.weight));
        }
        self.cache.remove(&key);
        Ok(())
    }

    /// Notes that something in a segment is dead from now on.
    fn bury(&mut self, number: u32, count: impl FnOnce(&mut Segment<F::File>)) {
        let now = self.now;
        if let Some(segment) = self.segments.get_mut(&number) {
            count(segment);
            segment.dead_since.get_or_insert(now);
        }
    }

    fn apply_state(
        &mut self,
        hash: KeyHash,
        commit: u64,
        number: u32,
        span: Span,
        tombstone: bool,
    ) {
        if let Some(segment) = self.segments.get_mut(&number) {
            // A deletion outlives its use as soon as no older record is left.
            segment.state.add(span.length, !tombstone);
        }
        let old = self.state.get(&hash).copied();
        let records = old.map_or(0, |old| old.records) + 1;
        let place = StatePlace { commit, segment: number, span, tombstone, records };
        self.state.insert(hash, place);
        if let Some(old) = old.filter(|old| !old.tombstone) {
            self.counts.keys -= 1;
            self.bury(old.segment, |segment| segment.state.bury(old.span.length));
        }
        self.counts.keys += u64::from(!tombstone);
    }
}

fn items_of(mail: &NewMail) -> impl ExactSizeIterator<Item = Item<'_>> + Clone {
    mail.items.iter().map(|item| Item {
        mailbox: item.mailbox,
        seq: item.seq,
        id: item.id,
        expires: item.expires,
        own: &item.own,
    })
}

fn last_of_each_key(changes: &Changes) -> Vec<&postroad_core::changes::StateChange> {
    let last: HashMap<&[u8], usize> =
        changes.state.iter().enumerate().map(|(at, change)| (&change.key[..], at)).collect();
    let state = changes.state.iter().enumerate();
    state.filter(|(at, change)| last.get(&change.key[..]) == Some(at)).map(|(_, c)| c).collect()
}

/// What a commit takes in a segment at most, its part of the footer included.
fn footprint(changes: &Changes) -> usize {
    let items: usize = changes.mail.iter().map(|mail| mail.items.len()).sum();
    let ranges: usize = changes.acks.iter().map(|ack| ack.ranges.len()).sum();
    record::encoded_size(changes)
        + changes.mail.len() * 8
        + items * (size_of::<ItemRef>().max(32) + 53)
        + changes.acks.len() * 53
        + ranges * 16
        + changes.state.len() * 32
}

impl<F: Files> Store for Journal<F> {
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        self.check_fault()?;
        record::check(changes, self.last_commit)?;
        self.commit_checked(changes)
    }

    fn room(&mut self, bytes: usize) -> Result<Room, StoreError> {
        self.check_fault()?;
        self.find_room(bytes)
    }

    fn maintain(&mut self, now: u64) -> Result<bool, StoreError> {
        self.check_fault()?;
        self.step(now)
    }

    fn stats(&self) -> StoreStats {
        StoreStats {
            segments: self.segments.len() as u64,
            disk_bytes: self.segments.values().map(|segment| segment.disk).sum::<u64>()
                + self.reserve.unwrap_or(0),
            live_items: self.counts.items,
            live_bytes: self.counts.bytes,
            live_keys: self.counts.keys,
            commit: self.last_commit,
            commits: self.counts.commits,
            syncs: self.counts.syncs.load(std::sync::atomic::Ordering::Relaxed),
            damaged: self.counts.damaged + self.unreadable_count(),
            compacted: self.counts.compacted,
            index: self.mail.state(),
            full: self.full,
            reserve: self.reserve.is_some(),
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.check_fault()?;
        self.close_orderly()
    }
}
