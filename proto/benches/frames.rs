//! What the frames cost that there are most of: encoding and decoding, a message and batches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod run;

use std::hint::black_box;

use common::{BATCH, message, push, samples, send, without_length};
use criterion::{Criterion, Throughput};
use postroad_proto::frame::{Accepted, Ack, Batch, BatchReply, Frame};
use postroad_proto::ids::ParcelId;
use postroad_proto::receipt::ReceiptItem;

fn main() {
    run::run(&[encode, decode]);
}

fn frames() -> Vec<(&'static str, Frame)> {
    let items = || -> Vec<ReceiptItem> {
        (0..BATCH as u8)
            .map(|n| ReceiptItem { parcel: ParcelId([n; 16]), ..samples::item(2) })
            .collect()
    };
    let Accepted { path, root, .. } = samples::accepted();
    let numbers = (70_000..).take(BATCH).collect();
    let accepted = Accepted { numbers, items: items(), path: path.clone(), root: root.clone() };
    let reply = BatchReply { number: 70, items: items(), path, root: Some(root), refused: vec![] };
    vec![
        ("send", send(70_000)),
        ("push", push(70_000)),
        ("accepted_64", accepted.into()),
        ("ack", Ack { generation: 1, ranges: vec![(70_000, 70_063)] }.into()),
        ("batch_64", Batch { number: 70, envelopes: vec![message(); BATCH] }.into()),
        ("batch_reply_64", reply.into()),
    ]
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame_encode");
    for (name, frame) in frames() {
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(without_length(&frame).len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&frame).encode_into(&mut out).unwrap();
            });
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame_decode");
    for (name, frame) in frames() {
        let bytes = without_length(&frame);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| Frame::decode(black_box(&bytes)).unwrap());
        });
    }
    group.finish();
}
