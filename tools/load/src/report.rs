//! What a run found, for programs and for people.

use std::fmt;

use postroad_cli::{CliError, Printer, fields, json_line};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::usage::Usage;

/// What a run found. Fields may be added, never renamed; those that a workload does not have are
/// left out, and what cannot be known of a target that is not ours is null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) workload: &'static str,
    pub(crate) seed: u64,
    pub(crate) users: usize,
    /// Bytes of a sealed body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<usize>,
    #[serde(flatten)]
    pub(crate) idle: Option<Idle>,
    #[serde(flatten)]
    pub(crate) online: Option<Online>,
    #[serde(flatten)]
    pub(crate) offline: Option<Offline>,
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
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
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
    pub(crate) load_store_cpu_us_per_message: f64,
    pub(crate) drained_per_s: f64,
    pub(crate) drain_cpu_us_per_message: Option<f64>,
    pub(crate) load_drain_cpu_us_per_message: f64,
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
