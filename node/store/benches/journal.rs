//! What a commit of mail costs: with its sync, and what of that is not the disk's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../proto/benches/run/mod.rs"]
mod run;
mod shelf;

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use postroad_store::{Files, RealFiles, Store as _};
use shelf::{Shelf, Unsynced};
use tempfile::TempDir;

/// Envelopes in a commit.
const COUNTS: [u64; 3] = [1, 64, 1024];

fn main() {
    run::run(&[commit]);
}

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal_commit");
    for count in COUNTS {
        group.throughput(Throughput::Elements(count));
        let (dir, files) = directory();
        measure(&mut group, "synced", count, Shelf::new(dir, files, false));
        let (dir, files) = directory();
        measure(&mut group, "not_synced", count, Shelf::new(dir, Unsynced(files), false));
    }
    group.finish();
}

/// On the disk that the project lies on: a temporary directory may be none.
fn directory() -> (TempDir, RealFiles) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let files = RealFiles::new(dir.path().join("journal")).unwrap();
    (dir, files)
}

fn measure<F: Files>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    how: &str,
    count: u64,
    mut shelf: Shelf<F>,
) {
    group.bench_function(BenchmarkId::new(how, count), |bencher| {
        bencher.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let changes = shelf.mail(count);
                let bytes = postroad_store::encoded_size(&changes);
                let started = Instant::now();
                // The engine asks for room before each group.
                shelf.journal.room(bytes).unwrap();
                shelf.commit(&changes);
                sum += started.elapsed();
                let acks = shelf.acks(count);
                shelf.commit(&acks);
                shelf.settle();
            }
            sum
        });
    });
}
