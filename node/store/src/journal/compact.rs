//! Compaction: what a segment still holds is copied forward and synced, then its file is removed
//! and the directory synced before anything else goes.
//!
//! A crash in between leaves both copies. Recovery takes the one in the younger segment and counts
//! the other as dead; acks and deletions apply to both, because they stay as long as any segment
//! holds what they name.

use std::collections::{BTreeMap, VecDeque};

use postroad_core::changes::MailboxId;

use super::Journal;
use super::segment::Segment;
use crate::contents::{AckSet, Contents, ItemRef, KeyHash, Span, StateRef};
use crate::error::StoreError;
use crate::files::Files;
use crate::frame::{Family, Found, frame_at};
use crate::index::{Broken, Location};
use crate::options::MIN_SEGMENT_BYTES;
use crate::record::{self, End, Item, Record};

/// Bytes copied in one step.
const STEP_BYTES: usize = 1024 * 1024;
/// Pieces looked at in one step.
const STEP_PIECES: usize = 2048;
/// Small sealed segments, as restarts leave them, that may lie about in each family.
const MAX_SMALL: usize = 4;
/// How long compaction rests after it found no room, in seconds.
const REST_SECONDS: u64 = 30;

/// One segment being rewritten.
pub(super) struct Job {
    number: u32,
    items: Vec<ItemRef>,
    state: Vec<StateRef>,
    plan: VecDeque<Piece>,
}

enum Piece {
    /// A mail record, with the part of `Job::items` that it holds.
    Mail(Span, std::ops::Range<usize>),
    Ack(MailboxId, AckSet),
    State(StateRef),
}

/// A piece that is still needed, read from the disk.
enum Copy {
    Mail { frame: Vec<u8>, span: Span, live: Vec<ItemRef> },
    Ack { mailbox: MailboxId, time: u64, ranges: Vec<(u64, u64)> },
    State { frame: Vec<u8>, span: Span, hash: KeyHash, tombstone: bool },
}

impl Copy {
    fn footprint(&self) -> usize {
        match self {
            Self::Mail { frame, live, .. } => frame.len() + 8 + live.len() * 85,
            Self::Ack { ranges, .. } => {
                record::ack_size(ranges.len()) + 32 + 53 + 16 * ranges.len()
            }
            Self::State { frame, .. } => frame.len() + 32,
        }
    }
}

impl<F: Files> Journal<F> {
    /// One step; false when there is nothing to do.
    pub(super) fn compact_step(&mut self) -> Result<bool, StoreError> {
        let Some(mut job) = self.job.take() else {
            return self.begin();
        };
        if job.plan.is_empty() {
            return self.finish(job);
        }
        match self.copy_some(&mut job) {
            Ok(true) => self.job = Some(job),
            Ok(false) => {
                self.rest(job.number);
                return Ok(false);
            }
            Err(Failure::Index(broken)) => self.rebuild_index(&broken)?,
            Err(Failure::Store(error)) => return Err(error),
        }
        Ok(true)
    }

    /// Gives up for now. What was copied already is simply there twice.
    fn rest(&mut self, number: u32) {
        self.resting = Some((number, self.now.saturating_add(REST_SECONDS)));
    }

    fn begin(&mut self) -> Result<bool, StoreError> {
        if !self.mail.settled() {
            return Ok(false);
        }
        let Some(number) = self.candidate() else { return Ok(false) };
        let contents = self.load_contents(number)?;
        let has_mail = self.segments.get(&number).is_some_and(|segment| segment.mail.live > 0);
        self.job = Some(Job::new(number, contents, has_mail));
        Ok(true)
    }

    fn candidate(&self) -> Option<u32> {
        let resting = self.resting.filter(|(_, until)| self.now < *until).map(|(number, _)| number);
        let sealed = self.segments.iter().filter(|(_, segment)| segment.sealed);
        let ranked = sealed.filter_map(|(number, segment)| {
            let (live, total) = (segment.live(), segment.total());
            let class = if live == 0 && resting != Some(*number) {
                // Most likely nothing needs copying.
                0
            } else if resting.is_some() {
                return None;
            } else if live * 2 < total {
                1
            } else if self.is_stale(*number) {
                2
            } else if self.is_mergeable(segment) {
                3
            } else {
                return None;
            };
            let fits = !self.full || (live + live / 4 + 16 * 1024) as usize <= self.copy_budget();
            fits.then_some((class, live, *number))
        });
        ranked.min().map(|(_, _, number)| number)
    }

    /// What can be copied while the disk is full: rewriting must end in more room, not less.
    fn copy_budget(&self) -> usize {
        let active = self.active.iter().flatten().map(super::Active::free).max().unwrap_or(0);
        active.max(self.reserve.unwrap_or(0) as usize)
    }

    /// Restarts leave small segments; when there are many they are joined. Segments that are
    /// small because the disk is nearly full would only be made again.
    fn is_mergeable(&self, segment: &Segment<F::File>) -> bool {
        let family = segment.header.family;
        let nominal = match family {
            Family::Mail => self.options.segment_bytes,
            Family::State => self.options.state_bytes(),
        };
        let small = |other: &Segment<F::File>| other.sealed && other.disk < nominal / 4;
        let same = self.segments.values().filter(|other| other.header.family == family);
        let into = self.active[family as usize].as_ref().is_some_and(|active| {
            u64::from(active.capacity) >= nominal.max(MIN_SEGMENT_BYTES)
                && active.free() as u64 > 2 * segment.disk
        });
        !self.full
            && into
            && small(segment)
            && same.filter(|other| small(other)).count() > MAX_SMALL
    }

    /// Copies the next pieces of one family; false when there is no room for them.
    fn copy_some(&mut self, job: &mut Job) -> Result<bool, Failure> {
        let mut copies = Vec::new();
        let (mut need, mut looked_at) = (record::END_BYTES, 0);
        let family = match job.plan.front() {
            Some(Piece::State(_)) => Family::State,
            _ => Family::Mail,
        };
        while job.plan.front().is_some_and(|piece| piece.family() == family) {
            let Some(piece) = job.plan.pop_front() else { break };
            if let Some(copy) = self.read_piece(job, &piece)? {
                need += copy.footprint();
                copies.push(copy);
            }
            looked_at += 1;
            if need >= STEP_BYTES || looked_at >= STEP_PIECES {
                break;
            }
        }
        if copies.is_empty() {
            return Ok(true);
        }
        let urgent = self.full;
        match self.place(family, need, urgent)? {
            Some(slot) => self.write_copies(job.number, slot, &copies).map(|()| true),
            None => Ok(false),
        }
    }

    fn read_piece(&self, job: &Job, piece: &Piece) -> Result<Option<Copy>, Failure> {
        match piece {
            Piece::Mail(span, range) => {
                let mut live = Vec::new();
                for item in job.items.get(range.clone()).unwrap_or_default() {
                    let place = self.mail.get(&(item.mailbox, item.seq))?;
                    if place.is_some_and(|p| p.segment == job.number && p.offset == span.offset) {
                        live.push(*item);
                    }
                }
                if live.is_empty() {
                    return Ok(None);
                }
                let frame = self.read_intact(job.number, *span);
                Ok(frame.map(|frame| Copy::Mail { frame, span: *span, live }))
            }
            Piece::Ack(mailbox, set) => {
                let ranges = set.ranges.iter();
                let ranges =
                    ranges.filter_map(|range| self.held_elsewhere(mailbox, *range, job.number));
                let ranges: Vec<_> = ranges.collect();
                let ack = Copy::Ack { mailbox: *mailbox, time: set.time, ranges };
                Ok(Some(ack)
                    .filter(|ack| !matches!(ack, Copy::Ack { ranges, .. } if ranges.is_empty())))
            }
            Piece::State(state) => {
                let Some(place) = self.state.get(&state.hash) else { return Ok(None) };
                let current = place.segment == job.number && place.span == state.span;
                // A deletion is needed while another segment holds the key.
                if !current || (state.tombstone && place.records == 1) {
                    return Ok(None);
                }
                let frame = self.read_intact(job.number, state.span);
                let (span, hash, tombstone) = (state.span, state.hash, state.tombstone);
                Ok(frame.map(|frame| Copy::State { frame, span, hash, tombstone }))
            }
        }
    }

    /// A frame whose payload can be parsed. A damaged one is counted and left behind.
    fn read_intact(&self, number: u32, span: Span) -> Option<Vec<u8>> {
        let frame = self.read_frame(number, span).ok()?;
        if self.parse(number, span, &frame).is_none() {
            self.note_unreadable(number, span.offset);
            return None;
        }
        Some(frame)
    }

    fn write_copies(&mut self, from: u32, slot: Family, copies: &[Copy]) -> Result<(), Failure> {
        let Some(salt) = self.segments.get(&from).map(|segment| segment.header.salt) else {
            return Ok(());
        };
        let (commit, time) = (self.last_commit, self.now);
        let end = End { commit, synced: true, copies: true, start: 0, records: 0, time };
        let mut spans = Vec::with_capacity(copies.len());
        self.write_group(slot, end, |writer, active| {
            for copy in copies {
                spans.push(match copy {
                    Copy::Ack { mailbox, time, ranges } => {
                        active.add_ack(writer, commit, *time, mailbox, ranges)
                    }
                    Copy::Mail { frame, span, live } => match parse(salt, *span, frame) {
                        Some(Record::Mail { commit, shared, items }) => {
                            active.add_mail(writer, commit, shared, only(&items, live).into_iter())
                        }
                        _ => continue,
                    },
                    Copy::State { frame, span, .. } => match parse(salt, *span, frame) {
                        Some(Record::State { commit, key, value }) => {
                            active.add_state(writer, commit, key, value)
                        }
                        _ => continue,
                    },
                });
            }
        })?;
        let to = self.active[slot as usize].as_ref().map_or(0, |active| active.number);
        for (copy, span) in copies.iter().zip(spans) {
            match copy {
                Copy::Ack { .. } => {}
                Copy::Mail { live, .. } => self.move_items(to, span, live),
                Copy::State { hash, tombstone, .. } => self.move_state(to, span, hash, *tombstone),
            }
        }
        Ok(())
    }

    fn move_items(&mut self, to: u32, span: Span, live: &[ItemRef]) {
        let weight = span.length / live.len().max(1) as u32;
        for item in live {
            let key = (item.mailbox, item.seq);
            if let Some(segment) = self.segments.get_mut(&to) {
                segment.mail.add(weight, true);
            }
            let (offset, length, bytes) = (span.offset, span.length, item.bytes);
            self.mail.relocate(key, Location { segment: to, offset, length, bytes, weight });
        }
    }

    fn move_state(&mut self, to: u32, span: Span, hash: &KeyHash, tombstone: bool) {
        if let Some(place) = self.state.get_mut(hash) {
            (place.segment, place.span) = (to, span);
            place.records += 1;
        }
        if let Some(segment) = self.segments.get_mut(&to) {
            segment.state.add(span.length, !tombstone);
        }
    }

    /// Removes a segment whose every live piece has been copied and synced.
    fn finish(&mut self, job: Job) -> Result<bool, StoreError> {
        // The number of the last commit must outlive the segment that has it.
        if self.active.iter().all(Option::is_none)
            && self.place(Family::State, 4096, true)?.is_none()
        {
            self.rest(job.number);
            return Ok(false);
        }
        self.write_marks(true)?;
        if let Err(Broken(reason)) = self.drop_lost(&job) {
            self.rebuild_index(&Broken(reason))?;
            return Ok(true);
        }
        let Some(segment) = self.segments.remove(&job.number) else { return Ok(true) };
        let name = segment.name();
        drop(segment);
        let removed = self.files.remove(&name).and_then(|()| self.files.sync_dir());
        if let Err(error) = removed {
            return Err(self.poison("removing a segment", &error));
        }
        for state in &job.state {
            if let Some(place) = self.state.get_mut(&state.hash) {
                place.records = place.records.saturating_sub(1);
                if place.records == 0 {
                    self.state.remove(&state.hash);
                }
            }
        }
        self.counts.compacted += 1;
        Ok(true)
    }

    /// Forgets what could not be copied because it is damaged.
    fn drop_lost(&mut self, job: &Job) -> Result<(), Broken> {
        for item in &job.items {
            let key = (item.mailbox, item.seq);
            if let Some(place) = self.mail.get(&key)?.filter(|p| p.segment == job.number) {
                self.mail.take(&key)?;
                self.cache.remove(&key);
                self.counts.items -= 1;
                self.counts.bytes -= u64::from(place.bytes);
            }
        }
        for state in &job.state {
            if let Some(place) = self.state.get_mut(&state.hash)
                && place.segment == job.number
                && !place.tombstone
            {
                place.tombstone = true;
                self.counts.keys -= 1;
            }
        }
        Ok(())
    }
}

/// Why a step of copying ended early.
enum Failure {
    Index(Broken),
    Store(StoreError),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Index(broken)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Piece {
    fn family(&self) -> Family {
        match self {
            Self::Mail(..) | Self::Ack(..) => Family::Mail,
            Self::State(_) => Family::State,
        }
    }
}

impl Job {
    /// Without live mail in the segment nobody needs to be asked about each of its items, which are
    /// tens of thousands.
    fn new(number: u32, contents: Contents, has_mail: bool) -> Self {
        let Contents { records, mut items, acks, state, .. } = contents;
        items.retain(|_| has_mail);
        items.sort_by_key(|item| item.record);
        let mut plan = VecDeque::new();
        let mut ranges: BTreeMap<u32, std::ops::Range<usize>> = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            ranges.entry(item.record).or_insert(at..at).end = at + 1;
        }
        for (record, range) in ranges {
            plan.extend(records.get(record as usize).map(|span| Piece::Mail(*span, range)));
        }
        plan.extend(acks.into_iter().map(|(mailbox, set)| Piece::Ack(mailbox, set)));
        plan.extend(state.iter().map(|state| Piece::State(*state)));
        Self { number, items, state, plan }
    }
}

fn parse(salt: u32, span: Span, frame: &[u8]) -> Option<Record<'_>> {
    match frame_at(salt, span.offset, frame) {
        Found::Frame(payload, _) => record::decode(payload),
        Found::Damaged(_) | Found::Nothing => None,
    }
}

/// The items of a record that are still live: what is dead leaves the disk here.
fn only<'a>(items: &[Item<'a>], live: &[ItemRef]) -> Vec<Item<'a>> {
    let is_live = |item: &&Item<'_>| {
        live.iter().any(|other| (other.mailbox, other.seq) == (item.mailbox, item.seq))
    };
    items.iter().filter(is_live).copied().collect()
}
