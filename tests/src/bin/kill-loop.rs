//! Kills a node with `kill -9` at random moments while two people write to each other, round after
//! round; in the end everything written was delivered once and in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use postroad_client::{Client, Query, State};
use postroad_tests::{Node, Person};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Kill a node at random moments under load; check that nothing accepted is lost or repeated.
#[derive(Parser)]
struct Args {
    /// How often the node is killed
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Decides what is written and when the node is killed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Latest moment of a kill within a round.
const ROUND: u64 = 120;
/// How long the last texts may take, node up.
const LAST_DELIVERY: Duration = Duration::from_secs(90);

/// One side: what it wrote, in order.
struct Side {
    name: &'static str,
    peer: &'static str,
    client: Client,
    written: Vec<String>,
}

impl Side {
    fn open(person: &Person, name: &'static str, peer: &'static str) -> Self {
        let client = Client::open(&person.profile()).expect("the profile opens");
        Self { name, peer, client, written: Vec::new() }
    }

    /// Writes some texts and does what a command does with the node, whatever happens to it.
    fn write_and_sync(&mut self, texts: u64) {
        for _ in 0..texts {
            let text = format!("{} {}", self.name, self.written.len());
            self.client.send_text(self.peer, &text).expect("a text is stored, always");
            self.written.push(text);
        }
        self.sync();
    }

    fn sync(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.client.sync()).expect("only the node may fail");
    }

    fn received(&mut self) -> Vec<String> {
        let all = self.client.messages(&Query::default()).unwrap();
        all.into_iter().filter(|m| !m.outgoing).filter_map(|m| m.text).collect()
    }

    fn undelivered(&mut self) -> Vec<String> {
        let all = self.client.messages(&Query::default()).unwrap();
        let left = all.iter().filter(|m| m.outgoing && !m.state.reached(State::Delivered));
        left.map(|m| format!("{:?} is {:?}: {}", m.text, m.state, m.reason)).collect()
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut node = Node::start("[custody]\ntoken_rate = 0\nlookups_per_hour = 1000000");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "alice begins");
    bob.ok(&["inbox"]);
    let chats = bob.ok(&["chats"]);
    bob.ok(&["contact", "rename", chats[0]["chat"].as_str().expect("a chat"), "alice"]);
    let mut alice = Side::open(&alice, "alice", "bob");
    let mut bob = Side::open(&bob, "bob", "alice");
    for round in 0..args.rounds {
        let (from_alice, from_bob) = (rng.next_u64() % 12, rng.next_u64() % 6);
        let moment = Duration::from_micros(rng.next_u64() % (ROUND * 1000));
        thread::scope(|scope| {
            let writing = scope.spawn(|| alice.write_and_sync(from_alice));
            let answering = scope.spawn(|| bob.write_and_sync(from_bob));
            thread::park_timeout(moment);
            node.kill();
            writing.join().expect("alice survives");
            answering.join().expect("bob survives");
        });
        node.restart();
        if (round + 1) % 20 == 0 {
            println!("{} rounds", round + 1);
        }
    }
    let end = Instant::now() + LAST_DELIVERY;
    loop {
        alice.sync();
        bob.sync();
        let left = [alice.undelivered(), bob.undelivered()].concat();
        if left.is_empty() {
            break;
        }
        if Instant::now() > end {
            println!("seed {}: never delivered:\n  {}", args.seed, left.join("\n  "));
            return ExitCode::FAILURE;
        }
    }
    let (got_bob, got_alice) = (bob.received(), alice.received());
    let sent = alice.written.len() + bob.written.len();
    if got_bob.iter().skip(1).eq(&alice.written) && got_alice.eq(&bob.written) {
        println!("{} kills, {sent} texts: each delivered once, in order", args.rounds);
        return ExitCode::SUCCESS;
    }
    println!("seed {}: what was read is not what was written", args.seed);
    println!("alice wrote {:?}\nbob read {got_bob:?}", alice.written);
    println!("bob wrote {:?}\nalice read {got_alice:?}", bob.written);
    ExitCode::FAILURE
}
