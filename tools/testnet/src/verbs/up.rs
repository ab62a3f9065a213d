//! Starting a network.

use std::path::Path;

use postroad_cli::{CliError, Column, Printer, Row, json_line};
use serde::Serialize;
use serde_json::json;

use super::meet;
use crate::{
    args::UpArgs,
    definition, dirs, interrupt, node,
    programs::Programs,
    state::{Node, Testnet, command},
    teardown::tear_down,
    wire::{self, Rules},
};

/// Nodes that all others begin with; the second is there for when the first is gone.
const BOOTSTRAP: usize = 2;
/// Most nodes that start at the same time: each has keys to make and a journal to sync.
const STARTING: usize = 6;

/// A node as `up` and `restart` show it.
#[derive(Debug, Serialize)]
pub(crate) struct NodeRow {
    name: String,
    id: String,
    pid: Option<u32>,
    client: Vec<String>,
    p2p: Vec<String>,
    admin: String,
}

impl NodeRow {
    pub(crate) fn of(node: &Node) -> Self {
        let ready = node.ready.clone();
        NodeRow {
            name: node.name.clone(),
            id: ready.as_ref().map(|ready| ready.node.clone()).unwrap_or_default(),
            pid: node.process.as_ref().map(|process| process.pid),
            client: ready.as_ref().map(|ready| ready.client.clone()).unwrap_or_default(),
            p2p: ready.as_ref().map(|ready| ready.p2p.clone()).unwrap_or_default(),
            admin: ready.map(|ready| ready.admin).unwrap_or_default(),
        }
    }
}

impl Row for NodeRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::number("PID"),
        Column::text("CLIENTS"),
        Column::text("ADMIN"),
        Column::text("ID").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            self.client.join(", "),
            self.admin.clone(),
            self.id.clone(),
        ]
    }
}

pub(crate) fn run(dir: Option<&Path>, args: &UpArgs, printer: &Printer) -> Result<(), CliError> {
    interrupt::watch()?;
    let dir = dirs::resolve(dir)?;
    let net = bring_up(&dir, args, &[], printer)?;
    let rows: Vec<NodeRow> = net.nodes.iter().map(NodeRow::of).collect();
    if printer.is_json() {
        let report = json!({ "dir": net.dir, "network": net.network, "nodes": rows });
        printer.out(&format!("{}\n", json_line(&report)))?;
    } else {
        printer.rows(&rows, "")?;
    }
    printer.hint(&format!(
        "next: eval \"$({})\" && postroad status\nend:  {}",
        command(&net.dir, "env n1"),
        command(&net.dir, "down")
    ));
    Ok(())
}

/// A network of ready nodes that see each other; when one fails, all are ended and nothing is left.
/// `extra` names what the caller will put beside the nodes and what goes with them.
pub(crate) fn bring_up(
    dir: &Path,
    args: &UpArgs,
    extra: &[&str],
    printer: &Printer,
) -> Result<Testnet, CliError> {
    let programs = Programs::find()?;
    programs.path("posthoused")?;
    let made = dirs::make(dir)?;
    let _lock = dirs::lock(dir)?;
    // The default directory is nobody's but ours, whoever made it when.
    let made = made || *dir == dirs::default_dir();
    let names: Vec<String> = (1..=args.nodes).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut net = Testnet::create(dir, &definition::unique_name(), made, &names, extra)?;
    net.rules = Rules { link: args.link, seed: args.seed, ..Rules::default() };
    let started = start_all(&mut net, &programs, printer).and_then(|()| meet::wait(&net, printer));
    match started {
        Ok(()) => Ok(net),
        Err(error) => {
            if let Err(also) = tear_down(&net) {
                printer.warn(&also.render(false));
            }
            Err(error)
        }
    }
}

/// The first node alone, since the others need its link; then the others, some at a time.
fn start_all(net: &mut Testnet, programs: &Programs, printer: &Printer) -> Result<(), CliError> {
    wire::ensure(net, programs)?;
    definition::save(net, 0)?;
    let (mut started, mut ready) = (0, 0);
    while ready < net.nodes.len() {
        let most = if ready == 0 { 1 } else { ready + STARTING };
        while started < net.nodes.len().min(most) {
            node::start(net, started, programs)?;
            started += 1;
        }
        printer.progress(&format!("waiting for {}", net.nodes[ready].name));
        node::wait_ready(net, ready)?;
        ready += 1;
        if ready <= BOOTSTRAP {
            definition::save(net, ready)?;
        }
    }
    Ok(())
}
