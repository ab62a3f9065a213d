//! What operators and the curious ask of real nodes: who is who, where mail is, what happens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use postroad_tests::programs::program;
use postroad_tests::{Network, Node, Person, wait_for};
use serde_json::Value;

/// Two nodes with names.
fn alpha_and_beta() -> Network {
    let mut network = Network::empty();
    for name in ["alpha.example", "beta.example"] {
        network.add(&format!("[node]\nname = \"{name}\""));
    }
    network.wait_until_known();
    network
}

#[test]
fn everybody_is_found_by_whatever_names_them_and_mail_by_its_parcel() {
    let mut network = alpha_and_beta();
    let (alice, bob) = network.alice_and_bob();
    let [alpha, beta] = [&network.nodes[0], &network.nodes[1]].map(Node::id);
    let of = |person: &Person| person.ok(&["whoami"]);
    let account = of(&alice)["account"].clone();
    let home = &network.nodes[0];
    for name in ["alice", "alice@alpha.example", account.as_str().unwrap(), &alice.link()] {
        let found = home.postroad(&["whois", name]);
        assert_eq!(found["account"], account, "{name}: {found}");
        assert_eq!(found["home_name"], "alpha.example", "{name}: {found}");
        let trace = home.postroad(&["trace", name]);
        assert_eq!(trace["account"], account, "{name}: {trace}");
        assert_eq!((&trace["home"], &trace["reachable"]), (&alpha.as_str().into(), &true.into()));
    }
    let elsewhere = &network.nodes[1];
    for name in ["alice@alpha.example", &format!("alice@{alpha}"), &alice.link()] {
        let found = elsewhere.postroad(&["whois", name]);
        assert_eq!(found["home"], alpha.as_str(), "{name}: {found}");
        let trace = elsewhere.postroad(&["trace", name]);
        assert_eq!((&trace["home"], &trace["reachable"]), (&alpha.as_str().into(), &true.into()));
        let stops: Vec<_> = trace["route"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
        assert_eq!(stops, ["beta.example", "alpha.example"], "{name}: {trace}");
    }
    for name in [&beta, "beta.example", &network.nodes[1].link(), &bob.link(), &elsewhere.invite()]
    {
        let pong = home.postroad(&["ping", name]);
        assert_eq!((&pong["node"], &pong["path"]), (&beta.as_str().into(), &"direct".into()));
    }

    alice.send("bob", "hello");
    assert_eq!(bob.receives(1), ["hello"]);
    network.nodes[1].kill();
    let (id, _) = alice.send("bob", "where is this?");
    let parcel = alice.ok(&["why", &id])["parcel"].as_str().unwrap().to_owned();
    let trace = network.nodes[0].postroad(&["trace", &parcel]);
    assert_eq!((&trace["kind"], &trace["home"]), (&"parcel".into(), &beta.as_str().into()));
    assert_eq!(trace["outbox"]["messages"], 1, "{trace}");
    assert!(trace["parcel"]["waits_s"].is_u64(), "{trace}");
    network.nodes[1].restart();
    alice.wait_until(&id, "at-node");
    let trace = network.nodes[1].postroad(&["trace", &parcel]);
    assert_eq!(trace["parcel"]["copies"], 1, "{trace}");
    assert_eq!(bob.receives(1), ["where is this?"]);
    let gone = network.nodes[1].try_postroad(&["trace", &parcel]).unwrap_err();
    assert!(gone.contains("no parcel"), "{gone}");
}

#[test]
fn a_peer_is_added_and_removed_and_the_map_shows_it() {
    let network = alpha_and_beta();
    let [alpha, beta] = [&network.nodes[0], &network.nodes[1]];
    let is_pinned = || alpha.postroad(&["peers"])[0]["pinned"] == true;
    let added = alpha.postroad(&["peer", "add", &beta.link()]);
    assert_eq!((&added["name"], &added["connected"]), (&"beta.example".into(), &true.into()));
    assert!(is_pinned());

    let map = alpha.postroad(&["map", "--format", "json"]);
    assert_eq!(map["nodes"].as_array().unwrap().len(), 2, "{map}");
    assert_eq!(map["edges"][0]["to"], beta.id(), "{map}");
    let dot = alpha.command(&["map", "--format", "dot"]).output().unwrap();
    let dot = String::from_utf8(dot.stdout).unwrap();
    assert!(dot.starts_with("graph postroad {") && dot.trim_end().ends_with('}'), "{dot}");
    assert!(dot.contains("beta.example") && dot.contains(" -- "), "{dot}");

    assert_eq!(alpha.postroad(&["peer", "rm", "beta.example"])["state"], "removed");
    assert!(!is_pinned());
    assert!(alpha.try_postroad(&["peer", "rm", "beta.example"]).is_err(), "only once");
}

#[test]
fn a_handle_by_name_needs_a_list_or_the_dns_and_the_list_decides() {
    let network = alpha_and_beta();
    let bob = Person::join("bob", &network.nodes[1]);
    let carol = Person::join("carol", &network.nodes[0]);
    let list = carol.dir().join("names.txt");
    let add = ["contact", "add", "bob@beta.example", "--name", "bob"];
    let say = |node: &Node| {
        std::fs::write(&list, format!("# mine\nbeta.example {}\n", node.id())).unwrap();
    };
    // What a node calls itself counts for nothing: there is no bob where the list says it is.
    say(&network.nodes[0]);
    let names = ["--names", list.to_str().unwrap()];
    assert_eq!(carol.run(&[&names[..], &add].concat()).code, 4);
    say(&network.nodes[1]);
    let added = carol.ok(&[&names[..], &add].concat());
    let account = bob.ok(&["whoami"])["account"].clone();
    assert_eq!(added["account"], account);

    let dave = Person::join("dave", &network.nodes[0]);
    let output = Command::new(program("pouch"))
        .args(["--json", "--data-dir"])
        .arg(dave.dir())
        .args(add)
        .env("POSTROAD_NAMES", &list)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["account"], account);
    let (id, _) = dave.send("bob", "may I?");
    dave.wait_until(&id, "at-node");
    assert_eq!(bob.ok(&["requests"]).as_array().unwrap().len(), 1);
}

/// `postroad events --follow`, read as it writes.
struct Follower {
    process: Child,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Follower {
    fn start(node: &Node) -> Self {
        let mut command = node.command(&["events", "--follow"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = events.clone();
        std::thread::spawn(move || {
            for line in output.lines() {
                told.lock().unwrap().push(serde_json::from_str(&line.unwrap()).unwrap());
            }
        });
        Self { process, events }
    }

    /// Waits for an event of this kind among those from `from` on; returns how many there are.
    fn wait_for(&self, kind: &str, from: usize) -> usize {
        wait_for(&format!("{kind} to be told"), || {
            let events = self.events.lock().unwrap();
            events.get(from..)?.iter().any(|event| event["kind"] == kind).then_some(events.len())
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn events_are_followed_over_a_restart() {
    let mut network = alpha_and_beta();
    let follower = Follower::start(&network.nodes[0]);
    follower.wait_for("peer-up", 0);
    network.nodes[1].kill();
    let seen = follower.wait_for("peer-down", 0);
    network.nodes[0].kill();
    network.nodes[0].restart();
    network.nodes[1].restart();
    follower.wait_for("peer-up", seen);
    let events = follower.events.lock().unwrap();
    let again = events.iter().skip(1).position(|event| event["id"] == 1).unwrap() + 1;
    let ids: Vec<u64> = events[again..].iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert!(ids.iter().copied().eq(1..=ids.len() as u64), "none is missing: {ids:?}");
}
