//! What other servers need for the same, as recorded, and what we aim at.

use std::fmt::Write as _;

use crate::results::{Figures, median};

/// A row of the report.
struct Line {
    workload: &'static str,
    field: &'static str,
    title: &'static str,
    /// ejabberd, Prosody, Mosquitto, NATS.
    peers: [&'static str; 4],
    target: &'static str,
}

const fn line(
    workload: &'static str,
    field: &'static str,
    title: &'static str,
    peers: [&'static str; 4],
    target: &'static str,
) -> Line {
    Line { workload, field, title, peers, target }
}

const NONE: [&str; 4] = ["–"; 4];

const LINES: [Line; 23] = [
    line(
        "w1",
        "rss_kib_per_session",
        "W1 KiB per idle session",
        ["58 / 61", "46 / –", "1.0 / 14.7", "23.7 / 37"],
        "≤ 5",
    ),
    line(
        "w1",
        "cpu_us_per_login",
        "W1 CPU µs per login",
        ["2,495 / 3,932", "4,098 / –", "202 / 922", "287 / 756"],
        "≤ 450",
    ),
    line(
        "w2",
        "cpu_us_per_message",
        "W2 CPU µs per message",
        ["105 / 112", "429 / 401", "31.8 / 40 to 50", "299 / 310"],
        "≤ 10",
    ),
    line(
        "w2",
        "messages_per_s",
        "W2 messages/s",
        ["10,905 / 14,400", "1,931 / 2,413", "28,220 / 23,500", "3,137 / 3,200"],
        "≥ 60,000",
    ),
    line("w2-512", "cpu_us_per_message", "W2 with 512-byte bodies: CPU µs", NONE, "–"),
    line("w2", "p50_ms", "W2 p50 ms", NONE, "–"),
    line("w2", "p99_ms", "W2 p99 ms", NONE, "–"),
    line(
        "w3",
        "store_cpu_us_per_message",
        "W3 store: CPU µs per message",
        ["910 to 1,057", "442", "17.7", "13.2"],
        "≤ 10",
    ),
    line(
        "w3",
        "stored_per_s",
        "W3 stored/s",
        ["1,317", "2,198", "31,305 (RAM only)", "65,589"],
        "≥ 70,000",
    ),
    line(
        "w3",
        "bytes_written_per_message",
        "W3 bytes written per message",
        ["3,082", "745", "0", "294"],
        "≤ 700",
    ),
    line(
        "w3",
        "drain_cpu_us_per_message",
        "W3 drain: CPU µs per message",
        ["125", "328", "14.2", "233"],
        "≤ 10",
    ),
    line("w3", "drained_per_s", "W3 drained/s", ["7,470", "2,746", "47,553", "4,027"], "≥ 60,000"),
    line(
        "w3",
        "missing_after_kill",
        "W3 missing after kill -9 (peers: of 20,000)",
        ["19,076", "0", "20,000", "0"],
        "0",
    ),
    line("w4", "cpu_us_per_message", "W4 CPU µs per message, both nodes", NONE, "≤ 25"),
    line("w4", "messages_per_s", "W4 messages/s", NONE, "≥ 30,000"),
    line("w4", "store_cpu_us_per_message", "W4 store: CPU µs per message", NONE, "–"),
    line("w4", "drain_cpu_us_per_message", "W4 drain: CPU µs per message", NONE, "–"),
    line("w4", "missing_after_kill", "W4 missing after kill -9 of both", NONE, "0"),
    line("w2", "lost", "W2 lost", NONE, "0"),
    line("w2", "duplicated", "W2 duplicated", NONE, "0"),
    line("w3", "lost", "W3 lost", NONE, "0"),
    line("w3", "duplicated", "W3 duplicated", NONE, "0"),
    line("w2", "load_cpu_us_per_message", "W2 the generator's own CPU µs per message", NONE, "–"),
];

const HEAD: &str = "\
| | ejabberd 23.01 | Prosody 0.12 | Mosquitto 2.0 (QoS 1) | NATS 2.9 JetStream | **Postroad** | target |
|---|---|---|---|---|---|---|
";

const FOOT: &str = "\
| fsync before ack | no | no | no | no | yes, always | yes, always |

Postroad: the median of the runs given, encrypted and synced before each ack. The others: recorded in November
2026 on a machine with 2 vCPU, plain / TLS; none of them syncs before it acks. CPU per unit is the figure to
compare: rates depend on what else ran, the generator included.
";

/// The table; lines of workloads that were not run are left out.
pub(crate) fn markdown(figures: &Figures) -> String {
    let mut text = HEAD.to_owned();
    for line in &LINES {
        let key = (line.workload.to_owned(), line.field.to_owned());
        if let Some(value) = figures.get(&key).and_then(|values| median(values)) {
            let (title, peers, target) = (line.title, line.peers.join(" | "), line.target);
            let _ = writeln!(text, "| {title} | {peers} | **{value}** | {target} |");
        }
    }
    text + FOOT
}
