//! What an operator can set: flags over `POSTROAD_*` environment over a TOML file over defaults.
//!
//! The default is a working personal node. Each section's fields are documented where they are
//! used; every one has a default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use postroad_proto::limits::MAX_NODE_NAME;
use postroad_proto::link::NodeLink;
use postroad_proto::network::{Network, NetworkDefinition};
use postroad_store::Options;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::net::multiaddress;

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who the node is.
    pub node: NodeSection,
    /// Where clients reach it.
    pub gateway: GatewaySection,
    /// Where other nodes reach it, and which of them it looks for.
    pub net: NetSection,
    /// The operator's interface.
    pub admin: AdminSection,
    /// Limits of custody.
    pub custody: postroad_core::Config,
    /// The journal and its index.
    pub store: StoreSection,
}

/// Who the node is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSection {
    /// The network it belongs to. Default "postroad".
    pub network: Network,
    /// What stands after the `@` of its handles: a DNS name. Default: the node's id.
    pub name: String,
    /// Free text shown to people choosing a node. Default empty.
    pub region: String,
}

/// Where clients reach the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySection {
    /// Addresses to listen on, each for its own family: "[::]:7450" is IPv6 only. Default
    /// "0.0.0.0:7450".
    pub listen: Vec<SocketAddr>,
    /// `host:port` as seen from outside, put into links. Default: the addresses listened on.
    pub external: Vec<String>,
    /// Connected clients. Default 8,000: each is an open file.
    pub max_sessions: usize,
    /// Handshakes under way at once, all together. Default 256.
    pub max_handshakes: usize,
    /// Connections from one address (IPv6: one /64) that have not shown to be a known device's.
    /// Default 128.
    pub max_strangers_per_address: usize,
    /// Bytes that may wait for a client that does not read. Default 8 MiB.
    pub max_unread: usize,
}

impl Default for GatewaySection {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 7450))],
            external: Vec::new(),
            max_sessions: 8_000,
            max_handshakes: 256,
            max_strangers_per_address: 128,
            max_unread: 8 << 20,
        }
    }
}

/// Where other nodes reach the node, and which of them it looks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetSection {
    /// Addresses to listen on for other nodes, each for its own family. Default "0.0.0.0:7452".
    pub listen: Vec<SocketAddr>,
    /// `host:port` for other nodes as seen from outside. Default: the addresses listened on.
    pub external: Vec<String>,
    /// Node links of nodes to keep a connection to, with node-to-node addresses. They are kept
    /// until `postroad peer` removes them. Default none.
    pub peers: Vec<String>,
    /// Node links of nodes to begin with while no others are known; a network's definition brings
    /// its own. Default none.
    pub bootstrap: Vec<String>,
}

impl Default for NetSection {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 7452))],
            external: Vec::new(),
            peers: Vec::new(),
            bootstrap: Vec::new(),
        }
    }
}

impl NetSection {
    /// [`Self::peers`], once validated.
    pub(crate) fn peer_links(&self) -> Vec<NodeLink> {
        self.peers.iter().filter_map(|link| link.parse().ok()).collect()
    }

    /// [`Self::bootstrap`], once validated.
    pub(crate) fn bootstrap_links(&self) -> Vec<NodeLink> {
        self.bootstrap.iter().filter_map(|link| link.parse().ok()).collect()
    }

    fn validate(&self, network: &Network) -> Result<(), ConfigError> {
        if self.listen.is_empty() {
            return Err(ConfigError::Value("net.listen: name at least one address".into()));
        }
        if let Some(wrong) = self.external.iter().find(|text| multiaddress(text).is_none()) {
            return Err(ConfigError::Value(format!(
                "net.external (--p2p-external) = {wrong:?}: expected host:port"
            )));
        }
        for link in &self.peers {
            check_link("net.peers (--peer)", link, network)?;
        }
        for link in &self.bootstrap {
            check_link("net.bootstrap", link, network)?;
        }
        Ok(())
    }
}

/// Whether a node link leads to a node of this network.
fn check_link(field: &str, text: &str, network: &Network) -> Result<(), ConfigError> {
    let wrong = |what: String| Err(ConfigError::Value(format!("{field}: {what}")));
    match text.parse::<NodeLink>() {
        Err(error) => wrong(error.to_string()),
        Ok(link) if link.network != *network => wrong(format!(
            "the link of {} is of the network {}, this node belongs to {network}",
            link.node, link.network
        )),
        Ok(link) if link.p2p.is_empty() => wrong(format!(
            "the link of {} has no node-to-node address; its operator has one: postroad status",
            link.node
        )),
        Ok(_) => Ok(()),
    }
}

/// The operator's interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// A loopback address. Default "127.0.0.1:7451".
    pub listen: SocketAddr,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7451)) }
    }
}

/// The journal and its index.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// Bytes of disk for the journal; new custody is refused beyond. Default 0: no limit but the
    /// disk's own.
    #[serde(with = "postroad_core::units::size")]
    pub max_bytes: u64,
    /// Segments, cache, compaction.
    pub journal: Options,
}

/// Segments that a limited journal is divided into at least: what is preallocated counts, and must
/// not fill the limit by itself.
const MIN_SEGMENTS: u64 = 16;
/// Least limit of the journal, bytes: a segment below a MiB hardly holds more than the room that is
/// kept for the next group.
const MIN_MAX_BYTES: u64 = MIN_SEGMENTS << 20;

impl StoreSection {
    /// The journal's options, with segments that fit the limit.
    pub(crate) fn journal_options(&self) -> Options {
        let mut options = self.journal.clone();
        if self.max_bytes != 0 {
            options.segment_bytes = options.segment_bytes.min(self.max_bytes / MIN_SEGMENTS);
        }
        options
    }
}

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be; names the line and the nearest key.
    #[error("{path}: {text}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// A value is out of range.
    #[error("{0}")]
    Value(String),
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        read_toml(path)
    }

    /// Belongs to the network that a file defines, and keeps to what it says.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn join(&mut self, path: &Path) -> Result<(), ConfigError> {
        let definition: NetworkDefinition = read_toml(path)?;
        for link in &definition.bootstrap {
            check_link(&format!("{}: bootstrap", path.display()), link, &definition.network)?;
        }
        self.node.network = definition.network;
        self.net.bootstrap = definition.bootstrap;
        let longest = definition.max_deadline.unwrap_or(u64::MAX);
        self.custody.max_deadline = self.custody.max_deadline.min(longest);
        Ok(())
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the field.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !self.admin.listen.ip().is_loopback() {
            return Err(ConfigError::Value(format!(
                "admin.listen = {}: the operator's interface listens on loopback only",
                self.admin.listen
            )));
        }
        if self.gateway.listen.is_empty() {
            return Err(ConfigError::Value("gateway.listen: name at least one address".into()));
        }
        self.net.validate(&self.node.network)?;
        if self.store.max_bytes != 0 && self.store.max_bytes < MIN_MAX_BYTES {
            return Err(ConfigError::Value(format!(
                "store.max_bytes (--disk) = {}: expected at least 16MiB, or 0 for no limit",
                self.store.max_bytes
            )));
        }
        if self.custody.token_share > 100 {
            return Err(ConfigError::Value("custody.token_share is a percentage".into()));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if !self.node.name.chars().all(fits) || self.node.name.len() > MAX_NODE_NAME {
            return Err(ConfigError::Value(format!(
                "node.name = {:?}: expected a DNS name",
                self.node.name
            )));
        }
        Ok(())
    }
}

fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::Parse {
        path: path.to_owned(),
        text: with_suggestion(&error.to_string()),
    })
}

/// Adds "did you mean" to an error about an unknown field, from the list the parser gives.
fn with_suggestion(error: &str) -> String {
    let mut quoted = error.split('`').skip(1).step_by(2);
    let (Some(unknown), known) = (quoted.next(), quoted.collect::<Vec<_>>()) else {
        return error.to_owned();
    };
    let nearest = known.into_iter().min_by_key(|field| distance(unknown, field));
    match nearest {
        Some(nearest) if error.contains("unknown field") => {
            format!("{}\ndid you mean `{nearest}`?", error.trim_end())
        }
        _ => error.to_owned(),
    }
}

/// Levenshtein distance.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_that_suggests_the_nearest() {
        let error = toml::from_str::<Config>("[custody]\nmailbox_mesages = 3\n").unwrap_err();
        let text = with_suggestion(&error.to_string());
        assert!(text.contains("did you mean `mailbox_messages`?"), "{text}");
    }

    #[test]
    fn the_default_is_valid_and_survives_a_round_trip() {
        let config = Config::default();
        config.validate().unwrap();
        let text = toml::to_string(&config).unwrap();
        toml::from_str::<Config>(&text).unwrap().validate().unwrap();
    }
}
