//! What the core's steps cost, the store left out: mail into custody, to its device and away; a
//! login; a batch from another node. Whoever handles the group signs its one receipt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../proto/benches/run/mod.rs"]
mod run;
mod stage;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use postroad_core::{Input, Output};
use stage::nodes::NOW;
use stage::{GROUP, Stage, pushes, receipts};

fn main() {
    run::run(&[mail, login]);
}

fn mail(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    group.throughput(Throughput::Elements(GROUP as u64));
    let mut bench = |name: &str, step: fn(&mut Stage) -> Duration| {
        let mut stage = Stage::new();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| step(&mut stage)).sum());
        });
    };
    bench("custody_64", |stage| {
        let sends = stage.sends();
        let (took, outputs) = group_of(stage, sends);
        assert_eq!(receipts(&outputs), GROUP);
        stage.fetch();
        took
    });
    bench("intake_64_from_peer", |stage| {
        let batch = stage.batch();
        let (took, outputs) = group_of(stage, [batch]);
        assert_eq!(receipts(&outputs), GROUP);
        stage.fetch();
        took
    });
    bench("deliver_64", |stage| {
        let sends = stage.sends();
        group_of(stage, sends);
        stage.credit();
        let started = Instant::now();
        let outputs = stage.deliver();
        let took = started.elapsed();
        let pushes = pushes(outputs);
        assert_eq!(pushes.len(), GROUP);
        group_of(stage, [Stage::ack(&pushes)]);
        took
    });
    bench("ack_64", |stage| {
        let sends = stage.sends();
        group_of(stage, sends);
        stage.credit();
        let pushes = pushes(stage.deliver());
        let (took, _) = group_of(stage, [Stage::ack(&pushes)]);
        took
    });
    group.finish();
}

fn login(criterion: &mut Criterion) {
    let mut stage = Stage::new();
    criterion.bench_function("core/login", |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let (session, inputs) = stage.login();
                let (took, outputs) = group_of(&mut stage, inputs);
                assert!(matches!(outputs[..], [Output::Known { .. }, Output::Frame { .. }]));
                stage.core.handle(NOW, Input::Disconnected { session });
                sum += took;
            }
            sum
        });
    });
}

/// One group from its inputs to its answers. Making it durable is not counted.
fn group_of(stage: &mut Stage, inputs: impl IntoIterator<Item = Input>) -> (Duration, Vec<Output>) {
    let started = Instant::now();
    for input in inputs {
        stage.core.handle(NOW, input);
    }
    let changes = stage.core.seal(NOW);
    let mut took = started.elapsed();
    if let Some(changes) = &changes {
        stage.keep(changes);
    }
    let started = Instant::now();
    stage.core.committed();
    let outputs = stage.core.take_outputs();
    took += started.elapsed();
    (took, outputs)
}
