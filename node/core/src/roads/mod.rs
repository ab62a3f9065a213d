//! Roads: what goes on between this node and others.

pub(crate) mod asks;
mod batch;
pub(crate) mod bind;
pub(crate) mod compare;
mod inspect;
pub(crate) mod lanes;
pub(crate) mod links;
pub(crate) mod neighbours;
pub(crate) mod news;
pub(crate) mod outbox;
pub(crate) mod pump;
mod reroute;
pub(crate) mod routing;
pub(crate) mod settle;
pub(crate) mod table;
pub(crate) mod why;

use bytes::Bytes;
use postroad_proto::frame::Frame;
use postroad_proto::ids::{Millis, NodeId};

use crate::core::Core;

pub use inspect::{OutboxView, ParcelView, PeerView, PinView, RouteView};
pub use news::{Happening, News};
pub use why::Reason;

/// A mail stream to or from another node, numbered by whoever holds the connections; never reused
/// within a run.
pub type LinkId = u64;
/// A question to another node, numbered by the core.
pub type AskId = u64;
/// A question of another node, numbered by whoever holds the connections.
pub type AskedId = u64;
/// A gossiped record, numbered by whoever holds the connections.
pub type GossipId = u64;

/// What happens on the roads.
#[derive(Debug)]
pub enum Event {
    /// There is a connection to a node, and was none before. Its key is proved.
    PeerUp {
        /// The node.
        node: NodeId,
        /// Whether this node dialled.
        outbound: bool,
        /// Where it is.
        address: String,
    },
    /// The last connection to a node is gone.
    PeerDown {
        /// The node.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// A [`Command::Connect`] came to nothing.
    ConnectFailed {
        /// The node.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// A mail stream is open: asked for with [`Command::OpenLink`], or opened by the other.
    LinkUp {
        /// Its number.
        link: LinkId,
        /// The node at the other end.
        node: NodeId,
        /// Whether this node opened it: then mail goes out on it, else it comes in.
        outbound: bool,
    },
    /// A [`Command::OpenLink`] came to nothing.
    LinkFailed {
        /// The node.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// A mail stream ended.
    LinkDown {
        /// Its number.
        link: LinkId,
        /// Why, for people.
        reason: String,
        /// Whether what came on it was no frame.
        garbage: bool,
    },
    /// A frame came on a mail stream.
    Frame {
        /// On which.
        link: LinkId,
        /// What.
        frame: Frame,
    },
    /// A gossiped record came. Answered with [`Command::Verdict`].
    Gossip {
        /// Its number.
        id: GossipId,
        /// Who passed it on.
        from: NodeId,
        /// An encoded `Signed<NodeRecord>`, unchecked.
        record: Bytes,
    },
    /// Another node asks something. Answered with [`Command::Answer`].
    Asked {
        /// Its number.
        id: AskedId,
        /// Who asks.
        node: NodeId,
        /// What: a request frame.
        frame: Frame,
    },
    /// The answer to a [`Command::Ask`].
    Answered {
        /// Its number.
        id: AskId,
        /// What came, or why nothing did.
        answer: Result<Frame, String>,
    },
}

/// What the core wants done on the roads.
#[derive(Debug)]
pub enum Command {
    /// Connect to a node; [`Event::PeerUp`] or [`Event::ConnectFailed`] follows. Nothing follows
    /// when there is a connection already.
    Connect {
        /// The node.
        node: NodeId,
        /// Multiaddresses, best first.
        addresses: Vec<String>,
    },
    /// Close all connections to a node.
    Disconnect {
        /// The node.
        node: NodeId,
    },
    /// Open a mail stream, connecting if need be; [`Event::LinkUp`] or [`Event::LinkFailed`]
    /// follows.
    OpenLink {
        /// The node.
        node: NodeId,
        /// Multiaddresses, best first.
        addresses: Vec<String>,
    },
    /// Say something on a mail stream.
    Frame {
        /// On which.
        link: LinkId,
        /// What.
        frame: Frame,
    },
    /// End a mail stream, once all before is said; no [`Event::LinkDown`] follows.
    CloseLink {
        /// Which.
        link: LinkId,
    },
    /// Tell everybody this node's own record.
    Publish {
        /// An encoded `Signed<NodeRecord>`.
        record: Bytes,
    },
    /// What to do with a gossiped record.
    Verdict {
        /// Which.
        id: GossipId,
        /// What.
        verdict: Verdict,
    },
    /// Ask another node, connecting if need be; [`Event::Answered`] follows, after ten seconds at
    /// the latest.
    Ask {
        /// Its number.
        id: AskId,
        /// Whom.
        node: NodeId,
        /// Multiaddresses, best first.
        addresses: Vec<String>,
        /// What: a request frame.
        frame: Frame,
    },
    /// Answer another node.
    Answer {
        /// Which question.
        id: AskedId,
        /// A `Done` frame.
        frame: Frame,
    },
    /// The node's generation rose: its record is to be made anew and given to
    /// [`crate::Core::set_record`].
    RenewRecord,
}

/// What becomes of a gossiped record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is news: pass it on.
    Accept,
    /// It is true, or was, but no news.
    Ignore,
    /// It is false: whoever passed it on is to blame.
    Reject,
}

impl Core {
    pub(crate) fn on_road(&mut self, now: Millis, event: Event) {
        match event {
            Event::PeerUp { node, outbound, address } => {
                self.on_peer_up(now, node, outbound, address);
            }
            Event::PeerDown { node, reason } => self.on_peer_down(now, node, reason),
            Event::ConnectFailed { node, reason } => self.on_connect_failed(now, node, reason),
            Event::LinkUp { link, node, outbound: true } => self.on_own_link(link, node),
            Event::LinkUp { link, node, outbound: false } => {
                self.on_incoming_link(now, link, node);
                self.contact(node);
            }
            Event::LinkFailed { node, reason } => self.on_link_failed(now, node, reason),
            Event::LinkDown { link, reason, garbage } => {
                self.on_link_down(now, link, reason, garbage);
            }
            Event::Frame { link, frame } => self.on_link_frame(now, link, frame),
            Event::Gossip { id, from, record } => self.on_gossip(now, id, from, &record),
            Event::Asked { id, node, frame } => self.on_asked(now, id, node, frame),
            Event::Answered { id, answer } => self.on_answered(now, id, answer),
        }
    }
}
