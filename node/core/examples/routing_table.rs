//! What a large routing table costs: memory, loading, and comparing it with another node's.
//!
//! `cargo run --release -p postroad-core --example routing_table [RECORDS] [CHANGED]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use bytes::Bytes;
use postroad_core::changes::Recovered;
use postroad_core::roads::{Command, Event, Verdict};
use postroad_core::{Config, Core, Input, Keys, Output};
use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::frame::Frame;
use postroad_proto::ids::{Hash, NodeId};
use postroad_proto::network::Network;
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::Signed;

const NOW: u64 = 1_800_000_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let records: u64 = arguments.next().unwrap_or(10_000);
    let changed: u64 = arguments.next().unwrap_or(100);

    let signed: Vec<Bytes> = (0..records).map(|index| record(index, 1)).collect();
    let bytes: usize = signed.iter().map(Bytes::len).sum();
    println!("{records} records of {} bytes on average", bytes / signed.len());

    let mut one = node(1, &Recovered::default());
    let (before, started) = (resident(), Instant::now());
    for (index, record) in signed.iter().enumerate() {
        assert_eq!(gossip(&mut one, index as u64, record), Verdict::Accept);
    }
    println!("taking them one by one, signatures checked: {:.0?}", started.elapsed());
    println!("resident for them, what is to be written included: {} KiB", resident() - before);
    let written = one.seal(NOW).expect("they are written");
    let state: Vec<(Bytes, Bytes)> =
        written.state.into_iter().filter_map(|change| Some((change.key, change.value?))).collect();
    one.committed();
    one.take_outputs();

    let recovered = Recovered { commit: 1, state, ..Recovered::default() };
    let started = Instant::now();
    let mut other = node(1, &recovered);
    println!("loading them at start: {:.0?}", started.elapsed());
    let (found, last) = (other.routes(NOW).len() as u64, other.route_count());
    assert_eq!((found, last as u64), (records, records));

    // A second node with the same table, but for some records.
    let recovered = Recovered { commit: 1, ..copy(&recovered) };
    let mut two = node(2, &recovered);
    println!("comparing, nothing changed: {} bytes", compare(&mut other, &mut two));
    for index in 0..changed {
        gossip(&mut two, index, &record(index * (records / changed.max(1)), 2));
    }
    println!("comparing, {changed} changed: {} bytes", compare(&mut other, &mut two));
    println!("comparing again: {} bytes", compare(&mut other, &mut two));
    let mut empty = node(3, &Recovered::default());
    println!("a new node fetches all: {} bytes", compare(&mut empty, &mut two));
    assert_eq!(empty.route_count() as u64, records);
}

fn copy(recovered: &Recovered) -> Recovered {
    let node_row = |key: &Bytes| key.len() == 1;
    let state = recovered.state.iter().filter(|(key, _)| !node_row(key)).cloned().collect();
    Recovered { state, ..Recovered::default() }
}

fn network() -> Network {
    "measured".parse().unwrap()
}

fn node(number: u8, recovered: &Recovered) -> Core {
    let keys = Keys {
        signing: SigningKey::from_bytes(&[number; 32]),
        secret: [number; 32],
        network: network(),
        name: format!("node{number}.example"),
    };
    let mut core = Core::start(Config::default(), keys, recovered, [number; 8], NOW).unwrap();
    settle(&mut core);
    core
}

/// A node as they are met in the field: two addresses, a name.
fn record(index: u64, seq: u64) -> Bytes {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&index.to_be_bytes());
    let key = SigningKey::from_bytes(&seed);
    let record = NodeRecord {
        version: 1,
        flags: 0,
        node: NodeId(key.verifying_key().to_bytes()),
        seq: NOW / 1000 + seq,
        generation: 1,
        next_key: Some(Hash([1; 32])),
        noise: Hash([2; 32]),
        next_noise: Some(Hash([3; 32])),
        client: vec![format!("post{index}.example.org:7450")],
        p2p: vec![
            format!("/dns4/post{index}.example.org/tcp/7452"),
            "/ip4/192.0.2.17/tcp/7452".into(),
        ],
        relays: vec![],
        name: format!("post{index}.example.org"),
        region: "eu".into(),
        versions: (1, 1),
        features: 0,
        max_body: 65_536,
        max_deadline: 2_592_000,
        issued: NOW / 1000,
        expires: NOW / 1000 + 7 * 86_400,
    };
    codec::encode(&Signed::new(&record, &key, &network()).unwrap()).unwrap().into()
}

fn settle(core: &mut Core) -> Vec<Command> {
    core.seal(NOW);
    core.committed();
    let outputs = core.take_outputs().into_iter();
    outputs
        .filter_map(|output| match output {
            Output::Road(command) => Some(command),
            _ => None,
        })
        .collect()
}

/// The `index`-th record comes by gossip. One peer may not tell of all that many nodes.
fn gossip(core: &mut Core, index: u64, record: &Bytes) -> Verdict {
    let from = NodeId([(index / 1000) as u8; 32]);
    let event = Event::Gossip { id: 1, from, record: record.clone() };
    core.handle(NOW, Input::Road(event));
    core.committed();
    let outputs = core.take_outputs().into_iter();
    let mut verdicts = outputs.filter_map(|output| match output {
        Output::Road(Command::Verdict { verdict, .. }) => Some(verdict),
        _ => None,
    });
    verdicts.next().expect("a verdict")
}

/// Lets `one` compare its table with that of `two`. Bytes of all questions and answers.
fn compare(one: &mut Core, two: &mut Core) -> usize {
    let node = two.node();
    let down = Event::PeerDown { node, reason: String::new() };
    one.handle(NOW, Input::Road(down));
    let up = Event::PeerUp { node, outbound: true, address: String::new() };
    one.handle(NOW, Input::Road(up));
    let mut bytes = 0;
    loop {
        let commands = settle(one);
        let asks: Vec<(u64, Frame)> = commands
            .into_iter()
            .filter_map(|command| match command {
                Command::Ask { id, frame, .. } => Some((id, frame)),
                _ => None,
            })
            .collect();
        if asks.is_empty() {
            return bytes;
        }
        for (id, frame) in asks {
            bytes += size(&frame);
            let asked = Event::Asked { id, node: one.node(), frame };
            two.handle(NOW, Input::Road(asked));
            for command in settle(two) {
                if let Command::Answer { id, frame } = command {
                    bytes += size(&frame);
                    one.handle(NOW, Input::Road(Event::Answered { id, answer: Ok(frame) }));
                }
            }
        }
    }
}

fn size(frame: &Frame) -> usize {
    let mut bytes = Vec::new();
    frame.encode_into(&mut bytes).unwrap();
    bytes.len()
}

/// Resident memory of this process, KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}
