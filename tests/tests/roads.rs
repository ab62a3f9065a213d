//! Stories of people on different nodes, over real processes and sockets: nodes that are away, are
//! killed, are cut off from each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_tests::person::texts;
use postroad_tests::{Network, Node, Person, wait_for};
use serde_json::Value;

/// Nothing waits at this node for other nodes.
fn wait_until_handed_over(node: &Node) {
    wait_for("all mail to be handed over", || {
        let queue = node.postroad(&["queue"]);
        let here = |row: &Value| row["to"].as_str().unwrap().contains(" device ");
        queue.as_array().unwrap().iter().all(here).then_some(())
    });
}

/// A network of two whose Alice and Bob have written to each other.
fn acquainted() -> (Network, Person, Person) {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "hello");
    assert_eq!(bob.receives(1), ["hello"]);
    bob.send("alice", "hello to you");
    assert_eq!(alice.receives(1), ["hello to you"]);
    (network, alice, bob)
}

#[test]
fn mail_crosses_to_who_is_away_and_its_whole_way_can_be_told() {
    let network = Network::start(3);
    let (alice, bob) = network.alice_and_bob();
    let sent: Vec<String> = (0..3).map(|n| alice.send("bob", &format!("text {n}")).0).collect();
    for id in &sent {
        alice.wait_until(id, "at-node");
    }
    wait_until_handed_over(&network.nodes[0]);
    assert_eq!(bob.inbox(), ["text 0", "text 1", "text 2"]);
    assert!(bob.inbox().is_empty(), "shown once");

    let why = alice.wait_until(&sent[0], "read");
    let steps = why["steps"].as_array().unwrap();
    let states: Vec<_> = steps.iter().map(|step| step["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["queued", "accepted", "at-node", "delivered", "read"]);
    assert!(steps.iter().all(|step| step["verified"] == true), "{why}");
    assert_eq!(steps[1]["by"], network.nodes[0].id(), "{why}");
    assert_eq!(steps[2]["by"], network.nodes[1].id(), "{why}");

    bob.send("alice", "hello, Alice");
    assert_eq!(alice.receives(1), ["hello, Alice"]);
    wait_until_handed_over(&network.nodes[1]);
}

#[test]
fn mail_for_a_node_that_is_down_waits_with_a_reason_and_arrives_when_it_is_back() {
    let (mut network, alice, bob) = acquainted();
    network.nodes[1].kill();
    let (id, state) = alice.send("bob", "are you there?");
    assert_eq!(state, "accepted");
    let why = wait_for("a next try to be told", || {
        let why = alice.ok(&["why", &id]);
        why["waiting"]["next_try"].is_string().then_some(why)
    });
    let reason = why["waiting"]["reason"].as_str().unwrap();
    assert!(reason.contains(&network.nodes[1].id()), "names the node: {why}");
    assert!(reason.contains("refused"), "says why: {why}");
    let queue = network.nodes[0].postroad(&["queue"]);
    assert_eq!(queue[0]["messages"], 1, "{queue}");
    let trace = network.nodes[0].postroad(&["trace", &network.nodes[1].id()]);
    assert_eq!(trace["reachable"], false, "{trace}");
    assert_eq!(trace["outbox"]["messages"], 1, "{trace}");

    network.nodes[1].restart();
    assert_eq!(bob.receives(1), ["are you there?"]);
    alice.wait_until(&id, "read");
    wait_until_handed_over(&network.nodes[0]);
}

#[test]
fn what_was_accepted_outlives_a_kill_of_the_senders_node() {
    let (mut network, alice, bob) = acquainted();
    let written: Vec<String> = (0..4).map(|n| format!("text {n}")).collect();
    for (n, text) in written.iter().enumerate() {
        // Every second time it is certain that the text has not crossed yet.
        if n % 2 == 0 {
            network.nodes[1].kill();
        }
        alice.ok(&["send", "bob", text, "--wait", "accepted"]);
        network.nodes[0].kill();
        network.nodes[0].restart();
        if n % 2 == 0 {
            network.nodes[1].restart();
        }
    }
    assert_eq!(bob.receives(4), written);
}

#[test]
fn both_nodes_are_killed_and_all_arrives_once() {
    let (mut network, alice, bob) = acquainted();
    for order in [[0, 1], [1, 0]] {
        let mut sends: Vec<_> =
            (0..4).map(|n| alice.spawn(&["send", "bob", &format!("{order:?} {n}")])).collect();
        bob.send("alice", &format!("{order:?}"));
        for n in order {
            network.nodes[n].kill();
        }
        for send in &mut sends {
            assert!(send.wait().unwrap().success(), "offline is no failure");
        }
        for n in order {
            network.nodes[n].restart();
        }
        alice.ok(&["status"]);
        bob.ok(&["status"]);
        assert_eq!(bob.receives(4).len(), 4);
        assert_eq!(alice.receives(1), [format!("{order:?}")]);
    }
    assert_eq!(texts(&bob.ok(&["read", "alice", "-n", "0"])).len(), 12);
    assert!(alice.inbox().is_empty() && bob.inbox().is_empty());
}

#[test]
fn two_halves_of_a_cut_network_go_on_and_mail_crosses_when_it_is_mended() {
    let (network, cuts) = Network::start_with_cuts();
    let (alice, bob) = network.alice_and_bob();
    let carol = Person::join("carol", &network.nodes[0]);
    alice.add(&carol);
    alice.send("bob", "before");
    assert_eq!(bob.receives(1), ["before"]);

    cuts.iter().for_each(postroad_tests::cut::Cut::cut);
    for node in &network.nodes {
        wait_for("the nodes to lose each other", || {
            node.postroad(&["peers"]).as_array().unwrap().is_empty().then_some(())
        });
    }
    let (id, state) = alice.send("bob", "during");
    assert_eq!(state, "accepted");
    bob.send("alice", "during, too");
    alice.send("carol", "we are still here");
    assert_eq!(carol.inbox(), ["we are still here"]);
    wait_for("a next try to be told", || {
        let why = alice.ok(&["why", &id]);
        why["waiting"]["next_try"].is_string().then_some(())
    });
    assert!(bob.inbox().is_empty());

    cuts.iter().for_each(postroad_tests::cut::Cut::mend);
    assert_eq!(bob.receives(1), ["during"]);
    assert_eq!(alice.receives(1), ["during, too"]);
    alice.wait_until(&id, "read");
    network.nodes.iter().for_each(wait_until_handed_over);
}

#[test]
fn a_link_is_redeemed_as_soon_as_the_other_node_is_up() {
    let mut network = Network::start(2);
    let alice = Person::join("alice", &network.nodes[0]);
    let bob = Person::join("bob", &network.nodes[1]);
    let link = bob.link();
    network.nodes[1].kill();
    alice.ok(&["contact", "add", &link, "--name", "bob"]);
    let (id, state) = alice.send("bob", "early");
    assert_eq!(state, "queued");
    assert_eq!(alice.ok(&["why", &id])["waiting"]["reason"], "keys not fetched yet");
    network.nodes[1].restart();
    alice.wait_until(&id, "at-node");
    assert_eq!(bob.receives(1), ["early"]);
}

#[test]
fn a_stranger_on_another_node_is_found_by_handle_and_asks() {
    let network = Network::start(2);
    let carol = Person::join("carol", &network.nodes[0]);
    let bob = Person::join("bob", &network.nodes[1]);
    let handle = format!("bob@{}", network.nodes[1].id());
    let unknown = format!("ghost@{}", network.nodes[1].id());
    assert_eq!(carol.run(&["contact", "add", &unknown, "--name", "ghost"]).code, 4);
    carol.ok(&["contact", "add", &handle, "--name", "bob"]);
    let (first, _) = carol.send("bob", "may I write to you?");
    carol.wait_until(&first, "at-node");
    let (second, state) = carol.send("bob", "one more thing");
    assert_eq!(state, "queued");
    let requests = bob.ok(&["requests"]);
    assert_eq!(requests.as_array().unwrap().len(), 1, "{requests}");
    bob.ok(&["requests", "accept", requests[0]["account"].as_str().unwrap()]);
    carol.wait_until(&second, "at-node");
    wait_for("the second text", || {
        bob.inbox().contains(&"one more thing".to_owned()).then_some(())
    });
    bob.send("carol", "welcome");
    assert_eq!(carol.receives(1), ["welcome"]);
}

#[test]
fn nodes_of_different_networks_refuse_each_other_and_say_so() {
    let here = Node::start("[node]\nnetwork = \"here\"");
    let there = Node::start("[node]\nnetwork = \"there\"");
    // An operator's mistake: the link names the other network.
    let ran = here.try_postroad(&["peer", "add", &there.link()]).unwrap_err();
    assert!(ran.contains("there"), "names the other network: {ran}");
    // A link that lies: the node at that address turns out to be of another network.
    let link = there.link_of_network("here");
    let added = here.postroad(&["peer", "add", &link]);
    assert_eq!(added["connected"], false, "{added}");
    let reason = added["reason"].as_str().unwrap();
    assert!(reason.contains("another network: there, not here"), "{added}");
    assert_eq!(here.postroad(&["peers"]).as_array().unwrap().len(), 0);
    assert_eq!(there.postroad(&["peers"]).as_array().unwrap().len(), 0);
    assert_eq!(there.postroad(&["routes"]).as_array().unwrap().len(), 1, "only itself");
}
