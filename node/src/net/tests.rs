//! Two or three networks in one process.

mod gossip;
mod listening;
mod places;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncWriteExt, StreamExt};
use libp2p::Multiaddr;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use postroad_core::Input;
use postroad_core::roads::{Command, Event, LinkId, Verdict};
use postroad_proto::SigningKey;
use postroad_proto::frame::{Credit, Done, Frame, Ping};
use postroad_proto::ids::NodeId;
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::network::Network;

use super::addresses::{of_socket, peer_id};
use super::behaviour::BehaviourEvent;
use super::streams::StreamEvent;
use super::{Net, NetHandle};
use crate::engine::Inputs;

/// Longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    id: NodeId,
    net: NetHandle,
    inputs: Inputs,
    addresses: Vec<String>,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn id(seed: u8) -> NodeId {
    NodeId(key(seed).verifying_key().to_bytes())
}

async fn bind(seed: u8, network: &str) -> Net {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let network: Network = network.parse().unwrap();
    Net::bind(&key(seed), &network, &[anywhere]).await.unwrap()
}

async fn node_of(seed: u8, network: &str) -> Node {
    start(seed, bind(seed, network).await)
}

fn start(seed: u8, net: Net) -> Node {
    let addresses = net.addresses.iter().map(|at| of_socket(at).to_string()).collect();
    let (inputs, engine) = Inputs::new();
    let handle = net.handle();
    drop(net.start(engine));
    Node { id: id(seed), net: handle, inputs, addresses }
}

async fn node(seed: u8) -> Node {
    node_of(seed, "test").await
}

impl Node {
    /// The first of the events to come for which there is an answer.
    async fn wait_for<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(Input::Road(event)) = self.inputs.next().await
                    && let Some(found) = pick(event)
                {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("nothing of the kind came")
    }

    async fn peer_up(&mut self) -> (NodeId, bool) {
        self.wait_for(|event| match event {
            Event::PeerUp { node, outbound, .. } => Some((node, outbound)),
            _ => None,
        })
        .await
    }

    async fn link_up(&mut self) -> (LinkId, NodeId, bool) {
        self.wait_for(|event| match event {
            Event::LinkUp { link, node, outbound } => Some((link, node, outbound)),
            _ => None,
        })
        .await
    }

    async fn frame(&mut self) -> Frame {
        self.wait_for(|event| match event {
            Event::Frame { frame, .. } => Some(frame),
            _ => None,
        })
        .await
    }

    async fn link_down(&mut self) -> String {
        self.wait_for(|event| match event {
            Event::LinkDown { reason, .. } => Some(reason),
            _ => None,
        })
        .await
    }

    async fn peer_down(&mut self) -> (NodeId, String) {
        self.wait_for(|event| match event {
            Event::PeerDown { node, reason } => Some((node, reason)),
            _ => None,
        })
        .await
    }

    async fn connect_failed(&mut self) -> String {
        self.wait_for(|event| match event {
            Event::ConnectFailed { reason, .. } => Some(reason),
            Event::PeerUp { .. } => panic!("connected"),
            _ => None,
        })
        .await
    }

    fn connect(&self, other: &Node) {
        self.net.perform(Command::Connect { node: other.id, addresses: other.addresses.clone() });
    }

    fn open_link(&self, other: &Node) {
        self.net.perform(Command::OpenLink { node: other.id, addresses: other.addresses.clone() });
    }
}

fn credit(messages: u64) -> Frame {
    Credit { messages, bytes: 1 }.into()
}

#[tokio::test]
async fn mail_streams_carry_frames_both_ways_until_one_side_closes() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    a.open_link(&b);
    let up = |event| match event {
        Event::PeerUp { node, outbound, address } => Some((node, outbound, address)),
        _ => None,
    };
    assert_eq!(a.wait_for(up).await, (b.id, true, b.addresses[0].clone()));
    let (from_a, node, outbound) = a.link_up().await;
    assert_eq!((node, outbound), (b.id, true));
    assert_eq!(b.peer_up().await, (a.id, false));
    let (at_b, node, outbound) = b.link_up().await;
    assert_eq!((node, outbound), (a.id, false));

    for n in 0..100 {
        a.net.perform(Command::Frame { link: from_a, frame: credit(n) });
    }
    for n in 0..100 {
        assert_eq!(b.frame().await, credit(n));
    }
    b.net.perform(Command::Frame { link: at_b, frame: credit(7) });
    assert_eq!(a.frame().await, credit(7));

    a.net.perform(Command::Frame { link: from_a, frame: credit(8) });
    a.net.perform(Command::CloseLink { link: from_a });
    assert_eq!(b.frame().await, credit(8), "what was said before is said");
    assert_eq!(b.link_down().await, "the other side closed the mail stream");

    let neighbours: Vec<NodeId> = a.net.neighbours().iter().map(|n| n.node).collect();
    assert_eq!(neighbours, [b.id]);

    b.net.stop().await;
    assert_eq!(a.peer_down().await.0, b.id);
    assert!(a.net.neighbours().is_empty());
}

#[tokio::test]
async fn a_node_that_stops_says_what_was_to_be_said() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    a.open_link(&b);
    a.link_up().await;
    let (at_b, ..) = b.link_up().await;
    for n in 0..1000 {
        b.net.perform(Command::Frame { link: at_b, frame: credit(n) });
    }
    b.net.stop().await;
    for n in 0..1000 {
        assert_eq!(a.frame().await, credit(n));
    }
    assert_eq!(a.link_down().await, "the other side closed the mail stream");
}

#[tokio::test]
async fn questions_are_answered_by_whom_they_are_asked() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    let from = a.id;
    // More than may be under way at once: the rest waits its turn.
    for n in 0..40 {
        let (node, addresses) = (b.id, b.addresses.clone());
        let frame = Ping { request: n }.into();
        a.net.perform(Command::Ask { id: n, node, addresses, frame });
    }
    for _ in 0..40 {
        let (asked, frame) = b
            .wait_for(|event| match event {
                Event::Asked { id, node, frame } if node == from => Some((id, frame)),
                _ => None,
            })
            .await;
        let Frame::Ping(ping) = frame else { panic!("{frame:?}") };
        let answer = Frame::from(done(ping.request));
        b.net.perform(Command::Answer { id: asked, frame: answer });
    }
    for _ in 0..40 {
        let (asked, answer) = a
            .wait_for(|event| match event {
                Event::Answered { id, answer } => Some((id, answer)),
                _ => None,
            })
            .await;
        assert_eq!(answer, Ok(done(asked).into()));
    }

    let (ping, node, addresses) = (a.net.clone(), b.id, b.addresses.clone());
    let pinging = tokio::spawn(async move { ping.ping(node, addresses).await });
    for _ in 0..2 {
        let asked = b
            .wait_for(|event| match event {
                Event::Asked { id, .. } => Some(id),
                _ => None,
            })
            .await;
        b.net.perform(Command::Answer { id: asked, frame: done(0).into() });
    }
    pinging.await.unwrap().unwrap();

    let (node, addresses) = (id(9), vec!["/ip4/127.0.0.1/tcp/1".to_owned()]);
    a.net.perform(Command::Ask { id: 99, node, addresses, frame: Ping { request: 1 }.into() });
    let answer = a
        .wait_for(|event| match event {
            Event::Answered { id: 99, answer } => Some(answer),
            _ => None,
        })
        .await;
    assert_eq!(answer, Err("connection refused by 127.0.0.1:1".to_owned()));
}

fn done(request: u64) -> Done {
    Done { request, code: None, result: None, retry_after: 0, detail: String::new() }
}

#[tokio::test]
async fn gossip_goes_on_only_with_a_verdict() {
    let (mut a, mut b, mut c) = (node(1).await, node(2).await, node(3).await);
    // Said before anybody is there: it is said again when somebody is.
    a.net.perform(Command::Publish { record: Bytes::from_static(b"ignored") });
    a.connect(&b);
    c.connect(&b);
    a.peer_up().await;
    c.peer_up().await;
    let gossip = |event| match event {
        Event::Gossip { id, from, record } => Some((id, from, record)),
        _ => None,
    };
    let (id, from, record) = b.wait_for(gossip).await;
    assert_eq!((from, &record[..]), (a.id, &b"ignored"[..]));
    b.net.perform(Command::Verdict { id, verdict: Verdict::Ignore });
    a.net.perform(Command::Publish { record: Bytes::from_static(b"rejected") });
    let (id, _, record) = b.wait_for(gossip).await;
    assert_eq!(&record[..], b"rejected");
    b.net.perform(Command::Verdict { id, verdict: Verdict::Reject });
    a.net.perform(Command::Publish { record: Bytes::from_static(b"accepted") });
    let (id, _, record) = b.wait_for(gossip).await;
    assert_eq!(&record[..], b"accepted");
    b.net.perform(Command::Verdict { id, verdict: Verdict::Accept });
    let (_, from, record) = c.wait_for(gossip).await;
    assert_eq!((from, &record[..]), (b.id, &b"accepted"[..]), "the first that went on");
}

#[tokio::test]
async fn a_node_of_another_network_is_refused_by_name() {
    let (mut a, b) = (node_of(1, "ours").await, node_of(2, "theirs").await);
    a.connect(&b);
    let reason = a.connect_failed().await;
    assert_eq!(reason, "it belongs to another network: theirs, not ours");
    a.open_link(&b);
    let failed = |event| match event {
        Event::LinkFailed { reason, .. } => Some(reason),
        Event::LinkUp { .. } => panic!("mail crosses networks"),
        _ => None,
    };
    let reason = a.wait_for(failed).await;
    assert_eq!(reason, "it belongs to another network: theirs, not ours");
}

#[tokio::test]
async fn what_does_not_answer_is_told_in_words() {
    let (mut a, b) = (node(1).await, node(2).await);
    // Nobody listens on the port of "tcpmux".
    let closed = SocketAddr::from(([127, 0, 0, 1], 1));
    let dial = |addresses: Vec<String>| {
        a.net.perform(Command::Connect { node: id(9), addresses });
    };
    dial(vec![of_socket(&closed).to_string()]);
    assert_eq!(a.connect_failed().await, format!("connection refused by {closed}"));

    a.net.perform(Command::Connect { node: id(9), addresses: b.addresses.clone() });
    let at = readable_addresses(&b);
    let expected = format!("at {} another node answers: {}", at[0], b.id);
    assert_eq!(a.connect_failed().await, expected);

    a.net.perform(Command::Connect { node: id(9), addresses: Vec::new() });
    assert_eq!(a.connect_failed().await, "no address of it is known");
}

fn readable_addresses(node: &Node) -> Vec<String> {
    node.addresses.iter().map(|at| super::addresses::readable(&at.parse().unwrap())).collect()
}

#[tokio::test]
async fn two_that_dial_each_other_are_connected_once() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    a.connect(&b);
    b.connect(&a);
    assert_eq!(a.peer_up().await.0, b.id);
    assert_eq!(b.peer_up().await.0, a.id);
    a.open_link(&b);
    b.open_link(&a);
    for (here, there) in [(&mut a, id(2)), (&mut b, id(1))] {
        let mut directions = Vec::new();
        while directions.len() < 2 {
            let up = |event| match event {
                Event::LinkUp { node, outbound, .. } => Some((node, outbound)),
                Event::PeerUp { .. } => panic!("connected a second time"),
                _ => None,
            };
            let (node, outbound) = here.wait_for(up).await;
            assert_eq!(node, there);
            directions.push(outbound);
        }
        assert_ne!(directions[0], directions[1]);
    }
    a.net.perform(Command::Disconnect { node: b.id });
    assert_eq!(a.peer_down().await, (b.id, "this node hung up".to_owned()));
    assert_eq!(b.peer_down().await.0, a.id);
}

#[tokio::test]
async fn bytes_that_are_no_frame_end_the_mail_stream() {
    let mut a = node(1).await;
    let too_long = (MAX_FRAME as u32 + 1).to_be_bytes();
    let malformed = [0, 0, 0, 3, Credit::KIND, 0xff, 0xff];
    let cases: [(&[u8], &str); 2] = [
        (&too_long, "what came is no frame: expected at most"),
        (&malformed, "what came is no frame: not in the canonical form"),
    ];
    for (seed, (bytes, expected)) in (2..).zip(cases) {
        let mut hostile = bind(seed, "test").await;
        let address: Multiaddr = a.addresses[0].parse().unwrap();
        let peer = peer_id(&a.id).unwrap();
        let dial = || DialOpts::peer_id(peer).addresses(vec![address.clone()]).build();
        hostile.swarm.dial(dial()).unwrap();
        let attack = async {
            loop {
                match hostile.swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                        hostile.swarm.behaviour_mut().mail.open(peer_id);
                    }
                    // On a busy machine any step may take longer than it may.
                    SwarmEvent::OutgoingConnectionError { .. }
                    | SwarmEvent::ConnectionClosed { .. } => {
                        hostile.swarm.dial(dial()).unwrap();
                    }
                    SwarmEvent::Behaviour(BehaviourEvent::Mail((
                        peer,
                        StreamEvent::NotOpened(_),
                    ))) => hostile.swarm.behaviour_mut().mail.open(peer),
                    SwarmEvent::Behaviour(BehaviourEvent::Mail((
                        _,
                        StreamEvent::Opened(mut stream),
                    ))) => {
                        let bytes = bytes.to_vec();
                        tokio::spawn(async move {
                            stream.write_all(&bytes).await.unwrap();
                            stream.flush().await.unwrap();
                            std::future::pending::<()>().await;
                        });
                    }
                    _ => {}
                }
            }
        };
        tokio::select! {
            () = attack => {}
            reason = a.link_down() => assert!(reason.starts_with(expected), "{reason}"),
        }
    }
}
