//! The end of the nodes' logs.

use std::path::Path;

use postroad_cli::{CliError, Printer, json_line, safe};
use serde_json::json;

use crate::{args::LogsArgs, log::tail, state::Testnet};

pub(crate) fn run(dir: Option<&Path>, args: &LogsArgs, printer: &Printer) -> Result<(), CliError> {
    let net = Testnet::load(dir)?;
    let nodes = match &args.node {
        Some(name) => std::slice::from_ref(&net.nodes[net.find(name)?]),
        None => &net.nodes[..],
    };
    let mut entries = Vec::new();
    for node in nodes {
        let path = net.log_file(&node.name);
        let lines = tail(&path, args.lines).map_err(|error| {
            CliError::io(format!("cannot read {}", path.display()), &error, "postroad-testnet ls")
        })?;
        entries.extend(lines.into_iter().map(|line| (node.name.as_str(), line)));
    }
    if printer.is_json() {
        let entry = |(name, line): &(&str, String)| json!({ "node": name, "line": line });
        let values: Vec<_> = entries.iter().map(entry).collect();
        if printer.format() == postroad_cli::Format::Json {
            return printer.out(&format!("{}\n", json_line(&values)));
        }
        return values.iter().try_for_each(|value| printer.object(value, String::new));
    }
    let mut text = String::new();
    for (name, line) in &entries {
        // With one node every line is its own; with several each says whose it is.
        if nodes.len() > 1 {
            text.push_str(&format!("{name} | "));
        }
        text.push_str(&safe(line));
        text.push('\n');
    }
    printer.out(&text)
}
