//! Lanes: what one device sends to one account keeps its order, and holds up nobody else's mail.

use std::collections::{BTreeSet, VecDeque};

use postroad_proto::ids::{AccountId, Millis};

use super::outbox::{IDLE, LONG_PATIENCE, OPENING, Outbox, PATIENCE};
use crate::changes::MailboxId;
use crate::map::Map;

/// The sending device, a user's of this node, and the account it writes to.
pub(crate) type LaneKey = (Option<MailboxId>, AccountId);
type LaneNumber = u32;

/// What is put off together.
#[derive(Debug)]
struct Lane {
    key: LaneKey,
    /// The batch that it is in.
    batch: Option<u64>,
    /// What waits for that batch, or for the time below.
    waiting: VecDeque<u64>,
    held: Option<(Millis, String)>,
}

impl Lane {
    fn is_free(&self) -> bool {
        self.batch.is_none() && self.held.is_none()
    }
}

/// The lanes of an outbox that are in a batch or put off. All others are free.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    numbers: Map<LaneKey, LaneNumber>,
    lanes: Map<LaneNumber, Lane>,
    /// In which lane an item waits.
    waits_in: Map<u64, LaneNumber>,
    /// When lanes that are put off are free again.
    ends: BTreeSet<(Millis, LaneNumber)>,
    last: LaneNumber,
}

impl Lanes {
    /// Whether the lane is put off, or in another batch than `batch`.
    pub(super) fn is_closed(&self, key: &LaneKey, batch: u64) -> bool {
        self.get(key).is_some_and(|lane| {
            lane.held.is_some() || lane.batch.is_some_and(|other| other != batch)
        })
    }

    /// The lane goes with `batch`, until that is answered.
    pub(super) fn go_with(&mut self, key: LaneKey, batch: u64) {
        self.entry(key).1.batch = Some(batch);
    }

    /// An item waits behind all others of its lane, which is closed.
    pub(super) fn wait(&mut self, key: LaneKey, seq: u64) {
        let (number, lane) = self.entry(key);
        lane.waiting.push_back(seq);
        self.waits_in.insert(seq, number);
    }

    /// An item, and all that follows it in its lane, is put off.
    pub(super) fn put_off(&mut self, key: LaneKey, seq: u64, until: Millis, why: String) {
        let (number, lane) = self.entry(key);
        lane.waiting.push_front(seq);
        let before = lane.held.as_ref().map(|(held, _)| *held);
        let until = before.map_or(until, |before| until.max(before));
        lane.held = Some((until, why));
        self.waits_in.insert(seq, number);
        if let Some(before) = before {
            self.ends.remove(&(before, number));
        }
        self.ends.insert((until, number));
    }

    /// Lanes of a batch that was answered are free, unless they are put off. Returns what waited.
    pub(super) fn answered(&mut self, keys: impl Iterator<Item = LaneKey>) -> Vec<u64> {
        let mut free = Vec::new();
        for key in keys {
            if let Some(number) = self.numbers.get(&key).copied() {
                if let Some(lane) = self.lanes.get_mut(&number) {
                    lane.batch = None;
                }
                self.empty_if_free(number, &mut free);
            }
        }
        free
    }

    /// Frees the lanes whose time has come. Returns what waited.
    pub(super) fn release_due(&mut self, steady: Millis) -> Vec<u64> {
        let mut free = Vec::new();
        while let Some((until, number)) = self.ends.first().copied()
            && until <= steady
        {
            self.ends.pop_first();
            if let Some(lane) = self.lanes.get_mut(&number) {
                lane.held = None;
            }
            self.empty_if_free(number, &mut free);
        }
        free
    }

    /// No batch will be answered any more. Returns what waited; what is put off stays so.
    fn forget_batches(&mut self) -> Vec<u64> {
        let numbers: Vec<LaneNumber> = self.lanes.keys().copied().collect();
        let mut free = Vec::new();
        for number in numbers {
            if let Some(lane) = self.lanes.get_mut(&number) {
                lane.batch = None;
            }
            self.empty_if_free(number, &mut free);
        }
        free
    }

    /// Until when an item is put off, and why.
    pub(crate) fn reason(&self, seq: u64) -> Option<&(Millis, String)> {
        self.lanes.get(self.waits_in.get(&seq)?)?.held.as_ref()
    }

    fn next_end(&self) -> Option<Millis> {
        self.ends.first().map(|(until, _)| *until)
    }

    fn get(&self, key: &LaneKey) -> Option<&Lane> {
        self.lanes.get(self.numbers.get(key)?)
    }

    fn entry(&mut self, key: LaneKey) -> (LaneNumber, &mut Lane) {
        let last = &mut self.last;
        let number = *self.numbers.entry(key).or_insert_with(|| {
            *last = last.wrapping_add(1);
            *last
        });
        let new = || Lane { key, batch: None, waiting: VecDeque::new(), held: None };
        (number, self.lanes.entry(number).or_insert_with(new))
    }

    fn empty_if_free(&mut self, number: LaneNumber, into: &mut Vec<u64>) {
        if self.lanes.get(&number).is_some_and(Lane::is_free)
            && let Some(lane) = self.lanes.remove(&number)
        {
            self.numbers.remove(&lane.key);
            for seq in lane.waiting {
                self.waits_in.remove(&seq);
                into.push(seq);
            }
        }
    }
}

impl Outbox {
    /// An item that was next is in a batch, in its lane, or no use.
    pub(super) fn step_past(&mut self, seq: u64) {
        if self.ready.first() == Some(&seq) {
            self.ready.pop_first();
        } else {
            self.cursor = seq;
        }
    }

    /// The stream is gone: whatever was offered on it and not settled is offered again.
    pub(super) fn rewind(&mut self) {
        let in_flight = core::mem::take(&mut self.in_flight).into_values();
        self.ready.extend(in_flight.flat_map(|(_, offered)| offered).map(|item| item.seq));
        self.ready.extend(self.lanes.forget_batches());
    }

    /// Whatever lies in the outbox is read and offered again, from the first.
    pub(super) fn start_over(&mut self) {
        self.in_flight.clear();
        self.ready.clear();
        self.lanes = Lanes::default();
        self.cursor = 0;
    }

    /// When the other has been silent for too long, or has left one batch out.
    pub(super) fn patience_ends(&self) -> Option<Millis> {
        let link = self.link.as_ref()?;
        let oldest = self.in_flight.first_key_value().map(|(_, (sent, _))| sent + LONG_PATIENCE);
        let awaits = !link.opened || !self.in_flight.is_empty();
        let silent = awaits.then_some(link.heard + PATIENCE);
        [oldest, silent].into_iter().flatten().min()
    }

    /// When a stream without use is closed: others may need its place.
    pub(super) fn idle_ends(&self) -> Option<Millis> {
        let link = self.link.as_ref().filter(|link| link.opened && self.in_flight.is_empty())?;
        Some(link.used + IDLE)
    }

    /// When to look again: at the end of a refusal, or of patience.
    pub(crate) fn next_look(&self, steady: Millis) -> Option<Millis> {
        let held = self.lanes.next_end();
        let opening = self.opening.map(|since| since + OPENING);
        // Afterwards it stays for what is put off.
        let idle = self.idle_ends().filter(|end| *end > steady);
        let next = [held, opening, self.patience_ends(), idle].into_iter().flatten().min();
        next.map(|next| next.max(steady + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(device: u8) -> LaneKey {
        let account = AccountId([1; 32]);
        (Some(MailboxId { account, device }), AccountId([2; 32]))
    }

    #[test]
    fn what_is_put_off_keeps_its_order_and_holds_up_nobody_else() {
        let mut lanes = Lanes::default();
        lanes.go_with(key(1), 7);
        assert!(lanes.is_closed(&key(1), 8) && !lanes.is_closed(&key(1), 7));
        assert!(!lanes.is_closed(&key(2), 8), "another sender's is free");
        lanes.wait(key(1), 5);
        lanes.put_off(key(1), 4, 1000, "RATE".into());
        lanes.put_off(key(1), 3, 500, "RATE".into());
        assert_eq!(lanes.answered([key(1)].into_iter()), [], "it is put off");
        assert_eq!(lanes.reason(5).map(|(until, _)| *until), Some(1000), "the later end");
        assert_eq!(lanes.release_due(999), []);
        assert_eq!(lanes.release_due(1000), [3, 4, 5]);
        assert!(lanes.reason(5).is_none() && !lanes.is_closed(&key(1), 9));
        assert!(lanes.lanes.is_empty() && lanes.numbers.is_empty() && lanes.ends.is_empty());
        assert!(lanes.waits_in.is_empty());
    }

    #[test]
    fn a_stream_that_ends_frees_what_is_not_put_off() {
        let mut outbox = Outbox::default();
        outbox.lanes.go_with(key(1), 1);
        outbox.lanes.wait(key(1), 3);
        outbox.lanes.put_off(key(2), 2, 1000, "QUOTA".into());
        outbox.ready.insert(9);
        outbox.cursor = 9;
        outbox.rewind();
        assert_eq!(outbox.ready.iter().copied().collect::<Vec<_>>(), [3, 9]);
        assert!(outbox.lanes.reason(2).is_some());
        assert_eq!(outbox.cursor, 9, "what was read is not read again");
    }
}
