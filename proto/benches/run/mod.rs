//! How every bench of this repository is run.

use std::time::Duration;

use criterion::Criterion;

/// Runs `benches` as `cargo bench` was told, each for a few seconds: there are many of them.
///
/// A function in the place of criterion's two macros, whose public items have no documentation.
pub(crate) fn run(benches: &[fn(&mut Criterion)]) {
    let quick = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let mut criterion = quick.configure_from_args();
    for bench in benches {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
