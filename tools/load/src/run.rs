//! What the sessions of one phase share. All run on one thread, so counting costs nothing.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::error::LoadError;
use crate::message::Id;

/// Nothing moves for that long: what is missing is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(2);
/// Latencies are kept to three digits, between a microsecond and ten minutes.
const LATENCY_US: (u64, u64, u8) = (1, 600_000_000, 3);

/// When a message makes room for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Once its recipient has it.
    Delivered,
    /// Once the node has it.
    Accepted,
}

/// One sender's window.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) in_flight: Cell<usize>,
    /// Told when it got room.
    pub(crate) room: Notify,
}

impl Lane {
    pub(crate) fn leave(&self, messages: usize) {
        self.in_flight.set(self.in_flight.get().saturating_sub(messages));
        self.room.notify_one();
    }
}

/// How many messages got how far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: Cell<u64>,
    pub(crate) accepted: Cell<u64>,
    /// Accepted before, and since then taken by another node.
    pub(crate) at_node: Cell<u64>,
    pub(crate) delivered: Cell<u64>,
    pub(crate) refused: Cell<u64>,
    /// Come again though they were acked in an earlier phase.
    pub(crate) repeated: Cell<u64>,
}

/// Adds to a count.
pub(crate) fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

/// For latencies in microseconds.
pub(crate) fn histogram() -> Result<Histogram<u64>, LoadError> {
    let (low, high, digits) = LATENCY_US;
    Histogram::new_with_bounds(low, high, digits)
        .map_err(|error| LoadError::Node(error.to_string()))
}

/// What the sessions of one phase share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) leaves: Leaves,
    /// The count of each sender's first message: no id is used in two phases, or mail of an earlier
    /// one could stand in for what is missing.
    pub(crate) first: u32,
    began: Instant,
    /// By the sender's index.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) counts: Counts,
    /// From now on nothing new is sent.
    pub(crate) stopped: Cell<bool>,
    pub(crate) accepted: RefCell<Vec<Id>>,
    pub(crate) received: RefCell<Vec<Id>>,
    /// Microseconds from when a message was to be sent until its recipient had it.
    pub(crate) latency: RefCell<Histogram<u64>>,
    /// The node's words of one refusal.
    pub(crate) why: RefCell<Option<String>>,
}

impl Run {
    pub(crate) fn new(senders: usize, leaves: Leaves, first: u32) -> Result<Self, LoadError> {
        Ok(Self {
            leaves,
            first,
            began: Instant::now(),
            lanes: (0..senders).map(|_| Lane::default()).collect(),
            counts: Counts::default(),
            stopped: Cell::new(false),
            accepted: RefCell::default(),
            received: RefCell::default(),
            latency: RefCell::new(histogram()?),
            why: RefCell::default(),
        })
    }

    /// Nanoseconds since it began.
    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// The moment so many nanoseconds after it began.
    pub(crate) fn at(&self, nanos: u64) -> Instant {
        self.began + Duration::from_nanos(nanos)
    }

    /// A message has arrived.
    pub(crate) fn arrived(&self, id: Id, intended: u64, now: u64) {
        if id.count() < self.first as usize {
            return add(&self.counts.repeated, 1);
        }
        self.received.borrow_mut().push(id);
        add(&self.counts.delivered, 1);
        self.latency.borrow_mut().saturating_record(now.saturating_sub(intended) / 1000);
        if self.leaves == Leaves::Delivered
            && let Some(lane) = self.lanes.get(id.sender())
        {
            lane.leave(1);
        }
    }

    /// Waits until `done`, or until nothing has moved for a while: then false.
    pub(crate) async fn until(&self, done: impl Fn(&Counts) -> bool) -> bool {
        let counts = &self.counts;
        let sum = || counts.accepted.get() + counts.at_node.get() + counts.delivered.get();
        let (mut last, mut moved) = (sum(), Instant::now());
        while !done(counts) {
            sleep(LOOK).await;
            if sum() != last {
                (last, moved) = (sum(), Instant::now());
            }
            if moved.elapsed() > PATIENCE {
                return false;
            }
        }
        true
    }
}
