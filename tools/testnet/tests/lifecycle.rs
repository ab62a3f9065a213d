//! The program itself, with a stand-in for the node: a script that keeps the ready file's promise.
//! The real node is met by the demo and by the end-to-end stories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A directory for a network and the programs; ends what a failed test left.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir(place.bin()).unwrap();
        let stand_in = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-in-node");
        // A link, not a copy: a file just written may still be open in a process that another
        // test is starting, and cannot be run then.
        symlink(stand_in, place.bin().join("posthoused")).unwrap();
        place
    }

    fn bin(&self) -> std::path::PathBuf {
        self.0.path().join("bin")
    }

    fn net(&self) -> std::path::PathBuf {
        self.0.path().join("net")
    }

    /// Makes the stand-in misbehave.
    fn make(&self, what: &str) {
        fs::write(self.0.path().join(what), "").unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_postroad-testnet"))
            .args(["--json", "--dir"])
            .arg(self.net())
            .args(args)
            .env("POSTROAD_BIN", self.bin())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn fails(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        let error: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
        assert_eq!(output.status.code().map(i64::from), error["exit"].as_i64());
        error
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

fn is_running(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

/// The session of a process; the sixth field of its stat.
fn session(pid: u64) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = stat.rsplit_once(')').unwrap().1;
    rest.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn a_network_lives_from_up_to_down() {
    let place = Place::new();
    let up = place.json(&["up", "--nodes", "2"]);
    assert_eq!(up["dir"], place.net().to_str().unwrap());
    assert_eq!(fs::metadata(place.net()).unwrap().permissions().mode() & 0o777, 0o700);
    let pids: Vec<u64> = (0..2).map(|n| up["nodes"][n]["pid"].as_u64().unwrap()).collect();
    assert_eq!(up["nodes"][1]["id"], "id-n2");
    for &pid in &pids {
        assert!(is_running(pid), "nodes outlive the command");
        assert_eq!(session(pid), pid, "a node has a session of its own");
    }
    assert_eq!(place.fails(&["up"])["code"], "exists");

    let (client, admin) = (&up["nodes"][0]["client"], &up["nodes"][0]["admin"]);
    assert_eq!(place.json(&["kill", "n1"])["pid"], pids[0]);
    assert!(!is_running(pids[0]) && is_running(pids[1]));
    assert_eq!(place.fails(&["kill", "n1"])["code"], "not_running");
    assert_eq!(place.json(&["ls"])[0]["state"], "dead");
    assert_eq!(place.json(&["status"])["nodes"][0]["verdict"], "dead");

    let again = place.json(&["restart", "n1"]);
    assert_eq!((&again["client"], &again["admin"]), (client, admin), "the addresses stay");
    assert!(is_running(again["pid"].as_u64().unwrap()));
    let logs = place.json(&["logs", "n1"]);
    assert_eq!(logs.as_array().unwrap().len(), 2, "{logs}");
    assert!(place.net().join("n1/data").is_dir());

    let down = place.json(&["down"]);
    assert_eq!(down["stopped"].as_array().unwrap().len(), 2, "{down}");
    assert!(!is_running(pids[1]) && !place.net().exists());
    assert_eq!(place.fails(&["down"])["exit"], 4);
}

#[test]
fn a_node_that_does_not_start_is_explained_and_nothing_is_left() {
    let place = Place::new();
    place.make("broken");
    fs::create_dir(place.net()).unwrap();
    fs::write(place.net().join("mine"), "").unwrap();
    let error = place.fails(&["up"]);
    assert_eq!(error["code"], "node_ended");
    assert!(error["message"].as_str().unwrap().contains("cannot open the store"), "{error}");
    let left: Vec<_> =
        fs::read_dir(place.net()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"], "the directory was there before");
    assert_eq!(place.fails(&["demo"])["exit"], 1);
    fs::remove_file(place.bin().join("posthoused")).unwrap();
    assert_eq!(place.fails(&["up"])["code"], "no_program");
}

#[test]
fn a_node_that_does_not_end_is_ended() {
    let place = Place::new();
    place.make("stubborn");
    let pid = place.json(&["up"])["nodes"][0]["pid"].as_u64().unwrap();
    assert_eq!(place.json(&["down"])["killed"][0], "n1");
    assert!(!is_running(pid));
}

#[test]
fn a_shell_is_pointed_at_a_node() {
    let place = Place::new();
    place.json(&["up"]);
    let output = Command::new(env!("CARGO_BIN_EXE_postroad-testnet"))
        .args(["env", "n1", "--dir"])
        .arg(place.net())
        .output()
        .unwrap();
    let script = String::from_utf8(output.stdout).unwrap()
        + r#"printf '%s %s %s' "$POSTROAD_ADMIN" "$(cat "$POSTROAD_ADMIN_TOKEN_FILE")" "$POSTROAD_NODE""#;
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let admin = place.json(&["ls"])[0]["admin"].as_str().unwrap().to_owned();
    assert_eq!(text, format!("{admin} secret postroad:node#n1"));

    let output = place.run(&["exec", "n1", "--", "sh", "-c", "echo $POSTROAD_ADMIN; exit 9"]);
    assert_eq!(output.status.code(), Some(9));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), admin);
    assert_eq!(place.fails(&["env", "n7"])["exit"], 4);
    // Nobody listens where the stand-in said it would.
    assert_eq!(place.fails(&["env", "n1", "--invite"])["exit"], 3);
}

#[test]
fn an_interrupted_start_leaves_nothing() {
    let place = Place::new();
    place.make("never-ready");
    let mut up = Command::new(env!("CARGO_BIN_EXE_postroad-testnet"))
        .args(["up", "--dir"])
        .arg(place.net())
        .env("POSTROAD_BIN", place.bin())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = wait_for_pid(&place.net());
    Command::new("kill").args(["-INT", &up.id().to_string()]).status().unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert!(!is_running(pid) && !place.net().exists());
}

fn wait_for_pid(net: &Path) -> u64 {
    let started = Instant::now();
    loop {
        let state = fs::read_to_string(net.join("testnet.json")).unwrap_or_default();
        let state: Value = serde_json::from_str(&state).unwrap_or_default();
        if let Some(pid) = state["nodes"][0]["process"]["pid"].as_u64() {
            return pid;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "no process appeared: {state}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
