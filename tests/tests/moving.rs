//! Stories of accounts that go to another node, over real processes and sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_proto::link::NodeLink;
use postroad_tests::link::linked;
use postroad_tests::person::texts;
use postroad_tests::{Network, Person, wait_for};
use serde_json::{Value, json};

const OPEN: &str = "[custody]\nregistration = \"open\"";

/// The id of the node that somebody is homed at, as this device knows it.
fn home(person: &Person) -> String {
    let node: NodeLink = person.ok(&["whoami"])["node"].as_str().unwrap().parse().unwrap();
    node.node.to_string()
}

fn problems(person: &Person) -> Value {
    person.ok(&["status"])["problems"].clone()
}

#[test]
fn an_account_moves_and_its_contacts_come_after_it() {
    let network = Network::start(3);
    let (alice, bob) = network.alice_and_bob();
    let (first, _) = alice.send("bob", "before");
    assert_eq!(bob.receives(1), ["before"]);
    let from = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.ok(&["contact", "rename", &from, "alice"]);
    alice.wait_until(&first, "read");
    let old_link = bob.link();
    // Dave's token is one that he chose himself, with the link: only the old node knows it.
    let dave = Person::join("dave", &network.nodes[0]);
    dave.add(&bob);
    // This lies at the old node when Bob moves.
    alice.send("bob", "on the way");
    let moved = bob.ok(&["move", &network.nodes[2].invite()]);
    assert_eq!(moved["left"], json!([]), "{moved}");
    assert_eq!(home(&bob), network.nodes[2].id());
    assert!(moved["handle"].as_str().unwrap().starts_with("bob@"), "{moved}");
    assert_eq!(bob.receives(1), ["on the way"]);
    let (id, _) = alice.send("bob", "and after");
    assert_eq!(bob.receives(1), ["and after"]);
    bob.send("alice", "from the new place");
    assert_eq!(alice.receives(1), ["from the new place"]);
    alice.wait_until(&id, "read");
    // Who has an old link of his is led to the new node.
    let carol = Person::join("carol", &network.nodes[0]);
    carol.ok(&["contact", "add", &old_link, "--name", "bob"]);
    carol.send("bob", "I am new here");
    assert_eq!(bob.receives(1), ["I am new here"]);
    dave.send("bob", "we met before");
    assert_eq!(bob.receives(1), ["we met before"]);
    for person in [&alice, &bob, &carol, &dave] {
        assert_eq!(problems(person), json!([]));
    }
    let trace = network.nodes[1].postroad(&["trace", moved["account"].as_str().unwrap()]);
    assert!(trace.to_string().contains(&network.nodes[2].id()), "{trace}");
    // Back again: he is known there.
    let back = bob.ok(&["move", &network.nodes[1].link()]);
    assert_eq!(back["left"], json!([]), "{back}");
    alice.send("bob", "home again");
    assert_eq!(bob.receives(1), ["home again"]);
    wait_for("nothing to be under way", || (alice.ok(&["status"])["unsettled"] == 0).then_some(()));
}

#[test]
fn devices_go_after_the_account_whenever_they_come() {
    let mut network = Network::start_with(3, OPEN);
    let (alice, bob) = network.alice_and_bob();
    let (laptop, tablet) = (linked(&bob, "laptop"), linked(&bob, "tablet"));
    alice.send("bob", "to all of you");
    assert_eq!(bob.receives(1), ["to all of you"]);
    // A device that has not got the account's key may move it, too.
    let new = network.nodes[2].link();
    assert_eq!(laptop.ok(&["move", &new, "--name", "bobby"])["left"], json!([]));
    // The laptop's word of that lies at the new home, for devices that look at the old one yet.
    wait_for("the first device to follow", || (home(&bob) == network.nodes[2].id()).then_some(()));
    assert!(bob.ok(&["whoami"])["handle"].as_str().unwrap().starts_with("bobby@"));
    let (id, _) = alice.send("bob", "to the new place");
    for device in [&bob, &laptop] {
        wait_for("mail at the new home", || {
            alice.ok(&["status"]);
            has(device, "to the new place").then_some(())
        });
    }
    alice.wait_until(&id, "delivered");
    // The tablet comes so late that the old home is gone. Somebody tells it where to look.
    network.nodes[1].kill();
    let lost = tablet.run(&["move", &network.nodes[0].link()]);
    assert_eq!((lost.code, lost.error["code"].as_str()), (3, Some("unreachable")), "{lost:?}");
    let late = tablet.ok(&["move", &new]);
    assert_eq!(late["left"].as_array().unwrap().len(), 1, "{late}");
    // Alice may have waited for its keys.
    wait_for("what lies at the new home", || {
        alice.ok(&["status"]);
        has(&tablet, "to the new place").then_some(())
    });
    // Once the old home is back, it gives what it has.
    network.nodes[1].restart();
    wait_for("what lies at the old home", || {
        let status = tablet.ok(&["status"]);
        (status["left"] == json!([]) && has(&tablet, "to all of you")).then_some(())
    });
    for person in [&alice, &bob, &laptop, &tablet] {
        assert_eq!(problems(person), json!([]));
    }
}

/// Whether the only conversation of a device has this text.
fn has(person: &Person, text: &str) -> bool {
    let chats = person.ok(&["chats"]);
    let Some(chat) = chats[0]["chat"].as_str() else { return false };
    texts(&person.ok(&["read", chat])).iter().any(|one| one == text)
}

#[test]
fn two_devices_that_move_to_different_nodes_at_once_end_at_one() {
    let network = Network::start_with(4, OPEN);
    let (alice, bob) = network.alice_and_bob();
    let laptop = linked(&bob, "laptop");
    alice.send("bob", "hi");
    bob.receives(1);
    let args = |to: usize| ["move".to_owned(), network.nodes[to].link(), "--no-handle".to_owned()];
    let moving = [(&bob, 2), (&laptop, 3)].map(|(person, to)| {
        let args = args(to);
        person.spawn(&args.each_ref().map(String::as_str))
    });
    for mut child in moving {
        child.wait().unwrap();
    }
    end_together(&network, &[&bob, &laptop], &alice);
}

#[test]
fn a_move_that_cannot_be_changes_nothing() {
    let mut network = Network::start_with(1, OPEN);
    network.add("");
    network.wait_until_known();
    let bob = Person::join("bob", &network.nodes[0]);
    let alice = Person::join("alice", &network.nodes[0]);
    alice.add(&bob);
    let tries = |args: &[&str], code: i32, word: &str| {
        let ran = bob.run(args);
        assert_eq!((ran.code, ran.error["code"].as_str()), (code, Some(word)), "{ran:?}");
    };
    tries(&["move", &network.nodes[1].link()], 6, "invite_needed");
    tries(&["move", &alice.link()], 2, "usage");
    let _other = Person::join("bob", &network.nodes[1]);
    let invite = network.nodes[1].invite();
    tries(&["move", &invite], 6, "taken");
    let elsewhere = network.nodes[1].link_of_network("elsewhere");
    tries(&["move", &elsewhere], 1, "wrong_network");
    network.nodes[1].kill();
    tries(&["move", &invite, "--name", "robert"], 3, "unreachable");
    assert_eq!(home(&bob), network.nodes[0].id());
    // To where it is already is no move.
    assert_eq!(bob.ok(&["move", &network.nodes[0].link()])["left"], json!([]));
    alice.send("bob", "still there");
    assert_eq!(bob.receives(1), ["still there"]);
    network.nodes[1].restart();
    network.wait_until_known();
    let moved = bob.ok(&["move", &invite, "--name", "robert"]);
    assert!(moved["handle"].as_str().unwrap().starts_with("robert@"), "{moved}");
    alice.send("bob", "and there");
    assert_eq!(bob.receives(1), ["and there"]);
}

/// Moves to another node, while the old one goes down between being left and hearing of it.
fn moves_unheard(network: &mut Network, person: &Person, from: usize, to: usize) {
    // What it has signed for a move, as soon as it is on its way to the new node.
    let signed = || -> Option<Vec<u8>> {
        let db = rusqlite::Connection::open(person.profile().join("pouch.db")).unwrap();
        db.query_row("SELECT record FROM moving", [], |row| row.get(0)).ok()
    };
    let before = signed();
    network.nodes[to].pause();
    let mut moving = person.spawn(&["move", &network.nodes[to].link(), "--no-handle"]);
    wait_for("the move to begin", || (signed() != before).then_some(()));
    network.nodes[from].kill();
    network.nodes[to].go_on();
    assert!(moving.wait().unwrap().success());
    assert_eq!(person.ok(&["status"])["left"].as_array().unwrap().len(), 1);
}

/// All devices are at one home in the end, nothing is left to say, and mail comes there.
fn end_together(network: &Network, devices: &[&Person], from: &Person) -> String {
    let end = wait_for("all to be at one node", || {
        let homes: Vec<String> = devices.iter().map(|device| home(device)).collect();
        let is_done = |device: &&Person| device.ok(&["status"])["left"] == json!([]);
        (homes.iter().all(|one| *one == homes[0]) && devices.iter().all(is_done))
            .then(|| homes[0].clone())
    });
    from.send("bob", "where are you?");
    for device in devices {
        wait_for("mail", || {
            from.ok(&["status"]);
            has(device, "where are you?").then_some(())
        });
    }
    let account = devices[0].ok(&["whoami"])["account"].as_str().unwrap().to_owned();
    for node in &network.nodes[1..] {
        let trace = node.postroad(&["trace", &account]);
        let is_unknown = trace["home"].is_null();
        assert!(is_unknown || trace.to_string().contains(&end), "{trace}");
    }
    assert_eq!(problems(from), json!([]));
    end
}

#[test]
fn whoever_went_elsewhere_by_a_lower_record_is_fetched() {
    let mut network = Network::start_with(4, OPEN);
    let (alice, bob) = network.alice_and_bob();
    let laptop = linked(&bob, "laptop");
    alice.send("bob", "hi");
    bob.receives(1);
    moves_unheard(&mut network, &bob, 1, 2);
    network.nodes[1].restart();
    // The laptop does not know, and goes elsewhere: the account's own record goes before a steward's.
    laptop.ok(&["move", &network.nodes[3].link(), "--no-handle"]);
    assert_eq!(home(&laptop), network.nodes[3].id());
    assert_eq!(end_together(&network, &[&bob, &laptop], &alice), network.nodes[2].id());
}

#[test]
fn what_was_said_at_the_old_home_meanwhile_is_signed_above() {
    let mut network = Network::start_with(3, OPEN);
    let (alice, bob) = network.alice_and_bob();
    let (laptop, tablet) = (linked(&bob, "laptop"), linked(&bob, "tablet"));
    alice.send("bob", "hi");
    bob.receives(1);
    // A steward moves, and before the old home hears of it another device is linked there.
    moves_unheard(&mut network, &laptop, 1, 2);
    network.nodes[1].restart();
    let phone = linked(&bob, "phone");
    let all = [&bob, &laptop, &tablet, &phone];
    assert_eq!(end_together(&network, &all, &alice), network.nodes[2].id());
    // And now one is taken off, which is a new epoch: the steward has no say in it before it is told.
    moves_unheard(&mut network, &laptop, 2, 1);
    network.nodes[2].restart();
    bob.ok(&["--yes", "device", "revoke", "3"]);
    end_together(&network, &[&bob, &laptop, &phone], &alice);
}

#[test]
fn a_record_that_was_signed_far_away_goes_after_the_account() {
    let mut network = Network::start_with(3, OPEN);
    let (alice, bob) = network.alice_and_bob();
    let (laptop, tablet) = (linked(&bob, "laptop"), linked(&bob, "tablet"));
    alice.send("bob", "hi");
    bob.receives(1);
    // Bob takes a device off while he has no connection.
    network.nodes[1].kill();
    bob.ok(&["--yes", "device", "revoke", "3"]);
    network.nodes[1].restart();
    laptop.ok(&["move", &network.nodes[2].link(), "--no-handle"]);
    let end = end_together(&network, &[&bob, &laptop], &alice);
    assert_eq!(end, network.nodes[2].id());
    assert_eq!(bob.ok(&["device", "ls"]).as_array().unwrap().len(), 2);
    assert!(tablet.ok(&["status"])["reason"].as_str().unwrap().contains("revoked"));
}

#[test]
fn an_account_that_is_to_be_deleted_stays_where_it_is() {
    let network = Network::start_with(2, OPEN);
    let bob = Person::join("bob", &network.nodes[0]);
    bob.ok(&["--yes", "account", "delete"]);
    let link = network.nodes[1].link();
    let refused = bob.run(&["move", &link]);
    assert_eq!((refused.code, refused.error["code"].as_str()), (1, Some("not_now")));
    bob.ok(&["account", "keep"]);
    bob.ok(&["move", &link]);
    assert_eq!(home(&bob), network.nodes[1].id());
}
