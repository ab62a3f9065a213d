//! Waiting until all nodes of a network see each other.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use postroad_cli::{CliError, Exit, Printer};
use serde::Deserialize;
use serde_json::Value;

use crate::{interrupt, log::excerpt, state::Testnet};

/// Three nodes need a second or two, fifty on two cores much more.
const LIMIT: Duration = Duration::from_secs(30);
const LIMIT_PER_NODE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);
/// Enough for news to spread, and for one of them to go.
const PEERS: usize = 2;
/// A message that names every pair of 50 nodes is read by nobody.
const MOST_NAMED: usize = 8;
const LOG_LINES: usize = 15;

/// A row of a node's routes, as far as it matters here.
#[derive(Deserialize)]
struct Route {
    node: String,
    current: bool,
}

/// Who lacks whom, and what the first of them says: its log is about to be removed.
fn too_late(net: &Testnet, first: usize, mut lacks: Vec<String>, limit: Duration) -> CliError {
    let rest = lacks.len().saturating_sub(MOST_NAMED);
    lacks.truncate(MOST_NAMED);
    if rest > 0 {
        lacks.push(format!("and {rest} more"));
    }
    let name = &net.nodes[first].name;
    let (secs, lacks) = (limit.as_secs(), lacks.join("; "));
    let log = excerpt(&net.log_file(name), LOG_LINES);
    CliError::new(
        Exit::TimedOut,
        "apart",
        format!(
            "not all nodes see each other after {secs}s: {lacks}; the end of the log of {name}:\n{log}"
        ),
        "POSTROAD_LOG=debug makes the log say more",
    )
}

/// What one node sees of the others.
struct View {
    /// Names of nodes that it has no current record of.
    unknown: Vec<String>,
    peers: usize,
}

/// Waits until every node knows all others and is connected to some.
pub(super) fn wait(net: &Testnet, printer: &Printer) -> Result<(), CliError> {
    let count = net.nodes.len();
    if count < 2 {
        return Ok(());
    }
    let wanted = PEERS.min(count - 1);
    let limit = LIMIT + LIMIT_PER_NODE * u32::try_from(count).unwrap_or(u32::MAX);
    let started = Instant::now();
    let mut apart: Vec<usize> = (0..count).collect();
    loop {
        let mut lacks = Vec::new();
        let mut still = Vec::new();
        for index in apart {
            interrupt::check()?;
            let view = look(net, index)?;
            if let Some(lack) = lack(&net.nodes[index].name, &view, wanted) {
                lacks.push(lack);
                still.push(index);
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        if started.elapsed() >= limit {
            return Err(too_late(net, still[0], lacks, limit));
        }
        apart = still;
        printer.progress(&format!("{} of {count} nodes do not see all others yet", apart.len()));
        sleep(POLL);
    }
}

fn look(net: &Testnet, index: usize) -> Result<View, CliError> {
    let admin = net.nodes[index].admin()?;
    let routes: Vec<Route> = admin.get("/v1/routes")?;
    let peers: Vec<Value> = admin.get("/v1/peers")?;
    let mut unknown = Vec::new();
    for (other, node) in net.nodes.iter().enumerate() {
        let id = &node.ready()?.node;
        if other != index && !routes.iter().any(|route| route.current && route.node == *id) {
            unknown.push(node.name.clone());
        }
    }
    Ok(View { unknown, peers: peers.len() })
}

/// What a node lacks, in words.
fn lack(name: &str, view: &View, wanted: usize) -> Option<String> {
    let mut lacks = Vec::new();
    if !view.unknown.is_empty() {
        let rest = view.unknown.len().saturating_sub(MOST_NAMED);
        let named = view.unknown[..view.unknown.len() - rest].join(", ");
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        lacks.push(format!("{name} does not know {named}{more}"));
    }
    if view.peers < wanted {
        lacks.push(format!("{name} is connected to {} instead of {wanted}", view.peers));
    }
    (!lacks.is_empty()).then(|| lacks.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lacks_whom_is_said_and_kept_short() {
        let view = |unknown: usize, peers| View {
            unknown: (1..=unknown).map(|number| format!("n{number}")).collect(),
            peers,
        };
        assert_eq!(lack("n9", &view(0, 2), 2), None);
        assert_eq!(lack("n9", &view(2, 5), 2).unwrap(), "n9 does not know n1, n2");
        assert_eq!(lack("n9", &view(0, 1), 2).unwrap(), "n9 is connected to 1 instead of 2");
        assert!(lack("n9", &view(40, 2), 2).unwrap().ends_with("n7, n8 and 32 more"));
    }
}
