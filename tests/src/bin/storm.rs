//! Two people write to each other through homes that drop, repeat, reorder, replay and forge, while
//! their programs and their nodes are killed with `kill -9`. In the end both have the same
//! conversation, each message once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use postroad_client::{Client, Message, Query};
use postroad_tests::programs::program;
use postroad_tests::{Network, Person};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Let two people write to each other through hostile homes while everything is killed.
#[derive(Parser)]
struct Args {
    /// Texts that each of the two writes
    #[arg(long, default_value_t = 1000)]
    messages: usize,
    /// Decides what the homes do and who is killed when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Percent of what is pushed that the homes drop for good
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(..=40))]
    drop: u64,
}

const CONFIG: &str = "[custody]\ntoken_rate = 0\nlookups_per_hour = 1000000";
/// Time between two kills, milliseconds.
const BETWEEN: std::ops::Range<u64> = 300..1500;
/// How long the last messages may take once nobody is killed any more.
const LAST: Duration = Duration::from_secs(300);

/// One of the two, and the program that writes for them.
struct Side {
    person: Person,
    contact: &'static str,
    count: usize,
    talker: Option<Child>,
}

impl Side {
    fn start(&mut self) {
        let child = Command::new(program("talker"))
            .arg(self.person.profile())
            .args([self.contact, &self.count.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.talker = Some(child);
    }

    fn kill(&mut self) {
        let mut talker = self.talker.take().unwrap();
        assert!(talker.try_wait().unwrap().is_none(), "the talker of {} ended", self.contact);
        talker.kill().unwrap();
        talker.wait().unwrap();
    }

    fn messages(&self) -> Vec<Message> {
        let mut client = Client::open(&self.person.profile()).unwrap();
        client.messages(&Query { requests: true, ..Query::default() }).unwrap()
    }

    /// How many it has written, and how many it has of the other.
    fn progress(&self) -> (usize, usize) {
        let messages = self.messages();
        let written = messages.iter().filter(|message| message.outgoing).count();
        (written, messages.len() - written)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Some(mut talker) = self.talker.take() {
            let _ = talker.kill();
            let _ = talker.wait();
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let rules: Vec<PathBuf> = (0..2).map(|n| folder.path().join(format!("home-{n}"))).collect();
    let mut network = Network::empty();
    for path in &rules {
        std::fs::write(path, "").unwrap();
        network.add_hostile(CONFIG, path);
    }
    network.wait_until_known();
    let mut sides = acquainted(&network, args.messages);
    deceive(&rules, &args);
    let kills = storm(&mut network, &mut sides, &args);
    let waited = Instant::now();
    settle(&sides, args.messages + 1, args.seed);
    sides.iter_mut().for_each(Side::kill);
    compare(&sides, args.seed);
    let done = tally(&rules);
    assert!(done.len() == 5, "the homes were not hostile enough to tell: {done:?}");
    println!(
        "storm --messages {} --seed {}: the same conversation on both ends; {kills} kills, the homes \
         did {done:?}; {:.0} s, of it {:.0} s after the last kill",
        args.messages,
        args.seed,
        begun.elapsed().as_secs_f64(),
        waited.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

/// Alice and Bob, who have each heard from the other.
fn acquainted(network: &Network, messages: usize) -> [Side; 2] {
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "alice begins");
    assert_eq!(bob.receives(1), ["alice begins"]);
    bob.send("alice", "bob begins");
    assert_eq!(alice.receives(1), ["bob begins"]);
    let side = |person, contact| Side { person, contact, count: messages, talker: None };
    [side(alice, "bob"), side(bob, "alice")]
}

/// From now on the homes mean no good.
fn deceive(rules: &[PathBuf], args: &Args) {
    for (n, path) in rules.iter().enumerate() {
        let text = format!(
            "seed {}\ndrop {}\nduplicate 5\nreorder 15\nreplay 5\nforge 3\n",
            args.seed * 2 + n as u64,
            args.drop
        );
        std::fs::write(path, text).unwrap();
    }
}

/// Kills one after the other until all is written. How often.
fn storm(network: &mut Network, sides: &mut [Side; 2], args: &Args) -> usize {
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    sides.iter_mut().for_each(Side::start);
    let mut kills = 0;
    while sides.iter().any(|side| side.progress().0 <= args.messages) {
        let wait = BETWEEN.start + rng.next_u64() % (BETWEEN.end - BETWEEN.start);
        thread::sleep(Duration::from_millis(wait));
        let victim = (rng.next_u64() % 4) as usize;
        if let Some(side) = sides.get_mut(victim) {
            side.kill();
            side.start();
        } else {
            let node = &mut network.nodes[victim - 2];
            node.kill();
            node.restart();
        }
        kills += 1;
    }
    kills
}

/// Waits until both have all of the other.
fn settle(sides: &[Side; 2], count: usize, seed: u64) {
    let end = Instant::now() + LAST;
    loop {
        let received: Vec<usize> = sides.iter().map(|side| side.progress().1).collect();
        if received.iter().all(|received| *received >= count) {
            return;
        }
        if Instant::now() > end {
            let missing: Vec<String> = sides.iter().map(missing).collect();
            panic!("seed {seed}: {received:?} of {count} came in {LAST:?}; {missing:?}");
        }
        thread::sleep(Duration::from_millis(500));
    }
}

fn missing(side: &Side) -> String {
    let gaps = side.messages().iter().map(|m| m.missing_before + m.lost_before).sum::<u64>();
    let mut client = Client::open(&side.person.profile()).unwrap();
    let problems: Vec<String> =
        client.status().unwrap().problems.into_iter().map(|p| p.code).collect();
    format!("{gaps} in gaps, {problems:?}")
}

/// Both ends have the same, each message once, and neither sees a gap.
fn compare(sides: &[Side; 2], seed: u64) {
    let all = sides.each_ref().map(Side::messages);
    for (own, other) in [(0, 1), (1, 0)] {
        let texts = |messages: &[Message], outgoing| -> BTreeMap<String, Option<String>> {
            let wanted = messages.iter().filter(|message| message.outgoing == outgoing);
            wanted.map(|m| (m.id.to_string(), m.text.clone())).collect()
        };
        let (written, received) = (texts(&all[own], true), texts(&all[other], false));
        assert_eq!(written, received, "seed {seed}");
        let count = all[other].iter().filter(|message| !message.outgoing).count();
        assert_eq!(count, received.len(), "seed {seed}: something shows twice");
        let gaps: Vec<_> = all[other]
            .iter()
            .filter(|m| m.missing_before + m.lost_before > 0)
            .map(|m| (m.id.to_string(), m.missing_before, m.lost_before))
            .collect();
        assert!(gaps.is_empty(), "seed {seed}: gaps are left: {gaps:?}");
    }
}

/// What the homes did.
fn tally(rules: &[PathBuf]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for path in rules {
        let done = std::fs::read_to_string(Path::with_extension(path, "done")).unwrap_or_default();
        for word in done.lines() {
            *tally.entry(word.to_owned()).or_default() += 1;
        }
    }
    tally
}
