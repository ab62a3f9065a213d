//! What must always hold, looked at in every step.
//!
//! The checker knows every message ever written, and what each node has made durable: it follows
//! the commits, and compares at every start.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use postroad_core::changes::{Changes, MailboxId, Recovered};
use postroad_core::roads::Verdict;
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{BatchReply, LateRefusal};
use postroad_proto::ids::{NodeId, ParcelId};
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::receipt::{Receipt, ReceiptKind};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::people::Number;
use super::{Rule, World};

/// Seconds for which mail is kept beyond its deadline.
const GRACE: u64 = 600;

/// What a sender's device was told in the end, or told itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Expired,
    Failed,
}

pub struct Message {
    pub from: usize,
    pub to: usize,
    /// Its place in the conversation, from 1.
    seq: u64,
    pub parcel: ParcelId,
    /// Seconds since the Unix epoch.
    pub deadline: u64,
    /// The nodes that ever had it durably, as bits.
    ever: u64,
    /// Whether it is in the recipient's database.
    shown: bool,
    fate: Option<Fate>,
    /// Whether its sender's home keeps word for the sender's device that it was refused.
    word: bool,
}

/// What one person writes to another.
#[derive(Default)]
struct Conversation {
    numbers: Vec<Number>,
    /// Places of which the latest was shown.
    shown: usize,
    /// Messages before this place may be overtaken: something of them was refused or lost.
    loose: usize,
}

/// The mail that one node has durably, by mailbox and number; and its bytes.
type Mirror = BTreeMap<MailboxId, BTreeMap<u64, (Number, u64)>>;

/// What a node writes down for a device beside mail, as the core encodes it.
#[derive(Deserialize)]
struct Kept {
    _mail: Option<IgnoredAny>,
    receipt: Option<Receipt>,
    refused: Option<LateRefusal>,
}

#[derive(Default)]
pub struct Checker {
    messages: Vec<Message>,
    parcels: BTreeMap<ParcelId, Number>,
    conversations: BTreeMap<(usize, usize), Conversation>,
    mirrors: BTreeMap<usize, Mirror>,
    /// Nodes whose disk has just been replaced by an earlier copy.
    replaced: BTreeSet<usize>,
    forged: BTreeSet<[u8; 32]>,
}

impl Checker {
    pub fn next_number(&self) -> Number {
        self.messages.len() as u64
    }

    pub fn message(&self, number: Number) -> &Message {
        &self.messages[number as usize]
    }

    fn message_mut(&mut self, number: Number) -> &mut Message {
        &mut self.messages[number as usize]
    }

    pub fn by_parcel(&self, parcel: &ParcelId) -> Option<Number> {
        self.parcels.get(parcel).copied()
    }

    pub fn wrote(
        &mut self,
        number: Number,
        (from, to): (usize, usize),
        seq: u64,
        parcel: ParcelId,
        deadline: u64,
    ) {
        let (ever, shown, fate, word) = (0, false, None, false);
        self.messages.push(Message { from, to, seq, parcel, deadline, ever, shown, fate, word });
        self.parcels.insert(parcel, number);
        self.conversations.entry((from, to)).or_default().numbers.push(number);
    }

    pub fn told(&mut self, number: Number, fate: Fate) {
        self.message_mut(number).fate.get_or_insert(fate);
    }

    /// From here on what was written up to now in this message's conversation may come in any
    /// order.
    pub fn disordered(&mut self, number: Number) {
        let Message { from, to, .. } = *self.message(number);
        if let Some(held) = self.conversations.get_mut(&(from, to)) {
            held.loose = held.numbers.len();
        }
    }

    pub fn forged(&mut self, record: &Bytes) {
        self.forged.insert(*blake3::hash(record).as_bytes());
    }

    pub fn replaced(&mut self, node: usize) {
        self.replaced.insert(node);
    }
}

impl World {
    /// A node made something durable.
    pub(super) fn check_commit(&mut self, node: usize, changes: &Changes) {
        for mail in &changes.mail {
            for item in &mail.items {
                let Some(number) = self.checker.by_parcel(&item.id) else { continue };
                self.checker.message_mut(number).ever |= 1 << node;
                let (device, seq) = (item.mailbox.device, item.seq);
                self.about(number, || {
                    format!("kept by node {node} for device {device}, item {seq}")
                });
                let mirror = self.checker.mirrors.entry(node).or_default();
                let bytes = (mail.shared.len() + item.own.len()) as u64;
                mirror.entry(item.mailbox).or_default().insert(item.seq, (number, bytes));
                self.check_quota(node, item.mailbox);
            }
        }
        for ack in &changes.acks {
            let mut gone = Vec::new();
            let mirror = self.checker.mirrors.entry(node).or_default();
            let Some(held) = mirror.get_mut(&ack.mailbox) else { continue };
            for (first, last) in &ack.ranges {
                gone.extend(held.range(*first..=*last).map(|(seq, (number, _))| (*seq, *number)));
            }
            for (seq, _) in &gone {
                held.remove(seq);
            }
            for (_, number) in gone {
                self.check_removed(node, ack.mailbox, number, changes);
            }
        }
    }

    fn check_quota(&self, node: usize, mailbox: MailboxId) {
        if mailbox.destination().is_some() {
            return;
        }
        let held = &self.checker.mirrors[&node][&mailbox];
        let config = &self.hosts[node].house.config;
        let bytes: u64 = held.values().map(|(_, bytes)| bytes).sum();
        if held.len() as u64 > config.mailbox_messages || bytes > config.mailbox_bytes {
            let count = held.len();
            self.fail(&format!("a mailbox at node {node} holds {count} messages, {bytes} bytes"));
        }
    }

    /// Nothing is deleted before the next custodian has it durably, or its time is over.
    fn check_removed(
        &mut self,
        node: usize,
        mailbox: MailboxId,
        number: Number,
        changes: &Changes,
    ) {
        self.about(number, || format!("let go by node {node} for device {}", mailbox.device));
        let message = self.checker.message(number);
        if self.local(node) / 1000 >= message.deadline + GRACE {
            return;
        }
        let next = match mailbox.destination() {
            Some(next) => self.index_of(&next).is_some_and(|next| message.ever & (1 << next) != 0),
            None => message.shown,
        };
        if next || message.word {
            return;
        }
        if self.tells_sender(message, changes) {
            self.checker.message_mut(number).word = true;
            return;
        }
        let what = if mailbox.device == 0 { "an outbox" } else { "a mailbox" };
        self.fail(&format!("{number} leaves {what} of node {node}, and nobody has it"));
    }

    /// Whether a commit gives the sender's device word that a message came to nothing.
    fn tells_sender(&self, message: &Message, changes: &Changes) -> bool {
        let account = self.people[message.from].persona.account();
        changes.mail.iter().any(|mail| {
            mail.items.iter().any(|item| item.mailbox.account == account)
                && codec::decode::<Kept>(&mail.shared, MAX_FRAME).is_ok_and(|kept| {
                    let expired = ReceiptKind::Expired.number();
                    let ended = kept.receipt.map(|r| r.item).filter(|item| item.kind == expired);
                    kept.refused.is_some_and(|refused| refused.parcel == message.parcel)
                        || ended.is_some_and(|item| item.parcel == message.parcel)
                })
        })
    }

    /// A node starts: what it had durably must be there, unless its disk was replaced.
    pub(super) fn check_recovered(&mut self, node: usize, recovered: &Recovered) {
        // A commit that failed may have reached the disk all the same.
        if let Some(torn) = self.hosts[node].torn.take()
            && torn.commit == recovered.commit
        {
            self.check_commit(node, &torn);
        }
        let mut mirror = Mirror::new();
        for item in &recovered.mail {
            let Some(number) = self.checker.by_parcel(&item.id) else { continue };
            self.checker.message_mut(number).ever |= 1 << node;
            let bytes = u64::from(item.bytes);
            mirror.entry(item.mailbox).or_default().insert(item.seq, (number, bytes));
        }
        let before = self.checker.mirrors.remove(&node).unwrap_or_default();
        let replaced = self.checker.replaced.remove(&node);
        for (mailbox, items) in &before {
            for (seq, (number, _)) in items {
                let there = mirror.get(mailbox).is_some_and(|held| held.contains_key(seq));
                if !there && !replaced {
                    self.fail(&format!("node {node} lost {number}, which it had durably"));
                }
            }
        }
        self.checker.mirrors.insert(node, mirror);
        if replaced {
            self.loosen(node);
            for message in &mut self.checker.messages {
                message.word &= self.people[message.from].home != node;
            }
        }
    }

    /// Whatever was written up to now and may be at this node may come in any order.
    pub(super) fn loosen(&mut self, node: usize) {
        for ((from, to), held) in &mut self.checker.conversations {
            if self.people[*from].home == node || self.people[*to].home == node {
                held.loose = held.numbers.len();
            }
        }
    }

    /// A device believes that a node has custody.
    pub(super) fn check_custody_believed(&self, number: Number, node: usize) {
        if self.checker.message(number).ever & (1 << node) == 0 {
            self.fail(&format!("{number} is believed to be at node {node}, which never had it"));
        }
    }

    pub(super) fn check_expired(&self, number: Number, node: usize, at: u64) {
        if at / 1000 < self.checker.message(number).deadline {
            self.fail(&format!("node {node} says before its time that {number} is expired"));
        }
    }

    /// A refusal ends an attempt for good.
    pub(super) fn check_refusal(&mut self, number: Number, code: ErrorCode) {
        let message = self.checker.message(number);
        let homes = [self.people[message.from].home, self.people[message.to].home];
        let excused = match code {
            ErrorCode::Expired => {
                self.now / 1000 + GRACE >= message.deadline
                    || homes.iter().any(|home| self.hosts[*home].skewed)
            }
            ErrorCode::Denied => self.hosts[homes[1]].rolled_back,
            _ => false,
        };
        if !excused {
            self.fail(&format!("{number} is refused for good: {code}"));
        }
        self.tally.see("refusals for good");
        if code != ErrorCode::Expired {
            self.tally.failed += 1;
        }
    }

    /// A message is in its recipient's database. Whether it is new there.
    pub(super) fn show(&mut self, person: usize, number: Number) -> bool {
        let (from, to, seq) = {
            let message = self.checker.message(number);
            (message.from, message.to, message.seq as usize)
        };
        if core::mem::replace(&mut self.checker.message_mut(number).shown, true) {
            self.tally.repeats += 1;
            if self.plan.rule == Rule::NoDedupe {
                self.fail(&format!("{person} sees {number} twice"));
            }
            return false;
        }
        self.tally.delivered += 1;
        self.about(number, || "shown".into());
        let seconds = self.now / 1000;
        let held = &self.checker.conversations[&(from, to)];
        let skipped = held.numbers.get(held.shown..seq - 1).unwrap_or_default();
        let overtaken = skipped.iter().enumerate().find(|(index, number)| {
            let message = self.checker.message(**number);
            let loose = held.shown + index < held.loose;
            !loose && message.fate.is_none() && message.deadline > seconds && !message.shown
        });
        if let Some((_, overtaken)) = overtaken {
            self.fail(&format!("{number} from {from} to {to} overtakes {overtaken}"));
        }
        if let Some(held) = self.checker.conversations.get_mut(&(from, to)) {
            held.shown = held.shown.max(seq);
        }
        true
    }

    /// A node answers a batch. What it refuses for good is overtaken by what follows; what it
    /// refuses for now is not.
    pub(super) fn watch_reply(&mut self, from: usize, to: usize, reply: &BatchReply) {
        for refused in &reply.refused {
            let (number, place, code) = (reply.number, refused.envelope, refused.code);
            self.note(format!("{from} refuses {to} envelope {place} of batch {number}: {code}"));
            self.tally.see(refused.code.name());
        }
        if reply.refused.iter().all(|refused| refused.retriable) {
            return;
        }
        for ((sender, recipient), held) in &mut self.checker.conversations {
            if self.people[*sender].home == to && self.people[*recipient].home == from {
                held.loose = held.numbers.len();
            }
        }
    }

    /// Nobody takes a forged record, and nobody is blamed for a true one.
    pub(super) fn check_verdict(
        &mut self,
        node: usize,
        from: usize,
        record: &Bytes,
        verdict: Verdict,
    ) {
        let forged = self.checker.forged.contains(blake3::hash(record).as_bytes());
        match (forged, verdict) {
            (true, Verdict::Accept) => self.fail(&format!("node {node} takes a forged record")),
            (true, _) => self.tally.see("forged records noticed"),
            (false, Verdict::Reject) => {
                self.fail(&format!("node {node} blames node {from} for a record that is true"));
            }
            (false, Verdict::Accept) => self.tally.see("records taken"),
            (false, Verdict::Ignore) => {}
        }
    }

    /// Everything has healed and had its time.
    pub(super) fn check_end(&mut self) {
        for number in 0..self.checker.next_number() {
            self.check_fate(number);
        }
        for (node, mirror) in &self.checker.mirrors {
            if let Some((mailbox, held)) = mirror.iter().find(|(_, held)| !held.is_empty()) {
                let numbers: Vec<_> = held.values().map(|(number, _)| *number).take(10).collect();
                let device = mailbox.device;
                self.fail(&format!("node {node} still holds {numbers:?} for device {device}"));
            }
        }
        self.check_tables();
    }

    /// A message was shown, or its sender knows why not.
    fn check_fate(&mut self, number: Number) {
        let message = self.checker.message(number);
        if message.shown {
            return;
        }
        let homes = [self.people[message.from].home, self.people[message.to].home];
        let over = message.deadline <= self.now / 1000
            || homes.iter().any(|home| self.hosts[*home].skewed);
        match message.fate {
            Some(Fate::Expired) if over => self.tally.expired += 1,
            Some(Fate::Failed) => {}
            fate => {
                let (from, to, ever) = (message.from, message.to, message.ever);
                let held = self.holders(number);
                let [home, theirs] = homes;
                let next = self.hosts[theirs].id;
                let outbox = self.hosts[home].house.core().outbox(&next);
                self.fail(&format!(
                    "{number} from {from} (node {home}) to {to} (node {theirs}) never arrived: \
                     {fate:?}; once at nodes {ever:b}, now at {held:?}; {outbox:?}"
                ));
            }
        }
    }

    fn holders(&self, number: Number) -> Vec<(usize, u8)> {
        let mut holders = Vec::new();
        for (node, mirror) in &self.checker.mirrors {
            for (mailbox, held) in mirror {
                if held.values().any(|(held, _)| *held == number) {
                    holders.push((*node, mailbox.device));
                }
            }
        }
        holders
    }

    /// Everybody knows the same about everybody.
    fn check_tables(&mut self) {
        let seconds = self.now / 1000;
        let mut early = BTreeSet::new();
        let mut tables: Vec<BTreeMap<NodeId, (u64, u64)>> = Vec::new();
        for node in 0..self.hosts.len() {
            let now = self.local(node);
            let routes = self.hosts[node].house.core().routes(now);
            // A clock that was wrong let in what is still to come for all others.
            let future = routes.iter().filter(|route| route.issued > seconds + GRACE);
            early.extend(future.map(|route| route.node));
            // What is about to expire has done so already by some clocks.
            let lasting = routes.iter().filter(|route| route.expires > seconds + 2 * GRACE);
            tables.push(lasting.map(|route| (route.node, (route.seq, route.issued))).collect());
        }
        for host in &self.hosts {
            early.remove(&host.id);
        }
        for table in &mut tables {
            table.retain(|node, _| !early.contains(node));
        }
        for (node, host) in self.hosts.iter().enumerate() {
            if !tables[node].contains_key(&host.id) {
                self.fail(&format!("node {node} does not know itself"));
            }
        }
        for (node, table) in tables.iter().enumerate().skip(1) {
            if table == &tables[0] {
                continue;
            }
            let differ = |id: &&NodeId| table.get(*id) != tables[0].get(*id);
            let ids: BTreeSet<&NodeId> = table.keys().chain(tables[0].keys()).collect();
            let differing: Vec<String> = ids
                .into_iter()
                .filter(differ)
                .map(|id| {
                    let name = self.index_of(id).map_or("a ghost".to_owned(), |n| n.to_string());
                    format!("{name}: {:?} and {:?}", tables[0].get(id), table.get(id))
                })
                .collect();
            self.fail(&format!("nodes 0 and {node} differ about {}", differing.join("; ")));
        }
    }
}
