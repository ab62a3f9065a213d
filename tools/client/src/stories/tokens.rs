//! Stories of the tokens that cards give: made anew in time, and retired once others are in use.

use postroad_proto::ids::Hash;
use postroad_proto::limits::ROTATED_TOKEN_SECONDS;

use super::*;
use crate::contacts::tokens::{self, Retired};
use crate::requests;

const DAY: u64 = 86_400_000;

impl Person {
    /// Hashes of the tokens that the home is to be given for this contact.
    fn unregistered(&mut self) -> Vec<Hash> {
        let vault = &self.vault;
        self.db
            .read(|tx| {
                let own = Identity::load(tx, vault)?;
                let all = tokens::unregistered(tx, &own)?;
                Ok(all.into_iter().flat_map(|(_, _, hashes)| hashes).collect())
            })
            .unwrap()
    }

    fn retired(&mut self) -> Vec<Retired> {
        self.db.read(tokens::retired).unwrap()
    }

    fn blocks(&mut self, account: AccountId) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                requests::block(tx, vault, &own, &contacts::get(tx, &account)?, NOW)
            })
            .unwrap();
    }

    fn renews_old(&mut self, now: u64) {
        self.db.write(|tx| tokens::renew_old(tx, now)).unwrap();
    }
}

/// Alice has used the token in Bob's card: what she wrote shows it.
fn acquainted() -> (Person, Person) {
    let (mut alice, mut bob) = friends();
    exchange(&mut alice, &mut bob);
    exchange(&mut alice, &mut bob);
    (alice, bob)
}

/// Alice writes to Bob, who answers with a receipt.
fn exchange(alice: &mut Person, bob: &mut Person) {
    alice.writes("bob", "hi").unwrap();
    for offer in alice.offers(NOW) {
        bob.gets(&offer.envelope);
    }
    for offer in bob.offers(NOW) {
        alice.gets(&offer.envelope);
    }
}

#[test]
fn a_token_of_the_senders_choice_is_retired_once_the_card_has_served() {
    let (mut alice, mut bob) = friends();
    exchange(&mut alice, &mut bob);
    assert!(bob.retired().is_empty(), "it may be the only one that she has");
    exchange(&mut alice, &mut bob);
    let [retired] = bob.retired().try_into().ok().expect("one");
    assert_eq!(retired.label, redeemed_label(&REDEEMED.hash()));
    assert_eq!(retired.hash, None, "only its label shows at the device");
    assert_eq!(retired.expires, NOW / 1000 + ROTATED_TOKEN_SECONDS);
}

#[test]
fn an_old_token_is_replaced_and_stays_good_until_the_new_one_is_used() {
    let (mut alice, mut bob) = acquainted();
    let account = alice.account;
    bob.execute("DELETE FROM token_drop");
    bob.renews_old(NOW + 89 * DAY);
    assert_eq!(bob.contact(account).token_number, 0);
    bob.renews_old(NOW + 91 * DAY);
    bob.renews_old(NOW + 400 * DAY);
    let contact = bob.contact(account);
    assert_eq!((contact.token_number, contact.card_known), (1, false), "one at a time");
    let own = bob.own();
    let (new, old) = (contact.given_token(&own), alice.contact(bob.account).token.unwrap());
    assert_eq!(bob.unregistered(), [old.hash(), new.hash()], "she may use either");
    bob.tokens_registered();

    // She writes under the old one until a card has brought the new one.
    alice.writes("bob", "under the old one").unwrap();
    for offer in alice.offers(NOW) {
        bob.gets(&offer.envelope);
    }
    assert!(bob.retired().is_empty() && !bob.contact(account).card_known);
    for offer in bob.offers(NOW) {
        alice.gets(&offer.envelope);
    }
    assert_eq!(alice.contact(bob.account).token, Some(new.clone()));
    alice.writes("bob", "under the new one").unwrap();
    for offer in alice.offers(NOW) {
        bob.gets(&offer.envelope);
    }
    assert!(bob.contact(account).card_known);
    let [retired] = bob.retired().try_into().ok().expect("one");
    assert_eq!(retired.hash, Some(old.hash()));
    assert_eq!(retired.expires, NOW / 1000 + ROTATED_TOKEN_SECONDS);
    // A home that is set back is given only what is still good.
    bob.execute("UPDATE contact SET token_registered = 0");
    assert_eq!(bob.unregistered(), [new.hash()]);
    bob.db.write(|tx| tokens::is_retired(tx, &retired)).unwrap();
    assert!(bob.retired().is_empty());
}

#[test]
fn whoever_is_blocked_loses_all_tokens_at_once_and_gets_none_of_them_back() {
    let (mut alice, mut bob) = acquainted();
    let account = alice.account;
    bob.renews_old(NOW + 91 * DAY);
    let (vault, own) = (bob.vault.clone(), bob.own());
    bob.blocks(account);
    let dropped: Vec<(Option<Hash>, u64)> =
        bob.retired().iter().map(|token| (token.hash, token.expires)).collect();
    let number = |n| DeliveryToken::derive(own.tokens(), &account, n).hash();
    let chosen: Vec<u64> = bob
        .retired()
        .iter()
        .filter(|token| token.label == redeemed_label(&REDEEMED.hash()))
        .map(|token| token.expires)
        .collect();
    assert_eq!(chosen, [0], "also the one that she chose, though she has moved on from it");
    assert!(dropped.contains(&(Some(number(0)), 0)) && dropped.contains(&(Some(number(1)), 0)));
    let contact = bob.contact(account);
    bob.db.write(|tx| requests::unblock(tx, &vault, &own, &contact, NOW)).unwrap();
    assert_eq!(bob.unregistered(), [number(2)]);
    // A home that was set back is told again what was dropped.
    bob.blocks(account);
    bob.execute("DELETE FROM token_drop");
    bob.db.write(|tx| tokens::retire_again(tx, &own, NOW)).unwrap();
    let again: Vec<u64> = bob.retired().iter().map(|token| token.expires).collect();
    assert_eq!(again, [0; 4], "three of his, and hers");
    assert!(bob.unregistered().is_empty());
    drop(alice.offers(NOW));
}

#[test]
fn a_card_that_comes_once_more_brings_back_no_token_that_was_replaced() {
    let (mut alice, mut bob) = friends();
    exchange(&mut alice, &mut bob);
    let name = bob.contact(alice.account).name;
    bob.writes(&name, "with the first card").unwrap();
    let late = bob.offers(NOW);
    assert!(!bob.contact(alice.account).card_known);
    bob.db.write(|tx| tokens::renew_all(tx, NOW)).unwrap();
    bob.tokens_registered();
    bob.writes(&name, "with the second").unwrap();
    let new = bob.offers(NOW).pop().unwrap();
    alice.gets(&new.envelope);
    let own = bob.own();
    let given = bob.contact(alice.account).given_token(&own);
    assert_eq!(alice.contact(bob.account).token, Some(given.clone()));
    for offer in late {
        alice.gets(&offer.envelope);
    }
    assert_eq!(alice.texts().len(), 2, "the message itself is welcome");
    assert_eq!(alice.contact(bob.account).token, Some(given));
}

#[test]
fn whoever_comes_back_to_an_old_token_is_given_the_new_one_again() {
    let (mut alice, mut bob) = acquainted();
    let (a, b) = (alice.account, bob.account);
    let old = alice.contact(b).token.unwrap();
    bob.db.write(|tx| tokens::renew_all(tx, NOW)).unwrap();
    bob.tokens_registered();
    exchange(&mut alice, &mut bob);
    exchange(&mut alice, &mut bob);
    assert!(bob.contact(a).card_known);
    bob.execute("DELETE FROM token_drop");
    // Restored from a copy, say.
    alice.db.write(|tx| contacts::store_token(tx, &b, &old)).unwrap();
    alice.writes("bob", "from the past").unwrap();
    for offer in alice.offers(NOW) {
        bob.gets(&offer.envelope);
    }
    assert!(!bob.contact(a).card_known, "a card goes with the next message");
    let [retired] = bob.retired().try_into().ok().expect("one");
    assert_eq!((retired.hash, retired.expires > 0), (Some(old.hash()), true), "and it lives on");
}

#[test]
fn whose_token_was_stolen_gets_another_when_the_thief_is_blocked() {
    let (mut alice, mut bob) = acquainted();
    let (a, b) = (alice.account, bob.account);
    let stolen = alice.contact(b).token.unwrap();
    let mut mallory = Person::new();
    mallory.befriend(&mut bob, "bob");
    mallory.db.write(|tx| contacts::store_token(tx, &b, &stolen)).unwrap();
    mallory.writes("bob", "spam").unwrap();
    bob.gets(&only(mallory.offers(NOW)).envelope);
    bob.execute("DELETE FROM token_drop");
    bob.blocks(mallory.account);
    assert!(bob.retired().iter().all(|token| token.hash != Some(stolen.hash())));
    let contact = bob.contact(a);
    assert!(!contact.card_known && !contact.token_registered);
    bob.tokens_registered();
    for offer in bob.offers(NOW) {
        alice.gets(&offer.envelope);
    }
    let given = contact.given_token(&bob.own());
    assert_eq!(alice.contact(b).token, Some(given), "without a word of Bob's");
}
