//! Stopping a node.

use std::time::{Duration, Instant};

use postroad_cli::{CliError, Exit, Printer, human_duration, safe};
use serde_json::{Value, json};

use crate::{admin::Admin, args::ShutdownArgs};

const POLL: Duration = Duration::from_millis(50);

/// `postroad shutdown`: returns when the node no longer answers.
pub(crate) fn shutdown(
    admin: &Admin,
    args: &ShutdownArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let status: Value = admin.get("/v1/status")?;
    let node = &status["node"];
    let name = node["name"].as_str().unwrap_or_default();
    let name = safe(if name.is_empty() { admin.address() } else { name });
    let report = |state: &str| json!({ "node": node["id"], "name": node["name"], "state": state });
    if args.dry_run {
        return printer.object(&report("would-stop"), || format!("would stop {name}"));
    }
    printer
        .confirm(&format!("Stop the node {name}? Its users cannot connect until it is back."))?;
    let started = Instant::now();
    match admin.post::<Value>("/v1/shutdown", &json!({})) {
        // It was there a moment ago: it ended before its answer was out.
        Err(error) if error.exit == Exit::Unreachable => {}
        answer => drop(answer?),
    }
    while admin.is_alive() {
        if started.elapsed() >= args.timeout {
            return Err(CliError::new(
                Exit::TimedOut,
                "timeout",
                format!("{name} still runs after {}", human_duration(args.timeout)),
                "look into its log; it may be writing its last mail to disk",
            ));
        }
        std::thread::sleep(POLL);
    }
    printer.object(&report("stopped"), || format!("{name} has stopped"))
}
