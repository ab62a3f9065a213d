//! The program itself, with a stand-in for the node: a script that keeps the ready file's promise.
//! The real node is met by the demo and by the end-to-end stories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
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

    /// From here on all nodes are asked here, and each says that it knows the others.
    fn answer_for_the_nodes(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        fs::write(self.0.path().join("admin"), listener.local_addr().unwrap().to_string()).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut lines = (&mut stream).lines().map(Result::unwrap);
                let asked = lines.next().unwrap_or_default();
                lines.find(|line| line.is_empty());
                let row = |n| format!(r#"{{"node":"id-n{n}","name":"n{n}","current":true}}"#);
                let body = match asked.split(' ').nth(1) {
                    Some("/v1/routes") => format!("[{},{},{}]", row(1), row(2), row(3)),
                    Some("/v1/peers") => "[{},{}]".to_owned(),
                    _ => "{}".to_owned(),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                // Whoever asked may have been ended meanwhile.
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
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
    Path::new(&format!("/proc/{pid}/stat")).exists() && !stat(pid).starts_with(" Z")
}

/// What the kernel says about a process, behind its name; the first field is its state.
fn stat(pid: u64) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').map_or(" Z", |(_, rest)| rest).to_owned()
}

/// The session of a process; the sixth field of its stat.
fn session(pid: u64) -> u64 {
    stat(pid).split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn a_network_lives_from_up_to_down() {
    let place = Place::new();
    place.answer_for_the_nodes();
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

    let (client, admin, p2p) =
        (&up["nodes"][0]["client"], &up["nodes"][0]["admin"], &up["nodes"][0]["p2p"]);
    assert_eq!(place.json(&["kill", "n1"])["pid"], pids[0]);
    assert!(!is_running(pids[0]) && is_running(pids[1]));
    assert_eq!(place.fails(&["kill", "n1"])["code"], "not_running");
    assert_eq!(place.json(&["ls"])[0]["state"], "dead");
    assert_eq!(place.json(&["status"])["nodes"][0]["verdict"], "dead");

    let again = place.json(&["restart", "n1"]);
    assert_eq!((&again["client"], &again["admin"]), (client, admin), "the addresses stay");
    assert_eq!(&again["p2p"], p2p);
    assert!(is_running(again["pid"].as_u64().unwrap()));
    let logs = place.json(&["logs", "n1"]);
    assert_eq!(logs.as_array().unwrap().len(), 2, "{logs}");
    assert!(place.net().join("n1/data").is_dir());

    let wire = wire(&place.net());
    assert!(is_running(wire));
    let down = place.json(&["down"]);
    assert_eq!(down["stopped"].as_array().unwrap().len(), 2, "{down}");
    assert!(!is_running(pids[1]) && !is_running(wire) && !place.net().exists());
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
fn what_was_there_before_is_neither_written_over_nor_removed() {
    let place = Place::new();
    fs::create_dir(place.net()).unwrap();
    for name in ["people", "n2", "network.toml", "wire.log", "wire.sock", "testnet.json.new"] {
        let mine = place.net().join(name);
        fs::write(&mine, "mine").unwrap();
        let verbs = if name == "people" { &["demo"][..] } else { &["up --nodes 2", "demo"] };
        for verb in verbs {
            let error = place.fails(&verb.split(' ').collect::<Vec<_>>());
            assert_eq!(error["code"], "exists", "{verb}: {error}");
            assert!(error["message"].as_str().unwrap().contains(mine.to_str().unwrap()), "{error}");
        }
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
        assert_eq!(fs::read_dir(place.net()).unwrap().count(), 1, "nothing else was left");
        fs::remove_file(mine).unwrap();
    }
    // Beside what is not in the way a network lives, and leaves it alone.
    place.answer_for_the_nodes();
    fs::write(place.net().join("lock"), "mine").unwrap();
    symlink("/nowhere", place.net().join("n3")).unwrap();
    place.json(&["up", "--nodes", "2"]);
    place.json(&["down"]);
    assert_eq!(fs::read_to_string(place.net().join("lock")).unwrap(), "mine");
    assert_eq!(place.fails(&["up", "--nodes", "3"])["code"], "exists", "a link is something, too");
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

#[test]
fn a_paused_node_stands_still_and_can_be_ended() {
    let place = Place::new();
    let pid = place.json(&["up"])["nodes"][0]["pid"].as_u64().unwrap();
    assert_eq!(place.json(&["pause", "n1"])["state"], "paused");
    assert!(stat(pid).starts_with(" T"));
    assert_eq!(place.json(&["ls"])[0]["state"], "paused");
    let status = place.json(&["status"]);
    assert_eq!(status["nodes"][0]["verdict"], "paused");
    assert!(status["nodes"][0]["reason"].as_str().unwrap().contains("resume n1"), "{status}");
    place.json(&["resume", "n1"]);
    assert_eq!(place.json(&["ls"])[0]["state"], "running");

    place.json(&["pause", "n1"]);
    let again = place.json(&["restart", "n1"])["pid"].as_u64().unwrap();
    assert!(!is_running(pid) && is_running(again));
    assert_eq!(place.json(&["ls"])[0]["state"], "running");
    place.json(&["pause", "n1"]);
    assert_eq!(place.json(&["kill", "n1"])["state"], "dead");
    assert_eq!(place.fails(&["resume", "n1"])["code"], "not_running");
    place.json(&["restart", "n1"]);
    place.json(&["pause", "n1"]);
    assert_eq!(place.json(&["down"])["stopped"][0], "n1", "it could end in order");
}

#[test]
fn the_wire_is_told_and_told_about() {
    let place = Place::new();
    place.answer_for_the_nodes();
    let up = place.json(&["up", "--nodes", "3", "--link", "wan", "--seed", "7"]);
    let cut = place.json(&["partition", "n1/n2"]);
    assert_eq!(cut["partition"], serde_json::json!([["n1"], ["n2"]]));
    assert_eq!(cut["connected_to_all"], serde_json::json!(["n3"]));
    let cut_off = |place: &Place| {
        let rows = place.json(&["ls"]);
        [0, 1, 2].map(|n| rows[n]["cut_off"].as_array().unwrap().len())
    };
    assert_eq!(cut_off(&place), [1, 1, 0]);
    place.json(&["partition", "n3/rest"]);
    assert_eq!(cut_off(&place), [1, 1, 2], "the new one replaces the old one");
    assert_eq!(place.json(&["latency", "n1", "n2", "120ms"])["ms"], 120);
    let healed = place.json(&["heal"]);
    assert_eq!(healed["latencies"].as_array().unwrap().len(), 1);
    assert_eq!(cut_off(&place), [0, 0, 0]);
    let status = place.json(&["status"]);
    assert_eq!((&status["link"], &status["latencies"][0]["to"]), (&"wan".into(), &"n2".into()));
    assert!(place.json(&["heal", "--all"])["latencies"].as_array().unwrap().is_empty());
    assert_eq!(place.fails(&["partition", "n1/n9"])["exit"], 4);
    assert_eq!(place.fails(&["latency", "n1", "n1", "1s"])["exit"], 2);

    // The wire is no less robust than what it connects.
    let pid = wire(&place.net());
    Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    while is_running(pid) {
        std::thread::sleep(Duration::from_millis(5));
    }
    place.json(&["partition", "n1/n2"]);
    assert_ne!(wire(&place.net()), pid);
    let again = place.json(&["restart", "n1"]);
    assert_eq!(again["p2p"], up["nodes"][0]["p2p"], "its ports stay");
}

#[test]
fn an_exported_definition_names_the_running_nodes() {
    let place = Place::new();
    place.answer_for_the_nodes();
    let up = place.json(&["up", "--nodes", "2"]);
    assert_ne!(up["network"], "testnet", "no two networks share a name");
    let file = place.0.path().join("out.toml");
    place.json(&["export", "--out", file.to_str().unwrap()]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(up["network"].as_str().unwrap()), "{text}");
    assert!(text.contains("postroad:node#n1") && text.contains("postroad:node#n2"), "{text}");
    place.json(&["kill", "n1"]);
    let exported = place.json(&["export"]);
    assert_eq!(exported["bootstrap"], serde_json::json!(["postroad:node#n2"]));
    place.json(&["kill", "n2"]);
    assert_eq!(place.fails(&["export"])["exit"], 3);
}

/// The wire's process.
fn wire(net: &Path) -> u64 {
    let state = fs::read_to_string(net.join("testnet.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    state["wire"]["pid"].as_u64().unwrap()
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
