//! What is wrong, step by step.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_tests::{Node, Person, Ran};

/// The verdict of a step.
fn verdict(ran: &Ran, step: &str) -> String {
    let rows = ran.json.as_array().unwrap();
    let row = rows.iter().find(|row| row["step"] == step);
    row.unwrap_or_else(|| panic!("{step} in {}", ran.json))["verdict"].as_str().unwrap().to_owned()
}

fn verdicts(ran: &Ran, steps: &[&str]) -> Vec<String> {
    steps.iter().map(|step| verdict(ran, step)).collect()
}

const WAY: [&str; 7] = ["profile", "names", "network", "handshake", "account", "answer", "clock"];

#[test]
fn each_step_says_how_it_is_and_the_first_that_fails_says_why() {
    let mut node = Node::start("");
    let alice = Person::join("alice", &node);
    let well = alice.run(&["doctor"]);
    assert_eq!(well.code, 0, "{} {}", well.json, well.stderr);
    assert_eq!(verdicts(&well, &WAY), ["ok"; 7]);
    assert_eq!(verdicts(&well, &["sending", "contacts", "problems"]), ["ok"; 3]);

    node.kill();
    let away = alice.run(&["doctor"]);
    assert_eq!((away.code, away.error["code"].as_str()), (3, Some("not_well")));
    let expected = ["ok", "ok", "fail", "skipped", "skipped", "skipped", "skipped"];
    assert_eq!(verdicts(&away, &WAY), expected);
    let why = away.error["message"].as_str().unwrap();
    assert!(why.contains("refused"), "{why}");

    // Something else answers at the node's port.
    let _other = std::net::TcpListener::bind(node.client()).unwrap();
    let other = alice.run(&["doctor"]);
    assert_eq!(other.code, 3, "{}", other.json);
    assert_eq!(verdicts(&other, &["network", "handshake", "account"]), ["ok", "fail", "skipped"]);
}

#[test]
fn without_an_account_it_says_how_to_get_one() {
    let nobody = Person::new("nobody");
    let ran = nobody.run(&["doctor"]);
    assert_eq!(ran.code, 1);
    assert_eq!(verdicts(&ran, &["profile", "network"]), ["fail", "skipped"]);
    assert!(ran.error["hint"].as_str().unwrap().contains("pouch join"), "{}", ran.error);
}
