//! What the channel between a client and its node costs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod run;

use std::hint::black_box;

use common::{BATCH, carry, encoded, node_record, send, shake_hands};
use criterion::{Criterion, Throughput};
use postroad_proto::frame::Frame;

fn main() {
    run::run(&[handshake, channel]);
}

fn handshake(criterion: &mut Criterion) {
    let record = node_record();
    criterion.bench_function("noise/handshake_both_sides", |bencher| {
        bencher.iter(|| shake_hands(black_box(&record)));
    });
}

fn channel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("noise");
    let messages: Vec<Frame> = (70_000..).take(BATCH).map(send).collect();
    let (mut client, mut node) = shake_hands(&node_record());
    let mut wire = Vec::new();
    for (name, length) in [("through_300_b", 300), ("through_batch", encoded(&messages).len())] {
        let plain = unknown(length);
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                wire.clear();
                client.seal(black_box(&plain), &mut wire).unwrap();
                node.receive(&wire).unwrap();
                assert!(node.next_frame().unwrap().is_none());
            });
        });
    }
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("64_sends_encoded_to_decoded", |bencher| {
        bencher.iter(|| assert_eq!(carry(&messages, &mut client, &mut node, &mut wire), BATCH));
    });
    group.finish();
}

/// A frame of a kind that nobody knows: it is passed over unread, so that the channel alone is
/// measured.
fn unknown(length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    frame[..4].copy_from_slice(&(length as u32 - 4).to_be_bytes());
    frame[4] = u8::MAX;
    assert!(Frame::KINDS.iter().all(|(_, kind)| *kind != u8::MAX));
    frame
}
