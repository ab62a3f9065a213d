//! Programs that mean no good, or say everything twice: garbage on every port, frames out of turn,
//! floods, clients that never read, repeats.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use postroad_client::connection::Connection;
use postroad_proto::envelope::Envelope;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Ack, Credit, Frame, Hello, Ping, Register, Send, TokensPut};
use postroad_proto::hello;
use postroad_proto::ids::Hash;
use postroad_proto::link::NodeLink;
use postroad_proto::network::Network;
use postroad_proto::noise::{Initiator, NoiseSecret};
use postroad_proto::token::DeliveryToken;
use postroad_proto::token::TokenEntry;
use postroad_tests::raw::{
    account_of, come_back, envelope, forged, give_token, hello_frame, member, stranger,
};
use postroad_tests::{Node, Person, wait_for};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Resident memory of a node in MiB.
fn resident(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn open_sockets(node: &Node) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// Sends bytes and reads what comes until the other side closes or says nothing for a moment.
fn throw(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn still_works(node: &Node, alice: &Person, bob: &Person) {
    alice.send("bob", "still here");
    assert_eq!(bob.inbox(), ["still here"]);
    assert_eq!(node.postroad(&["status"])["verdict"], "ok");
}

fn people(node: &Node) -> (Person, Person) {
    let (alice, bob) = (Person::join("alice", node), Person::join("bob", node));
    alice.add(&bob);
    (alice, bob)
}

#[test]
fn random_slow_and_truncated_bytes_harm_nobody() {
    let node = Node::start("");
    let (alice, bob) = people(&node);
    let (before, sockets) = (resident(&node), open_sockets(&node));
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let prologue = hello::hello(&Network::default());
    let (_, first) = Initiator::start(&NoiseSecret([9; 32]), &prologue).unwrap();
    let good =
        [prologue.as_slice(), &(first.len() as u16).to_be_bytes(), first.as_slice()].concat();
    let mut held = Vec::new();
    for round in 0..120 {
        let mut bytes = vec![0; (rng.next_u64() % 5000) as usize];
        rng.fill_bytes(&mut bytes);
        match round % 4 {
            // A good beginning with a random end, or one with a flipped bit, or cut off.
            0 => bytes = [&good, bytes.as_slice()].concat(),
            1 => {
                bytes.clone_from(&good);
                let at = (rng.next_u64() as usize) % bytes.len();
                bytes[at] ^= 1 << (rng.next_u64() % 8);
            }
            2 => bytes = good[..(rng.next_u64() as usize) % good.len()].to_vec(),
            _ => {}
        }
        let address = if round % 5 == 4 { node.admin() } else { node.client() };
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(&bytes);
        held.push(stream);
    }
    wait_for("the node to hang up on all of them", || {
        (open_sockets(&node) <= sockets).then_some(())
    });
    drop(held);
    assert!(resident(&node) < before + 50, "{before} MiB, then {} MiB", resident(&node));
    still_works(&node, &alice, &bob);
}

#[test]
fn another_version_or_network_gets_a_plain_reason() {
    let node = Node::start("");
    let mut other = hello::hello(&"elsewhere".parse().unwrap());
    let answer = throw(&node.client(), &other);
    assert_eq!(hello::parse_refusal(&answer.try_into().unwrap()), Some(ErrorCode::Network));
    other[3] = 99;
    let answer = throw(&node.client(), &other);
    assert_eq!(hello::parse_refusal(&answer.try_into().unwrap()), Some(ErrorCode::Version));
    assert!(throw(&node.client(), b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").is_empty());
}

/// The code with which the node hangs up.
async fn parting(connection: &mut Connection) -> Option<ErrorCode> {
    let mut code = None;
    while let Ok(frame) = connection.recv().await {
        if let Frame::Done(done) = frame {
            code = done.code;
        }
    }
    code
}

#[tokio::test]
async fn frames_out_of_turn_are_answered_and_closed() {
    let node = Node::start("");
    let ack: Frame = Ack { generation: 1, ranges: vec![(1, 2)] }.into();
    let credit: Frame = Credit { messages: 1, bytes: 1 }.into();
    let ping: Frame = Ping { request: 1 }.into();
    for (frame, greeted) in [(ack, true), (credit, true), (ping, false)] {
        let mut connection = stranger(&node, 1).await;
        if greeted {
            connection.send(hello_frame()).await.unwrap();
        }
        connection.send(frame).await.unwrap();
        assert_eq!(parting(&mut connection).await, Some(ErrorCode::Denied));
    }
    let mut connection = stranger(&node, 2).await;
    let no_version = Hello {
        versions: (7, 9),
        account: None,
        device: 0,
        devices: None,
        cursor: 0,
        quoted: vec![],
    };
    connection.send(no_version).await.unwrap();
    assert_eq!(parting(&mut connection).await, Some(ErrorCode::Version));
}

#[tokio::test]
async fn forged_records_make_no_account() {
    let node = Node::start("[custody]\nregistration = \"open\"");
    let mut connection = stranger(&node, 3).await;
    connection.send(hello_frame()).await.unwrap();
    let register = Register {
        request: 1,
        invite: None,
        handle: Some("root".parse().unwrap()),
        record: forged(&[0xa0], [1; 64]),
        devices: forged(&[0xff; 900], [1; 64]),
        proof: None,
    };
    connection.send(register).await.unwrap();
    let code = loop {
        if let Frame::Done(done) = connection.recv().await.unwrap() {
            break done.code;
        }
    };
    assert_eq!(code, Some(ErrorCode::BadSignature));
    assert_eq!(node.postroad(&["user", "ls"]).as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_client_that_never_reads_is_hung_up_on() {
    let node = Node::start("[gateway]\nmax_unread = 200000");
    let (alice, bob) = people(&node);
    let mut connection = stranger(&node, 4).await;
    connection.send(hello_frame()).await.unwrap();
    let pings = (0..200).map(|request| Frame::from(Ping { request }));
    let frames: Vec<Frame> = pings.collect();
    let flood = async {
        loop {
            if connection.send_all(frames.clone()).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), flood).await.expect("an end to it");
    still_works(&node, &alice, &bob);
}

#[tokio::test]
async fn a_flood_of_state_ends_neither_the_node_nor_others_patience() {
    let node = Node::start("[custody]\nregistration = \"open\"");
    let mut flooder = member(&node, 5).await;
    let mut other = member(&node, 6).await;
    let entries = |round: u64| {
        (0..256u64).map(move |n| TokenEntry {
            hash: Hash::of(&n.to_be_bytes()),
            label: [0; 8],
            rate: 1 + round % 2,
            byte_share: 0,
            expires: 0,
        })
    };
    let mut sent = 0;
    let end = Instant::now() + Duration::from_secs(3);
    let mut slowest = Duration::ZERO;
    while Instant::now() < end {
        let frames =
            (0..40).map(|n| Frame::from(TokensPut { request: n, tokens: entries(n).collect() }));
        flooder.send_all(frames).await.unwrap();
        sent += 40;
        let asked = Instant::now();
        other.send(Ping { request: sent }).await.unwrap();
        while !matches!(other.recv().await.unwrap(), Frame::Done(done) if done.request == sent) {}
        slowest = slowest.max(asked.elapsed());
        while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(1), flooder.recv()).await {
        }
    }
    println!("{sent} frames of 256 tokens; the slowest ping of another took {slowest:?}");
    assert!(slowest < Duration::from_secs(5));
    assert_eq!(node.postroad(&["status"])["verdict"], "ok");
}

#[tokio::test]
async fn strangers_that_say_nothing_have_to_go() {
    let node = Node::start("");
    let before = open_sockets(&node);
    let mut silent = Vec::new();
    for key in 10..40 {
        silent.push(stranger(&node, key).await);
    }
    assert!(open_sockets(&node) > before);
    let gone = tokio::task::spawn_blocking(move || {
        wait_for("the node to hang up on them", || (open_sockets(&node) <= before).then_some(()));
    });
    gone.await.unwrap();
}

/// Sends an envelope and returns how many copies the receipt speaks of.
async fn submit(connection: &mut Connection, number: u64, envelope: &Envelope) -> u64 {
    connection.send(Send { number, envelope: envelope.clone() }).await.unwrap();
    loop {
        match connection.recv().await.unwrap() {
            Frame::Accepted(accepted) => {
                assert_eq!(accepted.numbers, [number]);
                return accepted.items[0].copies;
            }
            Frame::Refused(refused) => panic!("{}: {}", refused.code, refused.detail),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_repeat_is_answered_again_and_kept_once_also_after_a_kill() {
    let mut node = Node::start("[custody]\nregistration = \"open\"");
    let (mut alice, mut bob) = (member(&node, 7).await, member(&node, 8).await);
    let token = DeliveryToken([9; 16]);
    give_token(&mut bob, &token).await;
    let home = node.link().parse::<NodeLink>().unwrap().node;
    let envelope = envelope(home, account_of(8), token, &[7; 256]);
    for number in 1..=3 {
        assert_eq!(submit(&mut alice, number, &envelope).await, 1);
    }
    node.kill();
    node.restart();
    let mut alice = come_back(&node, 7).await;
    assert_eq!(submit(&mut alice, 1, &envelope).await, 1);
    assert_eq!(node.postroad(&["mailbox", "stats"])["messages"], 1);
    let mut bob = come_back(&node, 8).await;
    bob.send(Credit { messages: 10, bytes: 1 << 20 }).await.unwrap();
    bob.send(Ping { request: 1 }).await.unwrap();
    let mut pushed = 0;
    loop {
        match bob.recv().await.unwrap() {
            Frame::Push(_) => pushed += 1,
            Frame::Done(done) if done.request == 1 => break,
            _ => {}
        }
    }
    assert_eq!(pushed, 1);
}
