//! Other nodes: those this one is connected to, and all it knows.

use postroad_cli::{CliError, Column, Printer, Row, safe};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    admin::{Admin, segment},
    args::PeerCommand,
    values::{Extra, millis, name_beside, or_dash, relative, seconds, yes_no},
};

/// What the node's answer to `peer add` may wait for: a first attempt to connect.
const FIRST_ATTEMPT: std::time::Duration = std::time::Duration::from_secs(5);

/// One of `/v1/peers`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Peer {
    pub(crate) node: String,
    name: String,
    pub(crate) path: String,
    #[serde(default)]
    direction: String,
    pub(crate) rtt_ms: Option<f64>,
    #[serde(default)]
    addresses: Vec<String>,
    pub(crate) since: Option<String>,
    #[serde(default)]
    pinned: bool,
    #[serde(flatten)]
    extra: Extra,
}

impl Row for Peer {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("NODE"),
        Column::text("PATH"),
        Column::number("RTT"),
        Column::text("SINCE"),
        Column::text("DIRECTION").wide(),
        Column::text("ADDED").wide(),
        Column::text("ADDRESSES").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            name_beside(&self.node, &self.name),
            self.node.clone(),
            self.path.clone(),
            millis(self.rtt_ms),
            relative(self.since.as_deref()),
            or_dash(Some(&self.direction)),
            yes_no(self.pinned).to_owned(),
            or_dash(Some(&self.addresses.join(", "))),
        ]
    }
}

/// `postroad peers`.
pub(crate) fn peers(admin: &Admin, printer: &Printer) -> Result<(), CliError> {
    let rows: Vec<Peer> = admin.get("/v1/peers")?;
    printer.rows(&rows, "no node is connected; add one: postroad peer add LINK")
}

/// What `/v1/peers` answers when a node is added.
#[derive(Debug, Deserialize, Serialize)]
struct Added {
    node: String,
    name: String,
    connected: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

/// `postroad peer`.
pub(crate) fn peer(
    admin: &Admin,
    command: &PeerCommand,
    printer: &Printer,
) -> Result<(), CliError> {
    match command {
        PeerCommand::Ls => peers(admin, printer),
        PeerCommand::Add { link } => {
            let patient = admin.clone().patient(FIRST_ATTEMPT);
            let added: Added = patient.post("/v1/peers", &json!({ "link": link }))?;
            printer.object(&added, || describe(&added))?;
            if !added.connected {
                printer.hint("it is tried again and again; see: postroad status");
            }
            Ok(())
        }
        PeerCommand::Rm { node } => {
            admin.delete(&format!("/v1/peers/{}", segment(node)))?;
            printer.object(&json!({ "node": node, "state": "removed" }), || {
                format!("removed: this node no longer sees to a connection to {}", safe(node))
            })
        }
    }
}

fn describe(added: &Added) -> String {
    let name = safe(&added.name);
    match (added.connected, &added.reason) {
        (true, _) => format!("added: connected to {name}"),
        (false, None) => format!("added: not connected to {name} yet"),
        (false, Some(reason)) => {
            format!("added: not connected to {name} yet: {}", safe(reason))
        }
    }
}

/// One of `/v1/routes`.
#[derive(Debug, Deserialize, Serialize)]
struct Route {
    node: String,
    name: String,
    #[serde(default)]
    region: String,
    via: String,
    seq: u64,
    #[serde(default)]
    generation: u64,
    expires_at: Option<String>,
    age_s: Option<u64>,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    current: bool,
    #[serde(default, rename = "self")]
    own: bool,
    #[serde(flatten)]
    extra: Extra,
}

impl Row for Route {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("NODE"),
        Column::text("REGION"),
        Column::text("VIA"),
        Column::number("AGE"),
        Column::text("EXPIRES"),
        Column::text("CURRENT").wide(),
        Column::number("SEQ").wide(),
        Column::number("GENERATION").wide(),
        Column::text("ADDRESSES").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            name_beside(&self.node, &self.name),
            self.node.clone(),
            or_dash(Some(&self.region)),
            self.via.clone(),
            seconds(self.age_s),
            relative(self.expires_at.as_deref()),
            yes_no(self.current).to_owned(),
            self.seq.to_string(),
            self.generation.to_string(),
            or_dash(Some(&self.addresses.join(", "))),
        ]
    }
}

/// `postroad routes`.
pub(crate) fn routes(admin: &Admin, printer: &Printer) -> Result<(), CliError> {
    let rows: Vec<Route> = admin.get("/v1/routes")?;
    printer.rows(&rows, "no node is known, not even this one; look into its log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_a_cell_for_each_column_and_lose_nothing_in_json() {
        let value = json!({"node": "n2", "name": "n2", "path": "direct", "direction": "inbound",
            "rtt_ms": 0.25, "addresses": ["/ip4/127.0.0.1/tcp/1"], "since": null, "pinned": true,
            "new": 1});
        let peer: Peer = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(peer.cells().len(), Peer::COLUMNS.len());
        assert_eq!(peer.cells()[0], "-", "the id is not told twice");
        assert_eq!(peer.cells()[3], "0.25ms");
        assert_eq!(serde_json::to_value(&peer).unwrap(), value);

        let value = json!({"node": "n1", "name": "alpha", "region": "", "via": "self", "seq": 3,
            "generation": 1, "expires_at": null, "age_s": 61, "addresses": [], "current": true,
            "self": true});
        let route: Route = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(route.cells().len(), Route::COLUMNS.len());
        assert_eq!(serde_json::to_value(&route).unwrap(), value);
    }
}
