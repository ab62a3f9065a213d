//! Those who lie: receipts that nobody signed, records that are false, stale, from the future, or
//! two at once.

use bytes::Bytes;
use postroad_core::SessionId;
use postroad_proto::envelope::Envelope;
use postroad_proto::frame::{Accepted, Batch, BatchReply, Frame};
use postroad_proto::ids::{NodeId, ParcelId};
use postroad_proto::merkle;
use postroad_proto::receipt::{ReceiptItem, ReceiptKind, ReceiptRoot, role};
use postroad_proto::record::{NodeRecord, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_proto::{SigningKey, codec};

use super::people::number_in;
use super::{Event, MINUTE, Rule, SECOND, World};
use crate::world::people::Act;

/// One in so many batches, and offers, is answered by a forger.
const FORGED_REPLIES: u64 = 50;
const FORGED_ACCEPTANCES: u64 = 150;

impl World {
    fn forgers_rest(&self) -> bool {
        self.calm || self.plan.trouble == 0
    }

    /// Instead of handing a batch to `to`, somebody in its place answers that it has all of it.
    pub(super) fn forge_reply(&mut self, from: usize, to: usize, frame: &Frame) -> Option<Frame> {
        let Frame::Batch(batch) = frame else { return None };
        if self.forgers_rest() || !self.dice.once_in(FORGED_REPLIES) {
            return None;
        }
        self.tally.fault("forged reply");
        let unchecked = self.plan.rule == Rule::ReceiptsUncheckedByNodes;
        let how = if unchecked { u64::MAX } else { self.dice.below(4) };
        self.note(format!("{from} gets a false reply in the name of {to}"));
        Some(self.false_reply(from, to, batch, how).into())
    }

    fn false_reply(&mut self, from: usize, to: usize, batch: &Batch, how: u64) -> BatchReply {
        let kind = if how == 0 { ReceiptKind::Accepted } else { ReceiptKind::AtNode };
        let mut items = Vec::new();
        for envelope in &batch.envelopes {
            for parcel in envelope.routes.iter().flat_map(|route| &route.parcels) {
                let parcel = envelope.parcel_id(parcel, &self.network);
                items.push(item(parcel, kind, role::HOME, envelope.deadline));
            }
        }
        let wrong = SigningKey::from_bytes(&[0xee; 32]);
        let root = match how {
            // Signed by another node's key, and so that node's word.
            1 => {
                let other = (0..self.hosts.len()).find(|n| *n != to && *n != from).unwrap_or(from);
                self.root(other, &items, &self.hosts[other].house.signing())
            }
            // The right word for other items.
            2 => self.root(to, &[], &self.hosts[to].house.signing()),
            3 => self.root(to, &items, &wrong),
            // Properly signed: of the wrong kind, or what only a signature keeps a node from.
            _ => self.root(to, &items, &self.hosts[to].house.signing()),
        };
        BatchReply { number: batch.number, items, path: vec![], root: Some(root), refused: vec![] }
    }

    /// A root in the name of `node`, signed with `key`.
    fn root(&self, node: usize, items: &[ReceiptItem], key: &SigningKey) -> Signed<ReceiptRoot> {
        let leaves: Vec<_> = items.iter().map(|item| item.leaf().unwrap()).collect();
        let root = ReceiptRoot {
            version: RECORD_VERSION,
            flags: 0,
            node: self.hosts[node].id,
            generation: 1,
            run: [0; 8],
            commit: 1,
            at: self.now,
            merkle_root: merkle::root(&leaves),
        };
        Signed::new(&root, key, &self.network).unwrap()
    }

    /// Once in a while a message does not reach the home, and an acceptance comes that the home did
    /// not sign.
    pub(super) fn forge_acceptance(
        &mut self,
        person: usize,
        session: SessionId,
        envelope: &Envelope,
    ) -> bool {
        if self.forgers_rest() || !self.dice.once_in(FORGED_ACCEPTANCES) {
            return false;
        }
        self.tally.fault("forged acceptance");
        let number = number_in(&envelope.body).expect("one of ours");
        self.note(format!("{person} gets a false acceptance of {number}"));
        let message = self.checker.message(number);
        let (parcel, to) = (message.parcel, message.to);
        let home = self.people[person].home;
        let (kind, role) = match self.people[to].home == home {
            true => (ReceiptKind::AtNode, role::HOME),
            false => (ReceiptKind::Accepted, role::ORIGIN),
        };
        let items = vec![item(parcel, kind, role, envelope.deadline)];
        let root = self.root(home, &items, &SigningKey::from_bytes(&[0xee; 32]));
        let forged = Accepted { numbers: vec![number], items, path: vec![], root };
        self.hear(person, session, forged.into());
        self.go_offline(person);
        let wait = self.dice.within(5 * SECOND, MINUTE);
        self.after(wait, Event::Person(Act::Connect(person)));
        true
    }

    /// A neighbour passes on a record that is not right.
    pub(super) fn forge_record(&mut self) {
        let nodes = self.plan.nodes as u64;
        let (to, about) = (self.dice.below(nodes) as usize, self.dice.below(nodes) as usize);
        let Some(from) = self.dice.pick(&self.roads.peers(to)) else { return };
        let kind = self.dice.below(6);
        let seconds = self.now / 1000;
        let wrong = SigningKey::from_bytes(&[0xee; 32]);
        let ghost = SigningKey::from_bytes(&[0xaa + self.dice.below(3) as u8; 32]);
        let (name, records) = match kind {
            // In a node's name by somebody else.
            0 => ("forged record", vec![self.false_record(Some(about), &wrong, seconds, u64::MAX)]),
            // By the node itself, long ago.
            1 => {
                let key = self.hosts[about].house.signing();
                ("stale record", vec![self.false_record(Some(about), &key, seconds - 86_400, 1)])
            }
            2 => {
                let day = seconds + 86_400;
                ("future record", vec![self.false_record(None, &ghost, day, day)])
            }
            // Two with one number.
            3 => {
                let first = self.false_record(None, &ghost, seconds, seconds);
                let second = self.false_record(None, &ghost, seconds - 1, seconds);
                ("equivocation", vec![first, second])
            }
            4 => ("ghost's record", vec![self.false_record(None, &ghost, seconds, seconds)]),
            _ => ("garbage", vec![Bytes::from_static(b"not a record")]),
        };
        self.tally.fault(name);
        for record in records {
            if kind == 0 || kind == 5 {
                self.checker.forged(&record);
            }
            self.gossip(from, to, &record, true);
        }
    }

    /// A record of a node, or of one that does not exist.
    fn false_record(&self, of: Option<usize>, key: &SigningKey, issued: u64, seq: u64) -> Bytes {
        let id = match of {
            Some(node) => self.hosts[node].id,
            None => NodeId(key.verifying_key().to_bytes()),
        };
        let record = NodeRecord {
            version: RECORD_VERSION,
            flags: 0,
            node: id,
            seq,
            generation: 1,
            next_key: None,
            noise: postroad_proto::ids::Hash(id.0),
            next_noise: None,
            client: vec![],
            p2p: vec!["/ip4/10.9.9.9/tcp/1".into()],
            relays: vec![],
            name: "ghost.example".into(),
            region: String::new(),
            versions: (1, 1),
            features: 0,
            max_body: 65_536,
            max_deadline: 86_400,
            issued,
            expires: issued + 2 * 86_400,
        };
        let signed = Signed::new(&record, key, &self.network).unwrap();
        codec::encode(&signed).unwrap().into()
    }
}

fn item(parcel: ParcelId, kind: ReceiptKind, role: u64, deadline: u64) -> ReceiptItem {
    ReceiptItem {
        parcel,
        kind: kind.number(),
        role,
        copies: 1,
        until: deadline + 600,
        devices: None,
    }
}
