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
    let contact = bob.contact(account);
    bob.db.write(|tx| requests::block(tx, &own, &contact, NOW)).unwrap();
    let dropped: Vec<(Option<Hash>, u64)> =
        bob.retired().iter().map(|token| (token.hash, token.expires)).collect();
    let number = |n| DeliveryToken::derive(own.tokens(), &account, n).hash();
    assert!(dropped.contains(&(Some(number(0)), 0)) && dropped.contains(&(Some(number(1)), 0)));
    let contact = bob.contact(account);
    bob.db.write(|tx| requests::unblock(tx, &vault, &own, &contact, NOW)).unwrap();
    assert_eq!(bob.unregistered(), [number(2)]);
    drop(alice.offers(NOW));
}
