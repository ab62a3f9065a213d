//! `trace`: the way of mail to somebody, or where a message is, one line per hop.

use postroad_cli::{CliError, Column, Printer, Row, human_bytes, safe};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    admin::{Admin, segment},
    args::TraceArgs,
    mail::Mailbox,
    roads::Peer,
    values::{Extra, millis, next, or_dash, relative, seconds},
};

/// `/v1/trace/…`.
#[derive(Debug, Deserialize, Serialize)]
struct Trace {
    target: Option<String>,
    kind: Option<String>,
    account: Option<String>,
    handle: Option<String>,
    home: Option<String>,
    #[serde(default)]
    backups: Vec<Value>,
    #[serde(default)]
    route: Vec<Stop>,
    reachable: Option<bool>,
    reason: Option<String>,
    #[serde(default)]
    mailboxes: Vec<Mailbox>,
    outbox: Option<Outbox>,
    peer: Option<Peer>,
    #[serde(flatten)]
    extra: Extra,
}

/// A node on the way.
#[derive(Debug, Deserialize, Serialize)]
struct Stop {
    node: String,
    name: String,
    via: String,
    #[serde(flatten)]
    extra: Extra,
}

/// What waits at this node for another.
#[derive(Debug, Deserialize, Serialize)]
struct Outbox {
    node: String,
    messages: u64,
    bytes: u64,
    oldest_s: Option<u64>,
    reason: Option<String>,
    next_try: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

/// A line of the path.
#[derive(Debug, Serialize)]
struct Hop {
    number: usize,
    at: String,
    holds: String,
    age: String,
    state: String,
}

impl Row for Hop {
    const COLUMNS: &'static [Column] = &[
        Column::number("HOP"),
        Column::text("AT"),
        Column::text("HOLDS"),
        Column::number("AGE"),
        Column::text("STATE").whole(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.number.to_string(),
            self.at.clone(),
            self.holds.clone(),
            self.age.clone(),
            self.state.clone(),
        ]
    }
}

/// `postroad trace`.
pub(crate) fn run(admin: &Admin, args: &TraceArgs, printer: &Printer) -> Result<(), CliError> {
    let trace: Trace = admin.get(&format!("/v1/trace/{}", segment(&args.target)))?;
    if printer.is_json() {
        return printer.object(&trace, String::new);
    }
    printer.out(&verdict(&trace))?;
    printer.rows(&trace.hops(), "")
}

fn verdict(trace: &Trace) -> String {
    let word = match trace.reachable {
        Some(true) => "reachable",
        Some(false) => "not reachable",
        None => "not known whether reachable",
    };
    let names = [&trace.handle, &trace.account, &trace.target, &trace.home];
    let whom = or_dash(names.into_iter().flatten().next().map(String::as_str));
    let reason = or_dash(trace.reason.as_deref());
    format!("{word}: {}: {}\n", safe(&whom), safe(&reason))
}

impl Trace {
    /// The path in the order that mail takes: in at this node, what lies here, then what lies ahead.
    fn hops(&self) -> Vec<Hop> {
        let mut hops = Vec::new();
        let mut hop = |at: String, holds: String, age: String, state: String| {
            hops.push(Hop { number: hops.len() + 1, at, holds, age, state });
        };
        let dash = || "-".to_owned();
        let mut stops = self.route.iter();
        if let Some(here) = stops.next() {
            hop(here.name.clone(), self.copies(), dash(), "this node".into());
        }
        for held in &self.mailboxes {
            let state =
                if held.connected { "the device is connected" } else { "the device is away" };
            let holds = messages(held.messages, held.bytes);
            hop(held.whose(), holds, seconds(held.oldest_s), state.into());
        }
        if let Some(outbox) = &self.outbox {
            let mut state = or_dash(outbox.reason.as_deref());
            if outbox.next_try.is_some() {
                state += &format!("; next try {}", next(outbox.next_try.as_deref()));
            }
            let holds = messages(outbox.messages, outbox.bytes);
            let whose = format!("outbox for {}", self.name_of(&outbox.node));
            hop(whose, holds, seconds(outbox.oldest_s), state);
        }
        for stop in stops {
            let (age, state) = match &self.peer {
                Some(peer) if peer.node == stop.node => {
                    let since = relative(peer.since.as_deref());
                    let state = format!("connected, {}, {}", peer.path, millis(peer.rtt_ms));
                    (since.trim_end_matches(" ago").to_owned(), state)
                }
                _ => (dash(), format!("{}: {}", stop.via, or_dash(self.reason.as_deref()))),
            };
            hop(stop.name.clone(), dash(), age, state);
        }
        hops
    }

    /// What of a parcel waits for devices homed here.
    fn copies(&self) -> String {
        match self.extra.get("parcel").and_then(|parcel| parcel["copies"].as_u64()) {
            None | Some(0) => "-".to_owned(),
            Some(1) => "1 copy".to_owned(),
            Some(copies) => format!("{copies} copies"),
        }
    }

    fn name_of(&self, node: &str) -> String {
        let stop = self.route.iter().find(|stop| stop.node == node);
        stop.map_or(node, |stop| &stop.name).to_owned()
    }
}

fn messages(count: u64, bytes: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} message{s}, {}", human_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(trace: &Trace) -> Vec<String> {
        trace.hops().iter().map(|hop| hop.cells()[1..].join(" | ")).collect()
    }

    #[test]
    fn mail_for_another_node_is_followed_through_the_outbox() {
        let value = json!({"target": "bob@beta", "kind": "handle", "account": null,
            "handle": "bob@beta", "home": "n2", "backups": [], "mailboxes": [], "peer": null,
            "route": [{"node": "n1", "name": "alpha", "via": "self"},
                {"node": "n2", "name": "beta", "via": "dial"}],
            "reachable": false, "reason": "beta refused the connection",
            "outbox": {"node": "n2", "messages": 2, "bytes": 2048, "oldest_s": 61,
                "reason": "beta is away", "next_try": "2999-01-01T00:00:00Z"}});
        let mut trace: Trace = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&trace).unwrap(), value, "nothing is lost in JSON");
        assert_eq!(verdict(&trace), "not reachable: bob@beta: beta refused the connection\n");
        let path = lines(&trace);
        assert_eq!(path[0], "alpha | - | - | this node");
        assert!(path[1].starts_with("outbox for beta | 2 messages, 2KiB | 1m | beta is away; "));
        assert!(path[1].contains("next try in "), "{path:?}");
        assert_eq!(path[2], "beta | - | - | dial: beta refused the connection");
        trace.peer = serde_json::from_value(json!({"node": "n2", "name": "beta",
            "path": "direct", "rtt_ms": 1.5, "since": "1970-01-01T00:00:00Z"}))
        .unwrap();
        trace.outbox = None;
        let path = lines(&trace);
        assert!(
            path[1].starts_with("beta | - | ") && path[1].ends_with("connected, direct, 1.5ms")
        );
    }

    #[test]
    fn mail_that_lies_here_is_shown_by_device() {
        let trace: Trace = serde_json::from_value(json!({"account": "a", "home": "n1",
            "handle": "bob@alpha", "reachable": true, "reason": "homed here",
            "parcel": {"copies": 2, "waits_s": null},
            "route": [{"node": "n1", "name": "alpha", "via": "self"}],
            "mailboxes": [{"account": "a", "handle": "bob@alpha", "device": 1, "messages": 1,
                "bytes": 5, "oldest_s": 9, "connected": false}]}))
        .unwrap();
        let path = lines(&trace);
        assert_eq!(
            path[1],
            "mailbox of bob@alpha device 1 | 1 message, 5B | 9s | the device is away"
        );
        assert_eq!((path.len(), &*path[0]), (2, "alpha | 2 copies | - | this node"));
    }
}
