//! The program itself against a stand-in for a node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stand_in;

use std::process::Stdio;

use serde_json::{Value, json};
use stand_in::{StandIn, error_line, postroad, text};

#[test]
fn an_invite_is_asked_for_with_the_token_and_printed_as_a_link_alone() {
    let created = json!({"code": "c", "link": "postroad:join#x", "uses": 0, "expires_at": null});
    let node = StandIn::json(&[(200, created.clone()), (200, created.clone())]);
    let output = node.run(&["invite", "create", "--many", "--expires", "12h"]);
    assert_eq!(text(&output.stdout), "postroad:join#x\n");
    let heard = node.heard();
    assert_eq!(heard.request, "POST /v1/invites HTTP/1.1");
    assert_eq!(heard.token, "Bearer the-token");
    let body: Value = serde_json::from_str(&heard.body).unwrap();
    assert_eq!(body, json!({"uses": 0, "expires_s": 43_200}));

    let output = node.run(&["--json", "invite", "create", "--qr", "--expires", "never"]);
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), created);
    let body: Value = serde_json::from_str(&node.heard().body).unwrap();
    assert_eq!(body, json!({"uses": 1, "expires_s": null}));
}

#[test]
fn a_refusal_becomes_its_exit_code_and_one_json_line() {
    let told = |code: &str| json!({"code": code, "message": "told so", "hint": "do this"});
    for (status, exit) in [(401, 6), (403, 6), (404, 4), (429, 1), (500, 1)] {
        let node = StandIn::json(&[(status, told("X"))]);
        let error = error_line(&node.run(&["--json", "queue"]));
        assert_eq!(error["exit"], exit);
        assert_eq!((&error["message"], &error["hint"]), (&json!("told so"), &json!("do this")));
    }
    // A redirect could carry the token elsewhere.
    let node = StandIn::json(&[(307, json!({}))]);
    assert_eq!(error_line(&node.run(&["--json", "status"]))["exit"], 1);
    let nobody = postroad("127.0.0.1:1").args(["--json", "status"]).output().unwrap();
    assert_eq!(error_line(&nobody)["exit"], 3);
    let usage = postroad("127.0.0.1:1").args(["--json", "statsu"]).output().unwrap();
    assert_eq!(error_line(&usage)["exit"], 2);
    let later = postroad("127.0.0.1:1")
        .args(["--json", "wait", "--ready", "--timeout", "100ms"])
        .output()
        .unwrap();
    assert_eq!(error_line(&later)["exit"], 5);
}

#[test]
fn a_user_is_deleted_only_when_that_is_sure() {
    let user = json!({"account": "acc1", "handle": "a/b@n", "devices": 1, "messages": 2,
        "bytes": 3, "since": null});
    let node = StandIn::json(&[(200, user.clone())]);
    let refused = node.run(&["--json", "user", "delete", "a/b@n"]);
    assert_eq!(error_line(&refused)["code"], "needs_yes");
    assert_eq!(node.heard().request, "GET /v1/users/a%2Fb%40n HTTP/1.1");

    let node = StandIn::json(&[(200, user.clone())]);
    let dry = node.run(&["--json", "user", "delete", "x", "--dry-run"]);
    assert_eq!(serde_json::from_slice::<Value>(&dry.stdout).unwrap()["state"], "would-delete");

    let node = StandIn::new(vec![(200, user.to_string()), (204, String::new())]);
    let done = node.run(&["user", "delete", "x", "--yes"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    node.heard();
    assert_eq!(node.heard().request, "DELETE /v1/users/acc1 HTTP/1.1");
}

#[test]
fn mailboxes_are_read_as_the_node_writes_them() {
    let mailbox = json!({"account": "a", "handle": "bob@road.example", "device": 1, "messages": 3,
        "bytes": 1536, "oldest_s": 9, "connected": true});
    let trace = json!({"target": "bob", "kind": "handle", "account": "a",
        "handle": "bob@road.example", "home": "n", "backups": [],
        "route": [{"node": "n", "name": "road.example", "via": "self"}],
        "mailboxes": [mailbox.clone()], "outbox": null, "peer": null,
        "reachable": true, "reason": "homed here, every device is connected"});
    let list = json!([mailbox]);
    let node = StandIn::json(&[
        (200, list.clone()),
        (200, list.clone()),
        (200, trace.clone()),
        (200, trace.clone()),
    ]);
    let table = node.run(&["mailbox", "ls"]);
    assert!(table.status.success(), "{}", text(&table.stderr));
    assert!(text(&table.stdout).contains("bob@road.example"), "{}", text(&table.stdout));
    let json = node.run(&["--json", "mailbox", "ls"]);
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap(), list);
    assert!(node.run(&["trace", "bob"]).status.success());
    let json = node.run(&["--json", "trace", "bob"]);
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap(), trace);
}

#[test]
fn hostile_names_reach_the_terminal_harmless() {
    let mailbox = json!([{"account": "a", "handle": "\u{1b}]0;x\u{7}bob\u{202e}\nadmin",
        "device": 1, "messages": 1, "bytes": 1, "oldest_s": null, "connected": false}]);
    let node = StandIn::json(&[(200, mailbox.clone()), (200, mailbox.clone())]);
    let table = node.run(&["mailbox", "ls"]);
    assert_eq!(text(&table.stdout).lines().count(), 2);
    assert!(!text(&table.stdout).contains(['\u{1b}', '\u{7}', '\u{202e}']));
    let json = node.run(&["mailbox", "ls", "--json"]);
    assert!(!text(&json.stdout).contains('\u{202e}'));
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap(), mailbox);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let rows: Vec<Value> = (0..20_000)
        .map(|n| {
            json!({"to": format!("node {n}"), "messages": 1, "bytes": 1, "oldest_s": 1,
            "reason": "away", "next_try": null})
        })
        .collect();
    let node = StandIn::json(&[(200, Value::Array(rows))]);
    let mut child = postroad(&node.address)
        .arg("queue")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "");
}
