//! People and their devices: what a client keeps, says and believes, without the encryption.

use std::collections::{BTreeMap, BTreeSet};

use postroad_core::SessionId;
use postroad_proto::codec;
use postroad_proto::envelope::Envelope;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Accepted, Ack, Credit, Done, Frame, Hello, Notice, Push, Refused, Register, Registered, Send,
    Welcome,
};
use postroad_proto::ids::NodeId;
use postroad_proto::merkle;
use postroad_proto::receipt::{self, Receipt, ReceiptItem, ReceiptKind, ReceiptRoot, Receipts};
use postroad_proto::record::HandleRecord;
use postroad_proto::signed::Signed;

use super::checker::Fate;
use super::{Event, HOUR, MINUTE, Rule, SECOND, World};
use crate::cluster::persona::Persona;

/// Messages offered and not yet answered.
const IN_FLIGHT: usize = 100;
/// Items that a device lets come before it says more.
const CREDIT: u64 = 64;

/// A message's number, the same for everybody in the simulation.
pub type Number = u64;

pub struct Person {
    pub persona: Persona,
    pub home: usize,
    /// Whether the device wants to be connected.
    awake: bool,
    session: Option<SessionId>,
    /// Whether the home has welcomed it in this session.
    welcome: bool,
    unregistered: bool,
    handle: Option<Signed<HandleRecord>>,
    /// The home's generation, and other nodes'.
    generations: BTreeMap<NodeId, u64>,
    /// The highest receipt held of each node.
    quotes: BTreeMap<NodeId, (u64, u64, Signed<ReceiptRoot>)>,
    /// What was neither delivered nor given up.
    outgoing: BTreeMap<Number, Outgoing>,
    in_flight: BTreeSet<Number>,
    retry_due: bool,
    contacts: Vec<usize>,
    /// The last number of each conversation.
    written: BTreeMap<usize, u64>,
    unacked: Vec<u64>,
    ack_due: bool,
    /// Items that came since credit was last given.
    spent: u64,
}

/// A message that its sender keeps.
struct Outgoing {
    to: usize,
    envelope: Envelope,
    /// Whether its home has settled it; then it is not offered again without a reason.
    settled: bool,
    /// Not offered before.
    not_before: u64,
}

/// What a device does, at a time of its own.
#[derive(Debug)]
pub enum Act {
    Write(usize),
    Toggle(usize),
    Connect(usize),
    Retry(usize),
    Ack(usize, SessionId),
    /// The recipient's end-to-end receipt has come.
    Delivered(Number),
    /// The deadline and the allowance are over.
    Deadline(Number),
}

impl World {
    pub(super) fn found_people(&mut self) {
        let count = self.plan.nodes * self.plan.people_per_node;
        for number in 0..count {
            let home = number % self.plan.nodes;
            let id = self.hosts[home].id;
            let contacts =
                (0..5).map(|_| self.dice.below(count as u64) as usize).filter(|c| *c != number);
            self.people.push(Person {
                persona: Persona::new(number as u8 + 1, id, &self.network),
                home,
                awake: true,
                session: None,
                welcome: false,
                unregistered: true,
                handle: None,
                generations: BTreeMap::new(),
                quotes: BTreeMap::new(),
                outgoing: BTreeMap::new(),
                in_flight: BTreeSet::new(),
                retry_due: false,
                contacts: contacts.collect(),
                written: BTreeMap::new(),
                unacked: Vec::new(),
                ack_due: false,
                spent: 0,
            });
        }
        for person in 0..count {
            let begin = self.dice.below(MINUTE);
            self.after(begin, Event::Person(Act::Connect(person)));
            // Everybody has registered before the first message is written.
            let first = 5 * MINUTE + self.dice.gap(self.plan.pace);
            self.after(first, Event::Person(Act::Write(person)));
            let sleep = 10 * MINUTE + self.dice.gap(3 * HOUR);
            self.after(sleep, Event::Person(Act::Toggle(person)));
        }
    }

    pub(super) fn on_act(&mut self, act: Act) {
        match act {
            Act::Write(person) => self.write(person),
            Act::Toggle(person) => self.toggle(person),
            Act::Connect(person) => self.go_online(person),
            Act::Retry(person) => {
                self.people[person].retry_due = false;
                self.offer(person);
            }
            Act::Ack(person, session) => self.ack(person, session),
            Act::Delivered(number) => {
                let sender = self.checker.message(number).from;
                self.people[sender].outgoing.remove(&number);
                self.people[sender].in_flight.remove(&number);
            }
            Act::Deadline(number) => {
                let sender = self.checker.message(number).from;
                // Without any word the device marks it expired.
                if self.people[sender].outgoing.contains_key(&number) {
                    self.give_up(sender, number, Fate::Expired);
                }
            }
        }
    }

    fn write(&mut self, person: usize) {
        if self.calm {
            return;
        }
        let count = if self.dice.once_in(20) { self.dice.within(2, 40) } else { 1 };
        if let Some(to) = self.dice.pick(&self.people[person].contacts) {
            for _ in 0..count {
                self.compose(person, to);
            }
        }
        self.offer(person);
        let gap = self.dice.gap(self.plan.pace);
        self.after(gap, Event::Person(Act::Write(person)));
    }

    fn compose(&mut self, from: usize, to: usize) {
        let number = self.checker.next_number();
        let written = self.people[from].written.entry(to).or_default();
        *written += 1;
        let seq = *written;
        let life = match self.dice.below(10) {
            0 => self.dice.within(60, 1800),
            1..=4 => self.dice.within(3600, 86_400),
            _ => self.dice.within(86_400, 7 * 86_400),
        };
        let deadline = self.now / 1000 + life;
        let padding = vec![0; self.dice.below(600) as usize];
        let body = [MARK, &number.to_be_bytes(), &padding].concat();
        let envelope =
            self.people[from].persona.envelope(&self.people[to].persona, deadline, &body);
        let parcel = envelope.parcel_id(&envelope.routes[0].parcels[0], &self.network);
        self.checker.wrote(number, (from, to), seq, parcel, deadline);
        self.tally.sent += 1;
        self.note(format!("{from} writes {number} to {to}, good for {life} s"));
        let outgoing = Outgoing { to, envelope, settled: false, not_before: 0 };
        self.people[from].outgoing.insert(number, outgoing);
        self.after((life + 660) * SECOND, Event::Person(Act::Deadline(number)));
    }

    /// Hands over what waits, oldest first.
    fn offer(&mut self, person: usize) {
        let now = self.now;
        let held = &mut self.people[person];
        let Some(session) = held.session.filter(|_| held.welcome && !held.unregistered) else {
            return;
        };
        let mut due = Vec::new();
        let mut next = u64::MAX;
        // What is refused for now holds up what follows to the same person.
        let mut held_up = BTreeSet::new();
        for (number, message) in held.outgoing.iter().filter(|(_, m)| !m.settled) {
            if message.not_before > now {
                held_up.insert(message.to);
                next = next.min(message.not_before);
            } else if !held_up.contains(&message.to)
                && !held.in_flight.contains(number)
                && held.in_flight.len() + due.len() < IN_FLIGHT
            {
                due.push((*number, message.envelope.clone()));
            }
        }
        held.in_flight.extend(due.iter().map(|(number, _)| *number));
        if next != u64::MAX && !held.retry_due {
            held.retry_due = true;
            self.at(next, Event::Person(Act::Retry(person)));
        }
        for (number, envelope) in due {
            self.about(number, || "offered".into());
            if self.forge_acceptance(person, session, &envelope) {
                return;
            }
            self.tell_node(session, Send { number, envelope });
        }
    }

    fn toggle(&mut self, person: usize) {
        if self.calm {
            return;
        }
        let held = &mut self.people[person];
        held.awake = !held.awake;
        if held.awake {
            self.go_online(person);
            let gap = MINUTE + self.dice.gap(2 * HOUR);
            self.after(gap, Event::Person(Act::Toggle(person)));
        } else {
            self.go_offline(person);
            let gap = MINUTE + self.dice.gap(90 * MINUTE);
            self.after(gap, Event::Person(Act::Toggle(person)));
        }
    }

    pub(super) fn wake_everybody(&mut self) {
        for person in 0..self.people.len() {
            self.people[person].awake = true;
            self.go_online(person);
        }
    }

    fn go_online(&mut self, person: usize) {
        if !self.people[person].awake || self.people[person].session.is_some() {
            return;
        }
        let Some(session) = self.dial_home(person) else {
            let wait = self.dice.within(5 * SECOND, MINUTE);
            return self.after(wait, Event::Person(Act::Connect(person)));
        };
        let held = &mut self.people[person];
        held.session = Some(session);
        held.welcome = false;
        held.in_flight.clear();
        held.unacked.clear();
        held.ack_due = false;
        let account = (!held.unregistered).then(|| held.persona.account());
        let hello = Hello {
            versions: (1, 1),
            account,
            device: u8::from(account.is_some()),
            devices: None,
            cursor: 0,
            quoted: held.quotes.values().take(64).map(|(_, _, root)| root.clone()).collect(),
        };
        self.tell_node(session, hello);
    }

    pub(super) fn go_offline(&mut self, person: usize) {
        if let Some(session) = self.people[person].session.take() {
            self.part(session);
        }
    }

    /// The node is gone, or has hung up.
    pub(super) fn lost_home(&mut self, person: usize, session: SessionId) {
        if self.people[person].session == Some(session) {
            self.people[person].session = None;
            let wait = self.dice.within(SECOND, 30 * SECOND);
            self.after(wait, Event::Person(Act::Connect(person)));
        }
    }

    pub(super) fn hear(&mut self, person: usize, session: SessionId, frame: Frame) {
        if self.people[person].session != Some(session) {
            return;
        }
        match frame {
            Frame::Welcome(welcome) => self.on_welcome(person, session, &welcome),
            Frame::Done(done) => self.on_done(person, &done),
            Frame::Accepted(accepted) => self.on_accepted(person, &accepted),
            Frame::Refused(refused) => self.on_refused(person, &refused),
            Frame::Push(push) => self.on_push(person, session, &push),
            Frame::Notice(notice) => self.on_notice(person, session, &notice),
            other => self.fail(&format!("a device is told {}", other.name())),
        }
    }

    fn on_welcome(&mut self, person: usize, session: SessionId, welcome: &Welcome) {
        let node = self.hosts[self.people[person].home].id;
        let held = &mut self.people[person];
        held.welcome = true;
        held.spent = 0;
        let known = held.generations.insert(node, welcome.generation);
        if held.unregistered {
            let register = Register {
                request: REGISTER,
                invite: None,
                handle: Some(held.persona.name.parse().unwrap()),
                record: held.persona.record(1),
                devices: held.persona.list(),
                proof: held.handle.clone(),
            };
            return self.tell_node(session, register);
        }
        if known.is_some_and(|known| known < welcome.generation) {
            self.note(format!("{person} meets generation {}", welcome.generation));
            self.tally.see("new generations met");
            self.give_all_again(person, session);
        }
        self.tell_node(session, Credit { messages: CREDIT, bytes: 1 << 20 });
        self.offer(person);
    }

    /// Tokens, and all that is not delivered.
    fn give_all_again(&mut self, person: usize, session: SessionId) {
        let everybody: Vec<_> = self.people.iter().map(|p| p.persona.account()).collect();
        let tokens = self.people[person].persona.tokens_put(&everybody);
        self.tell_node(session, tokens);
        let all = self.people[person].persona.tokens_put(&[]);
        self.tell_node(session, all);
        self.offer_again(person, None);
    }

    /// Offers again what is not delivered, to people on `node` or to all.
    fn offer_again(&mut self, person: usize, node: Option<NodeId>) {
        let homes: Vec<NodeId> = self.people.iter().map(|p| self.hosts[p.home].id).collect();
        let mut again = Vec::new();
        for (number, message) in &mut self.people[person].outgoing {
            if node.is_none_or(|node| homes[message.to] == node) {
                message.settled = false;
                again.push(*number);
            }
        }
        for number in again {
            self.checker.disordered(number);
        }
        self.offer(person);
    }

    fn on_done(&mut self, person: usize, done: &Done) {
        match (done.request, done.code) {
            (REGISTER, None) => {
                let bytes = done.result.as_ref().expect("a result");
                let registered: Registered = codec::decode(bytes, 4096).unwrap();
                let held = &mut self.people[person];
                held.unregistered = false;
                held.handle = registered.handle;
                let session = held.session.expect("it is connected");
                self.give_all_again(person, session);
                self.tell_node(session, Credit { messages: CREDIT, bytes: 1 << 20 });
                self.offer(person);
            }
            // The disk is full: the next connection tries again.
            (_, Some(ErrorCode::NoSpace)) => self.start_over(person),
            (REGISTER, Some(code)) => {
                self.fail(&format!("{person} cannot register: {code}, {}", done.detail));
            }
            (0, Some(ErrorCode::Denied)) => {
                let home = self.people[person].home;
                if !self.hosts[home].rolled_back {
                    self.fail(&format!("{person} is not known at home: {}", done.detail));
                }
                self.tally.see("lost registrations");
                self.people[person].unregistered = true;
            }
            (0, Some(ErrorCode::Busy)) => {}
            (_, None) => {}
            (request, Some(code)) => {
                let text = format!("{person}'s request {request}: {code}, {}", done.detail);
                self.fail(&text);
            }
        }
    }

    fn start_over(&mut self, person: usize) {
        // What was to be given is given again as after a registration.
        self.people[person].unregistered = true;
        self.go_offline(person);
        self.after(MINUTE, Event::Person(Act::Connect(person)));
    }

    fn on_accepted(&mut self, person: usize, accepted: &Accepted) {
        let home = self.hosts[self.people[person].home].id;
        let Some(root) = self.check_root(&accepted.root, home) else { return };
        let receipts = receipt::split(&accepted.items, &accepted.path, &accepted.root).unwrap();
        for receipt in receipts {
            if self.climbs(&receipt, &root) {
                self.believe(person, &receipt.item, &root);
            }
        }
        self.quote(person, root, &accepted.root);
        for number in &accepted.numbers {
            self.people[person].in_flight.remove(number);
        }
        self.offer(person);
    }

    /// The root, if `node` signed it.
    fn check_root(&mut self, root: &Signed<ReceiptRoot>, node: NodeId) -> Option<ReceiptRoot> {
        if self.plan.rule == Rule::ReceiptsUncheckedByDevices {
            return codec::decode(&root.payload, 1024).ok();
        }
        let opened = root.open(&self.network).ok().filter(|root| root.node == node);
        if opened.is_none() {
            self.tally.see("forged receipts noticed by devices");
        }
        opened
    }

    fn climbs(&self, receipt: &Receipt, root: &ReceiptRoot) -> bool {
        let leaf = receipt.item.leaf().unwrap();
        merkle::climb(leaf, &receipt.path) == root.merkle_root
            || self.plan.rule == Rule::ReceiptsUncheckedByDevices
    }

    /// A receipt whose signature holds.
    fn believe(&mut self, person: usize, item: &ReceiptItem, root: &ReceiptRoot) {
        let Some(number) = self.checker.by_parcel(&item.parcel) else { return };
        let node = self.index_of(&root.node).expect("a node of the network");
        let to = self.checker.message(number).to;
        let theirs = self.people[to].home;
        match ReceiptKind::from_number(item.kind) {
            Some(ReceiptKind::Accepted) if node == self.people[person].home => {}
            Some(ReceiptKind::AtNode) if node == theirs => {}
            Some(ReceiptKind::Expired) => {
                self.check_expired(number, node, root.at);
                return self.give_up(person, number, Fate::Expired);
            }
            _ => self.fail(&format!("a receipt for {number} that node {node} may not give")),
        }
        let generation = root.generation;
        self.about(number, || {
            format!(
                "its sender believes kind {} of node {node}, generation {generation}",
                item.kind
            )
        });
        self.check_custody_believed(number, node);
        // What a node had in an earlier generation it may have lost.
        let known = self.people[person].generations.get(&root.node).copied().unwrap_or(0);
        if generation < known {
            return;
        }
        if let Some(message) = self.people[person].outgoing.get_mut(&number) {
            message.settled = true;
        }
    }

    fn quote(&mut self, person: usize, root: ReceiptRoot, signed: &Signed<ReceiptRoot>) {
        let quotes = &mut self.people[person].quotes;
        let held = quotes.get(&root.node).map_or((0, 0), |(g, c, _)| (*g, *c));
        if (root.generation, root.commit) > held {
            quotes.insert(root.node, (root.generation, root.commit, signed.clone()));
        }
    }

    fn give_up(&mut self, person: usize, number: Number, fate: Fate) {
        let held = &mut self.people[person];
        held.in_flight.remove(&number);
        self.checker.told(number, fate);
        if held.outgoing.remove(&number).is_some() {
            self.note(format!("{person} gives up {number}: {fate:?}"));
        }
    }

    fn on_refused(&mut self, person: usize, refused: &Refused) {
        let number = refused.number;
        self.about(number, || format!("refused: {} {}", refused.code, refused.detail));
        self.checker.disordered(number);
        let held = &mut self.people[person];
        held.in_flight.remove(&number);
        if refused.retriable {
            let wait = refused.retry_after.max(1) * SECOND;
            let not_before = self.now + wait;
            if let Some(message) = held.outgoing.get_mut(&number) {
                message.not_before = not_before;
            }
            self.tally.see(refused.code.name());
            return self.offer(person);
        }
        self.note(format!("{number} is refused: {}", refused.detail));
        self.settled_refusal(person, number, refused.code);
    }

    fn settled_refusal(&mut self, person: usize, number: Number, code: ErrorCode) {
        self.check_refusal(number, code);
        let fate = if code == ErrorCode::Expired { Fate::Expired } else { Fate::Failed };
        self.give_up(person, number, fate);
    }

    fn on_push(&mut self, person: usize, session: SessionId, push: &Push) {
        let Some(number) = number_in(&push.body) else {
            self.fail("a body that nobody wrote");
        };
        let message = self.checker.message(number);
        if message.to != person || message.deadline != push.attributes.deadline {
            self.fail(&format!("{person} gets {number}, which is not for them"));
        }
        let first = self.show(person, number);
        if first {
            let wait = self.dice.within(SECOND, 10 * MINUTE);
            self.after(wait, Event::Person(Act::Delivered(number)));
        }
        self.took(person, session, push.seq);
    }

    fn on_notice(&mut self, person: usize, session: SessionId, notice: &Notice) {
        for receipt in notice.receipts.clone().into_iter().flat_map(Receipts::split) {
            if let Ok(said) = codec::decode::<ReceiptRoot>(&receipt.root.payload, 1024)
                && let Some(root) = self.check_root(&receipt.root, said.node)
                && self.climbs(&receipt, &root)
            {
                self.believe(person, &receipt.item, &root);
                self.quote(person, root, &receipt.root);
            }
        }
        if let Some(late) = &notice.refused
            && let Some(number) = self.checker.by_parcel(&late.parcel)
        {
            self.note(format!("{number} is refused late: {} {}", late.code, late.detail));
            self.checker.disordered(number);
            self.settled_refusal(person, number, late.code);
        }
        if let Some((node, generation)) = notice.generation {
            let known = self.people[person].generations.insert(node, generation);
            if known.is_none_or(|known| known < generation) {
                self.tally.see("generations told of");
                self.offer_again(person, Some(node));
            }
        }
        if notice.seq != 0 {
            self.took(person, session, notice.seq);
        }
    }

    /// An item is in the database; it is acked in time, late, or not at all.
    fn took(&mut self, person: usize, session: SessionId, seq: u64) {
        let mood = self.dice.below(100);
        if mood == 0 {
            // The app is killed before it acks, and comes back.
            self.tally.see("devices killed before the ack");
            self.go_offline(person);
            let wait = self.dice.within(SECOND, MINUTE);
            return self.after(wait, Event::Person(Act::Connect(person)));
        }
        let held = &mut self.people[person];
        held.unacked.push(seq);
        held.spent += 1;
        if !held.ack_due {
            held.ack_due = true;
            let wait =
                if mood < 10 { self.dice.gap(10 * MINUTE) } else { self.dice.below(2 * SECOND) };
            self.after(wait, Event::Person(Act::Ack(person, session)));
        }
    }

    fn ack(&mut self, person: usize, session: SessionId) {
        let node = self.hosts[self.people[person].home].id;
        let held = &mut self.people[person];
        if held.session != Some(session) {
            return;
        }
        held.ack_due = false;
        let mut seqs = core::mem::take(&mut held.unacked);
        seqs.sort_unstable();
        seqs.dedup();
        let generation = held.generations.get(&node).copied().unwrap_or(1);
        let messages = core::mem::take(&mut held.spent);
        for some in seqs.chunks(200) {
            let ranges = some.iter().map(|seq| (*seq, *seq)).collect();
            self.tell_node(session, Ack { generation, ranges });
        }
        self.tell_node(session, Credit { messages, bytes: messages * (16 << 10) });
    }
}

const REGISTER: u64 = 1;

/// Stands before the number in every body.
const MARK: &[u8] = b"message number:";

pub fn number_in(body: &[u8]) -> Option<Number> {
    let rest = body.strip_prefix(MARK)?;
    Some(u64::from_be_bytes(*rest.first_chunk()?))
}
