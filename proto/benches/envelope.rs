//! What an envelope costs on its way, and the tree of receipts over many of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod run;

use std::hint::black_box;

use common::{message, samples};
use criterion::{BenchmarkId, Criterion};
use postroad_proto::codec;
use postroad_proto::envelope::Envelope;
use postroad_proto::ids::Hash;
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::merkle::{Tree, leaf, root};

fn main() {
    run::run(&[envelope, merkle]);
}

fn envelope(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    let (envelope, network) = (message(), samples::network());
    let bytes = codec::encode(&envelope).unwrap();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| codec::encode(black_box(&envelope)).unwrap());
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| codec::decode::<Envelope>(black_box(&bytes), MAX_FRAME).unwrap());
    });
    group.bench_function("validate", |bencher| {
        bencher.iter(|| black_box(&envelope).validate().unwrap());
    });
    group.bench_function("body_hash", |bencher| {
        bencher.iter(|| Hash::of(black_box(&envelope.body)));
    });
    let parcel = &envelope.routes[0].parcels[0];
    group.bench_function("parcel_id", |bencher| {
        bencher.iter(|| black_box(&envelope).parcel_id(parcel, &network));
    });
    group.finish();
}

fn merkle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merkle");
    let item = samples::item(2);
    group.bench_function("leaf", |bencher| bencher.iter(|| black_box(&item).leaf().unwrap()));
    for count in [64, 1024_u64] {
        let leaves: Vec<Hash> = (0..count).map(|n| leaf(&n.to_be_bytes())).collect();
        group.bench_function(BenchmarkId::new("root", count), |bencher| {
            bencher.iter(|| root(black_box(&leaves)));
        });
        let tree = Tree::new(leaves.clone());
        group.bench_function(BenchmarkId::new("path", count), |bencher| {
            bencher.iter(|| black_box(&tree).path(leaves.len() / 2));
        });
    }
    group.finish();
}
