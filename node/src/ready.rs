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

/// What can be said about being reached without asking anybody outside.
pub(crate) fn reachability(listen: &[SocketAddr], config: &Config) -> String {
    let external: Vec<&str> =
        config.gateway.external.iter().chain(&config.net.external).map(String::as_str).collect();
    if !external.is_empty() {
        return format!("announced as {}; open the ports there", external.join(", "));
    }
    let mut all = listen.iter().chain(&config.net.listen);
    if all.all(|address| address.ip().is_loopback()) {
        return "this machine only (listening on loopback)".to_owned();
    }
    "this network; for the world open the ports for clients and nodes and set --external-address \
     and --p2p-external"
        .to_owned()
}
