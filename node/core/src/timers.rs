//! What the core does at a time, and not because something came: one enum, one table.

use std::collections::{BTreeMap, BTreeSet};

use postroad_proto::ids::{Millis, NodeId};

/// What can be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Connecting to more nodes.
    Neighbours,
    /// Comparing the table of nodes with those of others.
    Compare,
    /// Forgetting nodes that are gone for good.
    Routes,
    /// Giving up on questions that were not answered.
    Asks,
    /// Closing incoming mail streams on which nothing comes.
    Links,
    /// Ending rendezvous whose time is over.
    Rendezvous,
    /// Deleting accounts whose time has come.
    Departures,
    /// Handing mail to a node: the next try, an answer that is overdue, a refusal that is over.
    Outbox(NodeId),
}

/// When what is due. Each timer has at most one time.
#[derive(Default)]
pub(crate) struct Timers {
    at: BTreeMap<Timer, Millis>,
    order: BTreeSet<(Millis, Timer)>,
}

impl Timers {
    /// Sets a timer, in place of the time that it had.
    pub(crate) fn set(&mut self, timer: Timer, at: Millis) {
        self.clear(timer);
        self.at.insert(timer, at);
        self.order.insert((at, timer));
    }

    /// Sets a timer unless it is due earlier.
    pub(crate) fn set_by(&mut self, timer: Timer, at: Millis) {
        if self.at.get(&timer).is_none_or(|set| *set > at) {
            self.set(timer, at);
        }
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// The earliest time.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes a timer that is due.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        (at <= now).then(|| {
            self.clear(timer);
            timer
        })
    }
}
