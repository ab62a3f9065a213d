//! Reading a segment frame by frame, and telling a torn write from a damaged record.
//!
//! Both look the same: a group of which a part is missing. The difference is whether the group
//! was durable once. It was if anything was written after it, for nothing is written before the
//! sync of the group before has returned: a later group or mark in the same segment, or a higher
//! commit anywhere. Then only the damaged record is lost. Otherwise nobody was answered on the
//! strength of the group, and it is dropped whole. Groups of acks alone are not synced, prove
//! nothing by what follows them, and are dropped whole too: their acks are merely repeated.

use crate::contents::{Contents, Span};
use crate::frame::{DATA_START, Found, frame_at};
use crate::record::{self, End, Record};

/// One stretch of a segment.
#[derive(Debug, Clone, Copy)]
struct Unit {
    span: Span,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// `ack`: it may belong to a group that nobody waited for.
    Record {
        commit: u64,
        ack: bool,
    },
    End(End),
    Mark {
        commit: u64,
    },
    Damaged,
}

/// A segment cut into frames.
#[derive(Debug)]
pub(crate) struct Scan {
    units: Vec<Unit>,
    base: u64,
    /// Bytes behind the last frame that are neither a frame nor zero.
    pub(crate) torn: bool,
}

/// What [`Scan::resolve`] makes of it.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) contents: Contents,
    /// Where the accepted groups end.
    pub(crate) end: u32,
}

/// Cuts the segment `bytes` into frames. `base` is the commit in its header.
pub(crate) fn scan(bytes: &[u8], salt: u32, base: u64) -> Scan {
    let mut units = Vec::new();
    let mut offset = DATA_START;
    let mut torn = false;
    while let Some(rest) = bytes.get(offset as usize..).filter(|rest| !rest.is_empty()) {
        let (length, what) = match frame_at(salt, offset, rest) {
            Found::Frame(payload, length) => match record::decode(payload) {
                Some(Record::Footer) => break,
                Some(decoded) => (length, classify(&decoded)),
                None => (length, What::Damaged),
            },
            Found::Damaged(length) => (length, What::Damaged),
            Found::Nothing => match next_frame(rest, salt, offset) {
                Some(skipped) => (skipped, What::Damaged),
                None => {
                    torn = rest.iter().any(|byte| *byte != 0);
                    break;
                }
            },
        };
        units.push(Unit { span: Span { offset, length }, what });
        offset += length;
    }
    Scan { units, base, torn }
}

fn classify(record: &Record<'_>) -> What {
    match record {
        Record::Mail { commit, .. } | Record::State { commit, .. } => {
            What::Record { commit: *commit, ack: false }
        }
        Record::Ack { commit, .. } => What::Record { commit: *commit, ack: true },
        Record::End(end) => What::End(*end),
        Record::Mark { commit } => What::Mark { commit: *commit },
        Record::Footer => What::Damaged,
    }
}

/// How far behind `offset` the next intact frame starts.
fn next_frame(rest: &[u8], salt: u32, offset: u32) -> Option<u32> {
    (8..rest.len()).step_by(8).find_map(|skip| {
        let candidate = rest.get(skip..)?;
        // No frame is empty; most of what is searched is zero.
        if candidate.get(..4)? == [0; 4] {
            return None;
        }
        let found = frame_at(salt, offset + skip as u32, candidate);
        matches!(found, Found::Frame(..)).then_some(skip as u32)
    })
}

impl Scan {
    /// The highest commit that this segment proves durable, along with all before it.
    pub(crate) fn proof(&self) -> u64 {
        let proofs = self.units.iter().map(|unit| match unit.what {
            What::End(end) if end.copies => end.commit,
            What::End(end) => end.commit.saturating_sub(1),
            What::Mark { commit } => commit,
            What::Record { .. } | What::Damaged => 0,
        });
        proofs.max().unwrap_or(0).max(self.base)
    }

    /// Intact frames and damaged stretches.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let damaged = self.units.iter().filter(|unit| matches!(unit.what, What::Damaged)).count();
        ((self.units.len() - damaged) as u64, damaged as u64)
    }

    /// Decides which groups count. `proven` is the highest commit that any segment proves.
    pub(crate) fn resolve(&self, bytes: &[u8], proven: u64) -> Resolved {
        let mut resolving = Resolving {
            bytes,
            contents: Contents { last_commit: self.base, ..Contents::default() },
            end: DATA_START,
        };
        let last_proof = self
            .units
            .iter()
            .rposition(|unit| matches!(unit.what, What::End(_) | What::Mark { .. }));
        let mut pending: Vec<Unit> = Vec::new();
        for (at, unit) in self.units.iter().enumerate() {
            match unit.what {
                What::Record { .. } | What::Damaged => pending.push(*unit),
                What::Mark { .. } => {
                    resolving.orphans(&pending);
                    pending.clear();
                    resolving.accept(&[], Some(unit));
                }
                What::End(end) => {
                    let split = pending.partition_point(|unit| unit.span.offset < end.start);
                    let group = pending.split_off(split);
                    resolving.orphans(&pending);
                    pending.clear();
                    let followed = last_proof.is_some_and(|last| last > at);
                    resolving.group(&group, unit, &end, followed, proven);
                }
            }
        }
        resolving.leftover(&pending, proven);
        Resolved { contents: resolving.contents, end: resolving.end }
    }
}

struct Resolving<'a> {
    bytes: &'a [u8],
    contents: Contents,
    end: u32,
}

impl Resolving<'_> {
    fn group(&mut self, units: &[Unit], last: &Unit, end: &End, followed: bool, proven: u64) {
        let intact = units.iter().filter(|unit| matches!(unit.what, What::Record { .. })).count();
        let damaged = units.len() > intact;
        let durable = end.synced && (followed || (!end.copies && end.commit <= proven));
        if damaged || intact != end.records as usize {
            if !durable {
                return;
            }
            let missing = (end.records as usize).saturating_sub(intact);
            let stretches = units.len() - intact;
            // A damaged length hides how many records a stretch held.
            self.contents.damaged += missing.saturating_sub(stretches) as u32;
        }
        self.accept(units, Some(last));
    }

    /// Units whose own end is damaged, in front of a later one. They were durable, or nothing
    /// would follow; all but acks alone, which are not waited for.
    fn orphans(&mut self, units: &[Unit]) {
        if units.iter().any(|unit| matches!(unit.what, What::Record { ack: false, .. })) {
            self.accept(units, None);
        }
    }

    /// Units behind the last end: the start of a write that was never finished, unless what is
    /// damaged is the very end of a commit that is known to be durable.
    fn leftover(&mut self, units: &[Unit], proven: u64) {
        let mut commits = units.iter().filter_map(|unit| match unit.what {
            What::Record { commit, .. } => Some(commit),
            _ => None,
        });
        let Some(first) = commits.next() else { return };
        // Copies carry commits that the segment has passed already.
        let is_commit = first > self.contents.last_commit && commits.all(|other| other == first);
        if is_commit && first <= proven {
            self.orphans(units);
        }
    }

    fn accept(&mut self, units: &[Unit], end: Option<&Unit>) {
        for unit in units.iter().chain(end) {
            self.end = unit.span.offset + unit.span.length;
            let start = unit.span.offset as usize + crate::frame::FRAME_HEADER;
            let payload = self.bytes.get(start..self.end as usize);
            match (unit.what, payload) {
                (What::Damaged, _) | (_, None) => self.contents.damaged += 1,
                (_, Some(payload)) => {
                    if let Some(record) = decode_padded(self.bytes, unit, payload) {
                        self.contents.note(&record, unit.span);
                    }
                }
            }
        }
    }
}

/// Decodes a payload that still has its padding: the frame header knows the true length.
fn decode_padded<'a>(bytes: &[u8], unit: &Unit, payload: &'a [u8]) -> Option<Record<'a>> {
    let start = unit.span.offset as usize;
    let length = u32::from_le_bytes(bytes.get(start..start + 4)?.try_into().ok()?);
    record::decode(payload.get(..length as usize)?)
}
