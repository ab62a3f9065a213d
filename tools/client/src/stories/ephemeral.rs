//! Stories of typing and presence.

use postroad_proto::ephemeral::{Ephemeral, EphemeralSecret, kind as sign, presence, typing};
use postroad_proto::frame::{EphemeralPush, EphemeralSend, Frame};

use super::home::{Home, good, joined, knows, while_serving};
use super::*;
use crate::SettingsChange;
use crate::ephemeral::{self, Signs};
use crate::settings;

const WRITING: (u64, u64) = (sign::TYPING, typing::WRITING);
const STOPPED: (u64, u64) = (sign::TYPING, typing::STOPPED);
const HERE: (u64, u64) = (sign::PRESENCE, presence::HERE);
const ASKS: (u64, u64) = (sign::PRESENCE, presence::HERE_AND_ASKS);

impl Person {
    fn says(&mut self, to: AccountId, what: (u64, u64), now: u64) -> Vec<EphemeralSend> {
        self.db.write(|tx| ephemeral::say(tx, &to, what, now)).unwrap();
        self.due(now)
    }

    fn due(&mut self, now: u64) -> Vec<EphemeralSend> {
        let vault = &self.vault;
        self.db.write(|tx| ephemeral::take_due(tx, &Identity::load(tx, vault)?, now)).unwrap()
    }

    fn notices(&mut self, said: &EphemeralSend, now: u64) {
        let label = ByteArray::new(redeemed_label(&said.token.hash()));
        let push = EphemeralPush { label, sealed: said.sealed.clone() };
        let vault = &self.vault;
        self.db.write(|tx| ephemeral::take(tx, &Identity::load(tx, vault)?, &push, now)).unwrap();
    }

    fn sees(&mut self, of: AccountId, now: u64) -> Signs {
        self.db.read(|tx| ephemeral::signs(tx, now)).unwrap().get(&of).copied().unwrap_or_default()
    }
}

/// Two who have each other's cards.
fn acquainted() -> (Person, Person) {
    let (mut alice, mut bob) = friends();
    for _ in 0..2 {
        alice.writes("bob", "hi").unwrap();
        for offer in alice.offers(NOW) {
            bob.gets(&offer.envelope);
        }
        for offer in bob.offers(NOW) {
            alice.gets(&offer.envelope);
        }
    }
    (alice, bob)
}

fn one(mut said: Vec<EphemeralSend>) -> EphemeralSend {
    assert_eq!(said.len(), 1);
    said.remove(0)
}

#[test]
fn typing_shows_for_a_while_and_ends_with_the_message() {
    let (mut alice, mut bob) = acquainted();
    let (a, b) = (alice.account, bob.account);
    let said = one(alice.says(b, WRITING, NOW));
    assert!(alice.due(NOW).is_empty(), "it is sent once");
    bob.notices(&said, NOW);
    assert_eq!(bob.sees(a, NOW), Signs { writing: true, here: false });
    assert_eq!(bob.sees(a, NOW + 6_000), Signs::default(), "it ends by itself");
    alice.writes("bob", "what I typed").unwrap();
    bob.notices(&one(alice.says(b, WRITING, NOW + 10)), NOW + 10);
    assert!(bob.sees(a, NOW + 10).writing);
    for offer in alice.offers(NOW) {
        bob.gets(&offer.envelope);
    }
    assert!(!bob.sees(a, NOW + 10).writing);
    bob.notices(&one(alice.says(b, WRITING, NOW + 20)), NOW + 20);
    bob.notices(&one(alice.says(b, STOPPED, NOW + 20)), NOW + 20);
    assert!(!bob.sees(a, NOW + 20).writing, "of one moment, what was said last counts");
}

#[test]
fn it_is_said_again_only_when_there_is_use_in_it() {
    let (mut alice, mut bob) = acquainted();
    let b = bob.account;
    let mut is_news =
        |what, now| alice.db.read(|tx| ephemeral::is_news(tx, &b, what, now)).unwrap();
    assert!(is_news(WRITING, NOW) && !is_news(STOPPED, NOW));
    alice.says(b, WRITING, NOW);
    let mut is_news =
        |what, now| alice.db.read(|tx| ephemeral::is_news(tx, &b, what, now)).unwrap();
    assert!(!is_news(WRITING, NOW + 3_999) && is_news(WRITING, NOW + 4_000));
    assert!(is_news(STOPPED, NOW + 1), "and at once when it ends");
    assert!(is_news(WRITING, NOW - 600_000), "a clock that was set back silences nobody");
    alice.says(b, STOPPED, NOW + 1);
    let late = alice.db.read(|tx| ephemeral::is_news(tx, &b, STOPPED, NOW + 2)).unwrap();
    assert!(!late);
    alice.execute("UPDATE ephemeral SET due = 1");
    assert!(alice.due(NOW + 11_000).is_empty(), "what is old is worth nothing");
    let back = NOW - 600_000;
    let said = one(alice.says(b, WRITING, back));
    bob.notices(&said, back);
    assert!(bob.sees(alice.account, back).writing, "and what it says then is believed");
}

#[test]
fn nothing_that_is_replayed_held_back_or_somebody_elses_is_believed() {
    let (mut alice, mut bob) = acquainted();
    let (a, b) = (alice.account, bob.account);
    let first = one(alice.says(b, HERE, NOW));
    let gone = one(alice.says(b, (sign::PRESENCE, presence::AWAY), NOW + 1));
    bob.notices(&gone, NOW + 1);
    bob.notices(&first, NOW + 2);
    assert!(!bob.sees(a, NOW + 2).here, "what was said before comes too late");
    let again = one(alice.says(b, HERE, NOW + 3));
    bob.notices(&again, NOW + 3);
    assert!(bob.sees(a, NOW + 3).here);
    bob.notices(&again, NOW + 80_000);
    assert!(!bob.sees(a, NOW + 100_000).here, "a repeat does not prolong it");
    let held = one(alice.says(b, HERE, NOW + 200_000));
    bob.notices(&held, NOW + 330_000);
    assert!(!bob.sees(a, NOW + 330_000).here, "it was held back for two minutes");

    // Sealed by somebody else, of a device that she does not have, of an unknown kind or value.
    let own = bob.own();
    let secret = bob.contact(a).given_secret(&own);
    let now = NOW + 400_000;
    let forge = |secret: &EphemeralSecret, from: AccountId, kind, device, value| {
        let said = Ephemeral { kind, device, at: now, value };
        let sealed = secret.seal((&from, &b), &said, [1; 24]).unwrap().into();
        EphemeralSend { sealed, ..held.clone() }
    };
    let other = EphemeralSecret([5; 32]);
    for forged in [
        forge(&other, a, sign::TYPING, 1, 1),
        forge(&secret, b, sign::TYPING, 1, 1),
        forge(&secret, a, sign::TYPING, 2, 1),
        forge(&secret, a, 7, 1, 1),
        forge(&secret, a, sign::TYPING, 1, 2),
    ] {
        bob.notices(&forged, now);
        assert_eq!(bob.sees(a, now), Signs::default());
    }
    bob.notices(&forge(&secret, a, sign::TYPING, 1, 1), now);
    assert!(bob.sees(a, now).writing);
    assert!(bob.problems().is_empty(), "and nobody is bothered with it");
}

#[test]
fn who_is_there_answers_who_asks_and_who_is_not_does_not() {
    let (mut alice, mut bob) = acquainted();
    let (a, b) = (alice.account, bob.account);
    bob.notices(&one(alice.says(b, ASKS, NOW)), NOW);
    assert!(bob.sees(a, NOW).here);
    assert!(bob.due(NOW).is_empty(), "Bob is not there");
    bob.db.write(|tx| ephemeral::note_here(tx, NOW)).unwrap();
    bob.notices(&one(alice.says(b, ASKS, NOW + 1)), NOW + 1);
    alice.notices(&one(bob.due(NOW + 1)), NOW + 1);
    assert!(alice.sees(b, NOW + 1).here);
    bob.notices(&one(alice.says(b, ASKS, NOW + 2)), NOW + 2);
    assert!(bob.due(NOW + 2).is_empty(), "who asks all the time is not answered all the time");
    bob.db.write(|tx| ephemeral::note_gone(tx, NOW + 3)).unwrap();
    alice.notices(&one(bob.due(NOW + 3)), NOW + 3);
    assert!(!alice.sees(b, NOW + 3).here);
}

#[test]
fn off_is_off_in_both_directions_and_blocked_is_silent() {
    let (mut alice, mut bob) = acquainted();
    let (a, b) = (alice.account, bob.account);
    let heard = one(alice.says(b, WRITING, NOW));
    alice.db.write(|tx| settings::turn(tx, settings::TYPING, false)).unwrap();
    assert!(alice.says(b, WRITING, NOW + 1).is_empty());
    assert_eq!(alice.says(b, HERE, NOW + 1).len(), 1, "the other one is on");
    bob.db.write(|tx| settings::turn(tx, settings::TYPING, false)).unwrap();
    bob.notices(&heard, NOW);
    assert_eq!(bob.sees(a, NOW), Signs::default());
    // With both off the next card gives no secret, and takes the old one back.
    bob.db.write(|tx| settings::turn(tx, settings::PRESENCE, false)).unwrap();
    bob.db.write(|tx| contacts::tokens::renew_all(tx, NOW)).unwrap();
    bob.tokens_registered();
    let name = bob.contact(a).name;
    bob.writes(&name, "leave me alone").unwrap();
    for offer in bob.offers(NOW) {
        alice.gets(&offer.envelope);
    }
    assert!(alice.contact(b).ephemeral.is_none());
    assert!(alice.says(b, HERE, NOW + 2).is_empty());

    let (mut alice, mut bob) = acquainted();
    let (a, b) = (alice.account, bob.account);
    let said = one(alice.says(b, WRITING, NOW));
    bob.execute("UPDATE contact SET blocked = 1");
    bob.notices(&said, NOW);
    assert_eq!(bob.sees(a, NOW), Signs::default());
    assert!(bob.says(a, WRITING, NOW).is_empty());
}

#[tokio::test]
async fn a_client_says_it_without_waiting_and_hears_it_between_other_things() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let mut bob = Person::new();
    knows(&mut client, &mut bob, "bob");
    let (a, b) = (client.identity().unwrap().account, bob.account);
    let given = EphemeralSecret([8; 32]);
    let vault = &client.vault;
    let (label, sealed) = client
        .db
        .write(|tx| {
            tx.execute("UPDATE contact SET ephemeral = ?1", [given.0])?;
            let own = Identity::load(tx, vault)?;
            let contact = contacts::get(tx, &b)?;
            let label = redeemed_label(&contact.given_token(&own).hash());
            contacts::tokens::used(tx, &own, &contact, label, NOW)?;
            let at = clock::now();
            let said = Ephemeral { kind: sign::TYPING, device: 1, at, value: typing::WRITING };
            let sealed = contact.given_secret(&own).seal((&b, &a), &said, [1; 24])?;
            Ok((redeemed_label(&contact.given_token(&own).hash()), sealed))
        })
        .unwrap();
    client.typing(&b, true).unwrap();
    client.typing(&b, true).unwrap();
    let script = |frame: &Frame| match frame {
        Frame::Ping(ask) => {
            let label = ByteArray::new(label);
            let push = EphemeralPush { label, sealed: sealed.clone().into() };
            Some(vec![push.into(), good(ask.request)])
        }
        _ => None,
    };
    // Twice: nobody waits for what is said to be heard.
    let twice = async {
        client.sync().await.unwrap();
        client.sync().await.unwrap();
    };
    while_serving(&home, script, twice).await;
    let signs = client.signs().unwrap();
    assert_eq!(signs.get(&b), Some(&Signs { writing: true, here: false }));
    let said = one(home.heard(|frame| match frame {
        Frame::EphemeralSend(said) => Some(*said.clone()),
        _ => None,
    }));
    assert_eq!((said.account, said.token), (b, REDEEMED));
    let opened = given.open((&a, &b), &said.sealed, clock::now()).unwrap();
    assert_eq!((opened.kind, opened.value), WRITING);
    // Nobody hears it, and so nothing is written, however often it is said.
    let writes = client.db.version().unwrap().1;
    client.db.write(|tx| Ok(tx.execute("UPDATE contact SET ephemeral = NULL", [])?)).unwrap();
    for _ in 0..9 {
        client.typing(&b, true).unwrap();
        client.here(&b).unwrap();
    }
    assert_eq!(client.db.version().unwrap().1 - writes, 2, "but that the user is here, once");
    let off = SettingsChange { typing: Some(false), ..SettingsChange::default() };
    assert!(!client.set(off).unwrap().typing);
}
