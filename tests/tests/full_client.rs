//! The messenger's disk fills up, or its database is damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::FileExt;

use postroad_tests::tmpfs::Tmpfs;
use postroad_tests::{Node, Person};

#[test]
fn a_full_disk_says_so_and_loses_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    let Some(tmpfs) = Tmpfs::mount(folder.path().join("small"), 6) else { return };
    let node = Node::start("");
    let alice = Person::join("alice", &node);
    let bob = Person::in_dir("bob", &tmpfs.path().join("bob"));
    bob.ok(&["join", &node.invite(), "--name", "bob"]);
    alice.add(&bob);
    alice.send("bob", "before");
    assert_eq!(bob.inbox(), ["before"]);
    bob.send("alice", "here");
    assert_eq!(alice.receives(1), ["here"]);
    let ballast = tmpfs.fill();
    let texts: Vec<String> = (0..20).map(|n| format!("{n} {}", "x".repeat(40_000))).collect();
    let ids: Vec<String> = texts.iter().map(|text| alice.send("bob", text).0).collect();
    for args in [&["inbox"][..], &["send", "alice", &"y".repeat(50_000)]] {
        let ran = bob.run(args);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("disk is full"), "{}", ran.stderr);
        assert!(!ran.error["hint"].as_str().unwrap().is_empty(), "{}", ran.error);
    }
    // Whatever had come in, nothing was acked that is not there.
    let at = alice.state_of(&ids[0]);
    assert!(at == "accepted" || at == "at-node", "{at}");
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(bob.receives(texts.len()), texts, "each once and in order");
    alice.wait_until(ids.last().unwrap(), "delivered");
    drop(node);
}

#[test]
fn a_damaged_database_is_named_and_left_as_it_is() {
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "hello");
    let database = bob.profile().join("pouch.db");
    let file = std::fs::OpenOptions::new().write(true).open(&database).unwrap();
    file.write_all_at(&[0x55; 3000], 40).unwrap();
    let before = std::fs::read(&database).unwrap();
    for command in ["inbox", "status"] {
        let ran = bob.run(&[command]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let message = ran.error["message"].as_str().unwrap();
        assert!(message.contains("pouch.db") && message.contains("damaged"), "{message}");
    }
    assert_eq!(std::fs::read(&database).unwrap(), before, "nothing was made of it");
    // What was not taken is still at the node.
    assert_eq!(node.postroad(&["mailbox", "stats"])["messages"], 1);
}
