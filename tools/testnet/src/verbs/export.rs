//! Handing the network's definition to others.

use std::{fs, path::Path};

use postroad_cli::{CliError, Exit, Printer};
use serde_json::json;

use crate::{
    args::ExportArgs,
    definition,
    state::{Testnet, command},
};

/// Nodes to begin with: any one of them is enough, and a few may go.
const BOOTSTRAP: usize = 8;

/// `postroad-testnet export`.
pub(crate) fn run(
    dir: Option<&Path>,
    args: &ExportArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let net = Testnet::load(dir)?;
    let running = net.nodes.iter().filter(|node| node.is_running()).take(BOOTSTRAP);
    let exported = definition::of(&net, running)?;
    if exported.bootstrap.is_empty() {
        return Err(CliError::new(
            Exit::Unreachable,
            "no_nodes",
            "no node of the network runs, so nobody could join it",
            format!("start one: {}", command(&net.dir, "restart n1")),
        ));
    }
    let text = definition::text(&exported)?;
    let Some(file) = &args.out else {
        return printer.object(&exported, || text);
    };
    fs::write(file, &text).map_err(|error| {
        CliError::io(format!("cannot write {}", file.display()), &error, "name another file")
    })?;
    let report =
        json!({ "file": file, "network": exported.network, "bootstrap": exported.bootstrap });
    printer.object(&report, || format!("wrote {}", file.display()))?;
    printer.hint(&format!(
        "next, on this machine: posthoused run --network {} --data-dir DIR",
        std::path::absolute(file).unwrap_or_else(|_| file.clone()).display()
    ));
    Ok(())
}
