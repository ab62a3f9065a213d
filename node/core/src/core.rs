//! The core itself: all it holds, and the order in which things happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Frame;
use postroad_proto::ids::{AccountId, Hash, Millis, NodeId, ParcelId};
use serde::Serialize;

use crate::bucket::Bucket;
use crate::changes::{Changes, MailView, MailboxId, ReadError, Recovered, RecoveredItem};
use crate::config::{Config, Keys};
use crate::group::Group;
use crate::mail::mailbox::{Item, Mailbox};
use crate::map::Map;
use crate::people::rendezvous::Meetings;
use crate::ring::Ring;
use crate::roads;
use crate::roads::asks::Asks;
use crate::roads::compare::Compare;
use crate::roads::lanes::LaneKey;
use crate::roads::links::Links;
use crate::roads::neighbours::Peers;
use crate::roads::news::Ticker;
use crate::roads::outbox::Outbox;
use crate::roads::settle::Rerouted;
use crate::roads::table::Routing;
use crate::sessions::Session;
use crate::state::{NodeRow, Tables};
use crate::timers::{Timer, Timers};

/// Parcels that were acked lately and are still known as repeats.
const RECENT_PARCELS: usize = 65_536;
/// Accounts whose rates are remembered; beyond it the memory starts anew.
pub(crate) const MAX_BUCKETS: usize = 100_000;

/// A client's connection, numbered by whoever holds the sockets; never reused within a run.
pub type SessionId = u64;

/// What reaches the core.
#[derive(Debug)]
pub enum Input {
    /// A client finished its handshake.
    Connected {
        /// Its session.
        session: SessionId,
        /// Its Noise key.
        key: Hash,
    },
    /// A client is gone.
    Disconnected {
        /// Its session.
        session: SessionId,
    },
    /// A client said something.
    Frame {
        /// Its session.
        session: SessionId,
        /// What.
        frame: Frame,
    },
    /// Something happened between this node and others.
    Road(roads::Event),
}

/// What leaves the core, in order.
#[derive(Debug)]
pub enum Output {
    /// Something to say to a client.
    Frame {
        /// Its session.
        session: SessionId,
        /// What.
        frame: Frame,
    },
    /// A client that turned out to be a device of an account homed here, or a guest of a
    /// rendezvous: it may stay.
    Known {
        /// Its session.
        session: SessionId,
    },
    /// A client to hang up on, once all before is said.
    Close {
        /// Its session.
        session: SessionId,
        /// Why, for the log.
        code: ErrorCode,
    },
    /// Something to do between this node and others.
    Road(roads::Command),
}

/// Why a core does not start on what a store holds.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state does not decode: written by a newer version, or damaged.
    #[error("the node's state cannot be read: {0}")]
    State(#[from] postroad_proto::codec::CodecError),
    /// The key is not that of the node which the store belongs to.
    #[error("this store belongs to node {store}, but node.key is that of {key}; restore the key")]
    OtherNode {
        /// Whose store it is.
        store: NodeId,
        /// Whose key was given.
        key: NodeId,
    },
}

/// What a node did since it started.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counters {
    /// Parcels taken into custody.
    pub accepted: u64,
    /// Parcels known as repeats and answered with a fresh receipt.
    pub repeated: u64,
    /// Parcels or envelopes refused.
    pub refused: u64,
    /// Items handed to a connected device, repeats included.
    pub pushed: u64,
    /// Items acked by a device.
    pub acked: u64,
    /// Items deleted after their deadline.
    pub expired: u64,
    /// Parcels offered to other nodes, repeats included.
    pub offered: u64,
    /// Parcels that other nodes took into custody.
    pub handed_over: u64,
    /// Receipt roots signed.
    pub roots: u64,
    /// Accounts made.
    pub registered: u64,
}

/// Copies of a parcel in custody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    pub(crate) copies: u8,
    /// How many of them lie in outboxes.
    pub(crate) outbound: u8,
    /// The outbox that it waits in.
    pub(crate) bound: Option<Box<Bound>>,
    /// Copies that there were when it came, or when the node started.
    pub(crate) at_first: u8,
    /// Whether one device has acked it: then it does not count as expired.
    pub(crate) acked: bool,
}

/// A place in an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) node: NodeId,
    pub(crate) seq: u64,
    /// Who sent it to whom; unknown for what was there before the node started.
    pub(crate) lane: Option<LaneKey>,
}

/// What is remembered about an account between its requests, in memory only.
#[derive(Default)]
pub(crate) struct Rates {
    pub(crate) lookups: Option<Bucket>,
    pub(crate) requests: Option<Bucket>,
    /// One-time keys of its that were taken, by what was proved with.
    pub(crate) claims: Map<Hash, Bucket>,
    pub(crate) tokens: Map<Hash, Bucket>,
    /// Typing and presence: what it sends, and what comes under each of its tokens.
    pub(crate) ephemerals: Option<Bucket>,
    pub(crate) ephemerals_by_token: Map<Hash, Bucket>,
    /// Its mail that other nodes refused for good: they blame the whole node for it.
    pub(crate) refused: Option<Bucket>,
    /// Until then it sends nothing to other nodes, by the steady clock.
    pub(crate) barred_until: Millis,
}

/// A posthouse, without its sockets, clock and disk.
pub struct Core {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
    pub(crate) run: [u8; 8],
    /// The last commit that was sealed.
    pub(crate) commit: u64,
    /// The last one that is synced, once it is written.
    pub(crate) synced: u64,
    /// The time as of the last input.
    pub(crate) clock: Millis,
    /// The same, but never set back: what intervals are measured with.
    pub(crate) steady: Millis,
    pub(crate) timers: Timers,
    pub(crate) routing: Routing,
    pub(crate) peers: Peers,
    pub(crate) compare: Compare,
    pub(crate) asks: Asks,
    pub(crate) links: Links,
    pub(crate) outboxes: BTreeMap<NodeId, Outbox>,
    /// Outboxes that may have something to hand over.
    pub(crate) pumping: BTreeSet<NodeId>,
    /// Whose turn it is among them.
    pub(crate) next_pumped: Option<NodeId>,
    /// What its recipients' home sent on: from which outbox, to which.
    pub(crate) rerouting: VecDeque<Rerouted>,
    /// Messages and bytes of each account that wait for other nodes, counted since the start.
    pub(crate) sender_waiting: Map<AccountId, (u64, u64)>,
    pub(crate) ticker: Ticker,
    /// Whether this node is announced with an address that the world reaches.
    pub(crate) is_public: bool,
    pub(crate) tables: Tables,
    pub(crate) mailboxes: Map<MailboxId, Mailbox>,
    pub(crate) held: Map<ParcelId, Held>,
    pub(crate) recent: Ring<ParcelId>,
    pub(crate) expiries: BTreeSet<(u64, MailboxId)>,
    pub(crate) accounts_by_number: Map<u64, AccountId>,
    pub(crate) rates: Map<AccountId, Rates>,
    pub(crate) meetings: Meetings,
    /// Bytes of all vaults, those included that are not whole yet.
    pub(crate) vault_bytes: u64,
    pub(crate) sessions: Map<SessionId, Session>,
    pub(crate) online: Map<MailboxId, SessionId>,
    /// Sessions that may have mail to get; in order, so that a run can be repeated.
    pub(crate) waiting: BTreeSet<SessionId>,
    /// Whose turn it is among them.
    pub(crate) next_turn: SessionId,
    pub(crate) group: Group,
    pub(crate) outputs: Vec<Output>,
    pub(crate) counters: Counters,
    /// Whether the disk has no room for new custody.
    pub(crate) full: bool,
}

impl Core {
    /// Starts on what a store holds. `run` is random, new for every start. Seal and commit the
    /// first group before listening: it writes the run down.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn start(
        config: Config,
        keys: Keys,
        recovered: &Recovered,
        run: [u8; 8],
        now: Millis,
    ) -> Result<Self, StartError> {
        let tables = Tables::load(&recovered.state)?;
        let row = tables.node.get(&()).cloned();
        let node = keys.node();
        let new = NodeRow { node, generation: 1, run, next_account: 1, generation_at: 0 };
        let row = row.unwrap_or(new);
        if row.node != node {
            return Err(StartError::OtherNode { store: row.node, key: node });
        }
        let accounts_by_number =
            tables.accounts.iter().map(|(account, row)| (row.number, *account)).collect();
        let mut core = Self {
            node,
            generation: row.generation,
            run,
            commit: recovered.commit,
            synced: recovered.commit,
            clock: now,
            steady: now,
            timers: Timers::default(),
            routing: Routing::default(),
            peers: Peers::default(),
            compare: Compare::default(),
            asks: Asks::default(),
            links: Links::default(),
            outboxes: BTreeMap::new(),
            pumping: BTreeSet::new(),
            next_pumped: None,
            rerouting: VecDeque::new(),
            sender_waiting: Map::default(),
            is_public: false,
            ticker: Ticker::default(),
            tables,
            mailboxes: Map::default(),
            held: Map::default(),
            recent: Ring::new(RECENT_PARCELS),
            expiries: BTreeSet::new(),
            accounts_by_number,
            rates: Map::default(),
            meetings: Meetings::default(),
            vault_bytes: 0,
            sessions: Map::default(),
            online: Map::default(),
            waiting: BTreeSet::new(),
            next_turn: 0,
            group: Group::default(),
            outputs: Vec::new(),
            counters: Counters::default(),
            full: false,
            config,
            keys,
        };
        core.note_last_run(now, row.run, recovered.commit);
        core.tables.node.put((), NodeRow { run, ..row }, &mut core.group.staged);
        core.open_mailboxes(recovered, now);
        core.load_routes();
        core.open_vaults();
        core.open_forwards(now);
        core.reopen_outboxes();
        core.timers.set(Timer::Neighbours, now);
        core.timers.set(Timer::Compare, now);
        core.timers.set(Timer::Routes, now);
        core.timers.set(Timer::Departures, now);
        Ok(core)
    }

    /// One input. What it changes and answers waits for [`Self::seal`] and [`Self::committed`].
    pub fn handle(&mut self, now: Millis, input: Input) {
        self.set_clock(now);
        match input {
            Input::Connected { session, key } => {
                self.sessions.insert(session, Session::new(key));
            }
            Input::Disconnected { session } => self.forget_session(session),
            Input::Frame { session, frame } => self.on_frame(now, session, frame),
            Input::Road(event) => self.on_road(now, event),
        }
    }

    /// Does what is due. Call when [`Self::next_timeout`] says so; earlier does no harm.
    pub fn tick(&mut self, now: Millis) {
        self.set_clock(now);
        while let Some(timer) = self.timers.take_due(self.steady) {
            match timer {
                Timer::Neighbours => self.look_for_neighbours(now),
                Timer::Compare => self.compare_tables(now),
                Timer::Routes => self.clean_routes(now),
                Timer::Asks => self.drop_overdue_asks(now),
                Timer::Links => self.close_silent_links(now),
                Timer::Rendezvous => self.end_overdue_meetings(),
                Timer::Departures => self.delete_departed(now),
                Timer::Outbox(node) => self.look_after_outbox(now, node),
            }
        }
    }

    /// When [`Self::tick`] or [`Self::expire`] has something to do next, milliseconds since the Unix
    /// epoch.
    pub fn next_timeout(&self) -> Option<Millis> {
        let expiry = self.expiries.first().map(|(at, _)| at.saturating_mul(1000));
        let rerouting = (!self.rerouting.is_empty() && !self.full).then_some(self.clock);
        [self.timers.next().map(|at| self.wall(at)), expiry, rerouting].into_iter().flatten().min()
    }

    /// A clock that is set back puts off nothing that is due.
    pub(crate) fn set_clock(&mut self, now: Millis) {
        self.steady += now.saturating_sub(self.clock);
        self.clock = now;
    }

    /// What a time of the steady clock is called outside.
    pub(crate) fn wall(&self, steady: Millis) -> Millis {
        self.clock + steady.saturating_sub(self.steady)
    }

    /// Ends the group: signs its receipts and returns what must be made durable, if anything.
    pub fn seal(&mut self, now: Millis) -> Option<Changes> {
        self.seal_group(now)
    }

    /// The changes of the last [`Self::seal`] are durable: what the group promised may be said.
    pub fn committed(&mut self) {
        self.outputs.append(&mut self.group.released);
    }

    /// Reads mail for the sessions that have credit for it. Call after [`Self::committed`], again
    /// at once while it returns true (after looking for inputs).
    ///
    /// # Errors
    /// When the store fails.
    pub fn deliver(&mut self, view: &dyn MailView) -> Result<bool, ReadError> {
        self.deliver_waiting(view)
    }

    /// What is to be said, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.outputs)
    }

    /// Tells whether the disk has room for new custody.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// About the bytes that the group has staged: the caller seals before it grows too large.
    pub fn staged_bytes(&self) -> usize {
        self.group.staged.bytes()
    }

    fn open_mailboxes(&mut self, recovered: &Recovered, now: Millis) {
        let floors: Vec<(MailboxId, u64)> =
            self.tables.floors.iter().map(|(id, row)| (*id, row.next)).collect();
        for (id, next) in floors {
            self.mailboxes.insert(id, Mailbox::starting_at(next));
        }
        // Millions of them, in order: each mailbox is looked up once.
        self.held.reserve(recovered.mail.len());
        for found in recovered.mail.chunk_by(|a, b| a.mailbox == b.mailbox) {
            self.open_mailbox(found, now);
        }
    }

    /// `found` is all that waits in one mailbox.
    fn open_mailbox(&mut self, found: &[RecoveredItem], now: Millis) {
        let Some((first, last)) = found.first().zip(found.last()) else { return };
        let id = first.mailbox;
        let items = found.iter().map(|found| {
            let RecoveredItem { seq, id, expires, bytes, .. } = *found;
            (seq, Item { id, bytes, expires, label: None, since: now })
        });
        let mailbox = self.mailbox_mut(id);
        mailbox.fill(items);
        // Should the floor's record be damaged, an older one took its place.
        mailbox.next = mailbox.next.max(last.seq + 1);
        for found in found {
            match id.destination() {
                Some(node) => {
                    self.hold_bound(found.id, Bound { node, seq: found.seq, lane: None });
                }
                None => {
                    self.hold(found.id);
                }
            }
        }
        if let Some(expires) = found.iter().map(|found| found.expires).min() {
            self.note_expiry(id, expires);
        }
    }
}
