//! The figures that a report shows, and what each should be.

use std::fmt;

use Target::{AtLeast, AtMost, Below, Open};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
    /// It is shown, without a bar.
    Open,
}

impl Target {
    /// Whether a figure reaches it; none without a bar.
    pub(crate) fn reached(self, value: f64) -> Option<bool> {
        match self {
            AtMost(bar) => Some(value <= bar),
            AtLeast(bar) => Some(value >= bar),
            Below(bar) => Some(value < bar),
            Open => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtMost(0.0) => f.write_str("0"),
            AtMost(bar) => write!(f, "≤ {}", number(*bar)),
            AtLeast(bar) => write!(f, "≥ {}", number(*bar)),
            Below(bar) => write!(f, "< {}", number(*bar)),
            Open => f.write_str("–"),
        }
    }
}

/// A figure: in which workload, by which field, and how people call it.
pub(crate) type Line = (&'static str, &'static str, &'static str, Target);

/// Figures under one heading, each section made by one part of `tests/bench/run`.
pub(crate) const SECTIONS: [(&str, &[Line]); 9] = [
    ("Idle sessions (W1)", &IDLE),
    ("Online (W2)", &ONLINE),
    ("Offline (W3)", &OFFLINE),
    ("Between two nodes (W4)", &FEDERATED),
    ("What kill -9 took", &KILLED),
    ("A lone message between two idle nodes", &LONE),
    ("Restart", &RESTART),
    ("An idle node", &REST),
    ("Bytes on the wire", &WIRE),
];

const IDLE: [Line; 5] = [
    ("w1", "rss_kib_per_session", "W1 KiB per idle session", AtMost(5.0)),
    ("w1", "cpu_us_per_login", "W1 CPU µs per login", AtMost(450.0)),
    ("w1", "logins_per_s", "W1 logins/s", Open),
    ("w1-10000", "rss_kib_per_session", "W1 KiB per idle session, 10,000", AtMost(5.0)),
    ("w1-10000", "cpu_us_per_login", "W1 CPU µs per login, 10,000", AtMost(450.0)),
];

const ONLINE: [Line; 9] = [
    ("w2", "cpu_us_per_message", "W2 CPU µs per message", AtMost(10.0)),
    ("w2", "messages_per_s", "W2 messages/s", AtLeast(60_000.0)),
    ("w2", "p50_ms", "W2 p50 ms", Open),
    ("w2", "p99_ms", "W2 p99 ms", Open),
    ("w2", "fsync_calls", "W2 fsync calls, counted from outside", Open),
    ("w2", "node_syncs", "W2 syncs of the journal, the node's count", Open),
    ("w2", "load_cpu_us_per_message", "W2 the generator's own CPU µs per message", Open),
    ("w2-512", "cpu_us_per_message", "W2 CPU µs per message of 512 bytes", Open),
    ("w2-512", "messages_per_s", "W2 messages/s of 512 bytes", Open),
];

const OFFLINE: [Line; 8] = [
    ("w3", "store_cpu_us_per_message", "W3 store: CPU µs per message", AtMost(10.0)),
    ("w3", "stored_per_s", "W3 stored/s", AtLeast(70_000.0)),
    ("w3", "bytes_written_per_message", "W3 bytes written per message", AtMost(700.0)),
    ("w3", "drain_cpu_us_per_message", "W3 drain: CPU µs per message", AtMost(10.0)),
    ("w3", "drained_per_s", "W3 drained/s", AtLeast(60_000.0)),
    ("w3", "store_fsync_calls", "W3 store: fsync calls, counted from outside", Open),
    ("w3", "store_node_syncs", "W3 store: syncs of the journal, the node's count", Open),
    ("w3", "drain_fsync_calls", "W3 drain: fsync calls, counted from outside", Open),
];

const FEDERATED: [Line; 8] = [
    ("w4", "cpu_us_per_message", "W4 CPU µs per message, both nodes", AtMost(25.0)),
    ("w4", "messages_per_s", "W4 messages/s", AtLeast(30_000.0)),
    ("w4", "p50_ms", "W4 p50 ms", Open),
    ("w4", "store_cpu_us_per_message", "W4 store: CPU µs per message", Open),
    ("w4", "drain_cpu_us_per_message", "W4 drain: CPU µs per message", Open),
    ("w4", "fsync_calls", "W4 fsync calls of both, counted from outside", Open),
    ("w4-512", "cpu_us_per_message", "W4 CPU µs per message of 512 bytes", Open),
    ("w4-512", "messages_per_s", "W4 messages/s of 512 bytes", Open),
];

const KILLED: [Line; 10] = [
    ("w2", "missing_after_kill", "W2 missing after kill -9", AtMost(0.0)),
    ("w3", "missing_after_kill", "W3 missing after kill -9 (others: of 20,000)", AtMost(0.0)),
    ("w4", "missing_after_kill", "W4 missing after kill -9 of both", AtMost(0.0)),
    ("w3", "accepted_before_kill", "W3 accepted before it", Open),
    ("w2", "lost", "W2 lost", AtMost(0.0)),
    ("w3", "lost", "W3 lost", AtMost(0.0)),
    ("w4", "lost", "W4 lost", AtMost(0.0)),
    ("w2", "duplicated", "W2 duplicated", AtMost(0.0)),
    ("w3", "duplicated", "W3 duplicated", AtMost(0.0)),
    ("w4", "duplicated", "W4 duplicated", AtMost(0.0)),
];

const LONE: [Line; 5] = [
    ("lone", "lone_p50_ms", "sent to delivered, p50 ms", Below(3.0)),
    ("lone", "lone_p99_ms", "sent to delivered, p99 ms", Below(10.0)),
    ("lone", "lone_max_ms", "sent to delivered, longest ms", Open),
    ("lone", "accepted_p50_ms", "sent to accepted, p50 ms", Open),
    ("lone", "accepted_p99_ms", "sent to accepted, p99 ms", Open),
];

const RESTART: [Line; 12] = [
    ("restart-1000000", "stopped_served_ms", "10⁶ stored: ms to the first client", Below(1_000.0)),
    ("restart-1000000", "killed_served_ms", "10⁶, after kill -9: ms", Below(1_000.0)),
    ("restart-1000000", "stopped_cpu_ms", "10⁶: CPU ms", Open),
    ("restart-1000000", "stopped_rss_mib", "10⁶: MiB resident", Open),
    ("restart-1000000", "stop_ms", "10⁶: ms to an orderly end", Open),
    ("restart-1000000", "disk_bytes", "10⁶: bytes of disk", Open),
    ("restart-10000000", "stopped_served_ms", "10⁷ stored: ms to the first client", Below(5_000.0)),
    ("restart-10000000", "killed_served_ms", "10⁷, after kill -9: ms", Below(5_000.0)),
    ("restart-10000000", "stopped_cpu_ms", "10⁷: CPU ms", Open),
    ("restart-10000000", "stopped_rss_mib", "10⁷: MiB resident", Open),
    ("restart-10000000", "stop_ms", "10⁷: ms to an orderly end", Open),
    ("restart-10000000", "disk_bytes", "10⁷: bytes of disk", Open),
];

const REST: [Line; 2] = [
    ("rest", "rest_rss_mib", "MiB resident", Below(40.0)),
    ("rest", "rest_cpu_percent", "CPU, % of a core", Below(0.2)),
];

const WIRE: [Line; 12] = [
    ("w2-wire-1", "client_to_node_bytes", "client → node, window 1", Open),
    ("w2-wire-1", "node_to_client_bytes", "node → client, window 1", Open),
    ("w2-wire-16", "client_to_node_bytes", "client → node, window 16", Open),
    ("w2-wire-16", "node_to_client_bytes", "node → client, window 16", Open),
    ("w2-wire-1", "with_headers_bytes", "one node, window 1, with TCP and IP headers", Open),
    ("w2-wire-16", "with_headers_bytes", "one node, window 16, with TCP and IP headers", Open),
    ("w4-wire-1", "client_to_node_bytes", "client → node of two, window 1", Open),
    ("w4-wire-1", "node_to_client_bytes", "node → client of two, window 1", Open),
    ("w4-wire-1", "node_to_node_bytes", "node ↔ node, window 1", Open),
    ("w4-wire-16", "client_to_node_bytes", "client → node of two, window 16", Open),
    ("w4-wire-16", "node_to_client_bytes", "node → client of two, window 16", Open),
    ("w4-wire-16", "node_to_node_bytes", "node ↔ node, window 16", Open),
];

/// A number for people: thousands set apart.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let mut out = String::new();
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    rest.map_or(out.clone(), |rest| format!("{out}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_reached_from_its_side() {
        assert_eq!(AtMost(5.0).reached(5.0), Some(true));
        assert_eq!(Below(5.0).reached(5.0), Some(false));
        assert_eq!(AtLeast(5.0).reached(4.9), Some(false));
        assert_eq!(Open.reached(1.0), None);
        assert_eq!(AtLeast(60_000.0).to_string(), "≥ 60,000");
        assert_eq!(number(1234567.25), "1,234,567.25");
        assert_eq!(number(-123.0), "-123");
    }
}
