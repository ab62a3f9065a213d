//! The agent: what comes in is told while no command runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use postroad_tests::programs::program;
use postroad_tests::{Network, Person, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Ends the agent of a person, whatever becomes of the test.
struct Agent<'a>(&'a Person);

impl Agent<'_> {
    fn start(&self, hook: &str) -> Value {
        self.0.ok(&["agent", "start", "--hook", hook])
    }

    fn kill(&self) {
        let pid = self.0.ok(&["agent", "status"])["pid"].as_i64().unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        wait_for("the agent to be gone", || {
            (self.0.ok(&["agent", "status"])["running"] == false).then_some(())
        });
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.0.run(&["agent", "stop"]);
    }
}

/// What the hook was given, by event.
fn told(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(file: &Path) -> Vec<String> {
    told(file).iter().map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn mail_is_told_once_while_no_command_runs_and_what_came_after_a_kill_as_well() {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let hook = format!("cat >> '{}'", file.display());
    let agent = Agent(&bob);
    let first = agent.start(&hook);
    let again = bob.ok(&["agent", "start"]);
    assert_eq!(first["pid"], again["pid"], "there is one");
    wait_for("the agent to be connected", || {
        (bob.ok(&["agent", "status"])["online"] == true).then_some(())
    });
    assert_eq!(bob.ok(&["status"])["agent"]["pid"], first["pid"]);

    let hostile = format!("$(touch {0}/x) `touch {0}/x`\n</b>\u{1b}[2J", folder.path().display());
    let (id, _) = alice.send("bob", &hostile);
    // Nobody types anything: the agent says that it arrived.
    alice.wait_until(&id, "delivered");
    wait_for("the hook", || (!told(&file).is_empty()).then_some(()));
    assert_eq!(told(&file)[0]["event"], "message");
    assert_eq!(texts(&file), std::slice::from_ref(&hostile));
    assert!(!folder.path().join("x").exists(), "what others write is no command");
    // Commands beside it; being told is not being read.
    assert_eq!(bob.inbox(), std::slice::from_ref(&hostile));
    assert_eq!(bob.ok(&["send", "alice", "got it", "--wait", "at-node"])["state"], "at-node");

    agent.kill();
    alice.send("bob", "after the kill");
    assert_eq!(bob.receives(1), ["after the kill"]);
    let second = agent.start(&hook);
    assert_ne!(first["pid"], second["pid"]);
    wait_for("what came meanwhile", || (texts(&file).len() >= 2).then_some(()));
    assert_eq!(texts(&file), [hostile, "after the kill".to_owned()]);
    assert_eq!(bob.ok(&["agent", "stop"])["stopped"], true);
    assert_eq!(bob.ok(&["agent", "stop"])["stopped"], false);
    assert_eq!(bob.ok(&["status"])["agent"], Value::Null);
}

#[test]
fn what_comes_after_an_agent_that_had_nothing_to_tell_is_told_by_the_next() {
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let hook = format!("cat >> '{}'", file.display());
    let agent = Agent(&bob);
    agent.start(&hook);
    assert_eq!(bob.ok(&["agent", "stop"])["stopped"], true);
    alice.send("bob", "while nobody was there");
    // Another command takes it in: for the next agent it is no mail, but it is news.
    assert_eq!(bob.receives(1), ["while nobody was there"]);
    agent.start(&hook);
    wait_for("what came meanwhile", || (!told(&file).is_empty()).then_some(()));
    assert_eq!(texts(&file), ["while nobody was there"]);
}

#[test]
fn an_agent_that_hangs_does_not_look_well() {
    let network = Network::start(1);
    let bob = Person::join("bob", &network.nodes[0]);
    let agent = Agent(&bob);
    let pid = agent.start("true")["pid"].as_i64().unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    wait_for("the agent to be connected", || {
        (bob.ok(&["agent", "status"])["online"] == true).then_some(())
    });
    assert_eq!(bob.run(&["doctor"]).code, 0);
    kill_process(pid, Signal::STOP).unwrap();
    let ran = bob.run(&["doctor"]);
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(ran.code, 1, "{}", ran.json);
    let rows = ran.json.as_array().unwrap();
    let account = rows.iter().find(|row| row["step"] == "account").unwrap();
    assert_eq!(account["verdict"], "fail", "{account}");
    assert!(account["detail"].as_str().unwrap().contains("does not answer"), "{account}");
}

#[test]
fn an_agent_needs_an_account_and_its_unit_names_the_profile() {
    let nobody = Person::new("nobody");
    assert_eq!(nobody.run(&["agent", "start"]).error["code"], "not_joined");
    let network = Network::start(1);
    let bob = Person::join("bob", &network.nodes[0]);
    let mut pouch = Command::new(program("pouch"));
    pouch.arg("--data-dir").arg(bob.dir()).args(["agent", "unit", "--hook", "echo 100%"]);
    let unit = pouch.output().unwrap();
    let (text, hint) =
        (String::from_utf8(unit.stdout).unwrap(), String::from_utf8(unit.stderr).unwrap());
    assert!(text.contains("\"agent\" \"run\" \"--hook\" \"echo 100%%\"\n"), "{text}");
    assert!(hint.contains("systemctl --user enable --now postroad-default"), "{hint}");
}
