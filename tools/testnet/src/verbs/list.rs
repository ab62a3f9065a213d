//! Which nodes there are, and how they are.

use std::path::Path;

use postroad_cli::{CliError, Column, Printer, Row};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    state::{Node, State, Testnet, command},
    wire::Link,
};

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    id: Option<String>,
    pid: Option<u32>,
    state: State,
    /// Nodes that a partition keeps it from.
    cut_off: Vec<String>,
    client: Vec<String>,
    p2p: Vec<String>,
    admin: Option<String>,
}

impl Row for Listed {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("STATE"),
        Column::text("CUT OFF FROM"),
        Column::number("PID"),
        Column::text("CLIENTS"),
        Column::text("ADMIN"),
        Column::text("ID").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.state.to_string(),
            names(&self.cut_off),
            self.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            self.client.join(", "),
            self.admin.clone().unwrap_or_else(|| "-".to_owned()),
            self.id.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

/// `postroad-testnet ls`.
pub(crate) fn ls(dir: Option<&Path>, printer: &Printer) -> Result<(), CliError> {
    let net = Testnet::load(dir)?;
    let listed = |node: &Node| {
        let ready = node.ready.as_ref();
        Listed {
            name: node.name.clone(),
            id: ready.map(|ready| ready.node.clone()),
            pid: node.process.as_ref().filter(|process| process.is_alive()).map(|it| it.pid),
            state: node.state(),
            cut_off: net.rules.cut_off(&node.name),
            client: ready.map(|ready| ready.client.clone()).unwrap_or_default(),
            p2p: ready.map(|ready| ready.p2p.clone()).unwrap_or_default(),
            admin: ready.map(|ready| ready.admin.clone()),
        }
    };
    let rows: Vec<Listed> = net.nodes.iter().map(listed).collect();
    printer.rows(&rows, "the network has no nodes")
}

#[derive(Debug, Serialize)]
struct Health {
    name: String,
    state: State,
    /// The node's own verdict, or `dead`, or `paused`, or `silent` when it runs and does not answer.
    verdict: String,
    /// Nodes that a partition keeps it from.
    cut_off: Vec<String>,
    reason: Option<String>,
    peers: Option<u64>,
    uptime_s: Option<u64>,
}

impl Row for Health {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("VERDICT"),
        Column::text("CUT OFF FROM"),
        Column::number("PEERS"),
        Column::number("UP"),
        Column::text("REASON"),
    ];

    fn cells(&self) -> Vec<String> {
        let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
        vec![
            self.name.clone(),
            self.verdict.clone(),
            names(&self.cut_off),
            number(self.peers),
            self.uptime_s.map_or("-".to_owned(), |secs| format!("{secs}s")),
            self.reason.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

/// `postroad-testnet status`: a report, so a dead node is an answer and not a failure.
pub(crate) fn status(dir: Option<&Path>, printer: &Printer) -> Result<(), CliError> {
    let net = Testnet::load(dir)?;
    let rows: Vec<Health> = net.nodes.iter().map(|node| health(&net, node)).collect();
    if !printer.is_json() {
        printer.rows(&rows, "the network has no nodes")?;
        printer.hint(&link(&net));
        return Ok(());
    }
    let verdict = if rows.iter().all(|row| row.verdict == "ok") { "ok" } else { "degraded" };
    let report = json!({ "dir": net.dir, "network": net.network, "verdict": verdict,
        "link": net.rules.link, "partition": net.rules.partition,
        "latencies": net.rules.latencies, "nodes": rows });
    printer.object(&report, String::new)
}

/// What lies between the nodes, where that is not what everyone expects.
fn link(net: &Testnet) -> String {
    let mut lines = Vec::new();
    if net.rules.link != Link::Lan {
        lines.push(format!("link: {}", net.rules.link));
    }
    for slow in &net.rules.latencies {
        lines.push(format!("latency from {} to {}: {}ms", slow.from, slow.to, slow.ms));
    }
    lines.join("\n")
}

fn health(net: &Testnet, node: &Node) -> Health {
    let state = node.state();
    let mut health = Health {
        name: node.name.clone(),
        state,
        verdict: state.to_string(),
        cut_off: net.rules.cut_off(&node.name),
        reason: None,
        peers: None,
        uptime_s: None,
    };
    let remedy = match state {
        State::Dead => "restart",
        State::Paused => "resume",
        State::Running => {
            ask(node, &mut health);
            return health;
        }
    };
    health.reason =
        Some(format!("type: {}", command(&net.dir, &format!("{remedy} {}", node.name))));
    health
}

fn ask(node: &Node, health: &mut Health) {
    match node.admin().and_then(|admin| admin.get::<Value>("/v1/status")) {
        Err(error) => {
            health.verdict = "silent".to_owned();
            health.reason = Some(error.message);
        }
        Ok(status) => {
            health.verdict = status["verdict"].as_str().unwrap_or("unknown").to_owned();
            health.reason = status["problems"][0]["message"].as_str().map(str::to_owned);
            health.peers = status["peers"].as_u64();
            health.uptime_s = status["uptime_s"].as_u64();
        }
    }
}
