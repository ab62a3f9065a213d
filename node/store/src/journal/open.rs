//! Recovery: footers, then the tails that have none; and what follows from both.
//!
//! A tail is read, its torn end cut, and all that was accepted written again and synced, footer
//! included, before `open` returns: after a kill the page cache may show what the disk lacks.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;

use bytes::Bytes;
use postroad_core::changes::{MailboxId, Recovered, RecoveredItem};

use super::found::{FoundMail, Held};
use super::room::RESERVE;
use super::segment::{Active, Segment};
use super::{Counts, Journal, StatePlace};
use crate::cache::Cache;
use crate::contents::{Contents, KeyHash, Span};
use crate::error::StoreError;
use crate::files::{Files, JournalFile};
use crate::footer::{self, TRAILER_BYTES};
use crate::frame::{DATA_START, FORMAT_VERSION, Family, Header, HeaderFound, parse_file_name};
use crate::index::MailIndex;
use crate::options::{MIN_SEGMENT_BYTES, Options};
use crate::record::Record;
use crate::scan::{Scan, scan};

/// Bytes written at a time when a tail is written again.
const CHUNK: usize = 1024 * 1024;

/// A segment without a footer.
struct Tail {
    number: u32,
    bytes: Vec<u8>,
    scan: Scan,
}

impl<F: Files> Journal<F> {
    /// Opens the journal in `files`, making it when there is none. `index` is the folder of the
    /// index on disk; without one memory answers everything.
    pub fn open(
        files: F,
        index: Option<PathBuf>,
        options: Options,
    ) -> Result<(Self, Recovered), StoreError> {
        let options = options.clamped();
        let mut journal = Self {
            mail: MailIndex::new(index, options.index_cache_bytes),
            files,
            options,
            fault: None,
            segments: BTreeMap::new(),
            active: [None, None],
            retired: VecDeque::new(),
            reserve: None,
            full: false,
            next_number: 1,
            last_commit: 0,
            now: 0,
            state: HashMap::new(),
            cache: Cache::default(),
            job: None,
            resting: None,
            counts: Counts::default(),
            buffer: Vec::new(),
            unreadable: Mutex::default(),
        };
        let mut contents = journal.recover_segments()?;
        let mail = journal.recover_mail(&mut contents, false);
        let state = journal.recover_state(&contents)?;
        drop(contents);
        journal.ensure_reserve()?;
        for family in [Family::State, Family::Mail] {
            if journal.place(family, 4096, false)?.is_none() {
                journal.full = true;
            }
        }
        let commit = journal.last_commit;
        Ok((journal, Recovered { commit, state, mail }))
    }

    fn recover_segments(&mut self) -> Result<BTreeMap<u32, Contents>, StoreError> {
        let mut contents = BTreeMap::new();
        let mut tails = Vec::new();
        let names = self.files.list().map_err(|e| StoreError::io("listing the journal", &e))?;
        if names.iter().any(|name| name == RESERVE) {
            self.recover_reserve().map_err(|e| StoreError::io("opening the reserve", &e))?;
        }
        for name in names {
            let Some((family, number)) = parse_file_name(&name) else { continue };
            self.next_number = self.next_number.max(number.saturating_add(1));
            let fault = |e: &std::io::Error| StoreError::io(format!("opening {name}"), e);
            let file = self.files.open(&name).map_err(|e| fault(&e))?;
            let size = file.size().map_err(|e| fault(&e))?;
            let found = read_header(&file, size).map_err(|e| fault(&e))?;
            let header = match found {
                HeaderFound::Valid(h) if (h.family, h.number) == (family, number) => h,
                HeaderFound::TooNew(found) => {
                    return Err(StoreError::VersionTooNew {
                        name,
                        found,
                        supported: FORMAT_VERSION,
                    });
                }
                HeaderFound::Blank => {
                    self.files.remove(&name).map_err(|e| fault(&e))?;
                    continue;
                }
                HeaderFound::Valid(_) | HeaderFound::Damaged => {
                    tracing::error!(name, "this segment cannot be read and is left alone");
                    self.counts.damaged += 1;
                    continue;
                }
            };
            let segment = Segment::new(file, header, size);
            match read_footer(&segment).map_err(|e| fault(&e))? {
                Some(found) => {
                    contents.insert(number, found);
                }
                None => {
                    let bytes = read_all(&segment).map_err(|e| fault(&e))?;
                    let scan = scan(&bytes, header.salt, header.commit);
                    tails.push(Tail { number, bytes, scan });
                }
            }
            self.segments.insert(number, segment);
        }
        let sealed = contents.values().map(|found: &Contents| found.last_commit);
        let proofs = tails.iter().map(|tail| tail.scan.proof()).chain(sealed);
        let proven = proofs.max().unwrap_or(0);
        for tail in tails {
            let number = tail.number;
            let found = self.recover_tail(tail, proven)?;
            contents.insert(number, found);
        }
        for segment in self.segments.values_mut() {
            segment.sealed = true;
        }
        let last = contents.values().map(|found| found.last_commit).max().unwrap_or(0);
        self.last_commit = last.max(proven);
        self.counts.damaged += contents.values().map(|c| u64::from(c.damaged)).sum::<u64>();
        Ok(contents)
    }

    fn recover_reserve(&mut self) -> std::io::Result<()> {
        let size = self.files.open(RESERVE)?.size()?;
        if size >= MIN_SEGMENT_BYTES {
            self.reserve = Some(size);
            Ok(())
        } else {
            self.files.remove(RESERVE)
        }
    }

    fn recover_tail(&mut self, tail: Tail, proven: u64) -> Result<Contents, StoreError> {
        let resolved = tail.scan.resolve(&tail.bytes, proven);
        if let Some(segment) = self.segments.get(&tail.number) {
            let accepted = tail.bytes.get(..resolved.end as usize).unwrap_or_default();
            let mut offset = 0;
            for chunk in accepted.chunks(CHUNK) {
                segment
                    .file
                    .write_at(chunk, offset)
                    .map_err(|e| StoreError::io("writing the tail again", &e))?;
                offset += chunk.len() as u64;
            }
        }
        self.retired.push_back(Active {
            number: tail.number,
            capacity: resolved.end,
            used: resolved.end,
            pending: 0,
            unmarked: false,
            contents: resolved.contents.clone(),
        });
        self.seal_next()?;
        Ok(resolved.contents)
    }

    /// What a segment holds: from its footer, or by reading all of it.
    pub(super) fn load_contents(&mut self, number: u32) -> Result<Contents, StoreError> {
        let writing = self.active.iter().flatten().chain(&self.retired);
        if let Some(active) = writing.into_iter().find(|active| active.number == number) {
            return Ok(active.contents.clone());
        }
        let Some(segment) = self.segments.get(&number) else { return Ok(Contents::default()) };
        let loaded = read_footer(segment).and_then(|found| match found {
            Some(found) => Ok(found),
            None => {
                let bytes = read_all(segment)?;
                let scan = scan(&bytes, segment.header.salt, segment.header.commit);
                // All that is left of a sealed segment was durable.
                Ok(scan.resolve(&bytes, u64::MAX).contents)
            }
        });
        loaded.map_err(|error| self.poison("reading a segment", &error))
    }

    /// Reads the truth about all mail again. `bad`: the index on disk is to be deleted.
    pub(super) fn load_mail(&mut self, bad: bool) -> Result<(), StoreError> {
        let numbers: Vec<u32> = self.segments.keys().copied().collect();
        let mut contents = BTreeMap::new();
        for number in numbers {
            contents.insert(number, self.load_contents(number)?);
        }
        self.recover_mail(&mut contents, bad);
        Ok(())
    }

    fn recover_mail(
        &mut self,
        contents: &mut BTreeMap<u32, Contents>,
        bad: bool,
    ) -> Vec<RecoveredItem> {
        let mut found = FoundMail::default();
        for (number, held) in &mut *contents {
            let total = found.add(*number, held);
            // They are many, and of no more use.
            (held.items, held.records) = (Vec::new(), Vec::new());
            if let Some(segment) = self.segments.get_mut(number) {
                (segment.mail.total, segment.mail.live) = (total, 0);
                segment.spans.clone_from(&held.spans);
            }
        }
        let (mail, dead) = found.settle(contents);
        self.note_dead(dead);
        self.install(&mail, bad)
    }

    fn note_dead(&mut self, dead: Vec<(u32, u64)>) {
        // A time of 0 is unknown: it becomes the time of the first step of maintenance.
        let now = self.now;
        for (number, time) in dead {
            if let Some(segment) = self.segments.get_mut(&number) {
                let time = if time == 0 { now } else { time };
                let known = segment.dead_since.filter(|since| *since != 0);
                segment.dead_since = Some(known.map_or(time, |known| known.min(time)));
            }
        }
    }

    fn install(&mut self, mail: &[(MailboxId, Vec<Held>)], bad: bool) -> Vec<RecoveredItem> {
        let count = mail.iter().map(|(_, held)| held.len()).sum();
        (self.counts.items, self.counts.bytes) = (count as u64, 0);
        self.mail.reset(bad);
        let mut recovered = Vec::with_capacity(count);
        let index = &mut self.mail;
        // With millions of items either half takes about as long as the other.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for (mailbox, held) in mail {
                    index.add_mailbox(*mailbox, held.iter().map(|held| (held.seq, held.place)));
                }
            });
            for (mailbox, held) in mail {
                for Held { seq, id, expires, place } in held {
                    let (mailbox, seq, id, expires) = (*mailbox, *seq, *id, *expires);
                    self.counts.bytes += u64::from(place.bytes);
                    if let Some(segment) = self.segments.get_mut(&place.segment) {
                        segment.mail.live += u64::from(place.weight);
                    }
                    recovered.push(RecoveredItem { mailbox, seq, id, expires, bytes: place.bytes });
                }
            }
        });
        recovered
    }

    fn recover_state(
        &mut self,
        contents: &BTreeMap<u32, Contents>,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let mut values: Vec<(KeyHash, Bytes, Bytes)> = Vec::new();
        let mut bad: HashSet<(u32, Span)> = HashSet::new();
        let mut wanted: Option<HashSet<KeyHash>> = None;
        // A second round only for keys whose latest record turned out to be damaged: the record
        // before it takes its place.
        loop {
            let round = latest(contents, &bad, wanted.as_ref());
            let mut places: Vec<(&KeyHash, &StatePlace)> =
                round.iter().filter(|(_, place)| !place.tombstone).collect();
            places.sort_by_key(|(_, place)| (place.segment, place.span));
            let mut damaged = HashSet::new();
            for (hash, place) in places {
                let frame = self
                    .read_frame(place.segment, place.span)
                    .map_err(|e| StoreError::io("reading state", &e))?;
                match self.parse(place.segment, place.span, &frame) {
                    Some(Record::State { key, value: Some(value), .. }) => values.push((
                        *hash,
                        Bytes::copy_from_slice(key),
                        Bytes::copy_from_slice(value),
                    )),
                    _ => {
                        self.note_unreadable(place.segment, place.span.offset);
                        bad.insert((place.segment, place.span));
                        damaged.insert(*hash);
                    }
                }
            }
            self.state.extend(round);
            if damaged.is_empty() {
                break;
            }
            for hash in &damaged {
                if let Some(place) = self.state.get_mut(hash) {
                    place.tombstone = true;
                }
            }
            wanted = Some(damaged);
        }
        self.weigh_state(contents);
        self.counts.keys = values.len() as u64;
        let mut state: Vec<(Bytes, Bytes)> = values.into_iter().map(|(_, k, v)| (k, v)).collect();
        state.sort();
        Ok(state)
    }

    fn weigh_state(&mut self, contents: &BTreeMap<u32, Contents>) {
        let mut dead = Vec::new();
        for (number, found) in contents {
            for state in &found.state {
                let Some(place) = self.state.get(&state.hash) else { continue };
                let current = place.segment == *number && place.span == state.span;
                if let Some(segment) = self.segments.get_mut(number) {
                    segment.state.add(state.span.length, current && !place.tombstone);
                }
                if !current && !state.tombstone {
                    let time = contents.get(&place.segment).map_or(0, |newer| newer.first_time);
                    dead.push((*number, time));
                }
            }
        }
        self.note_dead(dead);
    }
}

/// The latest record of each key that is not in `bad`; of all keys, or of those `wanted`.
fn latest(
    contents: &BTreeMap<u32, Contents>,
    bad: &HashSet<(u32, Span)>,
    wanted: Option<&HashSet<KeyHash>>,
) -> HashMap<KeyHash, StatePlace> {
    let mut places: HashMap<KeyHash, StatePlace> = HashMap::new();
    for (number, found) in contents {
        let states = found.state.iter();
        for state in states.filter(|state| wanted.is_none_or(|keys| keys.contains(&state.hash))) {
            let new = StatePlace {
                commit: state.commit,
                segment: *number,
                span: state.span,
                tombstone: state.tombstone,
                records: 1,
            };
            let is_bad = bad.contains(&(*number, state.span));
            match places.get_mut(&state.hash) {
                None if is_bad => {}
                None => {
                    places.insert(state.hash, new);
                }
                Some(place) => {
                    let records = place.records + 1;
                    if state.commit >= place.commit && !is_bad {
                        *place = new;
                    }
                    place.records = records;
                }
            }
        }
    }
    places
}

pub(crate) fn read_header<T: JournalFile>(file: &T, size: u64) -> std::io::Result<HeaderFound> {
    let mut bytes = vec![0; size.min(DATA_START.into()) as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(Header::decode(&bytes))
}

fn read_footer<T: JournalFile>(segment: &Segment<T>) -> std::io::Result<Option<Contents>> {
    footer_of(&segment.file, segment.disk, segment.header.salt)
}

/// The contents in the footer of a sealed segment; `None` when it has no valid one.
pub(crate) fn footer_of<T: JournalFile>(
    file: &T,
    size: u64,
    salt: u32,
) -> std::io::Result<Option<Contents>> {
    let Some(at) = size.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_at(&mut trailer, at)?;
    let Some(span) = footer::decode_trailer(&trailer, salt) else { return Ok(None) };
    if u64::from(span.offset) + u64::from(span.length) > at {
        return Ok(None);
    }
    let mut frame = vec![0; span.length as usize];
    file.read_at(&mut frame, span.offset.into())?;
    Ok(footer::decode(&frame, salt, span.offset))
}

fn read_all<T: JournalFile>(segment: &Segment<T>) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; segment.disk as usize];
    segment.file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
