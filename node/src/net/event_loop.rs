//! The task that owns the swarm.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::gossipsub::{IdentTopic, MessageId};
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::{ConnectionId, Swarm};
use libp2p::{Multiaddr, PeerId};
use postroad_core::Input;
use postroad_core::roads::{AskedId, Event, GossipId, Verdict};
use postroad_proto::frame::Frame;
use postroad_proto::ids::NodeId;
use postroad_proto::network::Network;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::behaviour::{self, ANSWER, Behaviour};
use super::errands::{Asker, Errand, What};
use super::places::{Places, Waiting};
use super::{Order, Shared};
use crate::bucket::{Bucket, Rate};
use crate::engine::EngineHandle;

/// How often it is looked for what is overdue.
const SWEEP: Duration = Duration::from_secs(1);
/// How long a peer may take to say which network it belongs to.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// How long mail streams get for their last words.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the core may take for a verdict: one that finds no room on its way here never comes.
const VERDICT: Duration = Duration::from_secs(30);
/// Lines in the log for what strangers do.
const TELLING: Rate = Rate { burst: 20, per_second: 1 };

/// Everything about the connections to other nodes.
pub(super) struct EventLoop {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) shared: Arc<Shared>,
    pub(super) engine: EngineHandle,
    pub(super) network: Network,
    pub(super) topic: IdentTopic,
    orders: mpsc::Receiver<Order>,
    /// Who is connected. Bounded by the limits of connections.
    pub(super) peers: HashMap<PeerId, Peer>,
    pub(super) places: Places,
    /// Peers that the core wants to stay connected to.
    pub(super) kept: HashSet<PeerId>,
    /// Peers that are dialled once there is a place, first come first.
    pub(super) waiting: VecDeque<Waiting>,
    /// What waits for a connection, or for fewer questions on one.
    pub(super) errands: HashMap<PeerId, Vec<Errand>>,
    /// Mail streams being opened, one per peer.
    pub(super) opening: HashMap<PeerId, Instant>,
    /// Questions on their way.
    pub(super) asking: HashMap<OutboundRequestId, Asking>,
    /// Questions of others.
    pub(super) asked: HashMap<AskedId, (PeerId, ResponseChannel<Frame>)>,
    /// Gossip that waits for its verdict.
    pub(super) gossip: BTreeMap<GossipId, Gossip>,
    /// The own record, while nobody was there to hear it.
    pub(super) unheard: VecDeque<Vec<u8>>,
    pub(super) tasks: JoinSet<()>,
    /// What strangers do is told to the operator so often at most.
    pub(super) telling: Bucket,
    last: u64,
}

/// A connected peer.
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) connections: Vec<Connection>,
    pub(super) since: Instant,
    /// When something was last going on with it.
    pub(super) used: Instant,
    /// Whether it was shown to be of this network; before, the core is not told of it.
    pub(super) known: bool,
    /// There and back, as of the last ping.
    pub(super) rtt: Option<Duration>,
    /// Gossip that it may still bring.
    pub(super) gossip: Bucket,
    /// Why this node closes the connection, if it does.
    pub(super) farewell: Option<String>,
}

/// One connection to a peer.
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) outbound: bool,
    pub(super) address: Multiaddr,
    /// Whether this node has hung up.
    pub(super) closing: bool,
}

/// Gossip that waits for its verdict.
pub(super) struct Gossip {
    pub(super) message: MessageId,
    pub(super) from: PeerId,
    pub(super) since: Instant,
}

/// A question on its way.
pub(super) struct Asking {
    pub(super) asker: Asker,
    pub(super) peer: PeerId,
    pub(super) since: Instant,
}

impl EventLoop {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        network: Network,
        orders: mpsc::Receiver<Order>,
        shared: Arc<Shared>,
        engine: EngineHandle,
        places: Places,
    ) -> Self {
        Self {
            swarm,
            shared,
            engine,
            topic: behaviour::topic(&network),
            network,
            orders,
            peers: HashMap::new(),
            places,
            kept: HashSet::new(),
            waiting: VecDeque::new(),
            errands: HashMap::new(),
            opening: HashMap::new(),
            asking: HashMap::new(),
            asked: HashMap::new(),
            gossip: BTreeMap::new(),
            unheard: VecDeque::new(),
            tasks: JoinSet::new(),
            telling: Bucket::new(TELLING, Instant::now()),
            last: 0,
        }
    }

    /// Runs until told to stop.
    pub(super) async fn run(mut self) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let done = loop {
            // Ordered: what this node wants, then what others bring.
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Road(command)) => self.obey(command).await,
                    Some(Order::Ask { node, addresses, frame, waiting }) => {
                        let what = What::Ask(Asker::Other(waiting), frame);
                        self.run_errand(node, &addresses, what).await;
                    }
                    Some(Order::Stop(done)) => break Some(done),
                    None => break None,
                },
                _ = sweep.tick() => self.sweep().await,
                Some(_) = self.tasks.join_next() => {}
                event = self.swarm.select_next_some() => self.on_swarm(event).await,
            }
        };
        self.shared.links.close_all();
        let _ = tokio::time::timeout(FAREWELL, self.say_goodbye()).await;
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// Mail streams say their last words, then connections close.
    async fn say_goodbye(&mut self) {
        while !self.tasks.is_empty() {
            tokio::select! {
                _ = self.tasks.join_next() => {}
                _ = self.swarm.select_next_some() => {}
            }
        }
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        while self.swarm.connected_peers().next().is_some() {
            let _ = self.swarm.select_next_some().await;
        }
    }

    /// A number that was not used before.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Tells the core. Waits while the engine has enough to do: then nothing more is taken off
    /// the network either.
    pub(super) async fn tell(&mut self, event: Event) {
        // An engine that has stopped needs to know nothing.
        let _ = self.engine.input(Input::Road(event), None).await;
    }

    /// Gives up on what took too long.
    async fn sweep(&mut self) {
        for (peer, errands) in self.overdue_errands() {
            let Some(node) = super::addresses::node_id(&peer) else { continue };
            for errand in errands {
                self.fail(errand, node, "no connection in time".into()).await;
            }
        }
        let asking = self.asking.extract_if(|_, asking| asking.since.elapsed() > ANSWER);
        for (_, asking) in asking.collect::<Vec<_>>() {
            let reason = format!("no answer within {} s", ANSWER.as_secs());
            self.answer(asking.asker, Err(reason)).await;
        }
        let opening = self.opening.extract_if(|_, since| since.elapsed() > ANSWER + SWEEP);
        for (peer, _) in opening.collect::<Vec<_>>() {
            let Some(node) = self.peers.get(&peer).map(|peer| peer.node) else { continue };
            let reason = "it did not open a mail stream in time".into();
            self.tell(Event::LinkFailed { node, reason }).await;
        }
        self.asked.retain(|_, (_, channel)| channel.is_open());
        while let Some((id, gossip)) = self.gossip.first_key_value()
            && gossip.since.elapsed() > VERDICT
        {
            let id = *id;
            self.pass_verdict(id, Verdict::Ignore);
        }
        let late = |peer: &Peer| !peer.known && peer.since.elapsed() > INTRODUCTION;
        let strangers = self.peers.iter().filter(|(_, peer)| late(peer));
        for peer in strangers.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.dismiss(peer, "it does not say which network it belongs to".into());
        }
        self.rest();
        self.dial_waiting().await;
    }

    fn overdue_errands(&mut self) -> Vec<(PeerId, Vec<Errand>)> {
        let mut found = Vec::new();
        let waiting = self.peers_that_wait();
        for (peer, errands) in &mut self.errands {
            let overdue: Vec<Errand> = errands
                .extract_if(.., |errand| errand.is_overdue(waiting.contains(peer)))
                .collect();
            if !overdue.is_empty() {
                found.push((*peer, overdue));
            }
        }
        self.errands.retain(|_, errands| !errands.is_empty());
        found
    }

    /// Closes every connection to a peer, for this reason.
    pub(super) fn dismiss(&mut self, peer: PeerId, reason: String) {
        if let Some(held) = self.peers.get_mut(&peer) {
            held.farewell.get_or_insert(reason);
        }
        let _ = self.swarm.disconnect_peer_id(peer);
    }
}
