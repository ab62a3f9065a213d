//! The disk fails, fills up, loses the index; two processes want one directory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use postroad_tests::programs::program;
use postroad_tests::tmpfs::Tmpfs;
use postroad_tests::{Node, Person, wait_for};

#[test]
fn a_failed_sync_ends_the_node_and_nothing_was_acked() {
    let mut node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    assert!(node.terminate().success());

    // The start itself syncs a few times; the fault comes some commits later.
    node.set_program(program("posthoused-faults"));
    node.set_variable("POSTROAD_FAULT_FSYNC_AFTER", "12");
    node.restart();
    let mut accepted = Vec::new();
    for n in 0..30 {
        let text = format!("text {n}");
        let (_, state) = alice.send("bob", &text);
        if state != "queued" {
            accepted.push(text);
        }
    }
    let status = node.wait_for_end();
    assert_eq!(status.code(), Some(1), "{}", node.log());
    assert!(node.log().contains("storage fault"), "{}", node.log());
    assert!(accepted.len() < 30, "after the fault nothing is accepted");

    node.set_program(program("posthoused"));
    node.restart();
    let mut got = bob.inbox();
    assert!(accepted.iter().all(|text| got.contains(text)), "{accepted:?} but {got:?}");
    alice.ok(&["status"]);
    got.extend(bob.inbox());
    assert_eq!(got.len(), 30, "the rest came later, each once");
}

#[test]
fn a_full_disk_refuses_new_mail_delivers_the_old_and_recovers() {
    let folder = tempfile::TempDir::new().unwrap();
    let Some(tmpfs) = Tmpfs::mount(folder.path().join("small"), 8) else { return };
    let config = "[store.journal]\nsegment_bytes = 1048576";
    let mut node = Node::prepare(&tmpfs.path().join("node"), config);
    node.restart();
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    let long = "z".repeat(60_000);
    let mut accepted = 0;
    let full = (0..200).find_map(|n| {
        let (id, state) = alice.send("bob", &format!("{n} {long}"));
        accepted += usize::from(state != "queued");
        (state == "queued").then_some(id)
    });
    let id = full.expect("the disk fills up");
    let why = alice.ok(&["why", &id]);
    let reason = why["waiting"]["reason"].as_str().unwrap();
    assert!(reason.contains("NO_SPACE") || reason.contains("disk"), "{reason}");
    let status = node.postroad(&["status"]);
    assert_eq!(status["verdict"], "action", "{status}");
    assert!(accepted > 5, "{accepted}");

    // Delivery goes on.
    let mut got = bob.receives(accepted);
    wait_for("room for the last one", || {
        alice.ok(&["status"]);
        got.extend(bob.inbox());
        (got.len() > accepted).then_some(())
    });
    wait_for("a good verdict", || (node.postroad(&["status"])["verdict"] == "ok").then_some(()));
    drop(node);
}

#[test]
fn a_limit_on_the_disk_holds_and_leaves_room_to_work() {
    let node = Node::start("[store]\nmax_bytes = \"16MiB\"");
    assert_eq!(node.postroad(&["status"])["verdict"], "ok", "an empty node is not full");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    let long = "z".repeat(60_000);
    let accepted = (0..400).take_while(|n| alice.send("bob", &format!("{n} {long}")).1 != "queued");
    let accepted = accepted.count();
    assert!((100..300).contains(&accepted), "{accepted} of 64 KiB each in 16 MiB");
    // The verdict may be good again by now: sealing gives back what was allocated and not used.
    let status = node.postroad(&["status"]);
    assert!(status["counters"]["refused"].as_u64() > Some(0), "{status}");
    assert!(status["store"]["disk_bytes"].as_u64() < Some(20 << 20), "{status}");
    assert!(bob.inbox().len() >= accepted);
    wait_for("room again", || (node.postroad(&["status"])["verdict"] == "ok").then_some(()));
}

#[test]
fn the_index_is_rebuilt_when_it_is_gone_or_damaged() {
    let mut node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    let index_is_ready = |node: &Node| {
        wait_for("the index to be in step", || {
            (node.postroad(&["status"])["store"]["index"] == "ready").then_some(())
        });
    };
    for (n, damage) in ["delete", "overwrite"].into_iter().enumerate() {
        alice.send("bob", &format!("text {n}"));
        index_is_ready(&node);
        assert!(node.terminate().success());
        let index = node.dir().join("index");
        if damage == "delete" {
            std::fs::remove_dir_all(&index).unwrap();
        } else {
            for entry in std::fs::read_dir(&index).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    std::fs::write(path, b"garbage").unwrap();
                }
            }
        }
        node.restart();
        assert_eq!(bob.inbox(), [format!("text {n}")]);
        index_is_ready(&node);
    }
}

#[test]
fn a_store_without_its_key_is_not_given_to_another_node() {
    let mut node = Node::start("");
    assert!(node.terminate().success());
    let (key, aside) = (node.dir().join("node.key"), node.dir().join("aside"));
    std::fs::rename(&key, &aside).unwrap();
    node.spawn(&node.dir().join("ready.json"));
    assert_eq!(node.wait_for_end().code(), Some(1));
    assert!(node.log().contains("restore the file"), "{}", node.log());
    assert!(!key.exists(), "no new key was made");
    std::fs::rename(&aside, &key).unwrap();
    node.restart();
}

#[test]
fn a_second_process_is_turned_away() {
    let node = Node::start("");
    let second = Command::new(program("posthoused"))
        .args(["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--p2p-listen", "127.0.0.1:0", "--data-dir"])
        .arg(node.dir())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(text.contains(&node.pid().to_string()), "names the process: {text}");
    let store = Command::new(program("posthoused"))
        .args(["store", "compact", "--data-dir"])
        .arg(node.dir())
        .output()
        .unwrap();
    assert_eq!(store.status.code(), Some(1));
}

#[test]
fn the_store_of_a_stopped_node_can_be_looked_into() {
    let mut node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "hello");
    assert!(node.terminate().success());
    for verb in ["stats", "verify", "compact", "rebuild-index", "verify"] {
        let ran = Command::new(program("posthoused"))
            .args(["store", verb, "--data-dir"])
            .arg(node.dir())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{verb}: {ran:?}");
    }
    node.restart();
    assert_eq!(bob.inbox(), ["hello"]);
}

#[test]
fn no_seam_for_tests_is_in_a_program_that_is_shipped() {
    for seam in ["POSTROAD_FAULT_FSYNC_AFTER", "POSTROAD_HOSTILE"] {
        let has_seam = |name: &str| {
            let bytes = std::fs::read(program(name)).unwrap();
            bytes.windows(seam.len()).any(|window| window == seam.as_bytes())
        };
        assert!(has_seam("posthoused-faults"), "the check itself works");
        for name in ["posthoused", "pouch", "postroad", "postroad-testnet", "postroad-load"] {
            assert!(!has_seam(name), "{name} contains a seam for tests");
        }
    }
}
