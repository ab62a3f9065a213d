//! Random lives of a node under kills, power loss, failing syncs and a full disk. After every few
//! steps: whatever a sender was told is accepted is stored, delivered or expired, and nothing is
//! shown twice. A failure prints its seed; `SIM_SEED` and `SIM_STEPS` repeat or lengthen a run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use std::collections::{BTreeMap, BTreeSet};

use cluster::persona::Persona;
use cluster::{Broken, Cluster};
use postroad_core::changes::{MailView, MailboxId};
use postroad_core::{Config, SessionId};
use postroad_proto::envelope::Envelope;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Ack, Frame, Push};
use postroad_proto::receipt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const PEOPLE: u8 = 4;

/// A client that keeps its database through everything.
struct Client {
    persona: Persona,
    session: Option<SessionId>,
    /// Offered again until settled.
    unsettled: BTreeMap<u64, Envelope>,
    /// Messages in its database.
    shown: BTreeSet<u64>,
    unacked: Vec<u64>,
    /// Broken on purpose: shows whatever arrives.
    forgetful: bool,
}

struct World {
    seed: u64,
    rng: ChaCha8Rng,
    node: Cluster,
    clients: Vec<Client>,
    next_message: u64,
    /// Message to recipient and deadline, once the sender holds a receipt.
    accepted: BTreeMap<u64, (usize, u64)>,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64, broken: Broken, forgetful: bool) -> Self {
        let config = Config { mailbox_messages: 400, ..Config::default() };
        let mut node = Cluster::with(config);
        let clients: Vec<Client> = (1..=PEOPLE)
            .map(|number| Client {
                persona: Persona::new(number, node.node(), node.network()),
                session: None,
                unsettled: BTreeMap::new(),
                shown: BTreeSet::new(),
                unacked: Vec::new(),
                forgetful,
            })
            .collect();
        let accounts: Vec<_> = clients.iter().map(|c| c.persona.account()).collect();
        for client in &clients {
            let session = node.join(&client.persona);
            node.say(session, client.persona.tokens_put(&accounts));
            node.turn();
            node.disconnect(session);
        }
        node.told.clear();
        node.house.broken = broken;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { seed, rng, node, clients, next_message: 1, accepted: BTreeMap::new(), log: vec![] }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.rng.next_u64() % limit
    }

    fn someone(&mut self) -> usize {
        self.below(u64::from(PEOPLE)) as usize
    }

    fn step(&mut self) {
        let who = self.someone();
        match self.below(100) {
            0..=34 => self.send(who),
            35..=49 => self.resend(who),
            50..=64 => self.receive(who),
            65..=74 => self.ack(who),
            75..=82 => self.toggle(who),
            83..=85 => self.pass_time(),
            86..=91 => self.node.maintain(),
            92 => self.crash(true),
            93..=94 => self.crash(false),
            95 => {
                self.note("the next sync fails");
                self.node.files().fail_next_sync(1);
            }
            96 => {
                let capacity = (2 + self.below(6)) << 20;
                self.note(&format!("the disk holds {capacity}"));
                self.node.files().set_capacity(Some(capacity));
            }
            _ => {
                self.node.files().set_capacity(None);
            }
        }
        self.node.turn();
        self.listen();
        if !self.node.is_running() {
            self.crash(true);
        }
    }

    fn note(&mut self, text: &str) {
        self.log.push(text.to_owned());
    }

    fn send(&mut self, who: usize) {
        let to = self.someone();
        if to == who {
            return;
        }
        let number = self.next_message;
        self.next_message += 1;
        let deadline = self.node.seconds() + 60 + self.below(86_400);
        let padding = vec![0; self.below(3000) as usize];
        let body = [MARK, &number.to_be_bytes(), &padding].concat();
        let (from, recipient) = (&self.clients[who].persona, &self.clients[to].persona);
        let envelope = from.envelope(recipient, deadline, &body);
        self.note(&format!("{who} sends {number} to {to}"));
        self.clients[who].unsettled.insert(number, envelope.clone());
        if let Some(session) = self.clients[who].session {
            self.node.send(session, number, envelope);
        }
    }

    fn resend(&mut self, who: usize) {
        let Some(session) = self.clients[who].session else { return };
        for (number, envelope) in self.clients[who].unsettled.clone() {
            self.node.send(session, number, envelope);
        }
    }

    fn receive(&mut self, who: usize) {
        let Some(session) = self.clients[who].session else { return };
        let messages = 1 + self.below(40);
        self.node.credit(session, messages, 1 << 20);
    }

    fn ack(&mut self, who: usize) {
        let Some(session) = self.clients[who].session else { return };
        let mut seqs = std::mem::take(&mut self.clients[who].unacked);
        seqs.sort_unstable();
        seqs.dedup();
        let ranges: Vec<_> = seqs.iter().take(200).map(|seq| (*seq, *seq)).collect();
        self.node.say(session, Ack { generation: 1, ranges });
    }

    fn toggle(&mut self, who: usize) {
        match self.clients[who].session.take() {
            Some(session) => self.node.disconnect(session),
            None => self.connect(who),
        }
    }

    fn connect(&mut self, who: usize) {
        let persona = self.clients[who].persona.clone();
        self.clients[who].unacked.clear();
        self.clients[who].session = Some(self.node.connect(&persona, 1));
    }

    fn pass_time(&mut self) {
        let seconds = 1 + self.below(600);
        self.node.wait(seconds);
    }

    fn crash(&mut self, power: bool) {
        let seed = self.rng.next_u64();
        self.note(if power { "power loss" } else { "kill" });
        for client in &mut self.clients {
            client.session = None;
        }
        if power {
            self.node.power_loss(seed)
        } else {
            self.node.kill()
        }
        // Whoever starts a node again mends or empties its disk first.
        self.node.files().fail_next_sync(0);
        self.node.files().set_capacity(None);
        self.node.start();
        self.node.told.clear();
    }

    /// Lets every client take what it was told.
    fn listen(&mut self) {
        for who in 0..self.clients.len() {
            let Some(session) = self.clients[who].session else { continue };
            for frame in self.node.heard(session) {
                self.hear(who, frame);
            }
        }
    }

    fn hear(&mut self, who: usize, frame: Frame) {
        match frame {
            Frame::Accepted(accepted) => {
                let receipts =
                    receipt::split(&accepted.items, &accepted.path, &accepted.root).unwrap();
                for receipt in receipts {
                    receipt.verify(self.node.network()).expect("receipts hold");
                }
                for number in accepted.numbers {
                    self.settle(who, number);
                }
            }
            Frame::Refused(refused) => match refused.code {
                ErrorCode::NoSpace | ErrorCode::Quota | ErrorCode::Rate => {}
                ErrorCode::Expired => {
                    self.clients[who].unsettled.remove(&refused.number);
                }
                code => self.fail(&format!("{} was refused with {code}", refused.number)),
            },
            Frame::Push(push) => self.show(who, &push),
            Frame::Notice(notice) => self.clients[who].unacked.push(notice.seq),
            Frame::Done(done) if done.code.is_some() => {
                self.clients[who].session = None;
            }
            _ => {}
        }
    }

    fn settle(&mut self, who: usize, number: u64) {
        let Some(envelope) = self.clients[who].unsettled.remove(&number) else { return };
        let account = envelope.routes[0].parcels[0].account;
        let to = self.clients.iter().position(|c| c.persona.account() == account).unwrap();
        self.accepted.insert(number, (to, envelope.deadline));
    }

    fn show(&mut self, who: usize, push: &Push) {
        let number = number_in(&push.body).expect("one of our bodies");
        let client = &mut self.clients[who];
        client.unacked.push(push.seq);
        let new = client.shown.insert(number);
        if !new && client.forgetful {
            self.fail(&format!("{number} was shown twice"));
        }
    }

    /// Accepted = stored + delivered + expired.
    fn check(&mut self) {
        let stored: Vec<BTreeSet<u64>> =
            (0..self.clients.len()).map(|who| self.stored(who)).collect();
        let seconds = self.node.seconds();
        let lost: Vec<u64> = self
            .accepted
            .iter()
            .filter(|(number, (to, deadline))| {
                !stored[*to].contains(number)
                    && !self.clients[*to].shown.contains(number)
                    && deadline + self.node.house.config.expiry_grace > seconds
            })
            .map(|(number, _)| *number)
            .collect();
        if !lost.is_empty() {
            self.fail(&format!("accepted and lost: {lost:?}"));
        }
    }

    fn stored(&mut self, who: usize) -> BTreeSet<u64> {
        let mailbox = MailboxId { account: self.clients[who].persona.account(), device: 1 };
        let items = self.node.store().items(&mailbox, 0, usize::MAX, usize::MAX).unwrap();
        items.iter().flat_map(|item| number_in(&item.shared)).collect()
    }

    fn fail(&self, text: &str) -> ! {
        let tail = &self.log[self.log.len().saturating_sub(20)..];
        panic!("seed {}: {text}\nlast steps:\n  {}", self.seed, tail.join("\n  "));
    }

    /// Everybody comes back, everything goes out.
    fn finish(&mut self) {
        self.crash(true);
        for who in 0..self.clients.len() {
            self.connect(who);
            self.resend(who);
            self.node.turn();
            self.listen();
        }
        for _ in 0..40 {
            for who in 0..self.clients.len() {
                self.receive(who);
                self.listen();
                self.ack(who);
                self.node.turn();
            }
        }
        self.check();
        for who in 0..self.clients.len() {
            let left = self.stored(who);
            if !left.is_empty() {
                self.fail(&format!("{who} was never given {left:?}"));
            }
        }
    }
}

/// Stands before the number in every body, so that it is found in stored parts as well.
const MARK: &[u8] = b"message number:";

fn number_in(bytes: &[u8]) -> Option<u64> {
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn run(seed: u64, steps: u64, broken: Broken, forgetful: bool) {
    println!("seed {seed}, {steps} steps");
    let mut world = World::new(seed, broken, forgetful);
    for step in 0..steps {
        world.step();
        if step % 16 == 0 {
            world.check();
        }
    }
    world.finish();
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn accepted_is_stored_delivered_or_expired() {
    let steps = setting("SIM_STEPS").unwrap_or(1500);
    match setting("SIM_SEED") {
        Some(seed) => run(seed, steps, Broken::Nothing, false),
        None => (1..=12).for_each(|seed| run(seed, steps, Broken::Nothing, false)),
    }
}

/// A check that nothing can fail proves nothing: each broken rule is found.
fn is_found(broken: Broken, forgetful: bool) -> bool {
    (1..=20)
        .any(|seed| std::panic::catch_unwind(move || run(seed, 600, broken, forgetful)).is_err())
}

#[test]
fn answering_before_the_commit_is_found() {
    assert!(is_found(Broken::AnswerBeforeCommit, false));
}

#[test]
fn going_on_after_a_failed_sync_is_found() {
    assert!(is_found(Broken::IgnoreFaults, false));
}

#[test]
fn showing_repeats_is_found() {
    assert!(is_found(Broken::Nothing, true));
}
