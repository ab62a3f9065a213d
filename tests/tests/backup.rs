//! Stories of backups, over real processes and sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use postroad_tests::person::texts;
use postroad_tests::{Network, Node, Person, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a file that holds a passphrase.
struct Shelf(TempDir);

impl Shelf {
    fn new() -> Self {
        let shelf = Self(TempDir::new().unwrap());
        std::fs::write(shelf.path("words"), "five words that nobody guesses\n").unwrap();
        shelf
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// Ends the agent of a person, whatever becomes of the test.
struct Agent<'a>(&'a Person);

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.0.run(&["agent", "stop"]);
    }
}

fn flip(path: &str, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_backup_is_made_while_the_agent_runs_and_a_flipped_bit_in_it_is_found_and_named() {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    let shelf = Shelf::new();
    let (file, words) = (shelf.path("alice.age"), shelf.path("words"));
    for number in 0..5 {
        alice.send("bob", &format!("text {number}"));
    }
    bob.receives(5);
    let agent = Agent(&alice);
    alice.ok(&["agent", "start"]);
    wait_for("the agent to be connected", || {
        (alice.ok(&["agent", "status"])["online"] == true).then_some(())
    });
    let from = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.send(&from, "while it runs");
    wait_for("the agent to have it", || {
        texts(&alice.ok(&["read", "bob"])).contains(&"while it runs".to_owned()).then_some(())
    });
    let made = alice.ok(&["backup", "create", "-O", &file, "--backup-passphrase-file", &words]);
    assert_eq!((made["contacts"].as_u64(), made["messages"].as_u64()), (Some(1), Some(6)));
    assert_eq!((made["account_key"].as_bool(), made["device"].as_u64()), (Some(true), Some(1)));
    assert_eq!(made["bytes"].as_u64(), Some(std::fs::metadata(&file).unwrap().len()));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read(&file).unwrap().starts_with(b"age-encryption.org/v1\n"));
    // Nothing is replaced, or left behind, without being told so.
    let again = alice.run(&["backup", "create", "-O", &file, "--backup-passphrase-file", &words]);
    assert_eq!((again.code, again.error["code"].as_str()), (2, Some("needs_yes")), "{again:?}");
    assert_eq!(std::fs::read_dir(shelf.0.path()).unwrap().count(), 2);
    assert_eq!(alice.ok(&["agent", "status"])["online"], true);
    drop(agent);

    // Whoever verifies needs no profile.
    let stranger = Person::new("stranger");
    let whole = stranger.ok(&["backup", "verify", &file, "--backup-passphrase-file", &words]);
    assert_eq!(whole, made);
    assert!(!stranger.profile().exists());
    std::fs::write(shelf.path("other"), "another one\n").unwrap();
    let other = shelf.path("other");
    let wrong = stranger.run(&["backup", "verify", &file, "--backup-passphrase-file", &other]);
    assert_eq!((wrong.code, wrong.error["code"].as_str()), (1, Some("wrong_key")), "{wrong:?}");
    let unasked = stranger.run(&["backup", "verify", &file]);
    assert_eq!((unasked.code, unasked.error["code"].as_str()), (2, Some("usage")));
    let none =
        stranger.run(&["backup", "verify", "nowhere.age", "--backup-passphrase-file", &words]);
    assert_eq!(none.code, 4, "{none:?}");

    flip(&file, 40_000);
    let damaged = stranger.run(&["backup", "verify", &file, "--backup-passphrase-file", &words]);
    assert_eq!((damaged.code, damaged.error["code"].as_str()), (1, Some("damaged")), "{damaged:?}");
    let message = damaged.error["message"].as_str().unwrap();
    assert!(message.contains("at record 1, bytes "), "{message}");
    let refused = alice.run(&["backup", "restore", &file, "--backup-passphrase-file", &words]);
    assert_eq!(refused.error["code"], "damaged", "{refused:?}");
    flip(&file, 40_000);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..50_000]).unwrap();
    let cut = stranger.run(&["backup", "verify", &file, "--backup-passphrase-file", &words]);
    assert_eq!((cut.code, cut.error["code"].as_str()), (1, Some("cut")), "{cut:?}");
}

/// A key of age's, as age-keygen writes it, and what is encrypted to it.
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

fn chats(person: &Person) -> Vec<Value> {
    person.ok(&["read", "bob"]).as_array().unwrap().clone()
}

#[test]
fn an_old_backup_for_a_key_merges_into_the_account_that_went_on() {
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "before");
    assert_eq!(bob.receives(1), ["before"]);
    let shelf = Shelf::new();
    let (file, identity) = (shelf.path("alice.age"), shelf.path("key"));
    std::fs::write(Path::new(&identity), format!("# a key\n{IDENTITY}\n")).unwrap();
    let made = alice.ok(&["backup", "create", "-O", &file, "--to", RECIPIENT]);
    assert_eq!(made["messages"], 1);
    let passphrase = shelf.path("words");
    let kind = alice.run(&["backup", "verify", &file, "--backup-passphrase-file", &passphrase]);
    assert_eq!(kind.error["code"], "other_kind", "{kind:?}");

    alice.send("bob", "after");
    assert_eq!(bob.receives(1), ["after"]);
    let before = chats(&alice);
    for _ in 0..2 {
        let restored = alice.ok(&["backup", "restore", &file, "--identity", &identity]);
        assert_eq!((restored["messages"].as_u64(), restored["added"].as_u64()), (Some(1), Some(0)));
        let ids = |chats: &[Value]| chats.iter().map(|m| m["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&chats(&alice)), ids(&before));
    }
    alice.send("bob", "still on the same sessions");
    assert_eq!(bob.receives(1), ["still on the same sessions"]);
    let other = bob.run(&["backup", "restore", &file, "--identity", &identity]);
    assert_eq!(other.error["code"], "other_account", "{other:?}");

    // An empty profile becomes a new device of the account, beside the one that went on.
    let fresh = Person::new("fresh");
    let restored = fresh.ok(&["backup", "restore", &file, "--identity", &identity]);
    assert_eq!((restored["messages"].as_u64(), restored["added"].as_u64()), (Some(1), Some(1)));
    assert_ne!(restored["device"], made["device"]);
    assert_eq!(chats(&fresh)[0]["text"], "before");
    fresh.send("bob", "from a new device");
    assert_eq!(bob.receives(1), ["from a new device"]);
    wait_for("the other device to have it", || {
        alice.ok(&["status"]);
        chats(&alice).iter().any(|m| m["text"] == "from a new device").then_some(())
    });
}
