//! What a run found, for programs and for people.

use std::fmt;

use postroad_cli::{CliError, Printer, fields, json_line};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::results::median;
use crate::usage::Usage;

/// What a run found. Fields may be added, never renamed; those that a workload does not have are
/// left out, and what cannot be known of a target that is not ours is null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) workload: &'static str,
    pub(crate) seed: u64,
    pub(crate) began: String,
    /// How many processes ran or waited for a core in the minute before, on average.
    pub(crate) load_before: Option<f64>,
    pub(crate) users: usize,
    /// What counted syncs from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) syncs_counted_by: Option<&'static str>,
    /// Bytes of a sealed body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<usize>,
    /// Messages in flight each way of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<usize>,
    #[serde(flatten)]
    pub(crate) idle: Option<Idle>,
    #[serde(flatten)]
    pub(crate) online: Option<Online>,
    #[serde(flatten)]
    pub(crate) offline: Option<Offline>,
    #[serde(flatten)]
    pub(crate) lone: Option<Lone>,
    #[serde(flatten)]
    pub(crate) rest: Option<Rest>,
    #[serde(flatten)]
    pub(crate) restart: Option<Restart>,
    #[serde(flatten)]
    pub(crate) sums: Option<Sums>,
}

/// W1.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) rss_kib_per_session: Option<f64>,
    pub(crate) seconds: f64,
    pub(crate) logins_per_s: f64,
    pub(crate) cpu_us_per_login: Option<f64>,
    pub(crate) load_cpu_us_per_login: f64,
}

/// W2.
#[derive(Debug, Serialize)]
pub(crate) struct Online {
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    pub(crate) messages_per_s: f64,
    pub(crate) cpu_us_per_message: Option<f64>,
    pub(crate) load_cpu_us_per_message: f64,
    /// Counted by nodes of our own; null for targets.
    pub(crate) messages_per_sync: Option<f64>,
    /// Syncs of the journals while this was measured, as the nodes count them; null for targets.
    pub(crate) node_syncs: Option<u64>,
    /// All syncs of all files meanwhile, as counted from outside; null without `--count-syncs`.
    pub(crate) fsync_calls: Option<u64>,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    #[serde(flatten)]
    pub(crate) wire: Option<Wire>,
}

/// Bytes of TCP streams per delivered message, all that crosses in a direction: acks, credit,
/// receipts and encryption included.
#[derive(Debug, Serialize)]
pub(crate) struct Wire {
    pub(crate) client_to_node_bytes: f64,
    pub(crate) node_to_client_bytes: f64,
    /// Both directions together.
    pub(crate) node_to_node_bytes: Option<f64>,
    /// All of these, and the headers of TCP and IP.
    pub(crate) with_headers_bytes: f64,
}

/// W3.
#[derive(Debug, Serialize)]
pub(crate) struct Offline {
    pub(crate) stored: u64,
    pub(crate) stored_per_s: f64,
    pub(crate) store_cpu_us_per_message: Option<f64>,
    pub(crate) bytes_written_per_message: Option<f64>,
    /// Counted by nodes of our own; null for targets.
    pub(crate) stored_per_sync: Option<f64>,
    /// Syncs while messages were stored: the nodes' count, and that from outside, of all files.
    pub(crate) store_node_syncs: Option<u64>,
    pub(crate) store_fsync_calls: Option<u64>,
    pub(crate) load_store_cpu_us_per_message: f64,
    pub(crate) drained_per_s: f64,
    pub(crate) drain_cpu_us_per_message: Option<f64>,
    /// Syncs while messages were fetched and acked.
    pub(crate) drain_node_syncs: Option<u64>,
    pub(crate) drain_fsync_calls: Option<u64>,
    pub(crate) load_drain_cpu_us_per_message: f64,
}

/// One message at a time, from when it is sent.
#[derive(Debug, Serialize)]
pub(crate) struct Lone {
    pub(crate) messages: u64,
    /// Until it has arrived at the other node's user.
    pub(crate) lone_p50_ms: f64,
    pub(crate) lone_p99_ms: f64,
    pub(crate) lone_max_ms: f64,
    /// Until the sender's node has it durably.
    pub(crate) accepted_p50_ms: f64,
    pub(crate) accepted_p99_ms: f64,
    pub(crate) accepted_max_ms: f64,
}

/// A node that has nothing to do.
#[derive(Debug, Serialize)]
pub(crate) struct Rest {
    pub(crate) rest_rss_mib: f64,
    /// Of one core.
    pub(crate) rest_cpu_percent: f64,
    pub(crate) rest_written_bytes: u64,
}

/// Starts of a node with much in store: the median of several, the longest beside it.
#[derive(Debug, Serialize)]
pub(crate) struct Restart {
    pub(crate) mailboxes: u64,
    pub(crate) stored: u64,
    pub(crate) registered_per_s: f64,
    pub(crate) stored_per_s: f64,
    pub(crate) fill_cpu_us_per_message: f64,
    pub(crate) disk_bytes: u64,
    /// Of the node that took all this in.
    pub(crate) filled_rss_mib: f64,
    /// How long an orderly end takes.
    pub(crate) stop_ms: f64,
    #[serde(flatten, serialize_with = "after_stop")]
    pub(crate) stopped: Starts,
    #[serde(flatten, serialize_with = "after_kill")]
    pub(crate) killed: Starts,
}

/// Starts after the same kind of end.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// Until the node says that it is ready.
    pub(crate) ready_ms: Vec<f64>,
    /// Until a client is in and has its first message.
    pub(crate) served_ms: Vec<f64>,
    /// CPU used until then.
    pub(crate) cpu_ms: Vec<f64>,
    /// Resident then.
    pub(crate) rss_mib: Vec<f64>,
    /// The most that was resident until then.
    pub(crate) peak_mib: Vec<f64>,
}

fn after_stop<S: Serializer>(starts: &Starts, serializer: S) -> Result<S::Ok, S::Error> {
    starts.write("stopped", serializer)
}

fn after_kill<S: Serializer>(starts: &Starts, serializer: S) -> Result<S::Ok, S::Error> {
    starts.write("killed", serializer)
}

impl Starts {
    fn write<S: Serializer>(&self, end: &str, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = [
            ("ready_ms", &self.ready_ms),
            ("served_ms", &self.served_ms),
            ("cpu_ms", &self.cpu_ms),
            ("rss_mib", &self.rss_mib),
            ("peak_mib", &self.peak_mib),
        ];
        let mut map = serializer.serialize_map(None)?;
        for (name, values) in fields {
            map.serialize_entry(&format!("{end}_{name}"), &median(values))?;
        }
        let longest = self.served_ms.iter().copied().reduce(f64::max);
        map.serialize_entry(&format!("{end}_served_ms_max"), &longest)?;
        map.end()
    }
}

/// Messages that are not where they should be; all zero, or something is wrong.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Sums {
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) refused: u64,
    /// Messages accepted before the nodes were killed at the end; null for targets.
    pub(crate) accepted_before_kill: Option<u64>,
    /// Those of them that did not come afterwards.
    pub(crate) missing_after_kill: Option<u64>,
    /// A node's words of one refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why_refused: Option<String>,
}

impl Report {
    pub(crate) fn print(&self, printer: &Printer) -> Result<(), CliError> {
        printer.object(self, || table(&json_line(self)))
    }

    /// An error when a promise was broken: figures of such a run are worth nothing.
    pub(crate) fn verdict(&self) -> Result<(), CliError> {
        let Some(sums) = &self.sums else { return Ok(()) };
        let (lost, missing) = (sums.lost, sums.missing_after_kill.unwrap_or_default());
        if lost + missing + sums.duplicated == 0 {
            return Ok(());
        }
        let text = format!(
            "accepted mail is not there once: {lost} lost, {} duplicated, {missing} missing after the kill",
            sums.duplicated
        );
        Err(CliError::failed("promise_broken", text, "its figures do not count; --seed repeats it"))
    }
}

/// The fields in the order in which they were written.
struct Ordered(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn table(report: &str) -> String {
    let entries = serde_json::from_str(report).map_or(Vec::new(), |Ordered(entries)| entries);
    let rows: Vec<_> = entries.iter().map(|(name, value)| (name.as_str(), shown(value))).collect();
    fields(&rows)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    }
}

/// `amount` for each of `count`, rounded as far as it means anything.
pub(crate) fn per(amount: u64, count: u64) -> f64 {
    round(amount as f64 / count.max(1) as f64)
}

/// How many of `count` one sync made durable, if syncs are known.
pub(crate) fn per_sync(count: u64) -> impl Fn(Usage) -> Option<f64> {
    move |usage| (usage.syncs > 0).then(|| per(count, usage.syncs))
}

/// How many a second.
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    (count as f64 / seconds).round()
}

/// Two digits behind the point.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
