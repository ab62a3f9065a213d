//! The wire: one process of a network that lies between its nodes.
//!
//! Each node announces a port of the wire in place of its own. The wire asks `/proc` which node a
//! connection comes from and carries it on, by the rule for those two, each direction by itself.
//! Rules and processes are read from the network's state file; whoever connects to the wire's
//! socket in the network's directory is answered with the ports, once the file as it is then is
//! in force. So no command has to speak to the wire beyond that.

mod callers;
mod control;
mod line;
mod owner;
mod rules;
mod serve;
#[cfg(test)]
mod tests;

pub(crate) use control::{FILES, apply, ensure};
pub(crate) use rules::{Groups, Latency, Link, Rules};
pub(crate) use serve::run;

use serde::{Deserialize, Serialize};

/// The ports of one node, on 127.0.0.1. They stay as long as the network, and while the node does
/// not run they are kept for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// Where the wire listens for connections to the node.
    pub(crate) announced: u16,
    /// Where the node listens for other nodes itself.
    pub(crate) own: u16,
    /// Where it listens for clients.
    #[serde(default)]
    pub(crate) client: u16,
    /// Where it listens for its operator.
    #[serde(default)]
    pub(crate) admin: u16,
}
