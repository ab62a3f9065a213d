//! What comes in.

use postroad_proto::ids::NodeId;
use postroad_proto::receipt::ReceiptKind;

use super::*;
use crate::error::Error;
use crate::requests;

#[test]
fn a_message_shows_once_however_often_it_comes() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "hi").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    for _ in 0..3 {
        bob.gets(&envelope);
    }
    assert_eq!(bob.texts(), ["hi"]);
    assert!(bob.problems().is_empty());
}

#[test]
fn junk_ahead_of_the_real_one_does_not_block_it() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "hi").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    let real = bob.push_of(&envelope);
    let no_header = Push { header: None, ..real.clone() };
    let bad_header = Push { header: Some(vec![7; 200].into()), ..real.clone() };
    let bad_body = Push { body: vec![7; 256].into(), ..real.clone() };
    let mut other_deadline = real.clone();
    other_deadline.attributes.deadline += 1;
    for junk in [no_header, bad_header, bad_body, other_deadline, real] {
        bob.takes(&junk);
    }
    assert_eq!(bob.texts(), ["hi"]);
    assert_eq!(bob.problems(), ["unopened"; 4]);
}

#[test]
fn killed_before_the_commit_all_of_it_can_be_taken_again() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "one").unwrap();
    alice.writes("bob", "two").unwrap();
    for offer in alice.offers(NOW) {
        let push = bob.push_of(&offer.envelope);
        let vault = &bob.vault;
        let killed: Result<()> = bob.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            receive::push(tx, vault, &own, &push, NOW)?;
            Err(Error::NotJoined)
        });
        assert!(killed.is_err());
        bob.takes(&push);
    }
    assert_eq!(bob.texts(), ["one", "two"]);
    assert!(bob.problems().is_empty());
}

#[test]
fn killed_while_sealing_nothing_is_lost_or_sealed_twice() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "one").unwrap();
    let vault = &alice.vault;
    let killed: Result<()> = alice.db.write(|tx| {
        let own = Identity::load(tx, vault)?;
        outbox::seal_waiting(tx, vault, &own, NOW)?;
        Err(Error::NotJoined)
    });
    assert!(killed.is_err());
    alice.writes("bob", "two").unwrap();
    for offer in alice.offers(NOW) {
        bob.gets(&offer.envelope);
    }
    assert_eq!(bob.texts(), ["one", "two"]);
    assert!(bob.inbox().iter().all(|message| message.missing_before == 0));
    assert!(bob.problems().is_empty());
}

#[test]
fn a_gap_shows_until_it_is_filled() {
    let (mut alice, mut bob) = friends();
    for text in ["one", "two", "three"] {
        alice.writes("bob", text).unwrap();
    }
    let offers = alice.offers(NOW);
    bob.gets(&offers[0].envelope);
    bob.gets(&offers[2].envelope);
    assert_eq!(bob.inbox().iter().map(|m| m.missing_before).collect::<Vec<_>>(), [0, 1]);
    bob.gets(&offers[1].envelope);
    assert_eq!(bob.inbox().iter().map(|m| m.missing_before).collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn whoever_redeemed_a_link_is_a_contact_and_is_answered_with_a_card() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "hi").unwrap();
    bob.gets(&only(alice.offers(NOW)).envelope);
    let contact = bob.db.read(|tx| contacts::get(tx, &alice.account)).unwrap();
    assert_eq!((contact.phase, contact.verified), (Phase::Ready, false));
    alice.gets(&only(bob.offers(NOW)).envelope);
    let token = alice.db.read(|tx| contacts::get(tx, &bob.account)).unwrap().token;
    assert_ne!(token, Some(REDEEMED));
    // Once Alice uses the token from Bob's card, the card has served.
    assert!(!bob.db.read(|tx| contacts::get(tx, &alice.account)).unwrap().card_known);
    alice.writes("bob", "again").unwrap();
    let again = alice.offers(NOW).pop().unwrap();
    bob.gets(&again.envelope);
    assert!(bob.db.read(|tx| contacts::get(tx, &alice.account)).unwrap().card_known);
}

#[test]
fn a_token_that_was_passed_on_makes_a_request_and_no_contact() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "hi").unwrap();
    bob.gets(&only(alice.offers(NOW)).envelope);
    alice.gets(&only(bob.offers(NOW)).envelope);
    let given = alice.db.read(|tx| contacts::get(tx, &bob.account)).unwrap().token.unwrap();
    let mut mallory = Person::new();
    mallory.befriend(&mut bob, "bob");
    let account = bob.account;
    mallory.db.write(|tx| contacts::store_token(tx, &account, &given)).unwrap();
    mallory.writes("bob", "spam").unwrap();
    bob.gets(&only(mallory.offers(NOW)).envelope);
    assert_eq!(bob.texts(), ["hi"]);
    let contact = bob.db.read(|tx| contacts::get(tx, &mallory.account)).unwrap();
    assert_eq!(contact.phase, Phase::Asking);
}

#[test]
fn a_request_is_answered_by_a_card_and_what_waited_follows() {
    let (mut alice, mut bob) = friends();
    alice.execute("UPDATE contact SET phase = 1, token = NULL");
    let (first, _) = alice.writes("bob", "may I?").unwrap();
    let (second, _) = alice.writes("bob", "and then").unwrap();
    let long = "x".repeat(4096);
    alice.execute("UPDATE contact SET phase = 2");
    assert!(alice.writes("bob", &long).is_ok(), "what waits for acceptance has no such limit");
    alice.execute("UPDATE contact SET phase = 1");
    let request = alice.offers(NOW).remove(0);
    assert_eq!(request.row, first);
    assert_eq!(alice.message(second).reason, outbox::NOT_ACCEPTED);
    let mut push = bob.push_of(&request.envelope);
    push.origin = Some(NodeId([9; 32]));
    push.tag = Some(ByteArray::new([4; 16]));
    bob.takes(&push);
    assert!(bob.texts().is_empty() && bob.offers(NOW).is_empty());
    let (vault, account) = (&bob.vault, alice.account);
    bob.db
        .write(|tx| {
            let own = Identity::load(tx, vault)?;
            let contact = contacts::get(tx, &account)?;
            requests::accept(tx, vault, &own, &contact, NOW)
        })
        .unwrap();
    bob.tokens_registered();
    assert_eq!(bob.texts(), ["may I?"]);
    for offer in bob.offers(NOW) {
        alice.gets(&offer.envelope);
    }
    assert_eq!(alice.state(first), State::Delivered);
    let rest = alice.offers(NOW);
    assert!(rest.iter().any(|offer| offer.row == second));
}

#[test]
fn a_request_has_its_own_limit() {
    let (mut alice, _) = friends();
    alice.execute("UPDATE contact SET phase = 1, token = NULL");
    let refused = alice.writes("bob", &"x".repeat(4096));
    let Err(Error::TooLarge { limit, .. }) = refused else { panic!("{refused:?}") };
    alice.writes("bob", &"x".repeat(limit)).unwrap();
    let offer = only(alice.offers(NOW));
    offer.envelope.validate().unwrap();
}

#[test]
fn the_blocked_are_not_heard_and_not_answered() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "one").unwrap();
    alice.writes("bob", "two").unwrap();
    let offers = alice.offers(NOW);
    bob.gets(&offers[0].envelope);
    let (vault, account) = (&bob.vault, alice.account);
    bob.db
        .write(|tx| {
            let own = Identity::load(tx, vault)?;
            let contact = contacts::get(tx, &account)?;
            requests::block(tx, vault, &own, &contact, NOW)
        })
        .unwrap();
    bob.gets(&offers[1].envelope);
    assert!(bob.texts().is_empty() && bob.offers(NOW).is_empty());
    assert!(matches!(bob.writes("contact", "x"), Err(Error::NotFound { .. })));
    let name = bob.db.read(|tx| contacts::get(tx, &account)).unwrap().name;
    assert!(matches!(bob.writes(&name, "x"), Err(Error::Blocked(_))));
    // What was said before is still there for who asks for it.
    let query = Query { contact: Some(account), ..Query::default() };
    let history = bob.db.read(|tx| messages::list(tx, &query)).unwrap();
    assert_eq!(history.iter().filter_map(|m| m.text.as_deref()).collect::<Vec<_>>(), ["one"]);
}

#[test]
fn blocking_ends_only_what_is_still_here_and_unblocking_sends_the_card_again() {
    let (mut alice, mut bob) = friends();
    let (gone, _) = alice.writes("bob", "on its way").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    alice.receipt(&receipt_for(&envelope, ReceiptKind::AtNode, &testing::node_key()));
    let (here, _) = alice.writes("bob", "still here").unwrap();
    let (vault, account) = (alice.vault.clone(), bob.account);
    alice
        .db
        .write(|tx| {
            let own = Identity::load(tx, &vault)?;
            requests::block(tx, &vault, &own, &contacts::get(tx, &account)?, NOW)
        })
        .unwrap();
    assert_eq!((alice.state(gone), alice.state(here)), (State::AtNode, State::Failed));
    assert!(!alice.message(here).reason.is_empty());
    alice.db.write(outbox::reoffer_all).unwrap();
    assert!(!alice.db.read(|tx| outbox::is_due(tx, NOW)).unwrap());
    assert!(alice.offers(NOW).is_empty());
    alice
        .db
        .write(|tx| {
            let own = Identity::load(tx, &vault)?;
            let contact = contacts::get(tx, &account)?;
            assert!(matches!(
                requests::accept(tx, &vault, &own, &contact, NOW),
                Err(Error::Blocked(_))
            ));
            requests::unblock(tx, &vault, &own, &contact, NOW)
        })
        .unwrap();
    let contact = alice.db.read(|tx| contacts::get(tx, &account)).unwrap();
    assert!(!contact.blocked && !contact.token_registered && contact.token_number == 1);
    alice.tokens_registered();
    bob.gets(&envelope);
    for offer in alice.offers(NOW) {
        bob.gets(&offer.envelope);
    }
    // The card that came holds the new token, and what was on its way is confirmed.
    let given = contact.given_token(&alice.own());
    let sender = alice.account;
    let held = bob.db.read(|tx| contacts::get(tx, &sender)).unwrap().token;
    assert_eq!(held, Some(given));
    for offer in bob.offers(NOW) {
        alice.gets(&offer.envelope);
    }
    assert_eq!(alice.state(gone), State::Delivered);
}

#[test]
fn receipts_that_were_lost_are_given_again_without_any_further_message() {
    let (mut alice, mut bob) = roads::apart();
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let envelope = only(alice.offers(NOW)).envelope;
    bob.gets(&envelope);
    let seen = bob.inbox();
    bob.db.write(|tx| messages::mark_shown(tx, &[seen[0].row], NOW)).unwrap();
    let home = alice.own().home.node;
    // Alice's node has each, and loses it again.
    let arrives = |bob: &mut Person| {
        let sent = only(bob.offers(NOW)).envelope;
        bob.receipt(&receipt_for(&sent, ReceiptKind::Accepted, &roads::key(20)));
        bob.receipt(&receipt_for(&sent, ReceiptKind::AtNode, &testing::node_key()));
        assert!(bob.offers(NOW).is_empty());
        sent
    };
    arrives(&mut bob);
    assert!(bob.hears_of(home, 2));
    arrives(&mut bob);
    // Her device offers it again, as it has no receipt.
    bob.gets(&envelope);
    assert!(bob.inbox().is_empty());
    let delivered = arrives(&mut bob);
    alice.gets(&delivered);
    assert_eq!(alice.state(row), State::Delivered);
    assert!(bob.hears_of(home, 3));
    let read = arrives(&mut bob);
    alice.gets(&read);
    assert_eq!(alice.state(row), State::Read);
    assert!(alice.offers(NOW).is_empty(), "nobody answers a receipt");
}
