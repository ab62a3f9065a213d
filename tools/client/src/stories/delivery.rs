//! What becomes of what is sent.

use postroad_proto::SigningKey;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Records;
use postroad_proto::receipt::ReceiptKind;

use super::*;
use crate::error::Error;
use crate::events::{self, Event};
use crate::outbox::{MAX_TEXT, Refusal};
use crate::settings;

fn refuses(person: &mut Person, row: i64, code: ErrorCode, records: Option<&Records>) {
    let by = testing::join_link().node.node;
    person.refused(row, &Refusal { records, ..refusal(by, code) });
}

fn checked(person: &mut Person, row: i64) -> Vec<(State, bool)> {
    person.steps(row).into_iter().map(|step| (step.state, step.verified)).collect()
}

#[test]
fn every_step_is_kept_with_evidence_that_holds() {
    let (mut alice, mut bob) = friends();
    let before = alice.db.read(events::newest).unwrap();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let (_, event) = alice.db.read(|tx| events::next(tx, before)).unwrap().unwrap();
    assert_eq!(event, Event::State { row, state: State::Queued }, "other processes see it at once");
    let offer = only(alice.offers(NOW));
    let receipt = receipt_for(&offer.envelope, ReceiptKind::AtNode, &testing::node_key());
    alice.receipt(&receipt);
    assert_eq!(alice.state(row), State::AtNode);
    bob.gets(&offer.envelope);
    let answer = only(bob.offers(NOW));
    alice.gets(&answer.envelope);
    assert_eq!(alice.state(row), State::Delivered);
    // The custody receipt comes again, late: the state does not go back.
    alice.receipt(&receipt);
    let seen = bob.inbox();
    bob.db.write(|tx| messages::mark_shown(tx, &[seen[0].row], NOW)).unwrap();
    let answer = bob.offers(NOW).pop().unwrap();
    alice.gets(&answer.envelope);
    let expected = [
        (State::Queued, true),
        (State::Accepted, true),
        (State::AtNode, true),
        (State::Delivered, true),
        (State::Read, true),
    ];
    assert_eq!(checked(&mut alice, row), expected);
    assert!(alice.offers(NOW).is_empty());
    alice.execute("UPDATE step SET at = at + 1");
    assert!(checked(&mut alice, row)[..3].iter().all(|(_, holds)| !holds));
}

#[test]
fn only_the_right_node_gives_a_receipt() {
    let (mut alice, _) = friends();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let offer = only(alice.offers(NOW));
    let stranger = SigningKey::from_bytes(&[8; 32]);
    alice.receipt(&receipt_for(&offer.envelope, ReceiptKind::AtNode, &stranger));
    let mut forged = receipt_for(&offer.envelope, ReceiptKind::Accepted, &testing::node_key());
    forged.item.kind = ReceiptKind::AtNode.number();
    alice.receipt(&forged);
    assert_eq!(alice.state(row), State::Queued);
    assert_eq!(alice.problems(), ["bad_receipt", "bad_receipt"]);
    assert_eq!(only(alice.offers(NOW)).row, row);
}

#[test]
fn the_same_bytes_are_offered_until_they_are_settled() {
    let (mut alice, _) = friends();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let first = only(alice.offers(NOW)).envelope;
    assert_eq!(only(alice.offers(NOW)).envelope, first);
    refuses(&mut alice, row, ErrorCode::Unroutable, None);
    assert!(alice.offers(NOW).is_empty());
    assert_eq!(
        (alice.state(row), alice.message(row).reason.as_str()),
        (State::Queued, "UNROUTABLE")
    );
    assert_eq!(only(alice.offers(NOW + 120_000)).envelope, first);
    refuses(&mut alice, row, ErrorCode::Denied, None);
    assert_eq!(alice.state(row), State::Failed);
    assert!(alice.offers(NOW + 240_000).is_empty());
}

#[test]
fn a_rolled_back_home_is_offered_all_that_is_not_delivered() {
    let (mut alice, _) = friends();
    alice.writes("bob", "hi").unwrap();
    let first = only(alice.offers(NOW)).envelope;
    alice.receipt(&receipt_for(&first, ReceiptKind::AtNode, &testing::node_key()));
    assert!(alice.offers(NOW).is_empty());
    alice.db.write(outbox::reoffer_all).unwrap();
    assert_eq!(only(alice.offers(NOW)).envelope, first);
}

#[test]
fn stale_devices_mean_other_headers_and_the_same_message() {
    let (mut alice, mut bob) = friends();
    let (row, id) = alice.writes("bob", "hi").unwrap();
    let first = only(alice.offers(NOW)).envelope;
    let their = bob.own();
    let (record, devices) = (their.record.clone(), their.devices.clone());
    let records = Records { record, devices, handle: None, fallback: vec![] };
    refuses(&mut alice, row, ErrorCode::StaleDevices, Some(&records));
    let second = only(alice.offers(NOW)).envelope;
    assert_ne!(first.body_hash, second.body_hash);
    bob.gets(&second);
    bob.gets(&first);
    assert_eq!(bob.inbox().iter().map(|m| m.id).collect::<Vec<_>>(), [id]);
    assert!(bob.problems().is_empty());
}

#[test]
fn past_its_deadline_a_message_is_expired_unless_it_arrived_after_all() {
    let (mut alice, mut bob) = friends();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let offer = only(alice.offers(NOW));
    let late = offer.envelope.deadline * 1000;
    assert!(alice.offers(late).is_empty());
    assert_eq!(alice.state(row), State::Expired);
    assert!(checked(&mut alice, row).contains(&(State::Expired, true)));
    // The node's own word comes later, signed.
    let receipt = receipt_for(&offer.envelope, ReceiptKind::Expired, &testing::node_key());
    let vault = &alice.vault;
    let told = alice.db.write(|tx| {
        let own = Identity::load(tx, vault)?;
        outbox::apply_receipt(tx, &own, &receipt, late + 1)
    });
    told.unwrap();
    let expired = [(State::Queued, true), (State::Expired, true), (State::Expired, true)];
    assert_eq!(checked(&mut alice, row), expired);
    bob.gets(&offer.envelope);
    let answer = only(bob.offers(NOW));
    alice.gets(&answer.envelope);
    assert_eq!(alice.state(row), State::Delivered);
}

#[test]
fn who_sends_no_receipts_does_not_learn_who_has_read_theirs() {
    let (mut alice, mut bob) = friends();
    alice.db.write(|tx| settings::turn(tx, settings::RECEIPTS, false)).unwrap();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    bob.gets(&only(alice.offers(NOW)).envelope);
    let seen: Vec<i64> = bob.inbox().iter().map(|message| message.row).collect();
    bob.db.write(|tx| messages::mark_shown(tx, &seen, NOW)).unwrap();
    for offer in bob.offers(NOW) {
        alice.gets(&offer.envelope);
    }
    assert_eq!(alice.state(row), State::Delivered);
    assert!(alice.offers(NOW).is_empty(), "it is over for this device");
}

#[test]
fn without_receipts_at_node_is_final() {
    let (mut alice, mut bob) = friends();
    alice.execute("UPDATE contact SET sends_receipts = 0");
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let offer = only(alice.offers(NOW));
    alice.receipt(&receipt_for(&offer.envelope, ReceiptKind::AtNode, &testing::node_key()));
    assert!(alice.offers(offer.envelope.deadline * 1000).is_empty());
    assert_eq!(alice.state(row), State::AtNode);
    bob.execute("INSERT INTO setting VALUES ('receipts', 'off', 0)");
    bob.gets(&offer.envelope);
    assert!(bob.offers(NOW).is_empty());
}

#[test]
fn the_largest_text_fits_with_a_card_and_one_byte_more_is_not_stored() {
    let (mut alice, mut bob) = friends();
    let text = "x".repeat(MAX_TEXT);
    alice.writes("bob", &text).unwrap();
    let offer = only(alice.offers(NOW));
    bob.gets(&offer.envelope);
    assert!(bob.texts().contains(&text));
    let refused = alice.writes("bob", &(text + "x"));
    assert!(matches!(refused, Err(Error::TooLarge { limit: MAX_TEXT, .. })));
    assert!(alice.offers(NOW).iter().all(|o| o.row == offer.row));
}

#[test]
fn nothing_is_sealed_before_the_home_knows_the_token_in_the_card() {
    let (mut alice, _) = friends();
    alice.execute("UPDATE contact SET token_registered = 0");
    let (row, _) = alice.writes("bob", "hi").unwrap();
    assert!(alice.offers(NOW).is_empty());
    assert_eq!(alice.message(row).reason, outbox::NO_KEYS);
    alice.tokens_registered();
    assert_eq!(only(alice.offers(NOW)).row, row);
}

#[test]
fn a_contact_whose_keys_are_weak_holds_up_nobody_else() {
    let (mut alice, mut mallory) = (Person::new(), Person::new());
    alice.befriend(&mut mallory, "mallory");
    alice.execute("UPDATE prekey SET key = zeroblob(32)");
    let mut bob = Person::new();
    alice.befriend(&mut bob, "bob");
    let (weak, _) = alice.writes("mallory", "hi").unwrap();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    assert_eq!(only(alice.offers(NOW)).row, row);
    assert_eq!(alice.state(weak), State::Failed);
}

#[test]
fn nothing_overtakes_what_the_home_has_refused_for_now() {
    let (mut alice, mut bob) = friends();
    let first = alice.writes("bob", "m1").unwrap().0;
    alice.writes("bob", "m2").unwrap();
    let vault = &alice.vault;
    let one_each = |person: &mut Db, now| {
        person
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                outbox::seal_waiting(tx, vault, &own, now)?;
                outbox::offers(tx, &[], 64, now)
            })
            .unwrap()
    };
    assert_eq!(only(one_each(&mut alice.db, NOW)).row, first, "one of a conversation at a time");
    let own = alice.own();
    let by = own.home.node;
    let refusal =
        Refusal { retry_after: 30, detail: "the mailbox is full", ..refusal(by, ErrorCode::Quota) };
    alice.db.write(|tx| outbox::refuse(tx, &own, first, &refusal, NOW)).unwrap();
    let third = alice.writes("bob", "m3").unwrap().0;
    assert!(alice.offers(NOW).is_empty(), "neither the second nor a new one goes ahead");
    assert!(!alice.db.read(|tx| outbox::is_due(tx, NOW)).unwrap(), "and nobody keeps asking");
    let message = alice.message(third);
    assert!(message.reason.contains("QUOTA"), "the same reason: {:?}", message.reason);
    // Writing again, or another command within the minute, brings the retry forward.
    alice.db.write(|tx| outbox::retry_soon(tx, NOW)).unwrap();
    let offers = alice.offers(NOW);
    assert_eq!(offers.len(), 3);
    for offer in offers {
        bob.gets(&offer.envelope);
    }
    assert_eq!(bob.texts(), ["m1", "m2", "m3"]);
    assert!(bob.inbox().iter().all(|message| message.missing_before == 0));
}

#[test]
fn what_is_sealed_anew_goes_before_what_was_written_later() {
    let (mut alice, mut bob) = friends();
    let (first, _) = alice.writes("bob", "m1").unwrap();
    alice.writes("bob", "m2").unwrap();
    alice.offers(NOW);
    let their = bob.own();
    let (record, devices) = (their.record.clone(), their.devices.clone());
    let records = Records { record, devices, handle: None, fallback: vec![] };
    refuses(&mut alice, first, ErrorCode::StaleDevices, Some(&records));
    assert!(alice.db.read(|tx| outbox::offers(tx, &[], 64, NOW)).unwrap().is_empty());
    let texts: Vec<i64> = alice.offers(NOW).iter().map(|offer| offer.row).collect();
    assert_eq!(texts[0], first);
    assert_eq!(texts.len(), 2);
}

#[test]
fn what_is_to_be_offered_again_waits_on_this_device_and_says_why() {
    let (mut alice, mut bob) = roads::apart();
    let (row, envelope) = alice.delivers_to_node("bob", 20);
    let waits = |alice: &mut Person| {
        let waits = alice.waits(row).unwrap();
        (waits.at, waits.reason)
    };
    assert_eq!(waits(&mut alice).0, roads::node(20).to_string());
    assert!(alice.hears_of(roads::node(20), 2));
    let here = || "this device".to_owned();
    assert_eq!(waits(&mut alice), (here(), "it is about to be sent".to_owned()));
    refuses(&mut alice, row, ErrorCode::Quota, None);
    assert_eq!(waits(&mut alice), (here(), "QUOTA".to_owned()));
    assert_eq!(alice.message(row).reason, "QUOTA");
    // Sealed for other devices it is another parcel, with steps of its own.
    refuses(&mut alice, row, ErrorCode::StaleDevices, None);
    assert_eq!(waits(&mut alice), (here(), outbox::NO_KEYS.to_owned()));
    assert!(alice.db.read(crate::waiting::to_locate).unwrap().is_empty());
    let stale = receipt_for(&envelope, ReceiptKind::AtNode, &roads::key(20));
    alice.receipt(&stale);
    assert_eq!(alice.steps(row).len(), 1);
    alice.execute("UPDATE contact SET stale = 0, next_try = 0");
    let second = only(alice.offers(NOW + 120_000)).envelope;
    assert_ne!(second.body_hash, envelope.body_hash);
    alice.receipt(&receipt_for(&second, ReceiptKind::Accepted, &testing::node_key()));
    alice.receipt(&receipt_for(&second, ReceiptKind::AtNode, &roads::key(20)));
    let steps = checked(&mut alice, row);
    let expected = [(State::Queued, true), (State::Accepted, true), (State::AtNode, true)];
    assert_eq!(steps, expected);
    assert_eq!(waits(&mut alice).0, roads::node(20).to_string());
    bob.gets(&second);
    assert_eq!(bob.texts(), ["hi"]);
}
