//! A node is set back to an older copy of its directory. It finds out as soon as somebody quotes
//! what it no longer knows, nothing is lost or shown twice, and people can go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use postroad_tests::{Network, Node, Person, wait_for};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Stops a node, keeps a copy of its directory, and starts it again.
fn back_up(node: &mut Node, to: &Path) {
    assert!(node.terminate().success());
    copy(node.dir(), to);
    node.restart();
}

/// Stops a node and starts it with an older copy of its directory.
fn roll_back(node: &mut Node, from: &Path) {
    assert!(node.terminate().success());
    std::fs::remove_dir_all(node.dir()).unwrap();
    copy(from, node.dir());
    node.restart();
}

fn wait_for_generation(network: &Network, of: usize, generation: u64) {
    let id = network.nodes[of].id();
    for node in &network.nodes {
        wait_for("the new generation to be known", || {
            (node.route(&id)["generation"] == generation).then_some(())
        });
    }
    assert_eq!(network.nodes[of].events_of("generation").len(), 1);
}

/// Both write, both get it, once.
fn go_on(alice: &Person, bob: &Person) {
    let (to_bob, _) = alice.send("bob", "we go on");
    bob.send("alice", "so do we");
    assert_eq!(bob.receives(1), ["we go on"]);
    assert_eq!(alice.receives(1), ["so do we"]);
    alice.wait_until(&to_bob, "read");
    assert!(alice.inbox().is_empty() && bob.inbox().is_empty(), "nothing is shown twice");
}

#[test]
fn the_recipients_node_is_rolled_back() {
    let mut network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "hello");
    assert_eq!(bob.receives(1), ["hello"]);
    bob.send("alice", "hello to you");
    assert_eq!(alice.receives(1), ["hello to you"]);
    let folder = tempfile::TempDir::new().unwrap();
    back_up(&mut network.nodes[1], folder.path());

    let (shown, _) = alice.send("bob", "shown before");
    assert_eq!(bob.receives(1), ["shown before"]);
    alice.wait_until(&shown, "read");
    let lost: Vec<String> = (0..3).map(|n| alice.send("bob", &format!("lost {n}")).0).collect();
    for id in &lost {
        alice.wait_until(id, "at-node");
    }
    roll_back(&mut network.nodes[1], folder.path());
    // Alice's node offers this one, and quotes a receipt that Bob's node has forgotten.
    alice.send("bob", "one more");
    wait_for_generation(&network, 1, 2);
    alice.ok(&["status"]);
    let mut got = bob.receives(4);
    got.sort();
    assert_eq!(got, ["lost 0", "lost 1", "lost 2", "one more"]);
    go_on(&alice, &bob);
}

#[test]
fn a_device_tells_its_node_that_it_was_rolled_back() {
    let mut network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "hello");
    assert_eq!(bob.receives(1), ["hello"]);
    let folder = tempfile::TempDir::new().unwrap();
    back_up(&mut network.nodes[0], folder.path());

    // These wait at Alice's node, which forgets them.
    network.nodes[1].kill();
    let lost: Vec<String> = (0..3).map(|n| alice.send("bob", &format!("lost {n}")).0).collect();
    assert!(lost.iter().all(|id| alice.state_of(id) == "accepted"));
    roll_back(&mut network.nodes[0], folder.path());
    network.nodes[1].restart();
    alice.ok(&["status"]);
    wait_for_generation(&network, 0, 2);
    for id in &lost {
        alice.wait_until(id, "at-node");
    }
    assert_eq!(bob.receives(3), ["lost 0", "lost 1", "lost 2"]);
    go_on(&alice, &bob);
}

#[test]
fn who_joined_after_the_copy_was_made_is_still_reached() {
    let mut network = Network::start(2);
    let folder = tempfile::TempDir::new().unwrap();
    back_up(&mut network.nodes[1], folder.path());
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "hello");
    assert_eq!(bob.receives(1), ["hello"]);
    let (lost, _) = alice.send("bob", "lost");
    alice.wait_until(&lost, "at-node");
    roll_back(&mut network.nodes[1], folder.path());
    // His device shows what the node has forgotten, and gives account, handle and tokens again.
    wait_for("Bob to be known again", || {
        bob.run(&["status"]);
        let users = network.nodes[1].postroad(&["user", "ls"]);
        users.to_string().contains("bob").then_some(())
    });
    wait_for_generation(&network, 1, 2);
    alice.send("bob", "one more");
    let mut got = bob.receives(2);
    got.sort();
    assert_eq!(got, ["lost", "one more"]);
    go_on(&alice, &bob);
}
