//! What it costs to merge the records of nodes that were not known into a large table.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "stage/nodes.rs"]
mod nodes;
#[path = "../../../proto/benches/run/mod.rs"]
mod run;

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use nodes::{NOW, gossiped, node, record, verdicts};
use postroad_core::changes::Recovered;
use postroad_core::roads::Verdict;

/// Records in the table, and new ones that come together.
const KNOWN: u64 = 10_000;
const NEW: u64 = 100;
/// How often new ones come until the table is made anew: making it costs more than they do.
const ROUNDS: u64 = 20;

fn main() {
    run::run(&[merge]);
}

fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routing");
    group.throughput(Throughput::Elements(NEW)).sample_size(20);
    let (known, new) = tables();
    let (mut core, mut round) = (node(1, &known), 0);
    group.bench_function("merge_100_new_into_10000", |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                if round == ROUNDS {
                    (core, round) = (node(1, &known), 0);
                }
                let first = round * NEW;
                let records = &new[first as usize..][..NEW as usize];
                let inputs: Vec<_> =
                    (KNOWN + first..).zip(records).map(|(at, r)| gossiped(at, r)).collect();
                let started = Instant::now();
                for input in inputs {
                    core.handle(NOW, input);
                }
                core.seal(NOW);
                core.committed();
                let outputs = core.take_outputs();
                sum += started.elapsed();
                assert_eq!(verdicts(outputs), [Verdict::Accept; NEW as usize]);
                round += 1;
            }
            sum
        });
    });
    group.finish();
}

/// A table as a node finds it when it starts, and records that are not in it.
fn tables() -> (Recovered, Vec<Bytes>) {
    let mut core = node(1, &Recovered::default());
    for index in 0..KNOWN {
        core.handle(NOW, gossiped(index, &record(index, 1)));
    }
    let known = nodes::recovered(core.seal(NOW).expect("they are written"));
    (known, (KNOWN..KNOWN + ROUNDS * NEW).map(|index| record(index, 1)).collect())
}
