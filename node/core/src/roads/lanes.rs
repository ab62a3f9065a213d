//! Lanes: the mail for one account at one node keeps its order, and holds up nobody else's.

use std::collections::VecDeque;

use postroad_proto::ids::Millis;

use super::outbox::{IDLE, LONG_PATIENCE, Offered, Outbox, PATIENCE};

/// The mail for one account at the node: in order, and put off together.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The batch that it is in.
    pub(crate) batch: Option<u64>,
    /// What waits for that batch, or for the time below.
    pub(crate) waiting: VecDeque<u64>,
    pub(crate) held: Option<(Millis, String)>,
}

impl Outbox {
    /// Whatever was offered and not settled is offered again, from the first.
    pub(super) fn rewind(&mut self) {
        self.in_flight.clear();
        self.ready.clear();
        self.cursor = 0;
        // What is put off stays put off.
        self.lanes.retain(|_, lane| {
            lane.batch = None;
            lane.waiting.clear();
            lane.held.is_some()
        });
    }

    /// Frees the lanes whose time has come.
    pub(crate) fn release_lanes(&mut self, steady: Millis) {
        let mut free: Vec<u64> = Vec::new();
        self.lanes.retain(|_, lane| {
            if lane.held.as_ref().is_some_and(|(until, _)| *until <= steady) {
                lane.held = None;
            }
            if lane.held.is_none() && lane.batch.is_none() {
                free.extend(lane.waiting.drain(..));
            }
            lane.held.is_some() || lane.batch.is_some()
        });
        free.sort_unstable();
        self.ready.extend(free);
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
        let held = self.lanes.values().filter_map(|lane| Some(lane.held.as_ref()?.0)).min();
        let opening = self.opening.map(|since| since + PATIENCE);
        // Afterwards it stays for what is put off.
        let idle = self.idle_ends().filter(|end| *end > steady);
        let next = [held, opening, self.patience_ends(), idle].into_iter().flatten().min();
        next.map(|next| next.max(steady + 1))
    }

    /// A batch was answered: its lanes are free again, but for what is put off.
    pub(super) fn after_batch(&mut self, number: u64, again: Vec<(Offered, Millis, String)>) {
        // Before what waits behind it, in its own order.
        for (item, until, why) in again.into_iter().rev() {
            let lane = self.lanes.entry(item.account).or_default();
            lane.waiting.push_front(item.seq);
            let until = lane.held.as_ref().map_or(until, |(held, _)| until.max(*held));
            lane.held = Some((until, why));
        }
        for lane in self.lanes.values_mut().filter(|lane| lane.batch == Some(number)) {
            lane.batch = None;
        }
        self.release_lanes(0);
    }
}
