//! People who move to another node, and nodes and names that pretend.

use postroad_proto::frame::{Done, Records};
use postroad_proto::link::NodeLink;
use postroad_proto::record::{AccountRecord, HandleRecord};

use super::roads::{apart, key, node};
use super::*;
use crate::sync::keys::{Question, Wish};

/// Alice's home has accepted a message to Bob.
fn accepted() -> (Person, Person, i64, Envelope) {
    let (mut alice, bob) = apart();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    alice.receipt(&receipt_for(&envelope, ReceiptKind::Accepted, &testing::node_key()));
    (alice, bob, row, envelope)
}

fn moved(record: Option<&Signed<AccountRecord>>) -> Refusal<'_> {
    Refusal { record, is_late: true, ..refusal(node(20), ErrorCode::Moved) }
}

#[test]
fn who_has_moved_is_followed_and_the_home_sends_on_what_it_has() {
    let (mut alice, mut bob, row, _) = accepted();
    let (other, _) = alice.writes("bob", "still here").unwrap();
    let record = bob.own().moved_to(node(21), 2);
    alice.refused(row, &moved(Some(&record)));
    assert_eq!(alice.state(row), State::Accepted);
    assert_eq!(alice.contact(bob.account).home.node, node(21));
    let offer = only(alice.offers(NOW));
    assert_eq!((offer.row, offer.envelope.routes[0].home), (other, node(21)));
    // Its new home takes it.
    let envelope = {
        let bytes: Vec<u8> = alice
            .db
            .read(|tx| {
                let sql = "SELECT envelope FROM outbox WHERE message = ?1";
                Ok(tx.query_row(sql, [row], |row| row.get(0))?)
            })
            .unwrap();
        codec::decode::<Envelope>(&bytes, 1 << 20).unwrap()
    };
    alice.receipt(&receipt_for(&envelope, ReceiptKind::AtNode, &key(21)));
    assert_eq!(alice.state(row), State::AtNode);
    assert!(alice.steps(row).iter().all(|step| step.verified));
    assert!(alice.problems().is_empty());
}

#[test]
fn nobody_moves_backwards_or_with_somebody_elses_record() {
    let (mut alice, mut bob, row, _) = accepted();
    let own = bob.own();
    alice.refused(row, &moved(Some(&own.moved_to(node(21), 5))));
    assert_eq!(alice.contact(bob.account).home.node, node(21));
    // An older one, from before.
    alice.refused(row, &moved(Some(&own.moved_to(node(22), 4))));
    assert_eq!(alice.contact(bob.account).home.node, node(21));
    assert_eq!(alice.state(row), State::Accepted, "it waits");
    assert!(alice.offers(NOW).is_empty(), "but not so that both sides spin");
    assert_eq!(only(alice.offers(NOW + 120_000)).envelope.routes[0].home, node(21));
    // Another one with the same number: the key is in two hands.
    alice.refused(row, &moved(Some(&own.moved_to(node(23), 5))));
    assert_eq!(alice.contact(bob.account).home.node, node(21));
    assert_eq!(alice.problems(), ["two_records"]);
    // Somebody else's.
    let mallory = Person::new().own();
    alice.refused(row, &moved(Some(&mallory.moved_to(node(24), 9))));
    assert_eq!(alice.contact(bob.account).home.node, node(21));
    assert_eq!(alice.problems(), ["two_records", "bad_record"]);
    assert_eq!(alice.state(row), State::Failed, "what does not say where to is final");
}

#[test]
fn who_moves_to_our_own_home_is_offered_it_there() {
    let (mut alice, mut bob, row, envelope) = accepted();
    let home = alice.own().home.node;
    alice.refused(row, &moved(Some(&bob.own().moved_to(home, 2))));
    let offer = only(alice.offers(NOW));
    assert_eq!((offer.row, offer.envelope.routes[0].home), (row, home));
    // The same word once more, of what was offered before that.
    alice.refused(row, &moved(Some(&bob.own().moved_to(home, 2))));
    assert!(alice.offers(NOW).is_empty(), "not so that both sides spin");
    let offer = only(alice.offers(NOW + 120_000));
    assert_eq!((offer.row, offer.envelope.routes[0].home), (row, home));
    assert_eq!(alice.waits(row).unwrap().at, "this device");
    alice.receipt(&receipt_for(&envelope, ReceiptKind::AtNode, &testing::node_key()));
    assert_eq!(alice.state(row), State::AtNode);
}

#[test]
fn who_moves_away_from_our_home_is_offered_it_elsewhere_at_once() {
    let (mut alice, mut bob) = friends();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let first = only(alice.offers(NOW)).envelope;
    let record = bob.own().moved_to(node(21), 2);
    let devices = bob.own().devices.clone();
    let records = Records { record, devices, handle: None, fallback: vec![] };
    let home = alice.own().home.node;
    alice.refused(row, &Refusal { records: Some(&records), ..refusal(home, ErrorCode::Moved) });
    let again = only(alice.offers(NOW)).envelope;
    assert_eq!(again.routes[0].home, node(21));
    assert_eq!(again.body, first.body);
    assert_eq!(alice.state(row), State::Queued);
}

#[test]
fn the_word_of_a_former_home_settles_nothing() {
    let (mut alice, mut bob, row, envelope) = accepted();
    alice.execute("UPDATE contact SET sends_receipts = 0");
    let record = bob.own().moved_to(node(21), 2);
    alice.refused(row, &moved(Some(&record)));
    alice.db.write(outbox::reoffer_all).unwrap();
    // It had taken it before they moved: then it hands it out as well.
    alice.receipt(&receipt_for(&envelope, ReceiptKind::AtNode, &key(20)));
    assert_eq!(alice.state(row), State::AtNode);
    assert!(alice.problems().is_empty());
    assert_eq!(only(alice.offers(NOW)).envelope.routes[0].home, node(21), "but it is not over");
    let bob_account = bob.account;
    // Nothing that was written later was ever sent there.
    alice.execute("UPDATE former_home SET until = 1");
    let (later, _) = alice.writes("bob", "later").unwrap();
    let offer = alice.offers(NOW).into_iter().find(|offer| offer.row == later).unwrap();
    alice.receipt(&receipt_for(&offer.envelope, ReceiptKind::AtNode, &key(20)));
    assert_eq!(alice.state(later), State::Queued);
    assert_eq!(alice.problems(), ["bad_receipt"]);
    assert_eq!(alice.contact(bob_account).home.node, node(21));
}

#[test]
fn a_question_to_the_old_home_leads_to_the_new_one() {
    let (mut alice, mut bob) = apart();
    let question = Question {
        contact: bob.account,
        node: node(20),
        patience: std::time::Duration::ZERO,
        wish: Wish::Claim { token: Some(REDEEMED), devices: vec![1] },
    };
    let says = |record: &Signed<AccountRecord>| Done {
        request: 1,
        code: Some(ErrorCode::Moved),
        result: Some(codec::encode(record).unwrap().into()),
        retry_after: 0,
        detail: String::new(),
    };
    let record = bob.own().moved_to(node(21), 2);
    alice.hears(&question, &says(&record));
    let contact = alice.contact(bob.account);
    assert_eq!((contact.home.node, contact.next_try), (node(21), 0));
    // The same again leads nowhere: not asked again at once.
    alice.hears(&question, &says(&record));
    let contact = alice.contact(bob.account);
    assert!(contact.error.is_none() && contact.next_try > NOW);
    let mallory = Person::new().own().moved_to(node(24), 9);
    alice.hears(&question, &says(&mallory));
    assert_eq!(alice.contact(bob.account).home.node, node(21));
    assert_eq!(alice.problems(), ["bad_record"]);
}

#[test]
fn a_claimed_name_gets_nothing_that_is_meant_for_its_owner() {
    let mut alice = Person::new();
    // Mallory's node calls itself what another one is known by.
    let mut mallory = Person::at(&testing::join_link_of(&key(20), "bank.example"));
    alice.befriend(&mut mallory, "mallory");
    let record = HandleRecord {
        version: 1,
        flags: 0,
        node: node(20),
        node_name: "bank.example".to_owned(),
        handle: "support".parse().unwrap(),
        account: mallory.account,
        seq: 1,
        previous: None,
        how: 1,
        issued: 1,
        old_key: None,
    };
    let own = alice.own();
    let their = mallory.own();
    let signed = Signed::new(&record, &key(20), &own.network).unwrap();
    let contact = alice.contact(mallory.account);
    alice
        .db
        .write(|tx| {
            let (record, devices) = (&their.record, &their.devices);
            let verified =
                Verified::check(&their.account, &own.network, record, devices, Some(&signed))?;
            contacts::store_records(tx, &own, &contact, &verified, NOW)
        })
        .unwrap();
    let contact = alice.contact(mallory.account);
    assert_eq!(contact.handle, "support@bank.example", "shown, as the node says it");
    assert!(!crate::ContactView::from(contact).handle_proven, "and as no more than that");
    let lost = alice.writes("support@bank.example", "my number is …");
    assert!(matches!(lost, Err(crate::Error::NotFound { .. })), "{lost:?}");
    let by_id = format!("support@{}", node(20));
    assert!(alice.writes(&by_id, "hi").is_ok(), "by the node's id it is who it says");
    // Once the name was looked up, it counts, and stays what it was looked up as.
    let account = mallory.account;
    alice.db.write(|tx| contacts::prove_handle(tx, &account, "support@mallory.example")).unwrap();
    let contact = alice.contact(account);
    alice
        .db
        .write(|tx| {
            let (record, devices) = (&their.record, &their.devices);
            let verified =
                Verified::check(&their.account, &own.network, record, devices, Some(&signed))?;
            contacts::store_records(tx, &own, &contact, &verified, NOW)
        })
        .unwrap();
    assert!(alice.writes("support@mallory.example", "hi").is_ok());
}

#[test]
fn no_contact_makes_the_profile_unreadable() {
    let (mut alice, mut bob) = apart();
    let (account, their, own) = (bob.account, bob.own(), alice.own());
    let before = alice.contact(account).home;
    for seq in 2..40 {
        let record = their.signs(seq, |r| r.hints = vec![format!("{seq}-{}:1", "x".repeat(200))]);
        let contact = alice.contact(account);
        let news = alice.db.write(|tx| contacts::store_moved(tx, &own, &contact, &record, NOW));
        assert_eq!(news.unwrap(), contacts::News::Newer);
    }
    assert_eq!(alice.contact(account).home, before);
    let long = NodeLink { name: "x".repeat(3000), ..before };
    assert!(matches!(contacts::home_text(&long), Err(crate::Error::Link(_))));
    // One that was stored all the same is shown, and can be blocked.
    alice.execute("UPDATE contact SET home = 'postroad:node#damaged'");
    let all = alice.db.read(contacts::all).unwrap();
    assert_eq!((all.len(), all[0].home.node), (1, node(20)));
}

#[test]
fn nothing_is_written_to_whoever_has_signed_two_records_with_one_number() {
    let (mut alice, mut bob, row, _) = accepted();
    let (account, their) = (bob.account, bob.own());
    let (early, _) = alice.writes("bob", "sealed").unwrap();
    alice.offers(NOW);
    let two = |alice: &mut Person, seq, seed| {
        alice.refused(row, &moved(Some(&their.moved_to(node(seed), seq))));
    };
    two(&mut alice, 5, 21);
    alice.offers(NOW);
    two(&mut alice, 5, 23);
    let (late, _) = alice.writes("bob", "not sealed").unwrap();
    assert!(alice.offers(NOW + 120_000).is_empty());
    for row in [early, late] {
        let waits = alice.waits(row).unwrap();
        assert_eq!((waits.reason.as_str(), waits.next_try), (outbox::TWO_RECORDS, None));
    }
    assert!(!crate::ContactView::from(alice.contact(account)).reason.is_empty());
    // A higher record settles it.
    two(&mut alice, 6, 24);
    let offers = alice.offers(NOW + 120_000);
    assert!([early, late].iter().all(|row| offers.iter().any(|offer| offer.row == *row)));
    assert!(offers.iter().all(|offer| offer.envelope.routes[0].home == node(24)));
    // So does the user.
    two(&mut alice, 6, 25);
    assert!(alice.offers(NOW + 240_000).is_empty());
    alice.db.write(|tx| contacts::settle_dispute(tx, &account)).unwrap();
    assert!(!alice.offers(NOW + 240_000).is_empty());
}
