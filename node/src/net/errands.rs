//! What waits for a connection.

use libp2p::Multiaddr;
use postroad_core::roads::{AskId, Event};
use postroad_proto::frame::Frame;
use postroad_proto::ids::NodeId;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::behaviour::ANSWER;
use super::event_loop::EventLoop;

/// How long a connection may take until it is known to be one of this network.
const CONNECTING: Duration = Duration::from_secs(30);

/// Something to do once there is a connection.
pub(super) struct Errand {
    pub(super) since: Instant,
    pub(super) what: What,
    /// Where the peer may be.
    pub(super) addresses: Vec<Multiaddr>,
}

pub(super) enum What {
    /// Nothing but the connection.
    Connect,
    /// Opening a mail stream.
    OpenLink,
    /// Asking something.
    Ask(Asker, Frame),
}

/// Who wants to know.
pub(super) enum Asker {
    Core(AskId),
    /// Somebody else in this node.
    Other(oneshot::Sender<Answer>),
}

/// What came, or why nothing did.
pub(super) type Answer = Result<Frame, String>;

impl Errand {
    pub(super) fn new(what: What, addresses: Vec<Multiaddr>) -> Self {
        Self { since: Instant::now(), what, addresses }
    }

    /// The peer is dialled now: until then this node was to blame. But whoever asks has a timeout.
    pub(super) fn begin(&mut self) {
        if !matches!(self.what, What::Ask(..)) {
            self.since = Instant::now();
        }
    }

    /// `waiting` as long as there is no place for the connection.
    pub(super) fn is_overdue(&self, waiting: bool) -> bool {
        let patience = match self.what {
            What::Connect | What::OpenLink if waiting => return false,
            What::Connect => CONNECTING,
            What::OpenLink | What::Ask(..) => ANSWER,
        };
        self.since.elapsed() > patience
    }
}

impl EventLoop {
    /// It came to nothing.
    pub(super) async fn fail(&mut self, errand: Errand, node: NodeId, reason: String) {
        match errand.what {
            What::Connect => self.tell(Event::ConnectFailed { node, reason }).await,
            What::OpenLink => self.tell(Event::LinkFailed { node, reason }).await,
            What::Ask(asker, _) => self.answer(asker, Err(reason)).await,
        }
    }

    /// Tells whoever asked.
    pub(super) async fn answer(&mut self, asker: Asker, answer: Answer) {
        match asker {
            Asker::Core(id) => self.tell(Event::Answered { id, answer }).await,
            // It may have given up.
            Asker::Other(waiting) => drop(waiting.send(answer)),
        }
    }
}
