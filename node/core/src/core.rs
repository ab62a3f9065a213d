//! The core itself: all it holds, and the order in which things happen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Frame;
use postroad_proto::ids::{AccountId, Hash, Millis, NodeId, ParcelId};
use serde::Serialize;

use crate::bucket::Bucket;
use crate::changes::{Changes, MailView, MailboxId, ReadError, Recovered};
use crate::config::{Config, Keys};
use crate::group::Group;
use crate::mailbox::{Item, Mailbox};
use crate::sessions::Session;
use crate::state::{NodeRow, Ring, Tables};

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
    /// A client that turned out to be a device of an account homed here: it may stay.
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
    /// Receipt roots signed.
    pub roots: u64,
    /// Accounts made.
    pub registered: u64,
}

/// Copies of a parcel in custody.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) copies: u8,
    /// Copies that there were when it came, or when the node started.
    pub(crate) at_first: u8,
    /// Whether one device has acked it: then it does not count as expired.
    pub(crate) acked: bool,
}

/// What is remembered about an account between its requests, in memory only.
#[derive(Default)]
pub(crate) struct Rates {
    pub(crate) lookups: Option<Bucket>,
    pub(crate) requests: Option<Bucket>,
    /// One-time keys taken, by whose they were.
    pub(crate) claims: HashMap<AccountId, Bucket>,
    pub(crate) tokens: HashMap<Hash, Bucket>,
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
    pub(crate) tables: Tables,
    pub(crate) mailboxes: BTreeMap<MailboxId, Mailbox>,
    pub(crate) held: HashMap<ParcelId, Held>,
    pub(crate) recent: Ring<ParcelId>,
    pub(crate) expiries: BTreeSet<(u64, MailboxId)>,
    pub(crate) accounts_by_number: HashMap<u64, AccountId>,
    pub(crate) rates: HashMap<AccountId, Rates>,
    pub(crate) sessions: HashMap<SessionId, Session>,
    pub(crate) online: HashMap<MailboxId, SessionId>,
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
        let row = row.unwrap_or(NodeRow { node, generation: 1, run, next_account: 1 });
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
            tables,
            mailboxes: BTreeMap::new(),
            held: HashMap::new(),
            recent: Ring::new(RECENT_PARCELS),
            expiries: BTreeSet::new(),
            accounts_by_number,
            rates: HashMap::new(),
            sessions: HashMap::new(),
            online: HashMap::new(),
            waiting: BTreeSet::new(),
            next_turn: 0,
            group: Group::default(),
            outputs: Vec::new(),
            counters: Counters::default(),
            full: false,
            config,
            keys,
        };
        core.tables.node.put((), NodeRow { run, ..row }, &mut core.group.staged);
        core.open_mailboxes(recovered, now);
        Ok(core)
    }

    /// One input. What it changes and answers waits for [`Self::seal`] and [`Self::committed`].
    pub fn handle(&mut self, now: Millis, input: Input) {
        match input {
            Input::Connected { session, key } => {
                self.sessions.insert(session, Session::new(key));
            }
            Input::Disconnected { session } => self.forget_session(session),
            Input::Frame { session, frame } => self.on_frame(now, session, frame),
        }
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
        for found in &recovered.mail {
            let item = Item {
                id: found.id,
                bytes: found.bytes,
                expires: found.expires,
                label: None,
                since: now,
            };
            let mailbox = self.mailbox_mut(found.mailbox);
            mailbox.insert(found.seq, item);
            // Should the floor's record be damaged, an older one took its place.
            mailbox.next = mailbox.next.max(found.seq + 1);
            self.hold(found.id);
            self.note_expiry(found.mailbox, found.expires);
        }
    }
}
