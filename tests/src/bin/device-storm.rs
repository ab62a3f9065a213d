//! Alice on up to four devices and Bob on up to five, at different nodes, write to each other and change
//! names and settings, while devices are linked, revoked, away and killed with `kill -9`, and nodes are
//! killed. In the end every device that should have a message has it once, no other has it, and all devices
//! of an account agree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use postroad_client::{Client, Message, Query, SettingsChange, State};
use postroad_tests::programs::program;
use postroad_tests::{Network, Person, wait_at_most};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

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

const CONFIG: &str = "[custody]\ntoken_rate = 0\nlookups_per_hour = 1000000";
/// Time between two events, milliseconds.
const BETWEEN: std::ops::Range<u64> = 200..900;
/// How long anything may take once nobody is killed any more.
const LAST: Duration = Duration::from_secs(120);
/// How long a device that is away stays away, in events.
const AWAY: usize = 6;

/// A device of one of the two, and the program that writes from it.
struct Device {
    name: String,
    person: Person,
    /// What the other one is called.
    contact: &'static str,
    /// Texts that it is to write.
    quota: usize,
    talker: Option<Child>,
    /// Events until it comes back.
    away: usize,
    revoked: bool,
}

impl Device {
    fn new(name: &str, person: Person, contact: &'static str) -> Self {
        let name = name.to_owned();
        Self { name, person, contact, quota: 0, talker: None, away: 0, revoked: false }
    }

    fn start(&mut self) {
        assert!(self.talker.is_none(), "{} writes already", self.name);
        self.away = 0;
        // The storm changes names.
        let contact = self.client().contacts().unwrap().remove(0).account;
        let child = Command::new(program("talker"))
            .arg(self.person.profile())
            .args([&contact.to_string(), &self.quota.to_string(), "--prefix", &self.name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.talker = Some(child);
    }

    fn kill(&mut self) {
        let Some(mut talker) = self.talker.take() else { return };
        assert!(talker.try_wait().unwrap().is_none(), "the talker of {} ended", self.name);
        talker.kill().unwrap();
        talker.wait().unwrap();
    }

    fn client(&self) -> Client {
        Client::open(&self.person.profile()).unwrap()
    }

    fn messages(&self) -> Vec<Message> {
        self.client().messages(&Query { requests: true, ..Query::default() }).unwrap()
    }

    /// How many texts there are of those that a device was to write.
    fn has_of(&self, name: &str) -> usize {
        let begins = format!("{name} ");
        let is_its = |m: &&Message| m.text.as_deref().unwrap_or_default().starts_with(&begins);
        self.messages().iter().filter(is_its).count()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut talker) = self.talker.take() {
            let _ = talker.kill();
            let _ = talker.wait();
        }
    }
}

struct Storm {
    network: Network,
    devices: Vec<Device>,
    rng: ChaCha8Rng,
    counts: BTreeMap<&'static str, usize>,
    seed: u64,
    keep: Option<PathBuf>,
}

impl Storm {
    fn draw(&mut self, below: usize) -> usize {
        (self.rng.next_u64() % below as u64) as usize
    }

    fn pause(&mut self) {
        let wait = BETWEEN.start + self.rng.next_u64() % (BETWEEN.end - BETWEEN.start);
        thread::sleep(Duration::from_millis(wait));
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Devices of whoever is called so by the other.
    fn of(&self, contact: &str) -> Vec<usize> {
        let is_its = |n: &usize| self.devices[*n].contact == contact && !self.devices[*n].revoked;
        (0..self.devices.len()).filter(is_its).collect()
    }

    /// Links another device to the account of `first`, while the rest goes on.
    fn link(&mut self, first: usize, name: &str) {
        let person = Person::new(name);
        let mut shown = Shown::new(&self.devices[first].person);
        let mut joining = person.spawn(&["device", "join", &shown.link, "--name", name]);
        let end = Instant::now() + LAST;
        loop {
            // Both are killed now and then, and the same command goes on.
            self.pause();
            match self.draw(6) {
                0 => {
                    joining.kill().unwrap();
                    joining.wait().unwrap();
                    joining = person.spawn(&["device", "join", &shown.link, "--name", name]);
                    self.count("joins killed");
                }
                1 if !shown.is_over() => {
                    drop(shown);
                    shown = Shown::new(&self.devices[first].person);
                    self.count("links killed");
                }
                2 => self.kill_node(),
                _ => {}
            }
            if let Some(status) = joining.try_wait().unwrap() {
                if status.success() {
                    break;
                }
                // It had all before it was killed.
                let again = person.run(&["device", "join", &shown.link]);
                if again.error["code"] == "already_joined" || again.code == 0 {
                    break;
                }
                assert_eq!(again.error["code"], "unreachable", "seed {}: {again:?}", self.seed);
                joining = person.spawn(&["device", "join", &shown.link, "--name", name]);
            }
            assert!(Instant::now() < end, "seed {}: {name} is not linked", self.seed);
        }
        let mut device = Device::new(name, person, self.devices[first].contact);
        device.start();
        self.devices.push(device);
        self.count("linked");
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

    fn kill_node(&mut self) {
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
            _ if self.devices[which].away == 0 => {
                self.devices[which].kill();
                self.devices[which].start();
                self.count("killed");
            }
            _ => {}
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

    fn tell(&self) {
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

/// A `device link` that runs.
struct Shown {
    child: Child,
    link: String,
}

impl Shown {
    fn new(person: &Person) -> Self {
        let mut command = Command::new(program("pouch"));
        command.arg("--json").arg("--data-dir").arg(person.dir()).args(["device", "link"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let offer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        thread::spawn(move || lines.for_each(drop));
        Self { child, link: offer["link"].as_str().unwrap().to_owned() }
    }

    fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let mut network = Network::empty();
    (0..2).for_each(|_| network.add(CONFIG));
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
    storm.link(0, "a3");
    grow(storm, &["a3"]);
    (0..4).for_each(|_| storm.happens());
    storm.revoke(1, 3);
    storm.link(1, "b4");
    storm.link(1, "b5");
    grow(storm, &["b4", "b5"]);
    (0..8).for_each(|_| storm.happens());
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

/// What a device shows of its one conversation: text and direction, whether it was seen, by id.
type Shows = BTreeMap<String, (Option<String>, bool)>;

fn shows(device: &Device) -> Shows {
    let messages = device.messages();
    let count = messages.len();
    let shown: Shows =
        messages.into_iter().map(|m| (m.id.to_string(), (m.text, m.outgoing))).collect();
    assert_eq!(count, shown.len(), "{}: something shows twice", device.name);
    shown
}

fn agree(storm: &Storm) {
    let seed = storm.seed;
    let sides = ["bob", "alice"].map(|contact| storm.of(contact));
    let first = shows(&storm.devices[sides[0][0]]);
    for (side, turned) in sides.iter().zip([false, true]) {
        for place in side {
            let device = &storm.devices[*place];
            let own: Shows = shows(device)
                .into_iter()
                .map(|(id, (text, outgoing))| (id, (text, outgoing != turned)))
                .collect();
            assert_eq!(own, first, "seed {seed}: {}", device.name);
        }
        settled(storm, side);
    }
    // Nothing that was written after a device was revoked came to it.
    for revoked in storm.devices.iter().filter(|device| device.revoked) {
        let later = ["b4", "b5", "a4"].iter().map(|name| revoked.has_of(name)).sum::<usize>();
        let is_last = revoked.name == "a2";
        let allowed = if is_last { revoked.has_of("b4") + revoked.has_of("b5") } else { 0 };
        assert_eq!(later, allowed, "seed {seed}: {}", revoked.name);
    }
}

/// Names, settings, drafts, what was seen and how far messages are come to be the same.
fn settled(storm: &Storm, side: &[usize]) {
    let standing = |place: &usize| {
        let device = &storm.devices[*place];
        let mut client = device.client();
        let contacts: Vec<_> =
            client.contacts().unwrap().into_iter().map(|c| (c.account, c.name)).collect();
        let messages = device.messages();
        let gaps = messages.iter().filter(|m| m.missing_before + m.lost_before > 0).count();
        let seen: BTreeMap<String, (bool, State)> = messages
            .into_iter()
            .map(|m| (m.id.to_string(), (m.shown || m.outgoing, m.state)))
            .collect();
        (contacts, client.settings().unwrap(), client.drafts().unwrap(), gaps, seen)
    };
    let end = Instant::now() + LAST;
    loop {
        let all: Vec<_> = side.iter().map(standing).collect();
        let is_over = |state: &State| matches!(state, State::Delivered | State::Read);
        let arrived = all.iter().all(|(_, _, _, gaps, seen)| {
            *gaps == 0 && seen.values().all(|(_, state)| is_over(state))
        });
        if arrived && all.iter().all(|one| *one == all[0]) {
            return;
        }
        if Instant::now() > end {
            storm.tell();
            for one in &all {
                let open: Vec<_> = one.4.iter().filter(|(_, (_, state))| !is_over(state)).collect();
                let (contacts, settings, drafts, gaps) = (&one.0, &one.1, &one.2, one.3);
                eprintln!("{contacts:?} {settings:?} {drafts:?} {gaps} gaps; on the way: {open:?}");
                let differs = one.4.iter().filter(|(id, value)| all[0].4.get(*id) != Some(value));
                eprintln!("differs: {:?}", differs.take(5).collect::<Vec<_>>());
            }
            panic!("seed {}: the devices do not agree", storm.seed);
        }
        thread::sleep(Duration::from_millis(500));
    }
}
