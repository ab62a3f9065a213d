//! What the wire does to bytes from one node to another.

use std::{fmt, str::FromStr, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::line::Stalls;

/// The word for all nodes that are not named.
const REST: &str = "rest";

/// What is in force in a network; kept in its state file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// Between any two nodes, unless `latencies` says otherwise.
    pub(crate) link: Link,
    /// Decides when lines stall.
    pub(crate) seed: u64,
    /// Groups of nodes, by name; nothing passes from one group to another.
    pub(crate) partition: Vec<Vec<String>>,
    /// For one direction of one pair each.
    pub(crate) latencies: Vec<Latency>,
}

/// How long bytes take from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) ms: u64,
}

/// What lies between the nodes of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Link {
    /// Nothing: as fast as the machine
    #[default]
    Lan,
    /// 40 ms each way
    Wan,
    /// 40 ms each way, and now and then a stall of up to 0.4 s, as lost packets cause
    Lossy,
    /// 150 ms each way, and many stalls of up to 1.5 s
    Mobile,
}

/// What happens to bytes of one direction of one pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Nothing passes.
    pub(crate) blocked: bool,
    pub(crate) latency: Duration,
    pub(crate) stalls: Stalls,
}

impl Rules {
    /// The rule for what `from` sends to `to`. Who is no node of the network has no name, and so
    /// is in no group.
    pub(crate) fn between(&self, from: &str, to: &str) -> Rule {
        let group = |name: &str| {
            self.partition.iter().position(|group| group.iter().any(|member| member == name))
        };
        let set = self.latencies.iter().find(|it| it.from == from && it.to == to);
        Rule {
            blocked: matches!((group(from), group(to)), (Some(one), Some(other)) if one != other),
            latency: set.map_or(self.link.latency(), |set| Duration::from_millis(set.ms)),
            stalls: self.link.stalls(),
        }
    }

    /// The nodes that this one is cut off from.
    pub(crate) fn cut_off(&self, name: &str) -> Vec<String> {
        let others = self.partition.iter().flatten();
        others.filter(|other| self.between(name, other).blocked).cloned().collect()
    }

    /// Sets what one direction takes, in place of the link's own.
    pub(crate) fn set_latency(&mut self, latency: Latency) {
        self.latencies.retain(|it| it.from != latency.from || it.to != latency.to);
        self.latencies.push(latency);
    }
}

impl Link {
    fn latency(self) -> Duration {
        Duration::from_millis(match self {
            Link::Lan => 0,
            Link::Wan | Link::Lossy => 40,
            Link::Mobile => 150,
        })
    }

    /// TCP hides a lost packet behind a pause of about its retransmission timeout.
    fn stalls(self) -> Stalls {
        match self {
            Link::Lan | Link::Wan => Stalls::default(),
            Link::Lossy => Stalls { per_mille: 20, shortest_ms: 200, longest_ms: 400 },
            Link::Mobile => Stalls { per_mille: 50, shortest_ms: 200, longest_ms: 1_500 },
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// The groups of a partition as they are typed: `n1,n2/n3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Groups(Vec<Vec<String>>);

impl Groups {
    /// The groups with `rest` replaced by those of `all` that are in none.
    pub(crate) fn of(&self, all: &[&str]) -> Vec<Vec<String>> {
        let named = |name: &str| self.0.iter().flatten().any(|it| it == name);
        let rest = || all.iter().filter(|name| !named(name)).map(|name| (*name).to_owned());
        let fill = |group: &Vec<String>| -> Vec<String> {
            let names = group.iter().filter(|name| *name != REST).cloned();
            if group.iter().any(|name| name == REST) {
                names.chain(rest()).collect()
            } else {
                names.collect()
            }
        };
        self.0.iter().map(fill).collect()
    }

    /// Every name that was typed.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str).filter(|name| *name != REST)
    }
}

impl FromStr for Groups {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = |group: &str| group.split(',').map(|name| name.trim().to_owned()).collect();
        let groups: Vec<Vec<String>> = text.split('/').map(names).collect();
        if groups.len() < 2 {
            return Err("expected two groups or more with a '/' between them: n1/rest".to_owned());
        }
        let mut seen: Vec<&str> = Vec::new();
        for name in groups.iter().flatten() {
            if name.is_empty() {
                return Err("a name is missing beside a ',' or a '/'".to_owned());
            }
            if seen.contains(&name.as_str()) {
                return Err(format!("{name} is named twice"));
            }
            seen.push(name);
        }
        Ok(Groups(groups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> Vec<Vec<String>> {
        text.parse::<Groups>().unwrap().of(&["n1", "n2", "n3", "n4"])
    }

    #[test]
    fn groups_are_read_as_typed() {
        assert_eq!(groups("n1,n2/n3"), [vec!["n1", "n2"], vec!["n3"]]);
        assert_eq!(groups("n2/rest"), [vec!["n2"], vec!["n1", "n3", "n4"]]);
        assert_eq!(groups("n1/n2/n3,rest"), [vec!["n1"], vec!["n2"], vec!["n3", "n4"]]);
        for wrong in ["", "n1", "n1,n2", "n1/", "/n1", "n1,/n2", "n1/n1", "rest/rest"] {
            assert!(wrong.parse::<Groups>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_different_groups_are_cut_off_from_each_other() {
        let rules = Rules { partition: groups("n1,n2/n3"), ..Rules::default() };
        let blocked = |from, to| rules.between(from, to).blocked;
        assert!(blocked("n1", "n3") && blocked("n3", "n2"));
        assert!(!blocked("n1", "n2") && !blocked("n4", "n3") && !blocked("n1", "n4"));
        assert!(!blocked("", "n1"), "who is no node is in no group");
        assert_eq!(rules.cut_off("n3"), ["n1", "n2"]);
        assert!(rules.cut_off("n4").is_empty());
    }

    #[test]
    fn a_latency_is_for_one_direction_and_replaces_the_links() {
        let mut rules = Rules { link: Link::Wan, ..Rules::default() };
        for ms in [90, 120] {
            rules.set_latency(Latency { from: "n1".into(), to: "n2".into(), ms });
        }
        let latency = |from, to| rules.between(from, to).latency.as_millis();
        assert_eq!((latency("n1", "n2"), latency("n2", "n1")), (120, 40));
        assert_eq!(rules.latencies.len(), 1);
    }
}
