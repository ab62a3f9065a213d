//! What a large routing table costs: memory, loading, and comparing it with another node's.
//!
//! `cargo run --release -p postroad-core --example routing_table [RECORDS] [CHANGED]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../benches/stage/nodes.rs"]
mod nodes;

use std::time::Instant;

use bytes::Bytes;
use nodes::{NOW, gossiped, node, record, settle, verdicts};
use postroad_core::changes::Recovered;
use postroad_core::roads::{Command, Event, Verdict};
use postroad_core::{Core, Input};
use postroad_proto::frame::Frame;

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
    let recovered = nodes::recovered(one.seal(NOW).expect("they are written"));
    one.committed();
    one.take_outputs();

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

fn gossip(core: &mut Core, index: u64, record: &Bytes) -> Verdict {
    core.handle(NOW, gossiped(index, record));
    core.committed();
    verdicts(core.take_outputs()).pop().expect("a verdict")
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
