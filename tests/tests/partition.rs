//! A network of `postroad-testnet`, cut in two and healed, by the commands that people type.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use postroad_tests::{Person, programs::program, wait_at_most, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// Three nodes up, from the command to its answer.
const UP_BUDGET: Duration = Duration::from_secs(10);

/// Nobody can tell a partition from a slow answer before some pings are lost.
const NOTICED: Duration = Duration::from_secs(60);

struct Testnet(TempDir);

impl Testnet {
    fn up(options: &[&str]) -> Self {
        let net = Self(TempDir::new().unwrap());
        net.run(&[&["up"], options].concat());
        net
    }

    fn run(&self, args: &[&str]) -> Value {
        let dir = self.0.path().join("net");
        let mut command = Command::new(program("postroad-testnet"));
        let output = command.arg("--json").args(args).arg("--dir").arg(dir).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// What `postroad` says when it is pointed at a node.
    fn ask(&self, node: &str, args: &[&str]) -> Value {
        let mut command = Command::new(program("postroad"));
        for (key, value) in self.run(&["env", node]).as_object().unwrap() {
            command.env(key, value.as_str().unwrap());
        }
        let output = command.arg("--json").args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn join(&self, name: &str, node: &str) -> Person {
        let env = self.run(&["env", node, "--invite"]);
        let person = Person::new(name);
        person.ok(&["join", env["POSTROAD_INVITE"].as_str().unwrap(), "--name", name]);
        person
    }

    /// Alice on n1 and Bob on n2, who know each other.
    fn friends(&self) -> (Person, Person) {
        let (alice, bob) = (self.join("alice", "n1"), self.join("bob", "n2"));
        alice.add(&bob);
        bob.add(&alice);
        alice.ok(&["send", "bob", "before", "--wait", "at-node"]);
        assert_eq!(bob.receives(1), ["before"]);
        (alice, bob)
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

/// Sends while nothing can get through: it is accepted, waits, and n1 can say for what.
fn send_in_vain(net: &Testnet, alice: &Person) -> String {
    let ran = alice.run(&["send", "bob", "meanwhile", "--wait", "at-node", "--timeout", "2s"]);
    assert_eq!((ran.code, &ran.json["state"]), (5, &"accepted".into()), "{ran:?}");
    let id = ran.json["id"].as_str().unwrap().to_owned();
    assert!(alice.ok(&["why", &id])["waiting"].is_object());
    let queue = net.ask("n1", &["queue"]);
    let row = queue.as_array().unwrap().iter().find(|row| row["to"] == "n2").unwrap();
    assert_eq!(row["messages"], 1, "{row}");
    assert_ne!(row["reason"], "", "{row}");
    id
}

#[test]
fn mail_waits_for_the_end_of_a_partition() {
    let started = Instant::now();
    let net = Testnet::up(&["--nodes", "3"]);
    assert!(started.elapsed() < UP_BUDGET, "{:?}", started.elapsed());
    let (alice, bob) = net.friends();
    net.run(&["partition", "n1/n2"]);
    let id = send_in_vain(&net, &alice);
    assert!(bob.inbox().is_empty());
    let peers = |node: &str| net.ask(node, &["peers"]).as_array().unwrap().len();
    wait_at_most(NOTICED, "n1 and n2 to see that the other is gone", || {
        (peers("n1") == 1 && peers("n2") == 1).then_some(())
    });
    assert_eq!(peers("n3"), 2, "who is not named stays connected");
    net.run(&["heal"]);
    alice.wait_until(&id, "at-node");
    assert_eq!(bob.receives(1), ["meanwhile"]);
    wait_for("n1 and n2 to find each other again", || (peers("n1") == 2).then_some(()));
}

#[test]
fn mail_crosses_a_slow_link_and_waits_for_a_paused_node() {
    let net = Testnet::up(&["--nodes", "2", "--link", "wan"]);
    let (alice, bob) = net.friends();
    let ping = || net.ask("n1", &["ping", "n2"])["rtt_ms"].as_f64().unwrap();
    assert!(ping() >= 80.0, "40 ms each way");
    net.run(&["latency", "n1", "n2", "200ms"]);
    assert!(ping() >= 240.0, "200 ms there, 40 ms back");
    net.run(&["pause", "n2"]);
    let id = send_in_vain(&net, &alice);
    net.run(&["resume", "n2"]);
    alice.wait_until(&id, "at-node");
    assert_eq!(bob.receives(1), ["meanwhile"]);
}

#[test]
fn a_node_from_outside_joins_with_the_exported_definition() {
    let net = Testnet::up(&["--nodes", "2"]);
    let file = net.0.path().join("exported.toml");
    net.run(&["export", "--out", file.to_str().unwrap()]);
    let stranger = Stranger::join(&file, net.0.path());
    for node in ["n1", "n2"] {
        wait_for("all to know the one from outside", || {
            let routes = net.ask(node, &["routes"]);
            routes.as_array().unwrap().iter().find(|row| row["name"] == "stranger").map(drop)
        });
    }
    drop(stranger);
}

/// A node that the testnet did not start.
struct Stranger(Child);

impl Stranger {
    fn join(definition: &Path, dir: &Path) -> Self {
        let any = "127.0.0.1:0";
        let mut command = Command::new(program("posthoused"));
        command.args(["run", "--name", "stranger", "--listen", any, "--admin", any]);
        command.args(["--p2p-listen", any, "--network"]).arg(definition);
        command.arg("--data-dir").arg(dir.join("stranger"));
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}
