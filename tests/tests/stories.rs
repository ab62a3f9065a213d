//! Stories of people and one node, over real processes and sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_proto::link::JoinLink;
use postroad_tests::person::texts;
use postroad_tests::{Node, Person, wait_for};

/// Two people on a node, who know each other.
fn alice_and_bob(node: &Node) -> (Person, Person) {
    let (alice, bob) = (Person::join("alice", node), Person::join("bob", node));
    alice.add(&bob);
    (alice, bob)
}

#[test]
fn a_text_arrives_and_its_whole_way_can_be_told() {
    let node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    let (id, state) = alice.send("bob", "hello, Bob");
    assert!(["accepted", "at-node"].contains(&state.as_str()), "{state}");
    let inbox = bob.ok(&["inbox"]);
    assert_eq!(texts(&inbox), ["hello, Bob"]);
    assert_eq!(inbox[0]["id"], id.as_str(), "the same id on both sides");
    assert!(bob.inbox().is_empty(), "shown once");

    let why = alice.ok(&["why", &id]);
    assert_eq!(why["state"], "read");
    let steps = why["steps"].as_array().unwrap();
    let states: Vec<_> = steps.iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["queued", "accepted", "at-node", "delivered", "read"]);
    assert!(steps.iter().all(|s| s["verified"] == true), "{why}");
    assert!(why["waiting"].is_null());

    let reply = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.send(&reply, "hello, Alice");
    assert_eq!(alice.inbox(), ["hello, Alice"]);
    assert_eq!(texts(&alice.ok(&["read", "bob"])), ["hello, Bob", "hello, Alice"]);
}

#[test]
fn mail_waits_for_who_is_away_and_outlives_the_node() {
    let mut node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    let sent: Vec<String> = (0..5).map(|n| alice.send("bob", &format!("text {n}")).0).collect();
    let why = alice.ok(&["why", &sent[0]]);
    assert!(why["waiting"]["reason"].is_string(), "{why}");
    let queue = node.postroad(&["queue"]);
    assert_eq!(queue[0]["messages"], 5, "{queue}");
    node.kill();
    node.restart();
    assert_eq!(bob.inbox(), ["text 0", "text 1", "text 2", "text 3", "text 4"]);
    assert_eq!(alice.state_of(&sent[4]), "read");
    wait_for("the mailboxes to be empty", || {
        (node.postroad(&["mailbox", "stats"])["messages"] == 0).then_some(())
    });
}

#[test]
fn texts_written_while_the_node_is_down_wait_on_the_device() {
    let mut node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    node.kill();
    let (id, state) = alice.send("bob", "written offline");
    assert_eq!(state, "queued");
    let why = alice.ok(&["why", &id]);
    assert_eq!(why["state"], "queued");
    assert_eq!(why["steps"][0]["verified"], true);
    assert!(why["waiting"]["reason"].is_string(), "{why}");
    assert!(texts(&alice.ok(&["read", "bob"])).contains(&"written offline".to_owned()));
    node.restart();
    alice.ok(&["status"]);
    assert_eq!(bob.inbox(), ["written offline"]);
}

#[test]
fn killed_in_the_middle_of_sends_nothing_accepted_is_lost() {
    let mut node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    let mut sends: Vec<_> =
        (0..6).map(|n| alice.spawn(&["send", "bob", &format!("burst {n}")])).collect();
    wait_for("the first to be taken", || {
        (node.postroad(&["status"])["counters"]["accepted"].as_u64() > Some(0)).then_some(())
    });
    node.kill();
    for send in &mut sends {
        assert!(send.wait().unwrap().success(), "offline is no failure");
    }
    node.restart();
    alice.ok(&["status"]);
    let mut texts = bob.inbox();
    texts.sort();
    assert_eq!(texts, (0..6).map(|n| format!("burst {n}")).collect::<Vec<_>>());
}

#[test]
fn killed_in_the_middle_of_delivery_all_arrives_once() {
    let mut node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    let long = "x".repeat(20_000);
    for n in 0..20 {
        alice.send("bob", &format!("{n} {long}"));
    }
    let before = node.postroad(&["status"])["counters"]["pushed"].as_u64().unwrap();
    let mut reading = bob.spawn(&["inbox"]);
    wait_for("the delivery to begin", || {
        let pushed = node.postroad(&["status"])["counters"]["pushed"].as_u64().unwrap();
        (pushed > before).then_some(())
    });
    node.kill();
    reading.wait().unwrap();
    node.restart();
    bob.inbox();
    let all = texts(&bob.ok(&["read", "alice", "-n", "100"]));
    assert_eq!(all.len(), 20, "each once");
}

#[test]
fn a_client_killed_in_the_middle_of_inbox_loses_and_repeats_nothing() {
    let node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    for n in 0..30 {
        alice.send("bob", &format!("{n} {}", "y".repeat(5_000)));
    }
    for _ in 0..5 {
        let before = node.postroad(&["status"])["counters"]["pushed"].as_u64().unwrap();
        let mut reading = bob.spawn(&["inbox", "--peek"]);
        wait_for("some delivery, or its end", || {
            let pushed = node.postroad(&["status"])["counters"]["pushed"].as_u64().unwrap();
            (pushed > before || reading.try_wait().unwrap().is_some()).then_some(())
        });
        let _ = reading.kill();
        reading.wait().unwrap();
    }
    assert_eq!(bob.inbox().len(), 30);
    assert_eq!(texts(&bob.ok(&["read", "alice", "-n", "100"])).len(), 30);
}

#[test]
fn a_link_with_another_nodes_key_is_refused() {
    let (node, other) = (Node::start(""), Node::start(""));
    let mut link: JoinLink = node.invite().parse().unwrap();
    link.node.addresses = vec![other.client()];
    let ran = Person::new("mallory").run(&["join", &link.to_string(), "--name", "mallory"]);
    assert_ne!(ran.code, 0);
    assert!(ran.error["message"].is_string(), "{}", ran.stderr);
}

#[test]
fn a_node_of_another_network_says_so() {
    let node = Node::start("[node]\nnetwork = \"here\"");
    let mut link: JoinLink = node.invite().parse().unwrap();
    link.node.network = "elsewhere".parse().unwrap();
    let ran = Person::new("lost").run(&["join", &link.to_string(), "--name", "lost"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("network"), "{}", ran.stderr);
}

#[test]
fn invites_say_what_is_wrong_with_them() {
    let node = Node::start("");
    let invite = node.invite();
    Person::new("first").ok(&["join", &invite, "--name", "first"]);
    let used = Person::new("second").run(&["join", &invite, "--name", "second"]);
    assert_ne!(used.code, 0);
    assert!(used.stderr.contains("used"), "{}", used.stderr);
    let cut = Person::new("third").run(&["join", &invite[..invite.len() - 3], "--name", "third"]);
    assert!(cut.code != 0 && cut.stderr.contains("damaged"), "{}", cut.stderr);
    let revoked = node.invite();
    node.postroad(&["--yes", "invite", "revoke", &revoked]);
    let listed = node.postroad(&["invite", "ls"]);
    let made = node.postroad(&["invite", "create"]);
    assert!(!listed.to_string().contains(made["id"].as_str().unwrap()));
    let listed = node.postroad(&["invite", "ls"]);
    assert!(listed.to_string().contains(made["id"].as_str().unwrap()), "the same id: {listed}");
    let ran = Person::new("fourth").run(&["join", &revoked, "--name", "fourth"]);
    assert!(ran.code != 0 && ran.stderr.contains("taken back"), "{}", ran.stderr);
    let taken = Person::new("fifth").run(&["join", &node.invite(), "--name", "first"]);
    assert!(taken.code != 0 && taken.stderr.contains("taken"), "{}", taken.stderr);
}

#[test]
fn a_stranger_asks_and_is_answered() {
    let node = Node::start("");
    let (carol, bob) = (Person::join("carol", &node), Person::join("bob", &node));
    let handle = bob.ok(&["whoami"])["handle"].as_str().unwrap().to_owned();
    carol.ok(&["contact", "add", &handle, "--name", "bob"]);
    let (first, _) = carol.send("bob", "may I write to you?");
    let (second, state) = carol.send("bob", "one more thing");
    assert_eq!(state, "queued");
    let why = carol.ok(&["why", &second]);
    assert_eq!(why["waiting"]["reason"], "not accepted yet", "{why}");
    let requests = bob.ok(&["requests"]);
    assert_eq!(requests.as_array().unwrap().len(), 1, "{requests}");
    assert_ne!(carol.state_of(&first), "delivered", "an unanswered request never is");
    let id = requests[0]["account"].as_str().unwrap();
    bob.ok(&["requests", "accept", id]);
    carol.ok(&["status"]);
    let mut got = bob.inbox();
    got.extend(bob.inbox());
    assert!(got.contains(&"one more thing".to_owned()), "{got:?}");
    let name = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.send(&name, "welcome");
    assert_eq!(carol.inbox(), ["welcome"]);
}

#[test]
fn who_is_blocked_is_blocked_at_once() {
    let node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    alice.send("bob", "hello");
    assert_eq!(bob.inbox(), ["hello"]);
    bob.ok(&["contact", "block", "alice"]);
    let ran = alice.run(&["send", "bob", "are you there?"]);
    assert_eq!((ran.code, ran.json["state"].as_str()), (6, Some("failed")), "{}", ran.stderr);
    assert!(bob.inbox().is_empty());
    let why = alice.ok(&["why", ran.json["id"].as_str().unwrap()]);
    assert!(why["waiting"].is_null() && why["reason"].is_string(), "{why}");
}

#[test]
fn a_full_mailbox_refuses_and_the_text_waits() {
    let node = Node::start("[custody]\nmailbox_messages = 3");
    let (alice, bob) = alice_and_bob(&node);
    let states: Vec<_> = (0..4).map(|n| alice.send("bob", &format!("text {n}"))).collect();
    let (id, state) = &states[3];
    assert_eq!(state, "queued");
    let why = alice.ok(&["why", id]);
    let reason = why["waiting"]["reason"].as_str().unwrap();
    assert!(reason.contains('3'), "the limit is named: {reason}");
    assert_eq!(bob.inbox().len(), 3);
}

#[test]
fn what_is_too_large_is_refused_before_anything_is_stored() {
    let node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    let fits = "é".repeat(30 * 1024);
    let ran = alice.run_with(&["send", "bob", "-"], &fits);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = alice.run_with(&["send", "bob", "-"], &"é".repeat(40 * 1024));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("61440"), "the limit is named: {}", ran.stderr);
    assert_eq!(bob.inbox(), [fits]);
    assert_eq!(texts(&alice.ok(&["read", "bob"])).len(), 1);
}

#[test]
fn what_nobody_fetches_in_time_expires_and_says_so() {
    let node = Node::start("[custody]\nmax_deadline = 2\nexpiry_grace = 1");
    let (alice, bob) = alice_and_bob(&node);
    let (id, _) = alice.send("bob", "read this soon");
    wait_for("the message to expire", || (alice.state_of(&id) == "expired").then_some(()));
    wait_for("the node to delete it", || {
        (node.postroad(&["status"])["counters"]["expired"].as_u64() > Some(0)).then_some(())
    });
    assert!(bob.inbox().is_empty());
}

#[test]
fn unknown_names_and_handles_are_told_apart_from_faults() {
    let node = Node::start("");
    let alice = Person::join("alice", &node);
    assert_eq!(alice.run(&["send", "nobody", "hello"]).code, 4);
    let own = alice.ok(&["whoami"])["handle"].as_str().unwrap().to_owned();
    let unknown = own.replace("alice", "ghost");
    let ran = alice.run(&["contact", "add", &unknown, "--name", "ghost"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_eq!(alice.run(&["why", "nonsense"]).code, 4);
    assert_eq!(alice.run(&["frobnicate"]).code, 2);
}

#[test]
fn a_contact_is_added_while_the_node_is_down() {
    let mut node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    let link = bob.link();
    node.kill();
    alice.ok(&["contact", "add", &link, "--name", "bob"]);
    let (id, state) = alice.send("bob", "early");
    assert_eq!(state, "queued");
    assert_eq!(alice.ok(&["why", &id])["waiting"]["reason"], "keys not fetched yet");
    node.restart();
    alice.ok(&["status"]);
    assert_eq!(bob.inbox(), ["early"]);
}

#[test]
fn a_terminal_is_not_at_the_mercy_of_a_text() {
    let node = Node::start("");
    let (alice, bob) = alice_and_bob(&node);
    let hostile = "\u{1b}[2J\u{202e}evil\u{7}\u{9b}31m";
    alice.send("bob", hostile);
    let plain = std::process::Command::new(postroad_tests::programs::program("pouch"))
        .args(["--data-dir", &bob.dir().display().to_string(), "inbox", "--peek"])
        .output()
        .unwrap();
    let shown = String::from_utf8(plain.stdout).unwrap();
    assert!(shown.contains("evil"));
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}', '\u{9b}']), "{shown:?}");
    assert_eq!(bob.inbox(), [hostile], "JSON keeps the exact text");
}

#[test]
fn the_operator_sees_and_ends_things() {
    let mut node = Node::start("");
    let (alice, _bob) = alice_and_bob(&node);
    alice.send("bob", "hello");
    let status = node.postroad(&["status"]);
    assert_eq!(status["verdict"], "ok", "{status}");
    let trace = node.postroad(&["trace", "bob"]);
    assert_eq!(trace["reachable"], true, "{trace}");
    assert_eq!(node.postroad(&["user", "ls"]).as_array().unwrap().len(), 2);
    node.postroad(&["--yes", "user", "delete", "bob"]);
    assert_eq!(node.postroad(&["user", "ls"]).as_array().unwrap().len(), 1);
    assert_eq!(node.postroad(&["mailbox", "stats"])["messages"], 0);
    node.postroad(&["--yes", "shutdown"]);
    assert!(node.wait_for_end().success());
}
