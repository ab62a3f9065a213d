//! A node that means no good: libp2p with the keys and names of a posthouse, and whatever a test
//! wants to say. Nothing of it is a real node's code.

mod mail;
mod records;
mod swarm;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, StreamProtocol, identity};
use libp2p_stream::Control;
use postroad_proto::SigningKey;
use postroad_proto::frame::{Done, Frame};
use postroad_proto::ids::NodeId;
use postroad_proto::link::NodeLink;
use postroad_proto::network::Network;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::node::Node;
use crate::wait_for;

pub use mail::{Mail, frame_bytes, open_frame};
pub use records::{node_link, now};

/// Longest wait for one thing that a peer awaits.
const PATIENCE: Duration = Duration::from_secs(15);
/// Gossip and streams that may wait until the test looks at them.
const QUEUE: usize = 1024;
/// How long until the next attempt to connect.
const REDIAL: Duration = Duration::from_secs(5);

/// What bytes the peer answers to a question; `None` closes the stream without an answer.
pub type Answerer = Box<dyn FnMut(NodeId, Frame) -> Option<Bytes> + Send>;

/// A hostile node, with a thread of its own.
pub struct Peer {
    key: SigningKey,
    network: Network,
    address: Multiaddr,
    orders: mpsc::Sender<Order>,
    control: Control,
    seen: Arc<Mutex<Seen>>,
    /// Streams that others opened to bring mail.
    incoming: mpsc::Receiver<(PeerId, libp2p::Stream)>,
    answers: Arc<Mutex<Answerer>>,
    /// Ends with the peer, and with it all that it does.
    runtime: Runtime,
}

/// What the swarm is told.
enum Order {
    Dial(Multiaddr, oneshot::Sender<Result<(), String>>),
    HangUp(PeerId),
    Publish(Vec<u8>, oneshot::Sender<Result<(), String>>),
}

/// What the swarm saw.
#[derive(Default)]
struct Seen {
    connected: BTreeSet<PeerId>,
    /// Why an attempt to connect failed last.
    failure: String,
    gossip: Vec<Vec<u8>>,
}

impl Peer {
    /// A peer of the network, listening on a port of this machine; `seed` makes its key.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(seed: u8, network: &str) -> Self {
        Self::with_key(SigningKey::from_bytes(&[seed; 32]), network)
    }

    /// [`Self::start`] with a key of its own.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn with_key(key: SigningKey, network: &str) -> Self {
        let network: Network = network.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let answers: Arc<Mutex<Answerer>> = Arc::new(Mutex::new(Box::new(|_, _| None)));
        let (orders, taken) = mpsc::channel(QUEUE);
        let (bring, incoming) = mpsc::channel(QUEUE);
        let (address, control) = runtime.block_on(async {
            let mut swarm = swarm::build(&key, &network);
            let mut control = swarm.behaviour().streams.new_control();
            let address = swarm::listen(&mut swarm).await;
            let mail = control.accept(protocol(&network, "mail")).unwrap();
            let asked = control.accept(protocol(&network, "records")).unwrap();
            tokio::spawn(swarm::run(swarm, taken, seen.clone(), network.clone()));
            tokio::spawn(mail::bring(mail, bring));
            tokio::spawn(mail::answer(asked, answers.clone()));
            (address, control)
        });
        Self { key, network, address, orders, control, seen, incoming, answers, runtime }
    }

    /// Its node id.
    pub fn node(&self) -> NodeId {
        NodeId(self.key.verifying_key().to_bytes())
    }

    /// The key that its node id is of.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Its network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What `--peer` of a real node is given.
    pub fn link(&self) -> String {
        let link = NodeLink {
            network: self.network.clone(),
            node: self.node(),
            addresses: vec!["127.0.0.1:1".into()],
            name: String::new(),
            p2p: vec![self.address()],
        };
        link.to_string()
    }

    /// Connects to a real node and waits until the connection stands. On a machine that is busy one
    /// attempt may take longer than libp2p gives it.
    ///
    /// # Panics
    /// When it does not.
    pub fn connect(&self, node: &Node) {
        let mut dialled: Option<Instant> = None;
        wait_for("the peer to be connected", || {
            if self.is_connected(node) {
                return Some(());
            }
            if dialled.is_none_or(|at| at.elapsed() > REDIAL) {
                // Refused while another attempt is under way.
                let refused = self.try_connect(node).err();
                if let Some(at) = dialled.replace(Instant::now()) {
                    let failure = &self.seen.lock().unwrap().failure;
                    eprintln!("no connection after {:?}: {failure}; {refused:?}", at.elapsed());
                }
            }
            None
        });
    }

    /// Dials a real node.
    ///
    /// # Errors
    /// What libp2p says.
    pub fn try_connect(&self, node: &Node) -> Result<(), String> {
        let link = node_link(node);
        let address: Multiaddr = link.p2p.first().ok_or("no address")?.parse().unwrap();
        let address = address.with_p2p(peer_id(&link.node)).unwrap();
        self.order(|done| Order::Dial(address, done))
    }

    /// Whether there is a connection with this node.
    pub fn is_connected(&self, node: &Node) -> bool {
        self.seen.lock().unwrap().connected.contains(&peer_of(node))
    }

    /// Ends all connections with this node.
    ///
    /// # Panics
    /// When the peer itself has ended.
    pub fn hang_up(&self, node: &Node) {
        self.orders.blocking_send(Order::HangUp(peer_of(node))).unwrap();
    }

    /// Says bytes on the topic of records, as soon as somebody listens.
    ///
    /// # Panics
    /// When nobody does in time.
    pub fn publish(&self, bytes: &[u8]) {
        wait_for("somebody to hear the gossip", || self.try_publish(bytes).ok());
    }

    /// Says bytes on the topic of records.
    ///
    /// # Errors
    /// What gossipsub says, like that nobody listens yet.
    pub fn try_publish(&self, bytes: &[u8]) -> Result<(), String> {
        self.order(|done| Order::Publish(bytes.to_vec(), done))
    }

    /// What was heard on the topic of records.
    pub fn gossip(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().gossip.clone()
    }

    /// Opens a mail stream to a real node. Nothing was said on it.
    ///
    /// # Panics
    /// When that fails.
    pub fn open_mail(&self, node: &Node) -> Mail {
        self.try_open(node, "mail").unwrap()
    }

    /// Opens a stream of the protocol `/postroad/NETWORK/<name>/1`.
    ///
    /// # Errors
    /// When the node does not take it.
    pub fn try_open(&self, node: &Node, name: &str) -> Result<Mail, String> {
        let protocol = protocol(&self.network, name);
        let mut control = self.control.clone();
        let opened = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, control.open_stream(peer_of(node), protocol)).await
        });
        let stream = opened.map_err(|_| "no stream in time")?.map_err(|e| e.to_string())?;
        Ok(Mail::new(stream, self.runtime.handle().clone()))
    }

    /// The next mail stream that a real node opened to bring mail.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn take_mail(&mut self) -> Mail {
        let incoming = &mut self.incoming;
        let next =
            self.runtime.block_on(async { tokio::time::timeout(PATIENCE, incoming.recv()).await });
        let (_, stream) = next.expect("a mail stream in time").expect("the peer lives");
        Mail::new(stream, self.runtime.handle().clone())
    }

    /// What is answered to questions from now on. At first nothing is.
    ///
    /// # Panics
    /// When an earlier answerer panicked.
    pub fn answer_with(
        &self,
        answerer: impl FnMut(NodeId, Frame) -> Option<Bytes> + Send + 'static,
    ) {
        *self.answers.lock().unwrap() = Box::new(answerer);
    }

    /// Asks a real node one thing and returns its `Done`.
    ///
    /// # Errors
    /// When it closes without an answer.
    pub fn ask(&self, node: &Node, question: &Frame) -> Result<Done, String> {
        let answer = self.ask_raw(node, &frame_bytes(question))?;
        match answer {
            Some(Frame::Done(done)) => Ok(*done),
            other => Err(format!("{other:?} in place of an answer")),
        }
    }

    /// Asks with raw bytes.
    ///
    /// # Errors
    /// When there is no stream.
    pub fn ask_raw(&self, node: &Node, bytes: &[u8]) -> Result<Option<Frame>, String> {
        let mut stream = self.try_open(node, "records")?;
        stream.send_raw(bytes)?;
        stream.close();
        Ok(stream.recv())
    }

    fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Order,
    ) -> Result<(), String> {
        let (done, result) = oneshot::channel();
        self.orders.blocking_send(order(done)).unwrap();
        result.blocking_recv().unwrap()
    }
}

/// The libp2p name of a node.
pub fn peer_id(node: &NodeId) -> PeerId {
    let key = identity::ed25519::PublicKey::try_from_bytes(&node.0).unwrap();
    identity::PublicKey::from(key).to_peer_id()
}

fn peer_of(node: &Node) -> PeerId {
    peer_id(&node_link(node).node)
}

fn protocol(network: &Network, name: &str) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/postroad/{network}/{name}/1")).unwrap()
}

/// A frame whose body, a map, has one key more than this version knows.
///
/// # Panics
/// When it is none.
pub fn with_unknown_key(frame: impl Into<Frame>) -> Bytes {
    let frame = frame.into();
    raw_frame(frame.kind(), &unknown_key_in(&frame_bytes(&frame)[5..]))
}

/// The CBOR of a map with one key more than this version knows.
///
/// # Panics
/// When it is no map, or one of very many keys.
pub fn unknown_key_in(map: &[u8]) -> Vec<u8> {
    let mut map = map.to_vec();
    assert!((0xa0..0xb7).contains(&map[0]), "a map of few keys");
    map[0] += 1;
    // Key 99, value "new".
    map.extend_from_slice(&[0x18, 0x63, 0x63, b'n', b'e', b'w']);
    map
}

/// A frame of any kind and body, as it is between nodes.
pub fn raw_frame(kind: u8, body: &[u8]) -> Bytes {
    let length = (body.len() + 1) as u32;
    [&length.to_be_bytes()[..], &[kind], body].concat().into()
}
