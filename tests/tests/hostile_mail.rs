//! A node that brings bad mail: garbage, frames out of turn, more than its credit, floods; and what
//! a newer node may say that this one does not know.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use postroad_client::connection::Connection;
use postroad_proto::envelope::Envelope;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Batch, Credit, Frame, NodesGet, NodesList, Ping};
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::receipt::{ReceiptKind, split};
use postroad_proto::record::CRITICAL_FLAGS;
use postroad_proto::token::DeliveryToken;
use postroad_tests::network::NETWORK;
use postroad_tests::peer::{Mail, frame_bytes, node_link, open_frame, raw_frame, with_unknown_key};
use postroad_tests::raw::{account_of, envelope, give_token, member};
use postroad_tests::{Network, Node, Peer, Person, wait_for};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const TOKEN: DeliveryToken = DeliveryToken([9; 16]);

fn open_node() -> Network {
    Network::start_with(1, "[custody]\nregistration = \"open\"")
}

/// A member of the node whom whoever has [`TOKEN`] can write to; stays connected.
fn bob(node: &Node, key: u8) -> (tokio::runtime::Runtime, Connection) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = runtime.block_on(async {
        let mut connection = member(node, key).await;
        give_token(&mut connection, &TOKEN).await;
        connection
    });
    (runtime, connection)
}

fn mail_for(node: &Node, key: u8, body: &[u8]) -> Envelope {
    let body = [body, &[7; 256]].concat();
    envelope(node_link(node).node, account_of(key), TOKEN, &body[..256])
}

#[test]
fn what_a_newer_node_may_say_is_passed_over_and_critical_flags_are_refused() {
    let network = open_node();
    let node = &network.nodes[0];
    let (_runtime, _connection) = bob(node, 31);
    let peer = Peer::start(31, NETWORK);
    peer.connect(node);
    let mut mail = peer.open_mail(node);
    mail.send_raw(&with_unknown_key(open_frame((1, 99)))).unwrap();
    let Some(Frame::MailOpened(opened)) = mail.recv() else { panic!("no welcome") };
    assert_eq!(opened.version, 1, "the highest that both speak");
    mail.send_raw(&raw_frame(200, b"whatever a later version says")).unwrap();

    let critical = Envelope { flags: CRITICAL_FLAGS, ..mail_for(node, 31, b"1") };
    let ignored = Envelope { flags: 1, ..mail_for(node, 31, b"2") };
    let newer = Envelope { version: 2, ..mail_for(node, 31, b"3") };
    let elsewhere = envelope(peer.node(), account_of(31), TOKEN, &[1; 256]);
    let stranger = envelope(node_link(node).node, account_of(9), TOKEN, &[2; 256]);
    let envelopes = vec![critical, ignored.clone(), newer, elsewhere, stranger];
    mail.send_raw(&with_unknown_key(Batch { number: 1, envelopes })).unwrap();
    let Some(Frame::BatchReply(reply)) = mail.recv_beside_credit() else { panic!("no reply") };
    let codes: Vec<_> = reply.refused.iter().map(|r| (r.envelope, r.code)).collect();
    let expected = [
        (0, ErrorCode::Version),
        (2, ErrorCode::Version),
        (3, ErrorCode::Malformed),
        (4, ErrorCode::Denied),
    ];
    assert_eq!(codes, expected);
    assert!(reply.refused.iter().all(|refused| !refused.retriable));
    let receipts = split(&reply.items, &reply.path, reply.root.as_ref().unwrap()).unwrap();
    assert_eq!(receipts.len(), 1, "the flag that is not critical does no harm");
    assert_eq!(receipts[0].item.kind, ReceiptKind::AtNode.number());
    let root = receipts[0].verify(peer.network()).unwrap();
    assert_eq!(root.node, node_link(node).node);

    // A repeat is answered anew and kept once.
    let again = mail.offer(2, vec![ignored]);
    assert_eq!(again.items, reply.items);
    assert_eq!(node.postroad(&["mailbox", "stats"])["messages"], 1);
}

#[test]
fn no_common_version_ends_the_stream_and_the_operator_is_told() {
    let network = open_node();
    let peer = Peer::start(32, NETWORK);
    peer.connect(&network.nodes[0]);
    let mut mail = peer.open_mail(&network.nodes[0]);
    mail.send(open_frame((7, 9))).unwrap();
    assert_eq!(mail.recv(), None);
    network.nodes[0].wait_for_event("misbehaved", "versions");
    peer.open_mail(&network.nodes[0]).greet();
}

#[test]
fn garbage_ends_the_stream_that_it_came_on_and_nothing_else() {
    let network = open_node();
    let node = &network.nodes[0];
    let peer = Peer::start(33, NETWORK);
    peer.connect(node);
    let mut rng = ChaCha8Rng::seed_from_u64(33);
    let mut noise = vec![0; 3000];
    rng.fill_bytes(&mut noise);
    // A length that does not fit, whatever follows.
    noise[0] |= 0x80;
    let too_long = (MAX_FRAME as u32 + 1).to_be_bytes();
    let empty = Batch { number: 1, envelopes: vec![] };
    let out_of_turn = Credit { messages: 1, bytes: 1 };
    let beginnings: [(&str, Vec<u8>); 8] = [
        ("random bytes", noise),
        ("a length of 0", vec![0; 4]),
        ("a frame above the limit", too_long.to_vec()),
        ("a body that is no CBOR", raw_frame(Batch::KIND, &[0xff; 40]).to_vec()),
        ("a body that is something else", raw_frame(Batch::KIND, &[0xa1, 0, 0]).to_vec()),
        ("an empty batch", frame_bytes(&empty.into()).to_vec()),
        ("a frame that is not its to say", frame_bytes(&out_of_turn.into()).to_vec()),
        ("a second hello", frame_bytes(&open_frame((1, 1)).into()).to_vec()),
    ];
    for (what, bytes) in beginnings {
        let told = node.events_of("misbehaved").len();
        let mut mail = peer.open_mail(node);
        mail.greet();
        mail.send_raw(&bytes).unwrap();
        mail.expect_closed();
        wait_for(&format!("the operator to be told of {what}"), || {
            (node.events_of("misbehaved").len() > told).then_some(())
        });
    }
    // Before the hello nothing else may come.
    let mut mail = peer.open_mail(node);
    mail.send(Batch { number: 1, envelopes: vec![] }).unwrap();
    assert_eq!(mail.recv(), None);
    assert!(peer.is_connected(node), "the connection stays");
    peer.open_mail(node).greet();
    assert_eq!(node.postroad(&["status"])["verdict"], "ok");
}

#[test]
fn questions_that_are_none_are_answered_with_malformed_or_not_at_all() {
    let network = open_node();
    let node = &network.nodes[0];
    let peer = Peer::start(34, NETWORK);
    peer.connect(node);
    let nodes = [1; 8 * 65].to_vec();
    let cases: [(Frame, Option<ErrorCode>); 4] = [
        (Ping { request: 7 }.into(), None),
        (Credit { messages: 1, bytes: 1 }.into(), Some(ErrorCode::Malformed)),
        (NodesGet { request: 7, nodes: nodes.into() }.into(), Some(ErrorCode::TooLarge)),
        (NodesList { request: 7, buckets: vec![2, 1].into() }.into(), Some(ErrorCode::Malformed)),
    ];
    for (question, code) in cases {
        let done = peer.ask(node, &question).unwrap();
        assert_eq!(done.code, code, "{question:?}: {}", done.detail);
    }
    for bytes in [&raw_frame(200, b"?")[..], &raw_frame(Ping::KIND, &[0xff])[..], &[0xff; 9][..]] {
        assert_eq!(peer.ask_raw(node, bytes), Ok(None));
    }
    assert_eq!(peer.ask(node, &Ping { request: 8 }.into()).unwrap().request, 8);
}

#[test]
fn more_than_the_credit_ends_the_stream() {
    let network = open_node();
    let node = &network.nodes[0];
    let (_runtime, _connection) = bob(node, 35);
    let peer = Peer::start(35, NETWORK);
    peer.connect(node);
    let mut mail = peer.open_mail(node);
    mail.greet();
    // All at once: what comes after the first batch comes before its answer, and new credit, can.
    let batches = (1..=20).map(|number| {
        let envelopes = (0..40u8).map(|n| mail_for(node, 35, &[n, number as u8])).collect();
        frame_bytes(&Batch { number, envelopes }.into())
    });
    let bytes = batches.collect::<Vec<_>>().concat();
    // It may close before all of it is written.
    let _ = mail.send_raw(&bytes);
    mail.expect_closed();
    node.wait_for_event("misbehaved", "credit");
}

/// Says pings on a connection of a user's and returns the slowest answer.
fn slowest_ping(
    runtime: &tokio::runtime::Runtime,
    connection: &mut Connection,
    until: Instant,
) -> Duration {
    let mut slowest = Duration::ZERO;
    let mut request = 100;
    while Instant::now() < until {
        request += 1;
        let asked = Instant::now();
        runtime.block_on(async {
            connection.send(Ping { request }).await.unwrap();
            loop {
                match connection.recv().await.unwrap() {
                    Frame::Done(done) if done.request == request => break,
                    _ => {}
                }
            }
        });
        slowest = slowest.max(asked.elapsed());
    }
    slowest
}

/// Resident memory of a node in MiB.
fn resident(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_flood_from_a_node_ends_neither_this_node_nor_its_users_patience() {
    let mut network = open_node();
    network.add("");
    network.wait_until_known();
    let node = &network.nodes[0];
    let (runtime, mut connection) = bob(node, 36);
    let (alice, carol) = (Person::join("alice", node), Person::join("carol", &network.nodes[1]));
    alice.add(&carol);
    let before = resident(node);
    let end = Instant::now() + Duration::from_secs(5);
    let slowest = std::thread::scope(|scope| {
        scope.spawn(|| flood_with_gossip(node, end));
        scope.spawn(|| flood_with_questions(node, end));
        scope.spawn(|| flood_with_streams(node, end));
        scope.spawn(|| flood_with_mail(node, end));
        slowest_ping(&runtime, &mut connection, end)
    });
    println!("the slowest ping took {slowest:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert!(resident(node) < before + 100, "{before} MiB, then {} MiB", resident(node));
    alice.send("carol", "still here");
    assert_eq!(carol.receives(1), ["still here"]);
    assert_eq!(node.postroad(&["status"])["verdict"], "ok");
}

fn flood_with_gossip(node: &Node, end: Instant) {
    let peer = Peer::start(41, NETWORK);
    peer.connect(node);
    let mut rng = ChaCha8Rng::seed_from_u64(41);
    let mut said = 0;
    while Instant::now() < end {
        let mut junk = vec![0; (rng.next_u64() % 60_000) as usize];
        rng.fill_bytes(&mut junk);
        said += u64::from(peer.try_publish(&junk).is_ok());
    }
    println!("{said} pieces of gossip");
    assert!(said > 3, "it was no flood");
}

fn flood_with_questions(node: &Node, end: Instant) {
    let peer = Peer::start(42, NETWORK);
    peer.connect(node);
    let buckets: Vec<u8> = (0..=255).collect();
    let question: Frame = NodesList { request: 1, buckets: buckets.into() }.into();
    let (mut answered, mut refused) = (0, 0);
    while Instant::now() < end {
        match peer.ask(node, &question) {
            Ok(done) if done.code.is_none() => answered += 1,
            _ => refused += 1,
        }
    }
    println!("{answered} questions were answered, {refused} refused");
    assert!(answered > 3, "it was no flood");
}

fn flood_with_streams(node: &Node, end: Instant) {
    let peer = Peer::start(43, NETWORK);
    peer.connect(node);
    let mut open: Vec<Mail> = Vec::new();
    let mut count = 0;
    while Instant::now() < end {
        if !peer.is_connected(node) && peer.try_connect(node).is_err() {
            continue;
        }
        if let Ok(mut mail) = peer.try_open(node, "mail") {
            count += 1;
            let _ = mail.send(open_frame((1, 1)));
            open.push(mail);
        }
        if open.len() > 200 {
            open.clear();
        }
    }
    println!("{count} streams");
    assert!(count > 3, "it was no flood");
}

fn flood_with_mail(node: &Node, end: Instant) {
    let peer = Peer::start(44, NETWORK);
    peer.connect(node);
    let mut offered = 0u64;
    while Instant::now() < end {
        let Ok(mut mail) = peer.try_open(node, "mail") else { continue };
        if mail.send(open_frame((1, 1))).is_err() {
            continue;
        }
        for number in 1..1000 {
            // Nobody of that name lives here.
            let envelopes = (0..16u8).map(|n| mail_for(node, 98, &[n, number as u8])).collect();
            if mail.send(Batch { number, envelopes }).is_err() || Instant::now() >= end {
                break;
            }
            offered += 16;
        }
    }
    println!("{offered} envelopes");
    assert!(offered > 100, "it was no flood");
}
