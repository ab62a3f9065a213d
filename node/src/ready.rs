//! What a node says when it is ready: to people, and to the programs that wait for it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::Config;

/// One JSON line in the ready file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ready {
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) network: String,
    pub(crate) client: Vec<String>,
    pub(crate) p2p: Vec<String>,
    pub(crate) admin: String,
    pub(crate) admin_token_file: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) pid: u32,
    pub(crate) link: String,
}

impl Ready {
    /// Writes the file whole: whoever sees it can read it.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        crate::identity::write_private(path, &line)
    }

    pub(crate) fn banner(&self, reachability: &str) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<10} {value}");
        };
        row("node", &self.node);
        if self.name != self.node {
            row("name", &self.name);
        }
        row("network", &self.network);
        row("clients", &self.client.join("  "));
        row("nodes", &self.p2p.join("  "));
        row("reach", reachability);
        row("admin", &format!("http://{}", self.admin));
        row("data", &self.data_dir.display().to_string());
        row("link", &self.link);
        row("next", "postroad invite create    (makes the link that a first user joins with)");
        format!("posthoused is ready\n{text}")
    }
}

/// What can be said about being reached without asking anybody outside, for clients and for other
/// nodes: one may be open and the other not.
pub(crate) fn reachability(listen: &[SocketAddr], config: &Config) -> String {
    let clients = reach(listen, &config.gateway.external, "--external-address");
    let nodes = reach(&config.net.listen, &config.net.external, "--p2p-external");
    if clients == nodes {
        return clients;
    }
    format!("clients: {clients}; nodes: {nodes}")
}

fn reach(listen: &[SocketAddr], external: &[String], flag: &str) -> String {
    if !external.is_empty() {
        return format!("announced as {}; open the ports there", external.join(", "));
    }
    if listen.iter().all(|address| address.ip().is_loopback()) {
        return "this machine only (listening on loopback)".to_owned();
    }
    format!("this network; for the world open the port and set {flag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_nodes_may_be_reached_differently() {
        let listen = ["127.0.0.1:1".parse().unwrap()];
        let mut config = Config::default();
        let said = reachability(&listen, &config);
        assert!(said.contains("clients: this machine only"), "{said}");
        assert!(said.contains("nodes: this network") && said.contains("--p2p-external"), "{said}");
        config.net.external.push("a.example:2".into());
        let said = reachability(&listen, &config);
        assert!(said.ends_with("nodes: announced as a.example:2; open the ports there"), "{said}");
        config.net = crate::config::NetSection { listen: listen.into(), ..Default::default() };
        assert_eq!(reachability(&listen, &config), "this machine only (listening on loopback)");
    }
}
