//! Ending and starting nodes.

use std::path::Path;

use postroad_cli::{CliError, Printer};
use serde_json::json;

use crate::{
    interrupt, node, programs::Programs, state::Testnet, teardown::tear_down, verbs::up::NodeRow,
};

/// `postroad-testnet kill`.
pub(crate) fn kill(dir: Option<&Path>, name: &str, printer: &Printer) -> Result<(), CliError> {
    let (net, _lock) = Testnet::load_locked(dir)?;
    let index = net.find_running(name)?;
    let pid = net.nodes[index].process.as_ref().map(|process| process.pid);
    node::kill(&net, index)?;
    let report = json!({ "name": name, "pid": pid, "state": "dead" });
    printer.object(&report, || format!("{name} is dead"))
}

/// `postroad-testnet restart`.
pub(crate) fn restart(dir: Option<&Path>, name: &str, printer: &Printer) -> Result<(), CliError> {
    let (mut net, _lock) = Testnet::load_locked(dir)?;
    let index = net.find(name)?;
    interrupt::watch()?;
    node::stop(&net, index)?;
    start_again(&mut net, index)?;
    let row = NodeRow::of(&net.nodes[index]);
    printer.object(&row, || format!("{name} is ready"))
}

/// Starts a node that does not run and waits for it. One that fails to get ready is ended: a
/// process nobody knows the state of helps nobody.
pub(crate) fn start_again(net: &mut Testnet, index: usize) -> Result<(), CliError> {
    node::start(net, index, &Programs::find()?)?;
    let ready = node::wait_ready(net, index);
    if ready.is_err() {
        node::kill(net, index)?;
    }
    ready
}

/// `postroad-testnet down`.
pub(crate) fn down(dir: Option<&Path>, printer: &Printer) -> Result<(), CliError> {
    let (net, _lock) = Testnet::load_locked(dir)?;
    let ended = tear_down(&net)?;
    let report = json!({ "dir": net.dir, "stopped": ended.stopped, "killed": ended.killed,
        "gone": ended.gone });
    printer.object(&report, || {
        let killed = match ended.killed.len() {
            0 => String::new(),
            n => format!(", {n} of them by force: {}", ended.killed.join(", ")),
        };
        let all = ended.stopped.len() + ended.killed.len();
        let nodes = if all == 1 { "node" } else { "nodes" };
        format!("ended {all} {nodes}{killed}, removed all data")
    })
}
