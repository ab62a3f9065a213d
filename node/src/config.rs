//! What an operator can set: flags over `POSTROAD_*` environment over a TOML file over defaults.
//!
//! The default is a working personal node. Each section's fields are documented where they are
//! used; every one has a default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use postroad_proto::network::Network;
use postroad_store::Options;
use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who the node is.
    pub node: NodeSection,
    /// Where clients reach it.
    pub gateway: GatewaySection,
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
    /// Addresses to listen on. Default "0.0.0.0:7450".
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
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            text: with_suggestion(&error.to_string()),
        })
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
        if self.store.max_bytes != 0 && self.store.max_bytes < MIN_MAX_BYTES {
            return Err(ConfigError::Value(format!(
                "store.max_bytes (--disk) = {}: expected at least 16MiB, or 0 for no limit",
                self.store.max_bytes
            )));
        }
        if self.custody.token_share > 100 {
            return Err(ConfigError::Value("custody.token_share is a percentage".into()));
        }
        if self.node.name.contains(['@', '/', ' ']) || self.node.name.len() > 253 {
            return Err(ConfigError::Value(format!(
                "node.name = {:?}: expected a DNS name",
                self.node.name
            )));
        }
        Ok(())
    }
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
