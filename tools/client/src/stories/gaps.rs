//! What never came is asked for, and what does not open is a reason to begin anew.

use postroad_proto::content::Absent;

use super::*;

/// Long enough for a gap to count as one.
const LATER: u64 = NOW + 11_000;

/// The two have written to each other, so that neither needs a card any more.
fn acquainted() -> (Person, Person) {
    let (mut alice, mut bob) = friends();
    for _ in 0..3 {
        alice.writes("bob", "hi").unwrap();
        settle(&mut alice, &mut bob, NOW);
        settle(&mut bob, &mut alice, NOW);
    }
    (alice, bob)
}

/// Hands over all that there is to offer; the home took it.
fn settle(from: &mut Person, to: &mut Person, now: u64) -> usize {
    let offers = from.offers(now);
    for offer in &offers {
        to.gets(&offer.envelope);
    }
    from.execute("UPDATE outbox SET offer = 0 WHERE envelope IS NOT NULL");
    offers.len()
}

/// Takes all that there is to offer, and loses it: the node says that it has it.
fn lose(from: &mut Person) -> usize {
    let lost = from.offers(NOW).len();
    from.execute("UPDATE outbox SET offer = 0 WHERE envelope IS NOT NULL");
    lost
}

fn gaps(person: &mut Person) -> Vec<(u64, u64)> {
    person.inbox().iter().map(|m| (m.missing_before, m.lost_before)).collect()
}

/// The home has got a prekey of somebody's.
fn give_key(of: &mut Person, to: &mut Person) {
    let (prekey, their) = (of.prekey(), of.own());
    let list = their.devices.open(&their.network).unwrap();
    let keep = |tx: &Transaction<'_>| {
        keep_prekeys(tx, &their.network, &their.account, &list, &[prekey], clock::now())
    };
    to.db.write(keep).unwrap();
}

/// What Bob calls Alice, who wrote first.
fn name_of(person: &mut Person) -> String {
    person.db.read(contacts::all).unwrap()[0].name.clone()
}

fn mark_all(person: &mut Person) {
    person.execute("UPDATE message SET shown = 1");
}

#[test]
fn what_a_node_dropped_is_asked_for_and_comes_once_in_its_place() {
    let (mut alice, mut bob) = acquainted();
    mark_all(&mut bob);
    alice.writes("bob", "one").unwrap();
    alice.writes("bob", "two").unwrap();
    assert_eq!(lose(&mut alice), 2);
    alice.writes("bob", "three").unwrap();
    settle(&mut alice, &mut bob, NOW);
    assert_eq!((bob.texts(), gaps(&mut bob)), (vec!["three".to_owned()], vec![(2, 0)]));
    // It may close by itself: nobody asks at once.
    settle(&mut bob, &mut alice, NOW);
    assert_eq!(settle(&mut alice, &mut bob, NOW), 0);
    assert_eq!(settle(&mut bob, &mut alice, LATER), 1);
    settle(&mut alice, &mut bob, LATER);
    let mut texts = bob.texts();
    texts.sort();
    assert_eq!((texts.len(), gaps(&mut bob)), (3, vec![(0, 0); 3]));
    assert!(bob.problems().is_empty(), "{:?}", bob.problems());
    // The chain of hashes holds: they are the same messages at the same places.
    settle(&mut bob, &mut alice, LATER);
    assert_eq!(settle(&mut bob, &mut alice, LATER + 3_600_000), 0);
}

#[test]
fn a_lost_receipt_is_no_lost_message() {
    let (mut alice, mut bob) = acquainted();
    mark_all(&mut bob);
    // Alice's receipt gets lost once her node had it, so she does not have it any more.
    let with = name_of(&mut bob);
    bob.writes(&with, "seen?").unwrap();
    settle(&mut bob, &mut alice, NOW);
    assert!(lose(&mut alice) > 0);
    alice.execute("DELETE FROM outbox WHERE message IN (SELECT row FROM message WHERE kind = 2)");
    alice.execute("DELETE FROM message WHERE kind = 2");
    alice.writes("bob", "next").unwrap();
    settle(&mut alice, &mut bob, NOW);
    assert_eq!(gaps(&mut bob), [(1, 0)]);
    settle(&mut bob, &mut alice, LATER);
    settle(&mut alice, &mut bob, LATER);
    assert_eq!(gaps(&mut bob), [(0, 0)]);
}

#[test]
fn what_was_given_up_is_shown_as_lost_and_asked_for_no_more() {
    let (mut alice, mut bob) = acquainted();
    mark_all(&mut bob);
    let (row, _) = alice.writes("bob", "in vain").unwrap();
    assert_eq!(lose(&mut alice), 1);
    alice.db.write(|tx| outbox::give_up(tx, row)).unwrap();
    alice.writes("bob", "next").unwrap();
    settle(&mut alice, &mut bob, NOW);
    settle(&mut bob, &mut alice, LATER);
    settle(&mut alice, &mut bob, LATER);
    assert_eq!(gaps(&mut bob), [(0, 1)]);
    settle(&mut bob, &mut alice, LATER);
    assert_eq!(settle(&mut bob, &mut alice, LATER + 86_400_000), 0);
}

#[test]
fn nobody_says_what_another_device_will_not_send_or_what_is_still_to_come() {
    let (mut alice, mut bob) = acquainted();
    mark_all(&mut bob);
    let everything = Absent { empty: vec![(1, 1 << 40)], lost: vec![(1, 1 << 40)] };
    alice.sends("bob", kind::ABSENT, &everything);
    alice.writes("bob", "still here").unwrap();
    settle(&mut alice, &mut bob, NOW);
    assert_eq!((bob.texts(), gaps(&mut bob)), (vec!["still here".to_owned()], vec![(0, 0)]));
}

#[test]
fn a_device_that_lost_its_sessions_asks_on_a_new_one_and_gets_what_it_missed() {
    let (mut alice, mut bob) = acquainted();
    mark_all(&mut bob);
    bob.execute("DELETE FROM session");
    alice.writes("bob", "can you read this?").unwrap();
    settle(&mut alice, &mut bob, NOW);
    assert_eq!((bob.texts().len(), bob.problems()), (0, vec!["unopened".to_owned()]));
    // Bob has no session, so his home gives him a key of Alice's.
    give_key(&mut alice, &mut bob);
    settle(&mut bob, &mut alice, NOW);
    settle(&mut alice, &mut bob, NOW);
    assert_eq!(bob.texts(), ["can you read this?"]);
    // And both go on using it.
    alice.writes("bob", "good").unwrap();
    settle(&mut alice, &mut bob, NOW);
    assert_eq!(bob.texts().len(), 2);
    assert_eq!(bob.problems(), ["unopened"]);
}

#[test]
fn a_session_that_only_one_side_lost_is_given_up_for_a_new_one() {
    let (mut alice, mut bob) = acquainted();
    mark_all(&mut bob);
    // As after a copy of the profile was brought back: the session is there, but behind.
    let before: Vec<(String, String)> = bob
        .db
        .read(|tx| {
            let mut query = tx.prepare("SELECT id, pickle FROM session")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .unwrap();
    for turn in 0..3 {
        alice.writes("bob", &format!("turn {turn}")).unwrap();
        settle(&mut alice, &mut bob, NOW);
        let with = name_of(&mut bob);
        bob.writes(&with, "yes").unwrap();
        settle(&mut bob, &mut alice, NOW);
    }
    bob.db
        .write(|tx| {
            for (id, pickle) in &before {
                tx.execute("UPDATE session SET pickle = ?2 WHERE id = ?1", [id, pickle])?;
            }
            Ok(())
        })
        .unwrap();
    mark_all(&mut bob);
    alice.writes("bob", "lost?").unwrap();
    settle(&mut alice, &mut bob, NOW);
    assert!(!bob.problems().is_empty());
    // The question waits for a key: the old session would not carry it.
    assert_eq!(settle(&mut bob, &mut alice, NOW), 0);
    give_key(&mut alice, &mut bob);
    assert!(settle(&mut bob, &mut alice, NOW) > 0);
    settle(&mut alice, &mut bob, NOW);
    assert_eq!(bob.texts(), ["lost?"]);
}
