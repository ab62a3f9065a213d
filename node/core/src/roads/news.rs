//! What an operator may want to know of what goes on: the last of it is kept in memory.

use std::collections::VecDeque;

use postroad_proto::ids::{Millis, NodeId};

use crate::core::Core;

/// Among so many of the last events, and within so long, the same thing is told so often at most,
/// and never twice in a row.
const RECENT: usize = 32;
const SOON: Millis = 60_000;
const REPEATED: usize = 4;
/// Events kept.
const KEPT: usize = 1000;

/// Something that happened between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A node connected, or was connected to.
    PeerUp {
        /// Which.
        node: NodeId,
        /// Whether this node dialled.
        outbound: bool,
        /// Where it is.
        address: String,
    },
    /// The last connection to a node is gone.
    PeerDown {
        /// Which.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// A node that the operator or the network's definition named cannot be connected to.
    NotConnected {
        /// Which.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// A node that was not known.
    NewNode {
        /// Which.
        node: NodeId,
        /// What it calls itself.
        name: String,
    },
    /// A node whose record has been over for so long that no mail can wait for it.
    Forgotten {
        /// Which.
        node: NodeId,
    },
    /// Somebody passed on a record that is forged, damaged, or of another network.
    BadRecord {
        /// Who.
        from: NodeId,
    },
    /// A record dated in the future: a clock is wrong.
    FutureRecord {
        /// Whose.
        node: NodeId,
        /// Who passed it on.
        from: NodeId,
    },
    /// Two different records with one number: the node's key is used twice.
    Equivocates {
        /// Whose.
        node: NodeId,
        /// Who passed the second on.
        from: NodeId,
    },
    /// A record of this node that it does not remember.
    OwnRecord {
        /// Who passed it on.
        from: NodeId,
    },
    /// Mail for a node does not get through.
    MailWaits {
        /// For which.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// Mail gets through again.
    MailFlows {
        /// To which.
        node: NodeId,
    },
    /// A node broke the rules of the protocol; its stream was closed.
    Misbehaved {
        /// Which.
        node: NodeId,
        /// How.
        how: String,
    },
    /// A node's record names an older generation than it had: its data was rolled back, and it has
    /// not found out yet.
    SetBack {
        /// Which.
        node: NodeId,
        /// The older one.
        generation: u64,
    },
    /// A node began a new generation: its data had been rolled back.
    Generation {
        /// Which; this one or another.
        node: NodeId,
        /// The new one.
        generation: u64,
    },
}

/// News with its number and time.
#[derive(Debug, Clone)]
pub struct Happening {
    /// Rises by one.
    pub id: u64,
    /// Milliseconds since the Unix epoch.
    pub at: Millis,
    /// What happened.
    pub news: News,
}

/// The last events.
#[derive(Default)]
pub(crate) struct Ticker {
    events: VecDeque<Happening>,
    last: u64,
}

impl Core {
    pub(crate) fn news(&mut self, now: Millis, news: News) {
        let ticker = &mut self.ticker;
        // A flood of the same few things must not push out everything else.
        let recent = ticker.events.iter().rev().take(RECENT);
        let same = recent.filter(|event| event.news == news && event.at + SOON > now).count();
        let is_last = ticker.events.back().is_some_and(|event| event.news == news);
        if same >= REPEATED || (same > 0 && is_last) {
            return;
        }
        ticker.last += 1;
        if ticker.events.len() == KEPT {
            ticker.events.pop_front();
        }
        ticker.events.push_back(Happening { id: ticker.last, at: now, news });
    }

    /// Events with a number above `after`, at most 256, oldest first; and the highest number.
    pub fn events(&self, after: u64) -> (Vec<Happening>, u64) {
        let new = self.ticker.events.iter().filter(|event| event.id > after).take(256);
        (new.cloned().collect(), self.ticker.last)
    }
}
