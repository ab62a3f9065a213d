//! What is made of results: the report of many runs, and the plots of how costs grow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postroad-load")).args(args).output().unwrap()
}

fn write(dir: &Path, name: &str, lines: &[Value]) -> String {
    let path = dir.join(name);
    fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    path.display().to_string()
}

#[test]
fn one_report_is_made_of_all_there_is() {
    let place = tempfile::tempdir().unwrap();
    let w2 = |cpu: f64, counted: Option<u64>| {
        json!({"workload": "w2", "size": 256, "cpu_us_per_message": cpu, "fsync_calls": counted,
            "missing_after_kill": 0, "lost": 0, "load_before": 0.5})
    };
    let runs = [w2(9.0, Some(7)), w2(8.0, Some(7)), w2(12.0, Some(7))];
    let wide = json!({"workload": "w1", "users": 10000, "rss_kib_per_session": 6.0});
    let wire = json!({"workload": "w2", "size": 256, "window": 1, "client_to_node_bytes": 555.0});
    let peer = |tls, cpu| json!({"server": "nats", "workload": "w2", "tls": tls, "server_cpu_us_msg": cpu});
    let step = json!({"bench": "seal/256", "estimates": {"median": {"point_estimate": 1234.0,
        "confidence_interval": {"lower_bound": 1200.0, "upper_bound": 1300.0}}}});
    let files = [
        write(place.path(), "machine.jsonl", &[json!({"machine": {"cores": 2}})]),
        write(place.path(), "w2.jsonl", &runs),
        write(place.path(), "others.jsonl", &[wide, wire, peer(0, 299), peer(1, 310), step]),
    ];
    fs::create_dir(place.path().join("plots")).unwrap();
    fs::write(place.path().join("plots/stored-disk.svg"), "").unwrap();
    let out = place.path().display().to_string();
    let files = files.iter().map(String::as_str);
    let output = run(&["report", "--out", &out].into_iter().chain(files).collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");

    let text = fs::read_to_string(place.path().join("report.md")).unwrap();
    for expected in [
        "- cores: 2",
        "| **9** | 8 to 12 | 3 | ≤ 10 | yes |",
        "NATS 2.9 JetStream, measured here",
        "ejabberd 23.01, recorded 2026-11-21",
        "| 299 / 310 |",
        "| W1 KiB per idle session, 10,000 | ",
        "| seal/256 | 1.23 µs | 1.20 µs to 1.30 µs |",
        "| client → node, window 1 | **555** |",
        "not run",
        "](plots/stored-disk.svg)",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let report: Value =
        serde_json::from_str(&fs::read_to_string(place.path().join("report.json")).unwrap())
            .unwrap();
    let figures = report["figures"].as_array().unwrap();
    let of = |workload: &str, field: &str| {
        let is = |figure: &&Value| figure["workload"] == workload && figure["field"] == field;
        figures.iter().find(is).unwrap()
    };
    assert_eq!(of("w2", "cpu_us_per_message")["reached"], true);
    assert_eq!(of("w2", "cpu_us_per_message")["median"], 9.0);
    assert_eq!(of("w1-10000", "rss_kib_per_session")["reached"], false);
    assert!(of("w3", "stored_per_s")["reached"].is_null());
    assert_eq!(report["runs"].as_array().unwrap().len(), 5);
}

#[test]
fn figures_whose_syncs_were_not_counted_from_outside_are_marked() {
    let place = tempfile::tempdir().unwrap();
    let run_of = |counted: Option<u64>| json!({"workload": "w3", "store_fsync_calls": counted});
    let report = |counted| {
        let file = write(place.path(), "w3.jsonl", &[run_of(Some(3)), run_of(counted)]);
        let out = place.path().display().to_string();
        assert!(run(&["report", "--out", &out, &file]).status.success());
        fs::read_to_string(place.path().join("report.md")).unwrap()
    };
    assert!(!report(Some(4)).contains("NOT COUNTED"));
    assert!(report(None).contains("**NOT COUNTED from outside in 1 of these runs"));
}

#[test]
fn growth_is_drawn() {
    let place = tempfile::tempdir().unwrap();
    let point = |at: u64, ms: f64| json!({"axis": "stored", "at": at, "report": {"stopped_served_ms": ms, "killed_served_ms": 2.0 * ms}});
    let points = [point(10_000, 30.0), point(1_000_000, 900.0), point(100_000, 90.0)];
    let points = write(place.path(), "points.jsonl", &points);
    let out = place.path().join("plots");
    let draw = |points: &str| run(&["plot", points, "--out", &out.display().to_string()]);
    let output = draw(&points);
    assert!(output.status.success(), "{output:?}");
    // Of what there are no points there is no picture.
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    let svg = fs::read_to_string(out.join("stored-start.svg")).unwrap();
    for text in ["messages stored", "ms", "after kill -9 under load", "100,000"] {
        assert!(svg.contains(text), "{text} in {svg}");
    }
    assert_eq!(svg.matches("<circle").count(), 6, "{svg}");

    let lonely = write(place.path(), "lonely.jsonl", &[point(1, 1.0)]);
    assert_eq!(draw(&lonely).status.code(), Some(1));
    assert_eq!(draw("nowhere").status.code(), Some(4));
}
