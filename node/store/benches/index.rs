//! What it costs to find, read and let go of mail among 100,000 items, with the index in memory and
//! on the disk. Writing it is in the bench of the journal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../proto/benches/run/mod.rs"]
mod run;
mod shelf;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use postroad_core::changes::MailView as _;
use postroad_store::RealFiles;
use shelf::{ODD, Shelf, Unsynced, place};

const ITEMS: u64 = 100_000;
/// Items of one mailbox that are read, or let go of, at a time.
const BATCH: u64 = 64;

fn main() {
    run::run(&[index]);
}

fn index(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    for (place_of_it, on_disk) in [("memory", false), ("disk", true)] {
        let mut shelf = filled(on_disk);
        let mut number: u64 = 0;
        group.bench_function(BenchmarkId::new("read_one", place_of_it), |bencher| {
            bencher.iter(|| {
                number = number.wrapping_add(ODD);
                let (mailbox, seq) = place(number % ITEMS);
                assert!(shelf.journal.item(black_box(&mailbox), seq).unwrap().is_some());
            });
        });
        group.bench_function(BenchmarkId::new("miss_one", place_of_it), |bencher| {
            bencher.iter(|| {
                number = number.wrapping_add(ODD);
                let (mailbox, _) = place(number % ITEMS);
                assert!(shelf.journal.item(black_box(&mailbox), ITEMS).unwrap().is_none());
            });
        });
        group.bench_function(BenchmarkId::new("read_64", place_of_it), |bencher| {
            bencher.iter(|| {
                number = number.wrapping_add(ODD);
                let (mailbox, _) = place(number % ITEMS);
                let items = shelf.journal.items(&mailbox, 0, BATCH as usize, 1 << 18).unwrap();
                assert_eq!(items.len() as u64, BATCH);
            });
        });
        group.bench_function(BenchmarkId::new("ack_64", place_of_it), |bencher| {
            bencher.iter_custom(|times| {
                let mut sum = Duration::ZERO;
                for _ in 0..times {
                    // As many come as go: the number of items stays.
                    let mail = shelf.mail(BATCH);
                    shelf.commit(&mail);
                    let acks = shelf.acks(BATCH);
                    let started = Instant::now();
                    shelf.commit(&acks);
                    sum += started.elapsed();
                    shelf.settle();
                }
                sum
            });
        });
    }
    group.finish();
}

/// A journal with its items, whose index has caught up.
fn filled(on_disk: bool) -> Shelf<Unsynced<RealFiles>> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let files = RealFiles::new(dir.path().join("journal")).unwrap();
    let mut shelf = Shelf::new(dir, Unsynced(files), on_disk);
    for _ in 0..ITEMS / 1000 {
        let changes = shelf.mail(1000);
        shelf.commit(&changes);
    }
    shelf.settle();
    shelf
}
