//! Mail to people on other nodes: who may say what about it.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Done, Records, Waiting};
use postroad_proto::ids::ParcelId;

use super::*;
use crate::client::waits_for;
use crate::settings;
use crate::sync::keys::{Question, Wish, answered};
use crate::sync::new_generation;
use crate::waiting;

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(super) fn node(seed: u8) -> NodeId {
    NodeId(key(seed).verifying_key().to_bytes())
}

/// Alice at the usual node; Bob, whose link she has redeemed, at the node with seed 20.
pub(super) fn apart() -> (Person, Person) {
    let mut alice = Person::new();
    let mut bob = Person::at(&testing::join_link_of(&key(20), "other.example"));
    alice.befriend(&mut bob, "bob");
    (alice, bob)
}

impl Person {
    pub(super) fn located(&mut self, answers: &[Waiting]) {
        self.db
            .write(|tx| {
                let asked = waiting::to_locate(tx)?;
                waiting::store(tx, &asked, answers, NOW)
            })
            .unwrap();
    }

    pub(super) fn waits(&mut self, row: i64) -> Option<crate::client::WaitsFor> {
        let steps = self.steps(row);
        let vault = &self.vault;
        self.db
            .read(|tx| {
                let own = Identity::load(tx, vault)?;
                let message = messages::at(tx, row)?.unwrap();
                waits_for(tx, &own, &message, &steps, false)
            })
            .unwrap()
    }

    /// The home says in which generation a node is. Whether that was news.
    pub(super) fn hears_of(&mut self, node: NodeId, generation: u64) -> bool {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                new_generation(tx, &own, &node, generation, NOW)
            })
            .unwrap()
    }

    /// Writes to somebody on another node, whose node takes it.
    pub(super) fn delivers_to_node(&mut self, to: &str, seed: u8) -> (i64, Envelope) {
        let (row, _) = self.writes(to, "hi").unwrap();
        let envelope =
            self.offers(NOW).into_iter().find(|offer| offer.row == row).unwrap().envelope;
        self.receipt(&receipt_for(&envelope, ReceiptKind::Accepted, &testing::node_key()));
        self.receipt(&receipt_for(&envelope, ReceiptKind::AtNode, &key(seed)));
        assert_eq!(self.state(row), State::AtNode);
        (row, envelope)
    }
}

#[test]
fn each_node_vouches_for_its_own_step() {
    let (mut alice, mut bob) = apart();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    assert_eq!(envelope.routes[0].home, node(20));
    alice.receipt(&receipt_for(&envelope, ReceiptKind::Accepted, &testing::node_key()));
    assert_eq!(alice.state(row), State::Accepted);
    assert!(alice.offers(NOW).is_empty());
    alice.receipt(&receipt_for(&envelope, ReceiptKind::AtNode, &key(20)));
    assert_eq!(alice.state(row), State::AtNode);
    bob.gets(&envelope);
    for offer in bob.offers(NOW) {
        assert_eq!(offer.envelope.routes[0].home, alice.own().home.node);
        alice.gets(&offer.envelope);
    }
    let steps = alice.steps(row);
    let states: Vec<State> = steps.iter().map(|step| step.state).collect();
    assert_eq!(states, [State::Queued, State::Accepted, State::AtNode, State::Delivered]);
    assert!(steps.iter().all(|step| step.verified), "{steps:?}");
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["your device 1", "road.example", "other.example", "bob, device 1"]);
    assert_eq!(steps[2].by.to_string(), node(20).to_string());
}

#[test]
fn nobody_vouches_for_another_nodes_step() {
    let (mut alice, _) = apart();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    let home = testing::node_key();
    let mut as_home = receipt_for(&envelope, ReceiptKind::Accepted, &home);
    as_home.item.role = role::HOME;
    let hostile = [
        receipt_for(&envelope, ReceiptKind::AtNode, &home),
        receipt_for(&envelope, ReceiptKind::AtNode, &key(21)),
        receipt_for(&envelope, ReceiptKind::Accepted, &key(20)),
        receipt_for(&envelope, ReceiptKind::Accepted, &key(21)),
        // Long before the deadline.
        receipt_for(&envelope, ReceiptKind::Expired, &key(20)),
        receipt_for(&envelope, ReceiptKind::Expired, &home),
        as_home,
    ];
    for receipt in &hostile {
        alice.receipt(receipt);
    }
    assert_eq!(alice.state(row), State::Queued);
    assert_eq!(alice.steps(row).len(), 1);
    assert_eq!(alice.problems(), ["bad_receipt"; 7]);
    assert_eq!(only(alice.offers(NOW)).row, row, "it is still to be offered");
    let quoted = alice.db.read(|tx| crate::quotes::for_hello(tx, &node(20))).unwrap();
    assert!(quoted.is_empty(), "and none of them is quoted");
    // Nor does it pass when it is looked at again.
    let foreign = &hostile[1];
    alice
        .db
        .write(|tx| {
            let step = steps::custody(State::AtNode, node(21), NOW + 1, foreign)?;
            steps::save(tx, row, &step)
        })
        .unwrap();
    assert!(!alice.steps(row)[1].verified);
}

#[test]
fn a_name_does_not_make_a_node_look_like_home() {
    let mut alice = Person::new();
    let mut mallory = Person::at(&testing::join_link_of(&key(20), "road.example"));
    alice.befriend(&mut mallory, "mallory");
    let (row, _) = alice.delivers_to_node("mallory", 20);
    let steps = alice.steps(row);
    assert_eq!(steps[1].name, "road.example");
    assert_eq!(steps[2].name, node(20).to_string());
}

#[test]
fn where_a_message_waits_is_what_the_home_says_of_it_and_of_no_other() {
    let (mut alice, mut bob) = apart();
    let (row, _) = alice.writes("bob", "one").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    let receipt = receipt_for(&envelope, ReceiptKind::Accepted, &testing::node_key());
    alice.receipt(&receipt);
    assert!(!alice.waits(row).unwrap().reason.is_empty(), "from the first moment");
    let (arrived, _) = alice.delivers_to_node("bob", 20);
    let says = |parcel, reason: &str| Waiting {
        parcel,
        node: node(20),
        since: NOW + 5,
        reason: reason.to_owned(),
        next_try: NOW + 60_000,
    };
    let parcel_of =
        |person: &mut Person, row| person.db.read(|tx| messages::parcel(tx, row)).unwrap().unwrap();
    let there = parcel_of(&mut alice, arrived);
    let foreign = ParcelId([7; 16]);
    alice.located(&[
        says(foreign, "of somebody else"),
        says(there, "of what has arrived"),
        says(receipt.item.parcel, "other.example is away: refused"),
    ]);
    let count: i64 = alice
        .db
        .read(|tx| Ok(tx.query_row("SELECT count(*) FROM waiting", [], |row| row.get(0))?))
        .unwrap();
    assert_eq!(count, 1);
    let waits = alice.waits(row).unwrap();
    assert_eq!(waits.reason, "other.example is away: refused");
    assert_eq!((waits.since, waits.next_try), (NOW + 5, Some(NOW + 60_000)));
    assert_eq!(waits.at, alice.own().home.node.to_string());
    assert_eq!(waits.node, Some(node(20).to_string()));
    assert_eq!(waits.detail, "");
    // Without a connection it is what was known last, and says so.
    alice.db.write(|tx| settings::set_text(tx, settings::OFFLINE, "no route")).unwrap();
    let waits = alice.waits(row).unwrap();
    assert_eq!(waits.reason, "other.example is away: refused");
    assert!(waits.detail.contains("no route"), "{waits:?}");
    assert_eq!(alice.waits(arrived).unwrap().at, node(20).to_string());
    // Silence: it waits there no more.
    alice.located(&[]);
    assert!(!alice.waits(row).unwrap().reason.contains("away"));
    bob.gets(&envelope);
    alice.gets(&bob.offers(NOW)[0].envelope);
    assert_eq!(alice.waits(row), None);
}

#[test]
fn a_node_that_was_rolled_back_is_offered_again_what_it_may_have_lost() {
    let (mut alice, mut bob) = apart();
    let mut carol = Person::at(&testing::join_link_of(&key(22), "third.example"));
    alice.befriend(&mut carol, "carol");
    let (row, envelope) = alice.delivers_to_node("bob", 20);
    let (other, _) = alice.delivers_to_node("carol", 22);
    assert!(alice.offers(NOW).is_empty());
    assert!(!alice.hears_of(node(20), 1), "that is the one we know");
    assert!(!alice.hears_of(node(40), 9), "nobody whom we know lives there");
    assert!(alice.hears_of(node(20), 2));
    let again = only(alice.offers(NOW));
    assert_eq!((again.row, &again.envelope), (row, &envelope), "the same bytes");
    assert_eq!(alice.state(row), State::AtNode, "states do not go back");
    alice.receipt(&receipt_for(&envelope, ReceiptKind::Accepted, &testing::node_key()));
    assert!(alice.offers(NOW).is_empty());
    for _ in 0..3 {
        assert!(!alice.hears_of(node(20), 2), "once");
    }
    assert!(alice.offers(NOW).is_empty());
    // A receipt says as much as the home does.
    let (next, _) = alice.writes("bob", "more").unwrap();
    let more = only(alice.offers(NOW)).envelope;
    alice.receipt(&receipt_of(&more, ReceiptKind::AtNode, &key(20), (3, 1)));
    assert_eq!(alice.state(next), State::AtNode);
    assert_eq!(only(alice.offers(NOW)).row, row);
    assert!(!alice.hears_of(node(20), 3));
    bob.gets(&envelope);
    bob.gets(&envelope);
    assert_eq!(bob.texts(), ["hi"]);
    assert_eq!(alice.state(other), State::AtNode);
}

#[test]
fn a_late_refusal_ends_it_and_names_who_refused() {
    let (mut alice, _) = apart();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    alice.receipt(&receipt_for(&envelope, ReceiptKind::Accepted, &testing::node_key()));
    let late = Refusal {
        retriable: false,
        is_late: true,
        detail: "at most 4096 bytes",
        ..refusal(node(20), ErrorCode::TooLarge)
    };
    alice.refused(row, &late);
    let message = alice.message(row);
    assert_eq!(message.state, State::Failed);
    assert_eq!(message.reason, "TOO_LARGE: at most 4096 bytes (refused by other.example)");
    let failed = alice.steps(row).into_iter().find(|step| step.state == State::Failed).unwrap();
    assert_eq!(failed.by.to_string(), node(20).to_string());
    assert!(!failed.verified, "nobody signed it");
    // What is signed goes before it.
    let (row, _) = alice.delivers_to_node("bob", 20);
    alice.refused(row, &late);
    assert_eq!(alice.state(row), State::AtNode);
}

#[test]
fn what_an_old_token_was_refused_for_is_tried_with_the_newer_one() {
    let (mut alice, mut bob) = apart();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    alice.receipt(&receipt_for(&envelope, ReceiptKind::Accepted, &testing::node_key()));
    let account = bob.account;
    let newer = DeliveryToken([0x99; 16]);
    alice.db.write(|tx| contacts::store_token(tx, &account, &newer)).unwrap();
    let denied = Refusal { is_late: true, ..refusal(node(20), ErrorCode::Denied) };
    alice.refused(row, &denied);
    assert_eq!(alice.state(row), State::Accepted);
    let offers = alice.offers(NOW);
    alice.db.write(|tx| outbox::note_tokens(tx, &offers)).unwrap();
    let again = only(offers).envelope;
    assert_eq!(again.routes[0].parcels[0].token, Some(newer));
    assert_eq!(again.body, envelope.body);
    alice.refused(row, &denied);
    assert_eq!(alice.state(row), State::Failed);
    bob.gets(&again);
    assert_eq!(bob.texts(), ["hi"]);
}

#[test]
fn stale_devices_are_asked_for_and_nobody_leads_in_circles() {
    let (mut alice, mut bob) = apart();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let their = bob.own();
    let (record, devices) = (their.record.clone(), their.devices.clone());
    let records = Records { record, devices, handle: None, fallback: vec![] };
    let stale = Refusal { is_late: true, ..refusal(node(20), ErrorCode::StaleDevices) };
    let first = only(alice.offers(NOW)).envelope;
    alice.receipt(&receipt_for(&first, ReceiptKind::Accepted, &testing::node_key()));
    alice.refused(row, &stale);
    assert!(alice.offers(NOW).is_empty());
    assert_eq!(alice.message(row).reason, outbox::NO_KEYS);
    assert!(alice.contact(bob.account).stale);
    let question = Question {
        contact: bob.account,
        node: node(20),
        patience: std::time::Duration::ZERO,
        wish: Wish::Records { token: Some(REDEEMED) },
    };
    let done = Done {
        request: 1,
        code: None,
        result: Some(codec::encode(&records).unwrap().into()),
        retry_after: 0,
        detail: String::new(),
    };
    alice.hears(&question, &done);
    let second = only(alice.offers(NOW)).envelope;
    assert_ne!(first.body_hash, second.body_hash);
    alice.receipt(&receipt_for(&second, ReceiptKind::Accepted, &testing::node_key()));
    assert!(alice.steps(row).iter().all(|step| step.verified), "none is of what was sealed first");
    // Each time the node says that it took none of the headers, with the same list.
    let stale = Refusal { records: Some(&records), ..stale };
    for _ in 0..20 {
        alice.refused(row, &stale);
        for offer in alice.offers(NOW) {
            let home = testing::node_key();
            alice.receipt(&receipt_for(&offer.envelope, ReceiptKind::Accepted, &home));
        }
    }
    assert_eq!(alice.state(row), State::Failed);
    bob.gets(&second);
    assert_eq!(bob.texts(), ["hi"]);
}

impl Person {
    /// A node has answered a question about a contact.
    pub(super) fn hears(&mut self, question: &Question, done: &Done) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                answered(tx, &own, question, done, NOW)
            })
            .unwrap();
    }
}

#[test]
fn a_node_that_is_away_keeps_texts_here_with_the_reason() {
    let mut bob = Person::at(&testing::join_link_of(&key(20), "other.example"));
    let mut alice = Person::new();
    alice.befriend(&mut bob, "bob");
    alice.execute("UPDATE contact SET phase = 0, record = NULL, devices = NULL");
    let (row, _) = alice.writes("bob", "early").unwrap();
    let wish = Wish::Redeem { invite: postroad_proto::token::InviteCode([1; 16]), token: REDEEMED };
    let patience = std::time::Duration::ZERO;
    let question = Question { contact: bob.account, node: node(20), patience, wish };
    let refused = |code, detail: &str| Done {
        request: 1,
        code: Some(code),
        result: None,
        retry_after: 30,
        detail: detail.to_owned(),
    };
    alice.hears(&question, &refused(ErrorCode::Busy, "restored from an older copy"));
    assert!(alice.offers(NOW).is_empty());
    let waits = alice.waits(row).unwrap();
    assert_eq!(waits.reason, outbox::NO_KEYS);
    assert_eq!(waits.detail, "BUSY: other.example: restored from an older copy", "it is named");
    let away = format!("{} does not answer: refused", node(20));
    alice.hears(&question, &refused(ErrorCode::Unroutable, &away));
    assert_eq!(alice.waits(row).unwrap().detail, format!("UNROUTABLE: {away}"));
    // Records of somebody else are not taken, and ours are not lost for it.
    let mallory = Person::new().own();
    let theirs = Records {
        record: mallory.record.clone(),
        devices: mallory.devices.clone(),
        handle: None,
        fallback: vec![],
    };
    let good = |records: &Records| Done {
        code: None,
        result: Some(codec::encode(records).unwrap().into()),
        ..refused(ErrorCode::Busy, "")
    };
    alice.hears(&question, &good(&theirs));
    assert_eq!(alice.problems(), ["bad_record"]);
    assert_eq!(alice.contact(bob.account).phase, Phase::Linked);
    let their = bob.own();
    let (record, devices) = (their.record.clone(), their.devices.clone());
    alice.hears(&question, &good(&Records { record, devices, handle: None, fallback: vec![] }));
    let contact = alice.contact(bob.account);
    assert_eq!((contact.phase, contact.trouble.as_str()), (Phase::Ready, ""));
    let envelope = only(alice.offers(NOW)).envelope;
    bob.gets(&envelope);
    assert_eq!(bob.texts(), ["early"]);
}

#[test]
fn who_sends_no_receipts_has_it_unless_their_node_says_otherwise() {
    let (mut alice, _) = apart();
    alice.execute("UPDATE contact SET sends_receipts = 0");
    let (row, envelope) = alice.delivers_to_node("bob", 20);
    let late = envelope.deadline * 1000 + 1;
    assert!(alice.offers(late).is_empty());
    assert_eq!(alice.state(row), State::AtNode);
    let receipt = receipt_for(&envelope, ReceiptKind::Expired, &key(20));
    alice.receipt(&receipt);
    assert_eq!(alice.state(row), State::AtNode, "before its time it is a lie");
    let vault = &alice.vault;
    alice
        .db
        .write(|tx| {
            let own = Identity::load(tx, vault)?;
            outbox::apply_receipt(tx, &own, &receipt, late)
        })
        .unwrap();
    assert_eq!(alice.state(row), State::Expired);
    // Somebody who has ceased to send receipts since is no different.
    let (mut alice, _) = apart();
    let (row, envelope) = alice.delivers_to_node("bob", 20);
    alice.execute("UPDATE contact SET sends_receipts = 0");
    assert!(alice.offers(envelope.deadline * 1000).is_empty());
    assert_eq!(alice.state(row), State::AtNode);
}
