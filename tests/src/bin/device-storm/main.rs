//! Alice on up to four devices and Bob on up to five, at different nodes, write to each other and change
//! names and settings, while devices are linked, revoked, away and killed with `kill -9`, nodes are
//! killed, and both move to other nodes. In the end every device that should have a message has it once, no other has it, and all devices
//! of an account agree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agree;
mod device;
mod linking;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use postroad_client::{Query, SettingsChange};
use postroad_tests::{Network, wait_at_most};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::agree::agree;
use crate::device::Device;

/// Let two people with several devices write to each other while everything is killed.
#[derive(Parser)]
struct Args {
    /// Texts in all
    #[arg(long, default_value_t = 1000)]
    messages: usize,
    /// Decides who writes, and who is killed, linked and revoked when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the profiles are copied to when it fails
    #[arg(long)]
    keep: Option<PathBuf>,
}

const CONFIG: &str =
    "[custody]\nregistration = \"open\"\ntoken_rate = 0\nlookups_per_hour = 1000000";
/// Time between two events, milliseconds.
const BETWEEN: std::ops::Range<u64> = 200..900;
/// How long anything may take once nobody is killed any more.
const LAST: Duration = Duration::from_secs(120);
/// How long a device that is away stays away, in events.
const AWAY: usize = 6;

struct Storm {
    network: Network,
    devices: Vec<Device>,
    rng: ChaCha8Rng,
    counts: BTreeMap<&'static str, usize>,
    seed: u64,
    keep: Option<PathBuf>,
}

impl Storm {
    pub(crate) fn draw(&mut self, below: usize) -> usize {
        (self.rng.next_u64() % below as u64) as usize
    }

    pub(crate) fn pause(&mut self) {
        let wait = BETWEEN.start + self.rng.next_u64() % (BETWEEN.end - BETWEEN.start);
        thread::sleep(Duration::from_millis(wait));
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Devices of whoever is called so by the other.
    pub(crate) fn of(&self, contact: &str) -> Vec<usize> {
        let is_its = |n: &usize| self.devices[*n].contact == contact && !self.devices[*n].revoked;
        (0..self.devices.len()).filter(is_its).collect()
    }

    /// Takes a device out, once all has come that it wrote.
    fn revoke(&mut self, first: usize, which: usize) {
        let name = self.devices[which].name.clone();
        self.devices[which].kill();
        self.devices[which].quota = self.devices[which].has_of(&name);
        self.devices[which].start();
        self.come_back();
        self.wait_for_all(&[(name.clone(), self.devices[which].quota)]);
        let number =
            self.devices[which].person.ok(&["whoami"])["device"].as_str().unwrap().to_owned();
        let number = number.split('/').next_back().unwrap().to_owned();
        let root = &self.devices[first].person;
        root.ok(&["--yes", "device", "revoke", &number]);
        wait_at_most(LAST, "the home to know", || {
            let status = self.devices[which].person.ok(&["status"]);
            status["reason"].as_str()?.contains("revoked").then_some(())
        });
        self.devices[which].revoked = true;
        self.count("revoked");
    }

    fn come_back(&mut self) {
        for device in self.devices.iter_mut().filter(|device| device.talker.is_none()) {
            device.start();
        }
    }

    pub(crate) fn kill_node(&mut self) {
        let victim = self.draw(self.network.nodes.len());
        let node = &mut self.network.nodes[victim];
        node.kill();
        node.restart();
        self.count("nodes killed");
    }

    /// One thing happens to somebody.
    fn happens(&mut self) {
        self.pause();
        for device in &mut self.devices {
            if device.away > 0 {
                device.away -= 1;
                if device.away == 0 {
                    device.start();
                }
            }
        }
        let which = self.draw(self.devices.len());
        if self.devices[which].revoked {
            return;
        }
        match self.draw(10) {
            0 => self.kill_node(),
            1 if self.devices[which].away == 0 => {
                self.devices[which].kill();
                self.devices[which].away = AWAY;
                self.count("away");
            }
            2 | 3 => self.changes(which),
            4 => self.sees(which),
            _ => self.kill_device(which),
        }
    }

    /// Kills what writes from a device, if something does, and starts it again.
    pub(crate) fn kill_device(&mut self, which: usize) {
        if self.devices[which].talker.is_some() && !self.devices[which].revoked {
            self.devices[which].kill();
            self.devices[which].start();
            self.count("killed");
        }
    }

    /// Somebody changes a name or a setting on a device.
    fn changes(&mut self, which: usize) {
        let (what, value) = (self.draw(3), self.draw(1000));
        let mut client = self.devices[which].client();
        let contact = client.contacts().unwrap().remove(0);
        match what {
            0 => {
                let name = format!("name-{value}");
                client.rename(&contact.account.to_string(), &name).unwrap();
            }
            1 => {
                let typing = Some(value.is_multiple_of(2));
                client.set(SettingsChange { typing, ..SettingsChange::default() }).unwrap();
            }
            _ => client.set_draft(&contact.account, &format!("draft {value}")).unwrap(),
        }
        self.count("changes");
    }

    /// Somebody looks at what came in on a device.
    fn sees(&mut self, which: usize) {
        let mut client = self.devices[which].client();
        let unshown = client.messages(&Query { unshown: true, ..Query::default() }).unwrap();
        client.mark_shown(&unshown).unwrap();
        self.count("looks");
    }

    /// Waits until all that is to be there is on every device.
    fn wait_for_all(&self, written: &[(String, usize)]) {
        let lacks = || {
            for device in self.devices.iter().filter(|device| !device.revoked) {
                for (name, count) in written {
                    let has = device.has_of(name);
                    if has < *count {
                        return Some(format!("{} has {has} of {count} by {name}", device.name));
                    }
                }
            }
            None
        };
        let end = Instant::now() + LAST;
        while let Some(what) = lacks() {
            if Instant::now() > end {
                self.tell();
                panic!("seed {}: {what}", self.seed);
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    pub(crate) fn tell(&self) {
        for device in &self.devices {
            if let Some(keep) = &self.keep {
                let copy = keep.join(&device.name);
                std::fs::create_dir_all(&copy).unwrap();
                for file in std::fs::read_dir(device.person.profile()).unwrap() {
                    let file = file.unwrap();
                    std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
                }
            }
            let mut client = device.client();
            let status = client.status().unwrap();
            let problems: BTreeSet<String> =
                status.problems.into_iter().map(|p| format!("{}: {}", p.code, p.message)).collect();
            eprintln!(
                "{}{}: {} messages, {} unsettled, offline {:?}, {problems:?}",
                device.name,
                if device.revoked { " (revoked)" } else { "" },
                device.messages().len(),
                status.unsettled,
                status.contact.offline,
            );
        }
    }

    fn written(&self) -> Vec<(String, usize)> {
        self.devices.iter().map(|device| (device.name.clone(), device.quota)).collect()
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let mut network = Network::empty();
    (0..3).for_each(|_| network.add(CONFIG));
    network.wait_until_known();
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "alice begins");
    assert_eq!(bob.receives(1), ["alice begins"]);
    let devices = vec![Device::new("a1", alice, "bob"), Device::new("b1", bob, "alice")];
    let rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut storm =
        Storm { network, devices, rng, counts: BTreeMap::new(), seed: args.seed, keep: args.keep };
    run(&mut storm, args.messages);
    let waited = Instant::now();
    storm.come_back();
    let written = storm.written();
    storm.wait_for_all(&written);
    agree(&storm);
    println!(
        "device-storm --messages {} --seed {}: every device has each message once, and all agree; {:?}; \
         {:.0} s, of it {:.0} s after the last kill",
        args.messages,
        args.seed,
        storm.counts,
        begun.elapsed().as_secs_f64(),
        waited.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

/// Links, writes, kills, revokes, until all is written.
fn run(storm: &mut Storm, messages: usize) {
    let share = messages.div_ceil(9);
    let grow = |storm: &mut Storm, names: &[&str]| {
        for device in &mut storm.devices {
            let is_named = names.contains(&device.name.as_str());
            if is_named && !device.revoked {
                device.quota += share;
                device.kill();
                device.start();
            }
        }
    };
    // Two devices each, which write; the others come and go meanwhile.
    storm.devices.iter_mut().for_each(Device::start);
    storm.link(0, "a2");
    storm.link(1, "b2");
    storm.link(1, "b3");
    grow(storm, &["a1", "a2", "b1", "b2", "b3"]);
    (0..8).for_each(|_| storm.happens());
    storm.moves(0);
    storm.link(0, "a3");
    grow(storm, &["a3"]);
    (0..4).for_each(|_| storm.happens());
    // By a linked device, which has not got the account's key.
    storm.moves(3);
    storm.revoke(1, 3);
    storm.link(1, "b4");
    storm.link(1, "b5");
    grow(storm, &["b4", "b5"]);
    (0..8).for_each(|_| storm.happens());
    storm.moves(0);
    storm.revoke(0, 2);
    storm.link(0, "a4");
    grow(storm, &["a4"]);
    // What was left of the revoked ones' shares falls to the rest.
    let left = messages.saturating_sub(storm.written().iter().map(|(_, count)| count).sum());
    if let Some(first) = storm.devices.first_mut() {
        first.quota += left;
        first.kill();
        first.start();
    }
    let written = |storm: &Storm| {
        storm
            .devices
            .iter()
            .all(|device| device.revoked || device.has_of(&device.name) >= device.quota)
    };
    while !written(storm) {
        storm.happens();
    }
}
