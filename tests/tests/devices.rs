//! Stories of accounts with several devices, over real processes and sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_tests::link::{Shown, linked};
use postroad_tests::person::texts;
use postroad_tests::{Network, Node, Person, wait_for};
use serde_json::Value;

fn conversation(person: &Person, with: &str) -> Vec<String> {
    texts(&person.ok(&["read", with]))
}

/// Waits until a conversation has these texts, in whatever order.
fn has(person: &Person, with: &str, wanted: &[&str]) {
    let mut wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
    wanted.sort();
    wait_for(&format!("{wanted:?}"), || {
        let mut texts = conversation(person, with);
        texts.sort();
        (texts == wanted).then_some(())
    });
}

#[test]
fn an_account_is_one_on_all_its_devices() {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "before there were two");
    assert_eq!(bob.inbox(), ["before there were two"]);
    let from = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.ok(&["contact", "rename", &from, "alice"]);
    bob.send("alice", "hello");
    alice.receives(1);

    let laptop = linked(&alice, "laptop");
    let names: Vec<Value> = alice.ok(&["device", "ls"]).as_array().unwrap().clone();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(
        (names[1]["name"].as_str(), names[1]["this"].as_bool()),
        (Some("laptop"), Some(false))
    );
    has(&laptop, "bob", &["before there were two", "hello"]);
    assert!(laptop.inbox().is_empty(), "what was read is read");

    let (id, _) = laptop.send("bob", "from the laptop");
    assert_eq!(bob.receives(1), ["from the laptop"]);
    let all = ["before there were two", "hello", "from the laptop"];
    has(&alice, "bob", &all);
    assert_eq!(alice.wait_until(&id, "read")["steps"][0]["verified"], true);
    bob.send("alice", "to both");
    let all = [&all[..], &["to both"]].concat();
    has(&alice, "bob", &all);
    has(&laptop, "bob", &all);

    // What is changed on one is changed on the other.
    alice.ok(&["contact", "rename", "bob", "robert"]);
    laptop.ok(&["settings", "receipts", "off"]);
    laptop.ok(&["edit", &id, "from my laptop"]);
    wait_for("the name to follow", || {
        let contacts = laptop.ok(&["contact", "ls"]);
        (contacts[0]["name"] == "robert").then_some(())
    });
    wait_for("the edit and the setting to follow", || {
        let is_off = alice.ok(&["settings"])["receipts"] == false;
        (is_off && conversation(&alice, "robert").contains(&"from my laptop".to_owned()))
            .then_some(())
    });
}

#[test]
fn a_device_that_was_revoked_is_none_any_more() {
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    let laptop = linked(&alice, "laptop");
    alice.send("bob", "hi");
    assert_eq!(bob.receives(1), ["hi"]);
    let denied = laptop.run(&["--yes", "device", "revoke", "1"]);
    assert_eq!((denied.code, denied.error["code"].as_str()), (6, Some("no_account_key")));
    assert_eq!(alice.run(&["device", "revoke", "2"]).code, 2, "it asks first");
    alice.ok(&["--yes", "device", "revoke", "2"]);
    let (_, state) = laptop.send("bob", "I am still here");
    assert_eq!(state, "queued");
    let status = laptop.ok(&["status"]);
    assert!(status["reason"].as_str().unwrap().contains("revoked"), "{status}");
    alice.send("bob", "without it");
    assert_eq!(bob.receives(1), ["without it"]);
    let from = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.send(&from, "to the rest of you");
    assert_eq!(alice.receives(1), ["to the rest of you"]);
    assert!(laptop.inbox().is_empty());
    // The next one gets another number.
    assert!(linked(&alice, "tablet").ok(&["whoami"])["device"].as_str().unwrap().ends_with("/3"));
}

#[test]
fn a_link_is_good_once_and_goes_on_after_kills_on_either_side_and_of_the_node() {
    let mut node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    for number in 0..5 {
        alice.send("bob", &format!("text {number}"));
    }
    let first = Shown::new(&alice);
    let link = first.link.clone();
    let laptop = Person::new("laptop");
    let mut joining = laptop.spawn(&["device", "join", &link]);
    drop(first);
    node.kill();
    node.restart();
    joining.kill().unwrap();
    joining.wait().unwrap();
    // The same again on both sides.
    let again = Shown::new(&alice);
    assert_eq!(again.link, link);
    let joined = laptop.ok(&["device", "join", &again.link]);
    let number = again.device();
    assert!(joined["device"].as_str().unwrap().ends_with(&format!("/{number}")), "{joined}");
    assert_eq!(conversation(&laptop, "bob").len(), 5);
    let thief = Person::new("thief").run(&["device", "join", &link]);
    assert_eq!((thief.code, thief.error["code"].as_str()), (1, Some("link_over")), "{thief:?}");
    let again = laptop.run(&["device", "join", &link]);
    assert_eq!(again.error["code"], "already_joined", "{again:?}");
}
