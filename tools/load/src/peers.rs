//! What other servers need for the same: as recorded, or as measured on this machine.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::lines::number;
use crate::results::median;

/// The servers, and how a report names them.
pub(crate) const PEERS: [(&str, &str); 4] = [
    ("ejabberd", "ejabberd 23.01"),
    ("prosody", "Prosody 0.12"),
    ("mosquitto", "Mosquitto 2.0 (QoS 1)"),
    ("nats", "NATS 2.9 JetStream"),
];

/// When the figures below were taken, on a machine with 2 vCPU. `tests/bench/peers` holds the runs.
pub(crate) const RECORDED: &str = "2026-11-21";

/// A figure of ours, what the others need for the same (plain / TLS), and the workload and field
/// under which `tests/bench/peers` measures it.
struct Recorded {
    ours: (&'static str, &'static str),
    peers: [&'static str; 4],
    theirs: (&'static str, &'static str),
}

const fn recorded(
    ours: (&'static str, &'static str),
    peers: [&'static str; 4],
    theirs: (&'static str, &'static str),
) -> Recorded {
    Recorded { ours, peers, theirs }
}

const FIGURES: [Recorded; 10] = [
    recorded(
        ("w1", "rss_kib_per_session"),
        ["58 / 61", "46 / –", "1.0 / 14.7", "23.7 / 37"],
        ("w1-5000", "rss_kib_per_conn"),
    ),
    recorded(
        ("w1", "cpu_us_per_login"),
        ["2,495 / 3,932", "4,098 / –", "202 / 922", "287 / 756"],
        ("w1-5000", "login_cpu_us"),
    ),
    recorded(
        ("w2", "cpu_us_per_message"),
        ["105 / 112", "429 / 401", "31.8 / 40 to 50", "299 / 310"],
        ("w2", "server_cpu_us_msg"),
    ),
    recorded(
        ("w2", "messages_per_s"),
        ["10,905 / 14,400", "1,931 / 2,413", "28,220 / 23,500", "3,137 / 3,200"],
        ("w2", "msgs_s"),
    ),
    recorded(
        ("w3", "store_cpu_us_per_message"),
        ["910 to 1,057", "442", "17.7", "13.2"],
        ("w3", "store_cpu_us_msg"),
    ),
    recorded(
        ("w3", "stored_per_s"),
        ["1,317", "2,198", "31,305 (RAM only)", "65,589"],
        ("w3", "stored_msgs_s"),
    ),
    recorded(
        ("w3", "bytes_written_per_message"),
        ["3,082", "745", "0", "294"],
        ("w3", "write_bytes_msg"),
    ),
    recorded(
        ("w3", "drain_cpu_us_per_message"),
        ["125", "328", "14.2", "233"],
        ("w3", "drain_cpu_us_msg"),
    ),
    recorded(
        ("w3", "drained_per_s"),
        ["7,470", "2,746", "47,553", "4,027"],
        ("w3", "drained_msgs_s"),
    ),
    recorded(("w3", "missing_after_kill"), ["19,076", "0", "20,000", "0"], ("w3-kill", "lost")),
];

/// Figures of other servers measured on this machine: by server, workload, field and whether
/// encrypted.
#[derive(Debug, Default)]
pub(crate) struct Measured(BTreeMap<(String, String, String, bool), Vec<f64>>);

impl Measured {
    /// Takes a line of `tests/bench/peers/run`.
    pub(crate) fn add(&mut self, line: &Map<String, Value>) {
        let text = |name| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let tls = line.get("tls").and_then(Value::as_u64) == Some(1);
        for (name, value) in line.iter().filter_map(|(name, v)| Some((name, v.as_f64()?))) {
            let key = (text("server"), text("workload"), name.clone(), tls);
            self.0.entry(key).or_default().push(value);
        }
    }

    /// Whether this server was measured at all.
    pub(crate) fn has(&self, server: &str) -> bool {
        self.0.keys().any(|key| key.0 == server)
    }

    fn median(&self, server: &str, theirs: (&str, &str), tls: bool) -> Option<f64> {
        let key = (server.to_owned(), theirs.0.to_owned(), theirs.1.to_owned(), tls);
        median(self.0.get(&key)?)
    }
}

/// What the others need beside a figure of ours; a server that was measured here is not shown as
/// recorded elsewhere.
pub(crate) fn beside(workload: &str, field: &str, measured: &Measured) -> [String; 4] {
    let line = FIGURES.iter().find(|line| line.ours == (workload, field));
    std::array::from_fn(|place| {
        let (server, _) = PEERS[place];
        match line {
            None => "–".to_owned(),
            Some(line) if measured.has(server) => {
                let of = |tls| measured.median(server, line.theirs, tls).map(number);
                match (of(false), of(true)) {
                    (None, None) => "–".to_owned(),
                    (Some(plain), None) => plain,
                    (plain, Some(tls)) => format!("{} / {tls}", plain.unwrap_or("–".into())),
                }
            }
            Some(line) => line.peers[place].to_owned(),
        }
    })
}

/// The head of a server's column: where its figures come from.
pub(crate) fn heads(measured: &Measured) -> [String; 4] {
    PEERS.map(|(server, name)| match measured.has(server) {
        true => format!("{name}, measured here"),
        false => format!("{name}, recorded {RECORDED}"),
    })
}
