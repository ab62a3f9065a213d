//! What is known about a network, kept in its directory between commands.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use postroad_admin::admin::Admin;
use postroad_cli::{CliError, Exit};
use serde::{Deserialize, Serialize};

use crate::{
    definition, dirs,
    process::Process,
    wire::{self, Ports, Rules},
};

const STATE_FILE: &str = "testnet.json";
/// What it is called until it is whole.
const NEW_STATE_FILE: &str = "testnet.json.new";

/// A network and its nodes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Testnet {
    #[serde(skip)]
    pub(crate) dir: PathBuf,
    pub(crate) network: String,
    /// Whether the directory was made for the network and goes with it.
    pub(crate) made_dir: bool,
    /// What else was put into the directory and goes with the network, by name.
    #[serde(default)]
    pub(crate) extra: Vec<String>,
    pub(crate) nodes: Vec<Node>,
    /// What lies between the nodes, from the moment its process exists.
    #[serde(default)]
    pub(crate) wire: Option<Process>,
    /// What it does.
    #[serde(default)]
    pub(crate) rules: Rules,
}

/// A node; it has a process from the moment that it is started.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) process: Option<Process>,
    pub(crate) ready: Option<Ready>,
    /// For other nodes, once the wire has them.
    #[serde(default)]
    pub(crate) ports: Option<Ports>,
}

/// How a node's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Running,
    Paused,
    Dead,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Running => "running",
            State::Paused => "paused",
            State::Dead => "dead",
        })
    }
}

/// The line that a node writes when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) network: String,
    pub(crate) client: Vec<String>,
    #[serde(default)]
    pub(crate) p2p: Vec<String>,
    pub(crate) admin: String,
    pub(crate) admin_token_file: PathBuf,
    #[serde(default)]
    pub(crate) link: String,
}

impl Testnet {
    /// A network of nodes that are not started, in a directory that has none yet. The caller holds
    /// its lock. `extra` is what else will be put there. Nothing is written when any of it is there
    /// already: it is not ours to write over, and the end of the network would remove it.
    pub(crate) fn create(
        dir: &Path,
        network: &str,
        made_dir: bool,
        nodes: &[&str],
        extra: &[&str],
    ) -> Result<Self, CliError> {
        if dir.join(STATE_FILE).exists() {
            return Err(CliError::failed(
                "exists",
                format!("there is a network in {} already", dir.display()),
                format!("end it with '{}', or name another directory", command(dir, "down")),
            ));
        }
        let given = nodes.iter().chain(extra).map(|name| dir.join(name));
        for path in given.chain(Self::own_files().map(|name| dir.join(name))) {
            // A link that leads nowhere would be followed as well.
            if fs::symlink_metadata(&path).is_ok() {
                return Err(CliError::failed(
                    "exists",
                    format!("there is something in {} already", path.display()),
                    "name an empty directory with --dir",
                ));
            }
        }
        let node = |name: &&str| Node { name: (*name).to_owned(), ..Node::default() };
        let testnet = Testnet {
            dir: dir.to_owned(),
            network: network.to_owned(),
            made_dir,
            extra: extra.iter().map(|name| (*name).to_owned()).collect(),
            nodes: nodes.iter().map(node).collect(),
            wire: None,
            rules: Rules::default(),
        };
        testnet.save()?;
        Ok(testnet)
    }

    /// The network in the named or default directory.
    pub(crate) fn load(given: Option<&Path>) -> Result<Self, CliError> {
        let dir = dirs::resolve(given)?;
        let path = dir.join(STATE_FILE);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CliError::new(
                Exit::NotFound,
                "no_network",
                format!("there is no network in {}", dir.display()),
                "start one with 'postroad-testnet up', or name its directory with --dir",
            ),
            _ => CliError::io(format!("cannot read {}", path.display()), &error, "check the file"),
        })?;
        let read: Testnet = serde_json::from_str(&text).map_err(|error| {
            CliError::failed(
                "state_file",
                format!("{} is damaged: {error}", path.display()),
                "end its nodes by hand and remove the directory",
            )
        })?;
        Ok(Testnet { dir, ..read })
    }

    /// The network, with the right to change it.
    pub(crate) fn load_locked(given: Option<&Path>) -> Result<(Self, dirs::Lock), CliError> {
        // A look first: there may be no such directory to lock, which has words of its own.
        let dir = Self::load(given)?.dir;
        let lock = dirs::lock(&dir)?;
        Ok((Self::load(given)?, lock))
    }

    /// Writes the state, whole or not at all.
    pub(crate) fn save(&self) -> Result<(), CliError> {
        let path = self.dir.join(STATE_FILE);
        let new = self.dir.join(NEW_STATE_FILE);
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(|error| {
            CliError::io(format!("cannot write {}", path.display()), &error, "check the disk")
        })
    }

    /// What lies in the directory beside the nodes' own, the state last: without it nobody finds
    /// the rest.
    pub(crate) fn own_files() -> impl Iterator<Item = &'static str> {
        let others = [definition::FILE, NEW_STATE_FILE, STATE_FILE];
        wire::FILES.into_iter().chain(others)
    }

    /// The node of that name, by its place.
    pub(crate) fn find(&self, name: &str) -> Result<usize, CliError> {
        self.nodes.iter().position(|node| node.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.nodes.iter().map(|node| &*node.name).collect();
            CliError::new(
                Exit::NotFound,
                "no_node",
                format!("no node of this network is called {name}"),
                format!("its nodes are: {}", names.join(", ")),
            )
        })
    }

    /// The same for a node that must be running.
    pub(crate) fn find_running(&self, name: &str) -> Result<usize, CliError> {
        let index = self.find(name)?;
        if self.nodes[index].is_running() {
            return Ok(index);
        }
        Err(CliError::failed(
            "not_running",
            format!("the node {name} does not run"),
            command(&self.dir, &format!("restart {name}")),
        ))
    }

    /// Everything of one node lies here.
    pub(crate) fn node_dir(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What the node wrote to its standard streams.
    pub(crate) fn log_file(&self, name: &str) -> PathBuf {
        self.node_dir(name).join("node.log")
    }
}

impl Node {
    pub(crate) fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_alive)
    }

    pub(crate) fn state(&self) -> State {
        match &self.process {
            Some(process) if process.is_paused() => State::Paused,
            Some(process) if process.is_alive() => State::Running,
            _ => State::Dead,
        }
    }

    /// What the node said when it was ready.
    pub(crate) fn ready(&self) -> Result<&Ready, CliError> {
        self.ready.as_ref().ok_or_else(|| {
            CliError::new(
                Exit::Unreachable,
                "not_ready",
                format!("the node {} has never been ready", self.name),
                "see postroad-testnet logs, then postroad-testnet restart",
            )
        })
    }

    /// Its admin API.
    pub(crate) fn admin(&self) -> Result<Admin, CliError> {
        let ready = self.ready()?;
        let file = &ready.admin_token_file;
        let token = fs::read_to_string(file).map_err(|error| {
            CliError::io(
                format!("cannot read the token of {} from {}", self.name, file.display()),
                &error,
                "was the network started by another user?",
            )
        })?;
        Ok(Admin::new(ready.admin.clone(), Some(token.trim().to_owned())).called(&self.name))
    }
}

/// How to type a verb for the network in this directory.
pub(crate) fn command(dir: &Path, verb: &str) -> String {
    if dir == dirs::default_dir() {
        return format!("postroad-testnet {verb}");
    }
    format!("postroad-testnet {verb} --dir {}", dir.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read_as_nodes_write_it() {
        let line = r#"{"node":"abc","name":"n1","network":"testnet","client":["127.0.0.1:40001"],
            "p2p":[],"admin":"127.0.0.1:40002","admin_token_file":"/d/admin.token","data_dir":"/d",
            "pid":123,"link":"postroad:node#x","new":1}"#;
        let ready: Ready = serde_json::from_str(line).unwrap();
        assert_eq!((&*ready.node, &*ready.admin), ("abc", "127.0.0.1:40002"));
    }

    #[test]
    fn one_directory_has_one_network() {
        let dir = tempfile::tempdir().unwrap();
        let error = Testnet::load(Some(dir.path())).unwrap_err();
        assert_eq!((error.code, error.exit), ("no_network", Exit::NotFound));
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "looking leaves no trace");
        Testnet::create(dir.path(), "testnet", false, &["n1"], &[]).unwrap();
        let again = Testnet::create(dir.path(), "testnet", false, &["n1"], &[]);
        assert_eq!(again.unwrap_err().code, "exists");
        let loaded = Testnet::load(Some(dir.path())).unwrap();
        assert_eq!((loaded.dir.as_path(), loaded.find("n1").unwrap()), (dir.path(), 0));
        assert_eq!(loaded.find("n2").unwrap_err().exit, Exit::NotFound);
        assert_eq!(loaded.nodes[0].admin().unwrap_err().exit, Exit::Unreachable);
    }
}
