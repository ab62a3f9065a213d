//! Freezing a node where it stands.

use std::path::Path;

use postroad_cli::{CliError, Printer};
use serde_json::json;

use crate::{node, state::Testnet};

/// `postroad-testnet pause`.
pub(crate) fn pause(dir: Option<&Path>, name: &str, printer: &Printer) -> Result<(), CliError> {
    let (net, _lock) = Testnet::load_locked(dir)?;
    node::pause(&net, net.find_running(name)?)?;
    let report = json!({ "name": name, "state": "paused" });
    printer
        .object(&report, || format!("{name} is paused; go on with: postroad-testnet resume {name}"))
}

/// `postroad-testnet resume`; a node that is not paused stays as it is.
pub(crate) fn resume(dir: Option<&Path>, name: &str, printer: &Printer) -> Result<(), CliError> {
    let (net, _lock) = Testnet::load_locked(dir)?;
    node::resume(&net, net.find_running(name)?)?;
    let report = json!({ "name": name, "state": "running" });
    printer.object(&report, || format!("{name} goes on"))
}
