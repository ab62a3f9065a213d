//! Stories of accounts that end, over real processes and sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_tests::link::linked;
use postroad_tests::{Network, Node, Person, wait_for};
use serde_json::{Value, json};

/// What somebody's only conversation says of the other one's end, in order.
fn farewells(person: &Person) -> Vec<Value> {
    let chats = person.ok(&["chats"]);
    let messages = person.ok(&["read", chats[0]["chat"].as_str().unwrap()]);
    let messages = messages.as_array().unwrap().iter();
    messages.filter(|m| m["kind"] == "farewell").map(|m| m["ends_at"].clone()).collect()
}

/// Whether a profile has anything of these bytes in any of its files.
fn holds(person: &Person, bytes: &[u8]) -> bool {
    std::fs::read_dir(person.profile()).unwrap().any(|file| {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn a_deletion_is_known_to_all_and_can_be_called_off() {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    let laptop = linked(&bob, "laptop");
    alice.send("bob", "hi");
    bob.receives(1);
    let denied = laptop.run(&["--yes", "account", "delete"]);
    assert_eq!((denied.code, denied.error["code"].as_str()), (6, Some("no_account_key")));
    assert_eq!(bob.run(&["account", "delete"]).code, 2, "it asks first");
    let far = bob.run(&["--yes", "account", "delete", "--after", "31d"]);
    assert_eq!(far.code, 1, "{far:?}");
    assert_eq!(bob.ok(&["status"])["ends_at"], Value::Null);

    let said = bob.ok(&["--yes", "account", "delete"]);
    let at = said["delete_at"].clone();
    assert!(at.is_string(), "{said}");
    wait_for("all to know", || (farewells(&alice) == [at.clone()]).then_some(()));
    for device in [&bob, &laptop] {
        wait_for("the devices to know", || (device.ok(&["status"])["ends_at"] == at).then_some(()));
    }
    bob.send(bob.ok(&["chats"])[0]["chat"].as_str().unwrap(), "still here");
    assert_eq!(alice.receives(1), ["still here"]);
    assert_eq!(bob.ok(&["account", "keep"])["delete_at"], Value::Null);
    wait_for("all to know of that", || {
        (farewells(&alice) == [at.clone(), Value::Null]).then_some(())
    });
    for device in [&bob, &laptop] {
        wait_for("the devices to know of that", || {
            (device.ok(&["status"])["ends_at"] == Value::Null).then_some(())
        });
    }
}

#[test]
fn when_its_time_has_come_nothing_is_left_of_it() {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "burn this letter");
    assert_eq!(bob.receives(1), ["burn this letter"]);
    let laptop = linked(&bob, "laptop");
    for device in [&bob, &laptop] {
        assert!(holds(device, b"burn this letter"));
    }
    bob.ok(&["--yes", "account", "delete", "--after", "4s"]);
    wait_for("the laptop to know", || {
        (laptop.ok(&["status"])["ends_at"] != Value::Null).then_some(())
    });
    for device in [&bob, &laptop] {
        wait_for("the end", || (device.run(&["inbox"]).error["code"] == "deleted").then_some(()));
        let after = device.run(&["whoami"]);
        assert_eq!(after.error["code"], "not_joined", "{after:?}");
        assert!(!holds(device, b"burn this letter"));
    }
    let late = alice.run(&["send", "bob", "are you there?", "--wait", "at-node"]);
    assert_eq!(late.json["state"], "failed", "{late:?}");
    assert!(alice.ok(&["read", "bob"]).to_string().contains("burn this letter"), "hers is hers");
    // The profile is good for another account.
    let invite = network.nodes[0].invite();
    bob.ok(&["join", &invite, "--name", "robert"]);
    let taken = laptop.run(&["join", &network.nodes[1].invite(), "--name", "bob"]);
    assert_eq!(taken.error["code"], "taken", "{taken:?}");
}

#[test]
fn at_once_is_at_once_and_an_operators_word_deletes_nothing_here() {
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "hi");
    bob.receives(1);
    let from = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.send(&from, "hello");
    alice.receives(1);
    let account = bob.ok(&["whoami"])["account"].as_str().unwrap().to_owned();
    alice.ok(&["--yes", "account", "delete", "--after", "0s"]);
    assert_eq!(alice.run(&["whoami"]).error["code"], "not_joined");
    assert!(!holds(&alice, b"hello"));
    wait_for("the farewell", || (farewells(&bob).len() == 1).then_some(()));

    node.postroad(&["--yes", "user", "delete", &account]);
    let status = bob.ok(&["status"]);
    assert!(status["reason"].as_str().unwrap().contains("no account"), "{status}");
    assert!(bob.ok(&["read", &from]).to_string().contains("hello"), "it is not ours to delete");
    assert_eq!(status["problems"][0]["code"], json!("offline"));
}
