//! What happened in a run, counted.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub events: u64,
    pub sent: u64,
    pub delivered: u64,
    pub repeats: u64,
    pub expired: u64,
    pub failed: u64,
    pub commits: u64,
    pub faults: BTreeMap<&'static str, u64>,
    /// What else was seen, by name.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.repeats += other.repeats;
        self.expired += other.expired;
        self.failed += other.failed;
        self.commits += other.commits;
        for (into, from) in [(&mut self.faults, &other.faults), (&mut self.seen, &other.seen)] {
            for (name, count) in from {
                *into.entry(name).or_default() += count;
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&str, u64>| {
            let parts: Vec<String> = counts.iter().map(|(k, n)| format!("{k} {n}")).collect();
            parts.join(", ")
        };
        writeln!(
            f,
            "messages: {} sent, {} delivered, {} expired, {} refused for good; {} repeats arrived",
            self.sent, self.delivered, self.expired, self.failed, self.repeats
        )?;
        writeln!(f, "steps: {}, commits: {}", self.events, self.commits)?;
        writeln!(f, "faults: {}", list(&self.faults))?;
        write!(f, "seen: {}", list(&self.seen))
    }
}
