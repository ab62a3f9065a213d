//! Kills nodes with `kill -9` at random moments while people on them write to each other, round
//! after round; in the end everything written was delivered once and in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use postroad_client::{Client, Query, State};
use postroad_tests::{Network, Person};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Kill nodes at random moments under load; check that nothing accepted is lost or repeated.
#[derive(Parser)]
struct Args {
    /// How many nodes there are; with one, two people share it, else each has one person
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=NAMES.len() as u64))]
    nodes: u64,
    /// How often some of the nodes are killed
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Decides what is written, which nodes are killed, and when
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const NAMES: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
const CONFIG: &str = "[custody]\ntoken_rate = 0\nlookups_per_hour = 1000000";
/// Latest moment of a kill within a round, milliseconds.
const ROUND: u64 = 120;
/// Most texts that one person writes to another in a round.
const TEXTS: u64 = 8;
/// How long the last texts may take, nodes up.
const LAST_DELIVERY: Duration = Duration::from_secs(90);

/// One person and what she wrote to others, in order.
struct Side {
    name: &'static str,
    client: Client,
    written: Vec<(&'static str, Vec<String>)>,
    /// Holds the profile, which goes after the client.
    _person: Person,
}

impl Side {
    /// Writes texts, so many to each, and does what a command does with the node, whatever happens
    /// to it.
    fn write_and_sync(&mut self, counts: &[u64]) {
        for ((peer, written), count) in self.written.iter_mut().zip(counts) {
            for _ in 0..*count {
                let text = format!("{} to {peer} {}", self.name, written.len());
                self.client.send_text(peer, &text).expect("a text is stored, always");
                written.push(text);
            }
        }
        self.sync();
    }

    fn sync(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.client.sync()).expect("only the node may fail");
    }

    /// The texts from `peer`, as they are read.
    fn received(&mut self, peer: &str) -> Vec<String> {
        let all = self.client.messages(&Query::default()).unwrap();
        let from = all.into_iter().filter(|m| !m.outgoing && m.chat == peer);
        from.filter_map(|m| m.text).collect()
    }

    fn undelivered(&mut self) -> Vec<String> {
        let all = self.client.messages(&Query::default()).unwrap();
        let left = all.iter().filter(|m| m.outgoing && !m.state.reached(State::Delivered));
        left.map(|m| format!("{:?} is {:?}: {}", m.text, m.state, m.reason)).collect()
    }
}

/// People in a ring, each of whom writes to both neighbours and is known to them.
fn people(network: &Network) -> Vec<Side> {
    let count = network.nodes.len().max(2);
    let join = |n: usize| Person::join(NAMES[n], &network.nodes[n % network.nodes.len()]);
    let people: Vec<Person> = (0..count).map(join).collect();
    let mut written = vec![Vec::new(); count];
    // Two have one way between them, not two.
    for from in 0..if count == 2 { 1 } else { count } {
        let to = (from + 1) % count;
        people[from].add(&people[to]);
        let begins = format!("{} begins", NAMES[from]);
        people[from].send(NAMES[to], &begins);
        let begins = vec![begins];
        assert_eq!(people[to].receives(1), begins);
        written[from].push((NAMES[to], begins));
        written[to].push((NAMES[from], Vec::new()));
    }
    let sides = people.into_iter().zip(NAMES).zip(written).map(|((person, name), written)| {
        let client = Client::open(&person.profile()).expect("the profile opens");
        Side { name, client, written, _person: person }
    });
    sides.collect()
}

/// One round: everybody writes, and some nodes are killed meanwhile and started again.
fn round(network: &mut Network, sides: &mut [Side], rng: &mut ChaCha8Rng) -> usize {
    let all = (1 << network.nodes.len()) - 1;
    let chosen = 1 + rng.next_u64() % all;
    let mut kills: Vec<(u64, usize)> = (0..network.nodes.len())
        .map(|n| (rng.next_u64() % (ROUND * 1000), n))
        .filter(|(_, n)| chosen & (1 << n) != 0)
        .collect();
    kills.sort_unstable();
    let counts: Vec<Vec<u64>> = sides
        .iter()
        .map(|side| side.written.iter().map(|_| rng.next_u64() % TEXTS).collect())
        .collect();
    thread::scope(|scope| {
        let writing: Vec<_> = sides
            .iter_mut()
            .zip(&counts)
            .map(|(side, counts)| scope.spawn(|| side.write_and_sync(counts)))
            .collect();
        let begun = Instant::now();
        for (moment, node) in &kills {
            thread::park_timeout(Duration::from_micros(*moment).saturating_sub(begun.elapsed()));
            network.nodes[*node].kill();
        }
        writing.into_iter().for_each(|side| side.join().expect("everybody survives"));
    });
    for (_, node) in &kills {
        network.nodes[*node].restart();
    }
    kills.len()
}

/// What was written and is not delivered after all had time.
fn deliver_the_rest(sides: &mut [Side]) -> Vec<String> {
    let end = Instant::now() + LAST_DELIVERY;
    loop {
        sides.iter_mut().for_each(Side::sync);
        let left: Vec<String> = sides.iter_mut().flat_map(Side::undelivered).collect();
        if left.is_empty() || Instant::now() > end {
            return left;
        }
    }
}

/// Where what was read is not what was written.
fn differences(sides: &mut [Side]) -> Vec<String> {
    let written: Vec<_> = sides.iter().map(|side| (side.name, side.written.clone())).collect();
    let mut found = Vec::new();
    for (from, chats) in written {
        for (to, texts) in chats {
            let reader = sides.iter_mut().find(|side| side.name == to).expect("somebody");
            let read = reader.received(from);
            if read != texts {
                found.push(format!("{from} wrote {texts:?}\n  {to} read {read:?}"));
            }
        }
    }
    found
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut network = Network::start_with(args.nodes as usize, CONFIG);
    let mut sides = people(&network);
    let mut kills = 0;
    for n in 1..=args.rounds {
        kills += round(&mut network, &mut sides, &mut rng);
        if n % 20 == 0 {
            println!("{n} rounds");
        }
    }
    let left = deliver_the_rest(&mut sides);
    if !left.is_empty() {
        println!("seed {}: never delivered:\n  {}", args.seed, left.join("\n  "));
        return ExitCode::FAILURE;
    }
    let found = differences(&mut sides);
    if !found.is_empty() {
        println!("seed {}: read is not what was written:\n  {}", args.seed, found.join("\n  "));
        return ExitCode::FAILURE;
    }
    let sent: usize = sides.iter().flat_map(|side| &side.written).map(|(_, t)| t.len()).sum();
    let nodes = network.nodes.len();
    println!("{nodes} nodes, {kills} kills, {sent} texts: each delivered once, in order");
    ExitCode::SUCCESS
}
