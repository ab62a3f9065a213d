//! The verbs about other nodes, against a stand-in for a node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stand_in;

use serde_json::{Value, json};
use stand_in::{StandIn, error_line, text};

const HOSTILE: &str = "\u{1b}]0;x\u{7}beta\u{202e}\n\"><script>";

fn peer(name: &str) -> Value {
    json!({"node": "n2", "name": name, "path": "direct", "direction": "outbound", "rtt_ms": 0.5,
        "addresses": ["/ip4/127.0.0.1/tcp/7452"], "since": "2026-01-02T03:04:05.000Z",
        "pinned": true})
}

fn route(name: &str) -> Value {
    json!({"node": "n2", "name": name, "region": name, "via": "direct", "seq": 3, "generation": 1,
        "expires_at": "2999-01-01T00:00:00.000Z", "age_s": 60, "addresses": [], "current": true,
        "self": false})
}

fn read(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn peers_and_routes_are_passed_on_and_shown() {
    let (peers, routes) = (json!([peer("beta")]), json!([route("beta")]));
    let ok = |value: &Value| (200, value.clone());
    let node = StandIn::json(&[
        ok(&peers),
        ok(&peers),
        ok(&peers),
        ok(&routes),
        ok(&routes),
        ok(&json!([])),
    ]);
    assert_eq!(read(&node.run(&["--json", "peers"])), peers);
    assert_eq!(node.heard().request, "GET /v1/peers HTTP/1.1");
    assert_eq!(read(&node.run(&["--json", "peer", "ls"])), peers);
    let wide = node.run(&["-o", "wide", "peers"]);
    assert!(text(&wide.stdout).contains("/ip4/127.0.0.1/tcp/7452"), "{}", text(&wide.stdout));
    assert_eq!(read(&node.run(&["--json", "routes"])), routes);
    let table = node.run(&["routes"]);
    assert!(text(&table.stdout).contains("beta  n2    beta    direct   1m"), "{:?}", table.stdout);
    let none = node.run(&["peers"]);
    assert!(none.status.success() && none.stdout.is_empty());
    assert!(text(&none.stderr).contains("postroad peer add"));
}

#[test]
fn names_of_other_nodes_are_harmless_in_every_format() {
    let map = json!({"nodes": [{"node": "n1", "name": HOSTILE, "region": HOSTILE, "self": true,
        "connected": false, "rtt_ms": null, "current": true}], "edges": []});
    let trace = json!({"target": "x", "kind": "node", "account": null, "handle": null,
        "home": "n2", "backups": [], "mailboxes": [], "outbox": null, "peer": peer(HOSTILE),
        "route": [{"node": "n1", "name": "a", "via": "self"},
            {"node": "n2", "name": HOSTILE, "via": "direct"}],
        "reachable": true, "reason": HOSTILE});
    let events = json!({"events": [{"id": 1, "at": "2026-01-02T03:04:05.000Z", "kind": "peer-up",
        "node": "n2", "text": HOSTILE}], "last": 1});
    let over = json!({"events": [], "last": 1});
    let queue = json!([{"to": HOSTILE, "messages": 1, "bytes": 1, "oldest_s": 1,
        "reason": HOSTILE, "next_try": null}]);
    let pong = json!({"node": "n2", "name": HOSTILE, "path": "direct", "rtt_ms": 0.5});
    let whois = json!({"kind": "node", "name": HOSTILE, "node": "n2"});
    let cases: &[(&[&str], &[&Value])] = &[
        (&["peers"], &[&json!([peer(HOSTILE)])]),
        (&["routes"], &[&json!([route(HOSTILE)])]),
        (&["queue"], &[&queue]),
        (&["trace", "x"], &[&trace]),
        (&["ping", "x"], &[&pong]),
        (&["whois", "x"], &[&whois]),
        (&["events"], &[&events, &over]),
        (&["map", "--format", "svg"], &[&map]),
        (&["map", "--format", "dot"], &[&map]),
        (&["map", "--format", "json"], &[&map]),
    ];
    for (args, answers) in cases {
        for format in ["table", "wide", "json", "jsonl"] {
            let answers: Vec<_> = answers.iter().map(|value| (200, (*value).clone())).collect();
            let output = StandIn::json(&answers).run(&[*args, &["-o", format]].concat());
            assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
            let shown = text(&output.stdout);
            assert!(shown.contains("beta"), "{args:?} {format}: {shown}");
            assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{args:?} {format}: {shown}");
        }
    }
}

#[test]
fn a_peer_is_added_by_its_link_and_removed_by_whatever_names_it() {
    let added = json!({"node": "n2", "name": "beta", "connected": false, "reason": "refused"});
    let node = StandIn::new(vec![
        (200, added.to_string()),
        (200, added.to_string()),
        (204, String::new()),
        (404, json!({"message": "no such peer", "hint": "postroad peers"}).to_string()),
    ]);
    assert_eq!(read(&node.run(&["--json", "peer", "add", "postroad:node#x"])), added);
    let heard = node.heard();
    assert_eq!(heard.request, "POST /v1/peers HTTP/1.1");
    assert_eq!(
        serde_json::from_str::<Value>(&heard.body).unwrap(),
        json!({"link": "postroad:node#x"})
    );
    let human = node.run(&["peer", "add", "postroad:node#x"]);
    assert_eq!(text(&human.stdout), "added: not connected to beta yet: refused\n");
    node.heard();
    assert_eq!(read(&node.run(&["--json", "peer", "rm", "a/b"]))["state"], "removed");
    assert_eq!(node.heard().request, "DELETE /v1/peers/a%2Fb HTTP/1.1");
    assert_eq!(error_line(&node.run(&["--json", "peer", "rm", "x"]))["exit"], 4);
}

#[test]
fn a_ping_says_direct_or_why_not() {
    let pong = json!({"node": "n2", "name": "beta", "path": "direct", "rtt_ms": 0.5});
    let away = json!({"code": "UNREACHABLE", "message": "beta is away: connection refused",
        "hint": "start it"});
    let node = StandIn::json(&[(200, pong.clone()), (200, pong.clone())]);
    let shown = node.run(&["ping", "beta", "-c", "2", "-i", "1ms"]);
    assert_eq!(text(&shown.stdout), "beta  direct  0.50ms\n".repeat(2));
    assert_eq!(node.heard().request, "POST /v1/ping/beta HTTP/1.1");

    // The second request is whether the asked node itself is there.
    let alive = (200, json!({}));
    let node = StandIn::json(&[(502, away.clone()), alive.clone()]);
    let error = error_line(&node.run(&["--json", "ping", "beta"]));
    assert_eq!((&error["exit"], &error["message"]), (&json!(3), &away["message"]));

    let node = StandIn::json(&[(200, pong.clone()), (502, away.clone()), alive]);
    let some = node.run(&["--json", "ping", "beta", "-c", "2", "-i", "1ms"]);
    assert_eq!(some.status.code(), Some(7));
    let lines: Vec<Value> =
        text(&some.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], pong);
    assert_eq!((&lines[1]["path"], &lines[1]["reason"]), (&Value::Null, &away["message"]));

    let node = StandIn::json(&[(404, json!({"message": "nobody", "hint": "postroad routes"}))]);
    assert_eq!(error_line(&node.run(&["--json", "ping", "beta", "-c", "0"]))["exit"], 4);
}

#[test]
fn events_are_lines_and_following_goes_on_after_the_last() {
    let event = |id: u64| {
        json!({"id": id, "at": "2026-01-02T03:04:05.000Z", "kind": "peer-up",
        "node": "n2", "text": "beta is connected"})
    };
    let first = json!({"events": [event(4), event(5)], "last": 5});
    let none = |last: u64| json!({"events": [], "last": last});
    let node = StandIn::json(&[(200, first.clone()), (200, none(5))]);
    let shown = node.run(&["--json", "events", "--since", "3"]);
    let ids: Vec<Value> = text(&shown.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, [4, 5]);
    assert_eq!(node.heard().request, "GET /v1/events?after=3&wait=0 HTTP/1.1");

    // Whoever was never there is not awaited.
    let nobody = StandIn::json(&[]).run(&["--json", "events", "--follow"]);
    assert_eq!(error_line(&nobody)["exit"], 3);
}

#[test]
fn following_outlives_a_node_and_misses_nothing_of_its_next_run() {
    let events = |run: u64, ids: &[u64]| {
        let event = |id: &u64| {
            json!({"id": id, "at": "2026-01-02T03:04:05.000Z", "kind": "peer-up",
            "node": "n2", "text": "beta is connected"})
        };
        let events: Vec<Value> = ids.iter().map(event).collect();
        (200, json!({"events": events, "last": ids.last().unwrap_or(&2), "run": run}))
    };
    let denied = (401, json!({"message": "the token is wrong", "hint": "see admin.token"}));
    // The new run has more events already than were seen of the old one.
    let node = StandIn::json(&[
        events(7, &[1, 2]),
        (503, json!({"message": "the node is stopping", "hint": "wait"})),
        denied.clone(),
        events(8, &[3]),
        events(8, &[1, 2, 3]),
        denied.clone(),
        denied,
    ]);
    let shown = node.run(&["--json", "events", "--follow"]);
    let ids: Vec<Value> = text(&shown.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, [1, 2, 1, 2, 3]);
    let asked: Vec<String> = (0..7).map(|_| node.heard().request).collect();
    let after: Vec<&str> =
        asked.iter().map(|asked| &asked["GET /v1/events?".len()..asked.len() - 9]).collect();
    let [waits, again] = [|n| format!("after={n}&wait=25"), |n| format!("after={n}&wait=0")];
    let expected = [waits(0), waits(2), again(2), again(2), waits(0), waits(3), again(3)];
    assert_eq!(after, expected);
    let told = text(&shown.stderr);
    assert!(told.contains("the node is stopping; it is asked again"), "{told}");
    assert!(told.contains("started anew"), "{told}");
    assert_eq!(shown.status.code(), Some(6), "a token that stays wrong ends it: {told}");
}

#[test]
fn a_map_is_written_where_it_is_wanted() {
    let map = json!({"nodes": [{"node": "n1", "name": "alpha", "region": "", "self": true,
        "connected": false, "rtt_ms": null, "current": true}], "edges": []});
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("map.dot");
    let node = StandIn::json(&[(200, map.clone()), (200, map.clone()), (200, map.clone())]);
    let out = node.run(&["map", "--out", file.to_str().unwrap()]);
    assert!(text(&out.stdout).contains("with 1 node\n"), "{}", text(&out.stdout));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("graph postroad {"));
    assert_eq!(read(&node.run(&["--json", "map"])), map);
    assert!(text(&node.run(&["map"]).stdout).starts_with("<svg "));
    let lost = StandIn::json(&[(200, map)]).run(&["--json", "map", "--out", "/nonexistent/x.svg"]);
    assert_eq!(error_line(&lost)["exit"], 1);
}

#[test]
fn waiting_for_peers_ends_when_they_are_there() {
    let status = |peers: u64| {
        let status = json!({"verdict": "ok", "node": {"id": "n1"}, "peers": peers, "routes": 3});
        (200, status)
    };
    let ready = (200, json!("ready"));
    let node = StandIn::json(&[ready.clone(), status(1), ready.clone(), status(2)]);
    assert_eq!(read(&node.run(&["--json", "wait", "--peers", "2"]))["ready"], true);
    let node = StandIn::json(&[ready, status(0)]);
    let late = node.run(&["--json", "wait", "--peers", "1", "--timeout", "0s"]);
    assert_eq!(error_line(&late)["message"], "not after 0s: 0 of 1 peers are connected");
}
