//! `tests/bench/run`, small: every part gives figures, and they become one report.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use postroad_tests::programs;
use serde_json::Value;

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/run")
}

#[test]
fn every_part_of_the_report_is_made() {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(script());
    command.args(["--quick", "--out"]).arg(place.path());
    command.args(cfg!(debug_assertions).then_some("--dev"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let report = fs::read_to_string(place.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0, "{report}");
    let figures = report["figures"].as_array().unwrap();
    for (workload, field) in [
        ("w2", "cpu_us_per_message"),
        ("w2-512", "cpu_us_per_message"),
        ("w3", "bytes_written_per_message"),
        ("w4", "messages_per_s"),
        ("w4", "missing_after_kill"),
        ("lone", "lone_p50_ms"),
        ("rest", "rest_rss_mib"),
    ] {
        let is = |figure: &&Value| figure["workload"] == workload && figure["field"] == field;
        let figure = figures.iter().find(is).unwrap();
        assert!(figure["median"].is_f64(), "{figure}");
    }
    let runs = report["runs"].as_array().unwrap();
    let of = |workload: &str| runs.iter().filter(|run| run["workload"] == workload).count();
    assert!(of("w1") == 1 && of("restart") == 1, "{runs:?}");
    for run in runs.iter().filter(|run| ["w2", "w3", "w4"].iter().any(|w| run["workload"] == *w)) {
        assert_eq!(run["missing_after_kill"], 0, "{run}");
        if programs::is_installed("strace") {
            let counted = [&run["fsync_calls"], &run["store_fsync_calls"]];
            assert!(counted.iter().any(|count| count.as_u64() > Some(0)), "{run}");
        }
    }
    if programs::is_installed("ss") {
        let wire = |run: &&Value| run["node_to_node_bytes"].as_f64() > Some(256.0);
        assert_eq!(runs.iter().filter(wire).count(), 2, "window 1 and 16: {runs:?}");
    }
    let plots: Vec<&str> =
        report["plots"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for kind in ["sessions-", "mailboxes-", "stored-", "peers-", "size-"] {
        assert!(plots.iter().any(|plot| plot.starts_with(kind)), "{kind} in {plots:?}");
    }
    let text = fs::read_to_string(place.path().join("report.md")).unwrap();
    assert!(text.contains("](plots/stored-start.svg)"), "{text}");
    let left = fs::read_dir(place.path()).unwrap().filter_map(Result::ok);
    let data = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("data-"));
    assert_eq!(data.count(), 0, "data of nodes was left behind");
}

#[test]
fn the_script_teaches() {
    let help = Command::new(script()).arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && text.contains("--quick") && text.contains("growth"), "{text}");
    let wrong = Command::new(script()).arg("w9").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("'w9'"), "{wrong:?}");
}
