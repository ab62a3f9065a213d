//! What changes messages that are there, in whatever order it comes.

use postroad_proto::content::{Delete, Edit, Reaction, Reference, Timer};

use super::*;
use crate::amend;

/// All that `from` has to offer, handed over in this order of places.
fn hand_over(from: &mut Person, to: &mut Person, order: &[usize]) {
    let offers = from.offers(NOW);
    assert_eq!(offers.len(), order.len());
    for place in order {
        to.gets(&offers[*place].envelope);
    }
}

#[test]
fn edits_and_reactions_count_whenever_they_come() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
        let (mut alice, mut bob) = friends();
        let (row, id) = alice.writes("bob", "helo").unwrap();
        let edit = |text: &str| Edit { id, text: text.to_owned() };
        alice.sends_at("bob", kind::EDIT, &edit("hello"), NOW + 1);
        alice.sends_at("bob", kind::EDIT, &edit("hello!"), NOW + 2);
        let to = Reference { account: alice.account, id };
        let reaction = Reaction { to, emoji: "\u{1f600}".to_owned() };
        alice.sends("bob", kind::REACTION, &reaction);
        assert_eq!(alice.message(row).text.as_deref(), Some("hello!"));
        hand_over(&mut alice, &mut bob, &order);
        let [seen] = &bob.inbox()[..] else { panic!("one message: {:?}", bob.inbox()) };
        assert_eq!((seen.text.as_deref(), seen.edited), (Some("hello!"), true), "{order:?}");
        assert_eq!(seen.reactions.len(), 1);
        assert!(!seen.reactions[0].outgoing);
        assert!(bob.problems().is_empty());
    }
}

#[test]
fn what_was_deleted_is_gone_whatever_comes_before_or_after() {
    for order in [[0, 1, 2, 3], [2, 0, 1, 3], [3, 2, 1, 0]] {
        let (mut alice, mut bob) = friends();
        let (row, id) = alice.writes("bob", "a secret").unwrap();
        alice.writes("bob", "stays").unwrap();
        alice.offers(NOW);
        alice.sends("bob", kind::DELETE, &Delete { id });
        let edit = Edit { id, text: "a secret again".to_owned() };
        alice.sends_at("bob", kind::EDIT, &edit, NOW + 5);
        hand_over(&mut alice, &mut bob, &order);
        for (person, own) in [(&mut alice, true), (&mut bob, false)] {
            let all = person.db.read(|tx| messages::list(tx, &Query::default())).unwrap();
            let gone = all.iter().find(|m| m.id == id).unwrap();
            assert!(gone.deleted && gone.text.is_none() && !gone.edited, "{own} {order:?}");
            assert_eq!(found(person, "secret"), 0, "not even the index has it");
        }
        assert!(alice.message(row).deleted);
        // Nobody has to look at what is no more.
        assert_eq!(bob.texts(), ["stays"]);
    }
}

/// All that `from` has to offer.
fn hand_all(from: &mut Person, to: &mut Person) {
    for offer in from.offers(NOW) {
        to.gets(&offer.envelope);
    }
    from.execute("UPDATE outbox SET offer = 0");
}

fn found(person: &mut Person, search: &str) -> usize {
    let query = Query { search: Some(search.to_owned()), ..Query::default() };
    person.db.read(|tx| messages::list(tx, &query)).unwrap().len()
}

#[test]
fn an_edit_that_was_not_sent_yet_leaves_no_text_behind() {
    let (mut alice, mut bob) = friends();
    let (row, id) = alice.writes("bob", "psst").unwrap();
    hand_all(&mut alice, &mut bob);
    hand_all(&mut bob, &mut alice);
    let edit = Edit { id, text: "a secret".to_owned() };
    alice.sends_at("bob", kind::EDIT, &edit, NOW + 1);
    alice.execute("UPDATE message SET vanish_at = 1 WHERE kind = 1");
    // It goes with its edit, which is still to be sent.
    alice.db.write(|tx| amend::vanish(tx, NOW)).unwrap();
    assert_eq!(alice.message(row).text.as_deref(), Some("a secret"));
    alice.sends("bob", kind::DELETE, &Delete { id });
    let edits: Vec<Vec<u8>> = alice
        .db
        .read(|tx| {
            let mut query = tx.prepare("SELECT content FROM message WHERE kind = 4")?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .unwrap();
    assert_eq!(edits, [Vec::<u8>::new()]);
    // The deletion alone goes out.
    assert_eq!(alice.offers(NOW).len(), 1);
}

#[test]
fn nobody_changes_what_another_wrote() {
    let (mut alice, mut bob) = friends();
    let (_, id) = alice.writes("bob", "mine").unwrap();
    bob.gets(&only(alice.offers(NOW)).envelope);
    let name = bob.inbox()[0].chat.clone();
    bob.sends(&name, kind::EDIT, &Edit { id, text: "yours".to_owned() });
    bob.sends(&name, kind::DELETE, &Delete { id });
    hand_all(&mut bob, &mut alice);
    let all = alice.db.read(|tx| messages::list(tx, &Query::default())).unwrap();
    assert_eq!(
        (all[0].text.as_deref(), all[0].edited, all[0].deleted),
        (Some("mine"), false, false)
    );
    assert_eq!(bob.inbox()[0].text.as_deref(), Some("mine"));
}

#[test]
fn the_latest_reaction_counts_and_an_empty_one_takes_it_back() {
    let (mut alice, mut bob) = friends();
    let (row, id) = alice.writes("bob", "hi").unwrap();
    bob.gets(&only(alice.offers(NOW)).envelope);
    let name = bob.inbox()[0].chat.clone();
    let to = Reference { account: alice.account, id };
    let shown = |person: &mut Person| -> Vec<String> {
        person.message(row).reactions.into_iter().map(|reaction| reaction.emoji).collect()
    };
    for (at, (emoji, expected)) in
        [("a", vec!["a"]), ("b", vec!["b"]), ("", vec![])].into_iter().enumerate()
    {
        let reaction = Reaction { to, emoji: emoji.to_owned() };
        bob.sends_at(&name, kind::REACTION, &reaction, NOW + at as u64);
        hand_all(&mut bob, &mut alice);
        assert_eq!(shown(&mut alice), expected);
    }
    // No words, no lines, nothing that moves a cursor.
    for bad in ["x".repeat(33), "a b".to_owned(), "\u{1b}[2J".to_owned()] {
        assert!(!amend::is_reaction(&bad));
        bob.sends(&name, kind::REACTION, &Reaction { to, emoji: bad });
        hand_all(&mut bob, &mut alice);
        assert_eq!(shown(&mut alice), Vec::<String>::new());
    }
    assert_eq!(alice.problems(), ["unopened"; 3]);
}

#[test]
fn a_reply_says_what_it_answers_also_when_that_is_not_here() {
    let (mut alice, mut bob) = friends();
    let (_, first) = alice.writes("bob", "shall we?").unwrap();
    bob.gets(&only(alice.offers(NOW)).envelope);
    let name = bob.inbox()[0].chat.clone();
    for (id, text) in [(first, Some("shall we?")), (MessageId([9; 16]), None)] {
        let reply = Some(Reference { account: alice.account, id });
        bob.sends(&name, kind::TEXT, &Text { reply, ..Text::plain("yes") });
        hand_all(&mut bob, &mut alice);
        let quoted = alice.inbox().pop().unwrap().reply.unwrap();
        assert_eq!((quoted.id, quoted.outgoing, quoted.text.as_deref()), (id, true, text));
    }
}

#[test]
fn texts_vanish_on_both_sides_but_not_before_they_arrived() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "hi").unwrap();
    let set = Timer { seconds: 60 };
    let (_, said) = alice.sends("bob", kind::TIMER, &set);
    let text = Text { vanish: Some(60), ..Text::plain("psst") };
    let (row, _) = alice.sends("bob", kind::TEXT, &text);
    let offers = alice.offers(NOW);
    let over = |person: &mut Person, now| {
        person.db.write(|tx| amend::vanish(tx, now)).unwrap();
        let query = Query { search: Some("psst".to_owned()), ..Query::default() };
        person.db.read(|tx| messages::list(tx, &query)).unwrap().is_empty()
    };
    // Ours is kept as long as it may have to be sent.
    assert!(!over(&mut alice, NOW + 61_000));
    for offer in &offers {
        bob.gets(&offer.envelope);
    }
    assert_eq!(bob.contact(alice.account).timer, Some(60));
    assert_eq!(bob.inbox()[1].id, said);
    // Theirs as long as nobody has seen it.
    assert!(!over(&mut bob, NOW + 999_000));
    let rows: Vec<i64> = bob.inbox().iter().map(|message| message.row).collect();
    bob.db.write(|tx| messages::mark_shown(tx, &rows, NOW + 1_000_000)).unwrap();
    assert!(!over(&mut bob, NOW + 1_059_000));
    assert!(over(&mut bob, NOW + 1_060_000));
    hand_all(&mut bob, &mut alice);
    assert_eq!(alice.state(row), State::Read);
    assert!(over(&mut alice, NOW + 61_000));
    // The rest of the conversation is as it was.
    assert_eq!(alice.db.read(|tx| messages::list(tx, &Query::default())).unwrap().len(), 2);
}

#[test]
fn of_two_timers_the_later_one_counts_on_both_sides() {
    let (mut alice, mut bob) = friends();
    alice.writes("bob", "hi").unwrap();
    bob.gets(&only(alice.offers(NOW)).envelope);
    let name = bob.inbox()[0].chat.clone();
    let set = |person: &mut Person, to: &str, seconds, at| {
        let timer = Timer { seconds };
        let (_, id) = person.sends_at(to, kind::TIMER, &timer, at);
        let with = person.db.read(contacts::all).unwrap().remove(0);
        let content = codec::encode(&timer).unwrap();
        person.db.write(|tx| amend::set_timer(tx, &with, &content, (at, id), at)).unwrap();
    };
    set(&mut alice, "bob", 60, NOW + 1);
    set(&mut bob, &name, 0, NOW + 2);
    let (to_bob, to_alice) = (alice.offers(NOW), bob.offers(NOW));
    to_bob.iter().for_each(|offer| bob.gets(&offer.envelope));
    to_alice.iter().for_each(|offer| alice.gets(&offer.envelope));
    alice.execute("UPDATE outbox SET offer = 0");
    let of = |person: &mut Person| person.db.read(contacts::all).unwrap()[0].timer;
    assert_eq!((of(&mut alice), of(&mut bob)), (None, None));
    // A clock that is years ahead does not have the last word for ever.
    set(&mut alice, "bob", 5, u64::MAX / 2);
    hand_all(&mut alice, &mut bob);
    assert_eq!(of(&mut bob), Some(5));
    set(&mut bob, &name, 7, NOW + 700_000);
    assert_eq!(of(&mut bob), Some(7));
}
