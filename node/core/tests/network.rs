//! Random lives of whole networks, the short ones. `tests/sim` runs longer ones; a failure prints
//! its seed and the last steps. See `world/mod.rs` for what watches one message or one node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod world;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use world::{DAY, HOUR, Plan, Rule, Tally, World};

fn run(plan: Plan) -> (String, Tally) {
    let mut world = World::new(plan);
    let hash = world.run();
    (hash, world.tally)
}

#[test]
fn a_few_short_lives() {
    for seed in 1..=2 {
        let (hash, tally) = run(Plan::new(5, 8, seed));
        println!("seed {seed}: trace {hash}\n{tally}");
        assert!(tally.delivered > 100, "people wrote and read");
    }
}

#[test]
fn without_faults_everything_arrives_once_and_in_order() {
    let (_, tally) = run(Plan { trouble: 0, ..Plan::new(4, 4, 1) });
    println!("{tally}");
    assert_eq!(tally.failed, 0);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let hash = |seed| run(Plan::new(3, 3, seed)).0;
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

/// A check that nothing can fail proves nothing: each broken rule is found, with some of these words.
fn is_found(rule: Rule, words: &[&str]) {
    let found = (1..=40).find_map(|seed| {
        let plan = Plan { rule, ..Plan::new(4, 12, seed) };
        let panic = catch_unwind(|| run(plan)).err()?;
        let text = panic.downcast_ref::<String>()?.clone();
        Some((seed, text))
    });
    let (seed, text) = found.expect("the broken rule is noticed");
    println!("{rule:?} is found by seed {seed}");
    let line = text.lines().next().unwrap_or_default();
    assert!(words.iter().any(|words| line.contains(words)), "{text}");
}

#[test]
fn an_answer_before_the_commit_is_found() {
    is_found(Rule::AckBeforeCommit, &["which never had it", "and nobody has it"]);
}

#[test]
fn repeats_shown_are_found() {
    is_found(Rule::NoDedupe, &["twice"]);
}

#[test]
fn receipts_that_devices_do_not_check_are_found() {
    is_found(Rule::ReceiptsUncheckedByDevices, &["which never had it"]);
}

#[test]
fn receipts_that_nodes_do_not_check_are_found() {
    is_found(Rule::ReceiptsUncheckedByNodes, &["and nobody has it"]);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What `tests/sim` runs: one life per seed, from SIM_SEED on, until there were SIM_LIVES of them
/// or SIM_MINUTES are over, on SIM_THREADS threads.
#[test]
#[ignore = "runs for as long as it is told: see tests/sim"]
fn as_long_as_told() {
    let nodes = setting("SIM_NODES").unwrap_or(16) as usize;
    let hours = setting("SIM_HOURS").unwrap_or(24);
    let first = setting("SIM_SEED").unwrap_or(1);
    let lives = setting("SIM_LIVES").unwrap_or(1);
    let threads = setting("SIM_THREADS").unwrap_or(1);
    let budget = Duration::from_secs(setting("SIM_MINUTES").unwrap_or(60) * 60);
    let started = Instant::now();
    let (next, all) = (AtomicU64::new(first), Mutex::new((Tally::default(), 0)));
    let live = || {
        while started.elapsed() < budget {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + lives {
                return;
            }
            let (hash, tally) = run(Plan::new(nodes, hours, seed));
            println!("seed {seed}: trace {hash}, {} delivered", tally.delivered);
            let mut all = all.lock().unwrap();
            all.0.add(&tally);
            all.1 += 1;
        }
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(live)).collect();
        // One failure ends all: the seed is what counts.
        for thread in running {
            if thread.join().is_err() {
                std::process::exit(1);
            }
        }
    });
    let (tally, lived) = all.into_inner().unwrap();
    let node_hours = lived * nodes as u64 * (hours + world::CALM / HOUR);
    let seconds = started.elapsed().as_secs_f64();
    println!("{tally}");
    println!(
        "{node_hours} node-hours ({:.2} node-years) in {seconds:.0} s: {:.0} node-hours a second",
        node_hours as f64 / (365 * DAY / HOUR) as f64,
        node_hours as f64 / seconds
    );
}
