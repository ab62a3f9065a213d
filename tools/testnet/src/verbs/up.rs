//! Starting a network.

use std::path::Path;

use postroad_cli::{CliError, Column, Printer, Row, json_line};
use serde::Serialize;
use serde_json::json;

use crate::{
    args::UpArgs,
    dirs, interrupt, node,
    programs::Programs,
    state::{Node, Testnet, command},
    teardown::tear_down,
};

/// Links and signatures name it, so nodes of a test network never mix with others.
const NETWORK: &str = "testnet";

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
    if args.nodes > 1 {
        printer.warn(
            "note: these nodes do not yet carry mail to each other; that comes with the next \
             issue. Until then people who write to each other join the same node.",
        );
    }
    let net = bring_up(&dir, args.nodes, printer)?;
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

/// A network of ready nodes; when one fails, the others are ended and nothing is left.
pub(crate) fn bring_up(dir: &Path, nodes: u16, printer: &Printer) -> Result<Testnet, CliError> {
    let programs = Programs::find()?;
    programs.path("posthoused")?;
    let made = dirs::make(dir)?;
    let _lock = dirs::lock(dir)?;
    // The default directory is nobody's but ours, whoever made it when.
    let mut net = Testnet::create(dir, NETWORK, made || *dir == dirs::default_dir())?;
    match start_all(&mut net, nodes, &programs, printer) {
        Ok(()) => Ok(net),
        Err(error) => {
            if let Err(also) = tear_down(&net) {
                printer.warn(&also.render(false));
            }
            Err(error)
        }
    }
}

fn start_all(
    net: &mut Testnet,
    nodes: u16,
    programs: &Programs,
    printer: &Printer,
) -> Result<(), CliError> {
    for number in 1..=nodes {
        let name = format!("n{number}");
        let dir = net.node_dir(&name);
        if dir.exists() {
            return Err(CliError::failed(
                "exists",
                format!("there is something in {} already", dir.display()),
                "name an empty directory with --dir",
            ));
        }
        net.nodes.push(Node { name, process: None, ready: None });
        node::start(net, usize::from(number) - 1, programs)?;
    }
    for index in 0..net.nodes.len() {
        printer.progress(&format!("waiting for {}", net.nodes[index].name));
        node::wait_ready(net, index)?;
    }
    Ok(())
}
