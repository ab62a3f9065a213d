//! Every workload, tiny, against real nodes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use postroad_proto::ids::NodeId;
use postroad_proto::link::NodeLink;
use serde_json::Value;

const LOAD: &str = env!("CARGO_BIN_EXE_postroad-load");

/// The program, with a posthoused beside it: where this crate is tested alone it may have to be built.
fn load(args: &[&str]) -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        // Each time: one that is there may be from before a change.
        let beside = Path::new(LOAD).with_file_name("posthoused");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--quiet", "-p", "posthoused", "--target-dir"]);
        cargo.arg(beside.ancestors().nth(2).unwrap());
        cargo.args((!cfg!(debug_assertions)).then_some("--release"));
        assert!(cargo.status().unwrap().success(), "cargo build -p posthoused");
    });
    let mut command = Command::new(LOAD);
    command.args(["--json", "run", "--seed", "7"]).args(args).env_remove("POSTROAD_BIN");
    command.stdin(Stdio::null());
    command
}

/// Runs a workload, which leaves nothing behind, and returns what it reports.
fn report(args: &[&str]) -> Value {
    let place = tempfile::tempdir().unwrap();
    let mut command = load(args);
    let output = command.arg("--dir").arg(place.path()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "data was left behind");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All of these fields are numbers above zero.
fn positive(report: &Value, fields: &[&str]) {
    for field in fields {
        assert!(report[field].as_f64().is_some_and(|value| value > 0.0), "{field} in {report}");
    }
}

fn nothing_is_amiss(report: &Value) {
    for field in ["lost", "duplicated", "refused", "missing_after_kill"] {
        assert_eq!(report[field], 0, "{field} in {report}");
    }
    positive(report, &["accepted_before_kill"]);
}

const ONLINE: [&str; 4] = ["messages", "messages_per_s", "p50_ms", "p99_ms"];
const OFFLINE: [&str; 4] =
    ["stored_per_sync", "stored_per_s", "bytes_written_per_message", "drained_per_s"];

#[test]
fn idle_sessions_take_memory() {
    // As many as do not fit into memory that the node has taken anyway.
    let report = report(&["--workload", "w1", "--users", "1500"]);
    positive(&report, &["rss_kib_per_session", "logins_per_s", "cpu_us_per_login"]);
}

#[test]
fn pairs_who_are_online_lose_nothing() {
    let (some, short) = (["--users", "6"], ["--duration", "1s", "--messages", "400"]);
    let closed = report(&[&["--workload", "w2"], &some[..], &short[..]].concat());
    nothing_is_amiss(&closed);
    positive(&closed, &ONLINE);
    positive(&closed, &["cpu_us_per_message", "load_cpu_us_per_message", "messages_per_sync"]);

    let open = ["--workload", "w2", "--rate", "100", "--size", "4KiB"];
    let open = report(&[&open[..], &some[..], &short[..]].concat());
    nothing_is_amiss(&open);
    let sent = open["messages"].as_u64().unwrap();
    assert!((60..=140).contains(&sent), "100 a second for a second: {open}");
}

#[test]
fn mail_for_those_who_are_away_waits_for_them() {
    let few = ["--users", "20", "--senders", "3", "--messages", "500"];
    let report = report(&[&["--workload", "w3"], &few[..]].concat());
    nothing_is_amiss(&report);
    assert_eq!(report["stored"], 500);
    positive(&report, &OFFLINE);
}

#[test]
fn mail_crosses_between_two_nodes() {
    let few = ["--users", "6", "--recipients", "10", "--senders", "3", "--messages", "400"];
    let report = report(&[&["--workload", "w4", "--duration", "1s"], &few[..]].concat());
    nothing_is_amiss(&report);
    assert_eq!(report["stored"], 400);
    positive(&report, &ONLINE);
    positive(&report, &OFFLINE);
}

#[test]
fn syncs_and_bytes_are_counted_from_outside() {
    if !is_installed("strace") || !is_installed("ss") {
        return;
    }
    let (some, short) = (["--users", "6"], ["--duration", "1s", "--messages", "400"]);
    let count = ["--workload", "w2", "--window", "1", "--count-syncs", "--count-bytes"];
    let online = report(&[&count[..], &some[..], &short[..]].concat());
    nothing_is_amiss(&online);
    let [outside, own] = ["fsync_calls", "node_syncs"].map(|field| online[field].as_u64().unwrap());
    // Both are read one after the other while the node goes on; and it syncs more than its journal.
    assert!(own > 10 && outside * 4 >= own * 3 && outside <= 2 * own, "{outside}, {own}: {online}");
    for field in ["client_to_node_bytes", "node_to_client_bytes"] {
        let bytes = online[field].as_f64().unwrap();
        assert!((256.0..4096.0).contains(&bytes), "{field} of a 256-byte body: {online}");
    }
    assert!(online["node_to_node_bytes"].is_null(), "{online}");
    let plain = report(&[&["--workload", "w2"], &some[..], &short[..]].concat());
    assert!(plain["fsync_calls"].is_null() && plain["client_to_node_bytes"].is_null(), "{plain}");
}

#[test]
fn bytes_between_two_nodes_are_counted() {
    if !is_installed("ss") {
        return;
    }
    let few = ["--users", "6", "--recipients", "4", "--senders", "3", "--messages", "400"];
    let count = ["--workload", "w4", "--duration", "1s", "--count-bytes"];
    let report = report(&[&count[..], &few[..]].concat());
    let bytes = report["node_to_node_bytes"].as_f64().unwrap();
    assert!((256.0..8192.0).contains(&bytes), "of a 256-byte body: {report}");
}

#[test]
fn a_lone_message_is_timed() {
    let report = report(&["--workload", "lone", "--duration", "1s", "--rate", "20"]);
    assert_eq!(report["messages"], 20, "{report}");
    assert_eq!(report["duplicated"], 0, "{report}");
    let ms = |field: &str| report[field].as_f64().unwrap();
    assert!(ms("accepted_p50_ms") > 0.0, "{report}");
    assert!(ms("accepted_p50_ms") <= ms("lone_p50_ms"), "it is accepted first: {report}");
    assert!(ms("lone_p50_ms") <= ms("lone_p99_ms"), "{report}");
    assert!(ms("lone_p99_ms") <= ms("lone_max_ms"), "{report}");
}

#[test]
fn a_node_at_rest_is_watched() {
    let report = report(&["--workload", "rest", "--duration", "1s"]);
    positive(&report, &["rest_rss_mib"]);
    let percent = report["rest_cpu_percent"].as_f64().unwrap();
    assert!((0.0..100.0).contains(&percent), "{report}");
}

const STARTS: [&str; 5] = ["ready_ms", "served_ms", "cpu_ms", "rss_mib", "peak_mib"];

#[test]
fn starts_are_measured_and_lose_nothing() {
    let few = ["--users", "10", "--senders", "3", "--messages", "600", "--starts", "2"];
    let report = report(&[&["--workload", "restart"], &few[..]].concat());
    assert_eq!([&report["stored"], &report["mailboxes"]], [600, 13], "{report}");
    assert_eq!([&report["lost"], &report["duplicated"]], [0, 0], "{report}");
    positive(&report, &["disk_bytes", "stop_ms", "filled_rss_mib", "fill_cpu_us_per_message"]);
    for field in STARTS {
        positive(&report, &[&format!("stopped_{field}"), &format!("killed_{field}")]);
    }
}

#[test]
fn a_start_without_its_mail_is_missed() {
    let output = forgetful(&["--workload", "restart", "--starts", "1"], "3000");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    positive(&report, &["lost"]);
}

#[test]
fn mail_that_a_node_forgets_is_missed() {
    let output = forgetful(&["--workload", "w3"], "1500");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    positive(&report, &["missing_after_kill"]);
    assert_eq!(report["lost"], 0, "{report}");
}

/// A run with a node that has less mail when it starts than when it ended.
fn forgetful(workload: &[&str], messages: &str) -> Output {
    let programs = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forgetful-node");
    // A link, not a copy: a file just written may be open elsewhere, and cannot be run then.
    std::os::unix::fs::symlink(script, programs.path().join("posthoused")).unwrap();
    let few = ["--users", "20", "--senders", "3", "--messages", messages];
    let mut command = load(&[workload, &few[..]].concat());
    command.env("FORGETFUL_NODE", Path::new(LOAD).with_file_name("posthoused"));
    command.env("POSTROAD_BIN", programs.path()).output().unwrap()
}

/// Whether a program of the system is there; says so when a test is skipped for it.
fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        // Not by a macro: what those print of a test that passes is never seen.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name} is not installed");
    }
    found
}

#[test]
fn whoever_interrupts_it_finds_nothing_left() {
    let place = tempfile::tempdir().unwrap();
    let mut command = load(&["--workload", "w2", "--users", "4", "--duration", "60s"]);
    command.arg("--dir").arg(place.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let ready = wait_for(|| ready_file(place.path()));
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output: Output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    let node = ready["pid"].as_u64().unwrap();
    assert!(!Path::new(&format!("/proc/{node}")).exists(), "the node runs on");
}

fn ready_file(place: &Path) -> Option<Value> {
    let data: PathBuf = fs::read_dir(place).ok()?.next()?.ok()?.path();
    serde_json::from_slice(&fs::read(data.join("ready.json")).ok()?).ok()
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_target_is_on_this_machine_and_runs() {
    let run = |address: &str| {
        let link = NodeLink {
            network: "test".parse().unwrap(),
            node: NodeId([1; 32]),
            addresses: vec![address.into()],
            name: String::new(),
            p2p: vec![],
        };
        load(&["--workload", "w1", "--target", &link.to_string()]).output().unwrap()
    };
    let elsewhere = run("192.0.2.1:7450");
    assert_eq!(elsewhere.status.code(), Some(2), "{elsewhere:?}");
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("--allow-remote"), "{elsewhere:?}");
    let nobody = run("127.0.0.1:1");
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
}

#[test]
fn every_command_explains_itself() {
    for command in ["run", "compare", "report", "plot", "completions", "man"] {
        let output = Command::new(LOAD).args([command, "--help"]).output().unwrap();
        assert!(output.status.success() && output.stdout.len() > 200, "{command}: {output:?}");
    }
    let usage = Command::new(LOAD).args(["run", "--workload", "w9"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
}

#[test]
fn results_are_compared_and_reported() {
    let place = tempfile::tempdir().unwrap();
    let [before, after] = [("a", 20.0), ("b", 10.0)].map(|(name, cpu)| {
        let path = place.path().join(name);
        let result = serde_json::json!({"workload": "w2", "seed": 1, "cpu_us_per_message": cpu});
        fs::write(&path, result.to_string()).unwrap();
        path.display().to_string()
    });
    let run = |args: &[&str]| {
        let output = Command::new(LOAD).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let changes: Value =
        serde_json::from_str(&run(&["--json", "compare", &before, &after])).unwrap();
    assert_eq!(changes[0]["field"], "cpu_us_per_message");
    assert_eq!(changes[0]["change_percent"], -50.0);
    let table = run(&["report", &before, &before, &after]);
    assert!(table.contains("| W2 CPU µs per message | 105 / 112 |"), "{table}");
    assert!(table.contains("| **20** | 10 to 20 | 3 | ≤ 10 | **no** |"), "{table}");
    let missing = Command::new(LOAD).args(["report", "nowhere"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(4), "{missing:?}");
}
