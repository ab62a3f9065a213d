//! Which nodes there are, and how they are.

use std::path::Path;

use postroad_cli::{CliError, Column, Printer, Row};
use serde::Serialize;
use serde_json::{Value, json};

use crate::state::{Node, Testnet};

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    id: Option<String>,
    pid: Option<u32>,
    /// `running` or `dead`.
    state: &'static str,
    client: Vec<String>,
    p2p: Vec<String>,
    admin: Option<String>,
}

impl Row for Listed {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("STATE"),
        Column::number("PID"),
        Column::text("CLIENTS"),
        Column::text("ADMIN"),
        Column::text("ID").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.state.to_owned(),
            self.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            self.client.join(", "),
            self.admin.clone().unwrap_or_else(|| "-".to_owned()),
            self.id.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

fn state(node: &Node) -> &'static str {
    if node.is_running() { "running" } else { "dead" }
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
            state: state(node),
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
    state: &'static str,
    /// The node's own verdict, or `dead`, or `silent` when it runs and does not answer.
    verdict: String,
    reason: Option<String>,
    peers: Option<u64>,
    uptime_s: Option<u64>,
}

impl Row for Health {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("VERDICT"),
        Column::number("PEERS"),
        Column::number("UP"),
        Column::text("REASON"),
    ];

    fn cells(&self) -> Vec<String> {
        let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
        vec![
            self.name.clone(),
            self.verdict.clone(),
            number(self.peers),
            self.uptime_s.map_or("-".to_owned(), |secs| format!("{secs}s")),
            self.reason.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

/// `postroad-testnet status`: a report, so a dead node is an answer and not a failure.
pub(crate) fn status(dir: Option<&Path>, printer: &Printer) -> Result<(), CliError> {
    let net = Testnet::load(dir)?;
    let rows: Vec<Health> = net.nodes.iter().map(health).collect();
    if !printer.is_json() {
        return printer.rows(&rows, "the network has no nodes");
    }
    let verdict = if rows.iter().all(|row| row.verdict == "ok") { "ok" } else { "degraded" };
    let report =
        json!({ "dir": net.dir, "network": net.network, "verdict": verdict, "nodes": rows });
    printer.object(&report, String::new)
}

fn health(node: &Node) -> Health {
    let bare = |verdict: &str, reason: String| Health {
        name: node.name.clone(),
        state: state(node),
        verdict: verdict.to_owned(),
        reason: Some(reason),
        peers: None,
        uptime_s: None,
    };
    if !node.is_running() {
        return bare("dead", format!("type: postroad-testnet restart {}", node.name));
    }
    match node.admin().and_then(|admin| admin.get::<Value>("/v1/status")) {
        Err(error) => bare("silent", error.message),
        Ok(status) => Health {
            name: node.name.clone(),
            state: state(node),
            verdict: status["verdict"].as_str().unwrap_or("unknown").to_owned(),
            reason: status["problems"][0]["message"].as_str().map(str::to_owned),
            peers: status["peers"].as_u64(),
            uptime_s: status["uptime_s"].as_u64(),
        },
    }
}
