//! Two people find out that nobody is in between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_tests::{Network, Person};

#[test]
fn both_see_the_same_words_and_codes_tell_who_is_who() {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    let carol = Person::join("carol", &network.nodes[0]);
    alice.send("bob", "hi");
    assert_eq!(bob.inbox(), ["hi"]);
    carol.add(&bob);
    carol.send("bob", "hi, too");
    assert_eq!(bob.receives(1), ["hi, too"]);
    let shown = |person: &Person, of: &str| person.ok(&["contact", "verify", of]);
    let (hers, his) = (shown(&alice, "bob"), shown(&bob, "alice"));
    assert_eq!(hers["words"], his["words"]);
    assert_eq!(hers["words"].as_array().unwrap().len(), 12);
    assert_ne!(hers["words"], shown(&bob, "carol")["words"]);
    // Alice has Bob by a link that was handed over; he has her by her message alone.
    assert_eq!((&hers["verified"], &his["verified"]), (&true.into(), &false.into()));

    let code = hers["code"].as_str().unwrap();
    let wrong = bob.run(&["contact", "verify", "carol", "--code", code]);
    assert_eq!((wrong.code, wrong.error["code"].as_str()), (1, Some("not_the_same")));
    let own = bob.run(&["contact", "verify", "alice", "--code", his["code"].as_str().unwrap()]);
    assert_eq!(own.code, 2, "{}", own.stderr);
    assert_eq!(shown(&bob, "alice")["verified"], false);
    assert_eq!(bob.ok(&["contact", "verify", "alice", "--code", code])["verified"], true);
    assert_eq!(shown(&bob, "alice")["verified"], true);
    assert_eq!(bob.ok(&["contact", "verify", "alice", "--undo"])["verified"], false);
    assert_eq!(bob.ok(&["--yes", "contact", "verify", "alice"])["verified"], true);
    let damaged = &code[..code.len() - 1];
    assert_eq!(bob.run(&["contact", "verify", "alice", "--code", damaged]).code, 2);
}
