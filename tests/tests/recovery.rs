//! Stories of accounts that come back, over real processes and sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_tests::{Network, Node, Person, wait_for};

fn words(person: &Person) -> String {
    person.ok(&["backup", "phrase"])["phrase"].as_str().unwrap().to_owned()
}

/// Until all that belongs there is in the vault at the home.
fn wait_until_kept(person: &Person) {
    wait_for("contacts to be kept at the home", || {
        (person.ok(&["status"])["recovery"]["vault"] == "kept").then_some(())
    });
}

/// A fresh profile that becomes a device of the account that these words bring back.
fn restored(words: &str, node: &str, more: &[&str]) -> Person {
    let person = Person::new("restored");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), words).unwrap();
    let file = file.path().display().to_string();
    let args = [&["restore", "--phrase-file", &file, "--node", node], more].concat();
    person.ok(&args);
    person
}

#[test]
fn an_account_comes_back_from_its_phrase_alone() {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "before the flood");
    assert_eq!(bob.receives(1), ["before the flood"]);
    let from = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.ok(&["contact", "rename", &from, "alice"]);
    bob.send("alice", "hello");
    alice.receives(1);
    alice.ok(&["settings", "typing", "off"]);
    alice.ok(&["contact", "rename", "bob", "robert"]);
    let words = words(&alice);
    assert_eq!(words.split(' ').count(), 24);
    let tested = alice.run_with(&["backup", "phrase", "--test"], &words);
    assert_eq!((tested.code, tested.json["fits"].as_bool()), (0, Some(true)));
    let other = Person::join("other", &network.nodes[0]);
    let wrong = other.run_with(&["backup", "phrase", "--test"], &words);
    assert_eq!((wrong.code, wrong.error["code"].as_str()), (1, Some("other_phrase")));
    let (account, handle) = {
        let who = alice.ok(&["whoami"]);
        (who["account"].clone(), who["handle"].clone())
    };
    wait_until_kept(&alice);
    drop(alice);
    bob.send("alice", "are you well?");
    let again = restored(&words, &network.nodes[0].link(), &[]);
    let who = again.ok(&["whoami"]);
    assert_eq!((&who["account"], &who["handle"]), (&account, &handle));
    assert_eq!(again.ok(&["contact", "ls"])[0]["name"], "robert");
    assert_eq!(again.ok(&["settings"])["typing"], false);
    // Bob's device learns that there is another device, and sends what that misses.
    wait_for("what was sent meanwhile", || {
        bob.ok(&["status"]);
        again.inbox().contains(&"are you well?".to_owned()).then_some(())
    });
    again.send("robert", "I am");
    assert_eq!(bob.receives(1), ["I am"]);
    assert_eq!(bob.ok(&["chats"]).as_array().unwrap().len(), 1, "nobody new wrote");
    let problems = bob.ok(&["status"])["problems"].clone();
    assert_eq!(problems, serde_json::json!([]));
}

#[test]
fn what_was_lost_or_stolen_is_cut_off() {
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "hi");
    assert_eq!(bob.receives(1), ["hi"]);
    wait_until_kept(&alice);
    let again = restored(&words(&alice), &node.link(), &["--yes", "--cut-off"]);
    assert_eq!(again.ok(&["device", "ls"]).as_array().unwrap().len(), 1);
    let (_, state) = alice.send("bob", "says the thief");
    assert_eq!(state, "queued");
    again.send("bob", "says the owner");
    assert_eq!(bob.receives(1), ["says the owner"]);
    // The old device cannot come back by itself.
    assert!(alice.ok(&["status"])["reason"].as_str().unwrap().contains("revoked"));
}

#[test]
fn two_who_restore_at_once_are_two_devices_of_one_account() {
    let node = Node::start("");
    let alice = Person::join("alice", &node);
    let words = words(&alice);
    let link = node.link();
    let restoring: Vec<_> = (0..3)
        .map(|_| {
            let (words, link) = (words.clone(), link.clone());
            std::thread::spawn(move || restored(&words, &link, &[]))
        })
        .collect();
    let people: Vec<Person> = restoring.into_iter().map(|thread| thread.join().unwrap()).collect();
    wait_for("all to know of all", || {
        let all = people.iter().chain([&alice]);
        let lists: Vec<_> = all.map(|person| person.ok(&["device", "ls"])).collect();
        let numbers = |list: &serde_json::Value| -> Vec<u64> {
            list.as_array().unwrap().iter().map(|row| row["device"].as_u64().unwrap()).collect()
        };
        let first = numbers(&lists[0]);
        (first.len() == 4 && lists.iter().all(|list| numbers(list) == first)).then_some(())
    });
}

#[test]
fn words_that_are_wrong_are_told_apart() {
    let node = Node::start("");
    let alice = Person::join("alice", &node);
    let words = words(&alice);
    let nobody = Person::new("nobody");
    let restore = |text: &str| {
        nobody.run_with(&["restore", "--phrase-file", "-", "--node", &node.link()], text)
    };
    let short = restore("abandon ability");
    assert_eq!(short.code, 2, "{short:?}");
    let mut changed: Vec<&str> = words.split(' ').collect();
    changed[2] = "postroad";
    let unknown = restore(&changed.join(" "));
    assert!(unknown.error["message"].as_str().unwrap().contains("word 3"), "{unknown:?}");
    // A phrase of an account that is not there.
    let stranger = "abandon ".repeat(23) + "art";
    let absent = restore(&stranger);
    assert_eq!((absent.code, absent.error["code"].as_str()), (4, Some("not_there")), "{absent:?}");
}
