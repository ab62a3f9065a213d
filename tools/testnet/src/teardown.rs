//! The end of a network: its processes, then its files, and nothing else.

use std::{fs, io, path::Path, time::Instant};

use postroad_cli::{CliError, Exit};
use rustix::process::Signal;
use serde::Serialize;

use crate::{
    node::{END_LIMIT, KILL_LIMIT},
    state::Testnet,
};

/// How the nodes ended.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ended {
    /// In order, when asked.
    pub(crate) stopped: Vec<String>,
    /// By force: they took too long.
    pub(crate) killed: Vec<String>,
    /// They did not run any more.
    pub(crate) gone: Vec<String>,
}

/// Ends all nodes, all at once rather than one by one, then the wire, and removes what the network
/// made.
pub(crate) fn tear_down(net: &Testnet) -> Result<Ended, CliError> {
    let ended = end_nodes(net)?;
    if let Some(wire) = &net.wire {
        // It keeps nothing that could be lost.
        wire.signal(Signal::KILL)?;
        wire.ends_within(KILL_LIMIT);
    }
    remove_files(net)?;
    Ok(ended)
}

fn end_nodes(net: &Testnet) -> Result<Ended, CliError> {
    let mut ended = Ended::default();
    let mut running = Vec::new();
    for node in &net.nodes {
        match &node.process {
            Some(process) if process.is_alive() => running.push((&node.name, process)),
            _ => ended.gone.push(node.name.clone()),
        }
    }
    for (_, process) in &running {
        process.end()?;
    }
    let asked = Instant::now();
    let mut stuck = Vec::new();
    for (name, process) in running {
        if process.ends_within(END_LIMIT.saturating_sub(asked.elapsed())) {
            ended.stopped.push(name.clone());
        } else {
            process.signal(Signal::KILL)?;
            stuck.push((name, process));
        }
    }
    for (name, process) in stuck {
        if !process.ends_within(KILL_LIMIT) {
            return Err(CliError::new(
                Exit::TimedOut,
                "still_there",
                format!("process {} of {name} is still there after kill -9", process.pid),
                "it waits for the disk; run 'postroad-testnet down' again later",
            ));
        }
        ended.killed.push(name.clone());
    }
    Ok(ended)
}

fn remove_files(net: &Testnet) -> Result<(), CliError> {
    if net.made_dir {
        return remove(&net.dir, |dir| fs::remove_dir_all(dir));
    }
    let names = net.nodes.iter().map(|node| &node.name).chain(&net.extra);
    for name in names {
        remove(&net.dir.join(name), |dir| fs::remove_dir_all(dir))?;
    }
    for file in Testnet::own_files() {
        remove(&net.dir.join(file), |file| fs::remove_file(file))?;
    }
    Ok(())
}

fn remove(path: &Path, how: impl Fn(&Path) -> io::Result<()>) -> Result<(), CliError> {
    match how(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::io(
            format!("all nodes have ended, but {} cannot be removed", path.display()),
            &error,
            "remove it by hand",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_network_made_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let net = Testnet::create(dir.path(), "testnet", false, &["n1"], &["people"]).unwrap();
        for name in ["n1/data", "people/alice", "mine"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        assert_eq!(tear_down(&net).unwrap().gone, ["n1"]);
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["mine"]);
        let made = dir.path().join("made");
        fs::create_dir(&made).unwrap();
        tear_down(&Testnet::create(&made, "testnet", true, &[], &[]).unwrap()).unwrap();
        assert!(!made.exists());
    }
}
