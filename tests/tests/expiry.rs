//! Mail that nobody fetches in time: the node that held it says so, and its word reaches the sender.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_tests::{Network, wait_for};

/// Seconds from the writing of a text to its deadline: enough to cross on a busy machine.
const DEADLINE: u64 = 4;

/// Who sends no receipts leaves the sender's device nothing to wait for: what reached his node stays
/// "at-node", whatever the device's clock says. So only the node's own word can make it "expired".
#[test]
fn the_node_that_held_mail_until_its_end_tells_the_sender() {
    let mut network = Network::start_with(2, "[custody]\nexpiry_grace = 1");
    let (alice, bob) = network.alice_and_bob();
    bob.ok(&["settings", "receipts", "off"]);
    alice.send("bob", "hello");
    assert_eq!(bob.receives(1), ["hello"]);
    bob.send("alice", "hello to you");
    assert_eq!(alice.receives(1), ["hello to you"]);

    // From here on her home takes short deadlines only, and so does she.
    assert!(network.nodes[0].terminate().success());
    network.nodes[0].set_config(&format!("[custody]\nmax_deadline = {DEADLINE}"));
    network.nodes[0].restart();
    alice.ok(&["status"]);
    let sent = alice.ok(&["send", "bob", "read this soon", "--wait", "at-node"]);
    let id = sent["id"].as_str().unwrap();

    // Nobody's program runs when the time is over.
    let counter = || network.nodes[1].postroad(&["status"])["counters"]["expired"].as_u64();
    wait_for("his node to delete it", || (counter() > Some(0)).then_some(()));
    let why = wait_for("the word of his node to come", || {
        let why = alice.ok(&["why", id]);
        (why["state"] == "expired").then_some(why)
    });
    let steps = why["steps"].as_array().unwrap();
    let last = steps.iter().find(|step| step["state"] == "expired").unwrap();
    assert_eq!(last["by"], network.nodes[1].id(), "{why}");
    assert_eq!(last["verified"], true, "{why}");
    assert!(why["waiting"].is_null(), "{why}");
    assert!(bob.inbox().is_empty());
}
