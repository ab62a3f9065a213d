//! Cutting the wire between nodes, and slowing it down.

use std::path::Path;

use postroad_cli::{CliError, Printer, human_duration};
use serde_json::json;

use crate::{
    args::{LatencyArgs, PartitionArgs},
    programs::Programs,
    state::Testnet,
    wire::{self, Latency},
};

/// `postroad-testnet partition`.
pub(crate) fn partition(
    dir: Option<&Path>,
    args: &PartitionArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let (mut net, _lock) = Testnet::load_locked(dir)?;
    for name in args.groups.names() {
        net.find(name)?;
    }
    let all: Vec<&str> = net.nodes.iter().map(|node| node.name.as_str()).collect();
    let groups = args.groups.of(&all);
    let free: Vec<&str> =
        all.into_iter().filter(|name| !groups.iter().flatten().any(|it| it == name)).collect();
    let connected = match free.as_slice() {
        [] => String::new(),
        free => format!("; still connected to all: {}", free.join(", ")),
    };
    let free: Vec<String> = free.into_iter().map(str::to_owned).collect();
    net.rules.partition = groups;
    change(&mut net)?;
    let report = json!({ "partition": net.rules.partition, "connected_to_all": free });
    printer.object(&report, || {
        let groups: Vec<String> = net.rules.partition.iter().map(|group| group.join(",")).collect();
        format!("cut off from each other: {}{connected}", groups.join(" / "))
    })?;
    printer.hint("end it with: postroad-testnet heal");
    Ok(())
}

/// `postroad-testnet heal`.
pub(crate) fn heal(dir: Option<&Path>, all: bool, printer: &Printer) -> Result<(), CliError> {
    let (mut net, _lock) = Testnet::load_locked(dir)?;
    net.rules.partition.clear();
    if all {
        net.rules.latencies.clear();
    }
    change(&mut net)?;
    let report = json!({ "partition": net.rules.partition, "latencies": net.rules.latencies });
    printer.object(&report, || {
        let left = net.rules.latencies.len();
        let slow = if left == 0 { "" } else { "; latencies stay, 'heal --all' ends them too" };
        format!("all nodes are connected again{slow}")
    })
}

/// `postroad-testnet latency`.
pub(crate) fn latency(
    dir: Option<&Path>,
    args: &LatencyArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let (mut net, _lock) = Testnet::load_locked(dir)?;
    let (from, to) = (net.find(&args.from)?, net.find(&args.to)?);
    if from == to {
        return Err(CliError::usage(
            format!("{} does not send to itself over the wire", args.from),
            "name two nodes",
        ));
    }
    let latency = Latency {
        from: args.from.clone(),
        to: args.to.clone(),
        ms: u64::try_from(args.latency.as_millis()).unwrap_or(u64::MAX),
    };
    net.rules.set_latency(latency.clone());
    change(&mut net)?;
    printer.object(&latency, || {
        let took = human_duration(args.latency);
        format!("from {} to {}: {took}", args.from, args.to)
    })
}

fn change(net: &mut Testnet) -> Result<(), CliError> {
    net.save()?;
    // One that was killed comes back with what is in force now.
    wire::ensure(net, &Programs::find()?)?;
    wire::apply(net)
}
