//! A whole network from one seed: many posthouses with their people, under a simulated clock that
//! jumps from event to event.
//!
//! Each node is the real core over the real journal. Played are disks, clocks, connections, gossip
//! and the people's devices. What must always hold is looked at in every step, by [`Checker`].

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checker;
mod clients;
mod dice;
mod faults;
mod forger;
mod hosts;
mod people;
mod roads;
mod tally;

use std::collections::{BTreeMap, VecDeque};

use postroad_core::Output;
use postroad_proto::network::Network;

use self::checker::Checker;
use self::clients::Clients;
use self::dice::Dice;
use self::hosts::Host;
use self::people::Person;
use self::roads::Roads;
pub use self::tally::Tally;

/// Milliseconds.
pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// When runs begin.
const BEGIN: u64 = 1_800_000_000_000;
/// Time for everything to arrive once all is whole again.
pub const CALM: u64 = 3 * HOUR;
/// Steps remembered for the report of a failure.
const REMEMBERED: usize = 80;

/// A promise that is broken on purpose, to see whether it is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rule {
    #[default]
    Kept,
    /// Nodes answer before their commit.
    AckBeforeCommit,
    /// Devices show whatever arrives.
    NoDedupe,
    /// Devices believe receipts without looking at the signature.
    ReceiptsUncheckedByDevices,
    /// Forged receipts between nodes are signed so that the check lets them pass: what would
    /// happen if nodes did not look.
    ReceiptsUncheckedByNodes,
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub nodes: usize,
    pub hours: u64,
    pub seed: u64,
    pub people_per_node: usize,
    /// Mean time between one person's messages, milliseconds.
    pub pace: u64,
    /// Mean time between faults in the whole network, milliseconds; 0 for none.
    pub trouble: u64,
    pub rule: Rule,
}

impl Plan {
    pub fn new(nodes: usize, hours: u64, seed: u64) -> Self {
        Self {
            nodes,
            hours,
            seed,
            people_per_node: 2,
            pace: 20 * MINUTE,
            trouble: 160 * MINUTE / nodes as u64,
            rule: Rule::Kept,
        }
    }
}

/// What is to happen at some time.
#[derive(Debug)]
enum Event {
    /// A node ends the group that it has gathered.
    Turn(usize, hosts::Boot),
    /// A node's timers are due.
    Tick(usize, hosts::Boot),
    /// A node looks at its deadlines and tidies its disk.
    Chores(usize, hosts::Boot),
    /// A node makes its record anew.
    Renew(usize, hosts::Boot),
    /// A node starts.
    Start(usize, hosts::Boot),
    Road(roads::Passing),
    Client(clients::Passing),
    Person(people::Act),
    Fault(faults::Turn),
}

pub struct World {
    pub plan: Plan,
    pub tally: Tally,
    network: Network,
    dice: Dice,
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    hosts: Vec<Host>,
    roads: Roads,
    clients: Clients,
    people: Vec<Person>,
    checker: Checker,
    /// Whether faults and new messages are over.
    calm: bool,
    trace: blake3::Hasher,
    buffer: Vec<u8>,
    log: VecDeque<String>,
    watched: Vec<people::Number>,
    heard: Vec<u64>,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let network = "simulated".parse().unwrap();
        let mut world = Self {
            tally: Tally::default(),
            dice: Dice::new(plan.seed),
            now: BEGIN,
            queue: BTreeMap::new(),
            scheduled: 0,
            hosts: Vec::new(),
            roads: Roads::new(plan.nodes),
            clients: Clients::default(),
            people: Vec::new(),
            checker: Checker::default(),
            calm: false,
            trace: blake3::Hasher::new(),
            buffer: Vec::new(),
            log: VecDeque::new(),
            watched: numbers("SIM_WATCH"),
            heard: numbers("SIM_NODES_HEARD"),
            network,
            plan,
        };
        world.found_hosts();
        world.found_people();
        world.begin_faults();
        world
    }

    /// Lives through the whole plan, then lets everything heal and arrive. Returns the hash of all
    /// that the nodes said.
    ///
    /// # Panics
    /// When a promise is broken: with the seed and the last steps.
    pub fn run(&mut self) -> String {
        self.run_until(BEGIN + self.plan.hours * HOUR);
        self.heal_all();
        self.run_until(self.now + CALM);
        self.check_end();
        self.trace.finalize().to_hex()[..16].to_owned()
    }

    fn run_until(&mut self, end: u64) {
        while let Some((&(at, _), _)) = self.queue.first_key_value() {
            if at > end {
                break;
            }
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            self.now = at;
            self.tally.events += 1;
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Turn(node, boot) => self.on_turn(node, boot),
            Event::Tick(node, boot) => self.on_tick(node, boot),
            Event::Chores(node, boot) => self.on_chores(node, boot),
            Event::Renew(node, boot) => self.on_renew(node, boot),
            Event::Start(node, boot) => self.on_start(node, boot),
            Event::Road(passing) => self.on_road(passing),
            Event::Client(passing) => self.on_client(passing),
            Event::Person(act) => self.on_act(act),
            Event::Fault(turn) => self.on_fault(turn),
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.queue.insert((at, self.scheduled), event);
    }

    fn after(&mut self, wait: u64, event: Event) {
        self.at(self.now + wait, event);
    }

    /// Everything a node says goes into the trace.
    fn record(&mut self, node: usize, output: &Output) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.now.to_be_bytes());
        self.buffer.push(node as u8);
        match output {
            Output::Frame { session, frame } => {
                self.buffer.extend_from_slice(&session.to_be_bytes());
                frame.encode_into(&mut self.buffer).expect("frames encode");
            }
            Output::Known { session } | Output::Close { session, .. } => {
                self.buffer.extend_from_slice(&session.to_be_bytes());
            }
            Output::Road(command) => roads::encode(command, &mut self.buffer),
        }
        self.trace.update(&self.buffer);
    }

    /// Remembers a step of one message, when that is watched.
    fn about(&mut self, number: people::Number, text: impl FnOnce() -> String) {
        if self.watched.contains(&number) {
            self.note(format!("{number}: {}", text()));
        }
    }

    /// With `SIM_NODES_HEARD=3,4` prints what nodes 3 and 4 say and hear on the roads.
    fn overhear(&self, node: usize, how: &str, what: &dyn core::fmt::Debug) {
        if self.heard.contains(&(node as u64)) {
            println!("{}  node {node} {how} {what:?}", self.time());
        }
    }

    fn time(&self) -> String {
        let since = self.now - BEGIN;
        let (hours, rest) = (since / HOUR, since % HOUR);
        let (minutes, seconds) = (rest / MINUTE, rest / SECOND % 60);
        format!("{hours}:{minutes:02}:{seconds:02}.{:03}", rest % SECOND)
    }

    fn note(&mut self, text: String) {
        if self.log.len() == REMEMBERED {
            self.log.pop_front();
        }
        let step = format!("{}  {text}", self.time());
        // With `SIM_WATCH=7,8` every step is printed, and those of messages 7 and 8 are steps.
        if !self.watched.is_empty() {
            println!("{step}");
        }
        self.log.push_back(step);
    }

    fn fail(&self, text: &str) -> ! {
        let steps: Vec<&str> = self.log.iter().map(String::as_str).collect();
        let Plan { nodes, hours, seed, .. } = self.plan;
        panic!(
            "{text}\nseed {seed} ({nodes} nodes, {hours} hours); last steps:\n  {}",
            steps.join("\n  ")
        );
    }
}

fn numbers(name: &str) -> Vec<u64> {
    let setting = std::env::var(name).unwrap_or_default();
    setting.split(',').filter_map(|number| number.parse().ok()).collect()
}
