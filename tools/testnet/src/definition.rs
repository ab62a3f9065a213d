//! The network as a file: its name, and nodes to begin with.

use std::{fs, path::PathBuf};

use postroad_cli::CliError;
use postroad_proto::network::{Network, NetworkDefinition};

use crate::state::{Node, Testnet};

/// The file that the network's own nodes start with.
pub(crate) const FILE: &str = "network.toml";

/// A name that no other network has: nodes of two test networks on one machine must never take
/// each other for their own, even when one gets the ports that the other had.
pub(crate) fn unique_name() -> String {
    use std::hash::BuildHasher;
    // The standard library's hash maps are seeded by the system.
    let chance = std::hash::RandomState::new().hash_one(std::process::id());
    format!("testnet-{:08x}", chance >> 32)
}

/// The definition with these nodes to begin with.
pub(crate) fn of<'a>(
    net: &Testnet,
    bootstrap: impl Iterator<Item = &'a Node>,
) -> Result<NetworkDefinition, CliError> {
    let network: Network = net.network.parse().map_err(|error| {
        CliError::failed(
            "network",
            format!("the state file is damaged: {error}"),
            "end the nodes by hand",
        )
    })?;
    let links = bootstrap.filter_map(|node| node.ready.as_ref()).map(|ready| ready.link.clone());
    Ok(NetworkDefinition {
        network,
        description: "A test network on one machine, made by postroad-testnet".to_owned(),
        max_deadline: None,
        bootstrap: links.collect(),
    })
}

/// The definition as it stands in a file.
pub(crate) fn text(definition: &NetworkDefinition) -> Result<String, CliError> {
    toml::to_string(definition).map_err(|error| {
        CliError::failed("definition", format!("cannot write the definition: {error}"), "")
    })
}

/// Writes the file for the network's own nodes and says where it is.
pub(crate) fn save(net: &Testnet, bootstrap: usize) -> Result<PathBuf, CliError> {
    let path = net.dir.join(FILE);
    let text = text(&of(net, net.nodes.iter().take(bootstrap))?)?;
    fs::write(&path, text).map_err(|error| {
        CliError::io(format!("cannot write {}", path.display()), &error, "check the disk")
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use postroad_proto::link::NodeLink;

    use super::*;

    #[test]
    fn the_definitions_of_the_repository_are_definitions() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testnet/networks");
        let files: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty());
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let definition: NetworkDefinition =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            for link in definition.bootstrap {
                let link: NodeLink = link.parse().unwrap();
                assert_eq!(link.network, definition.network, "{}", file.display());
            }
        }
    }

    #[test]
    fn a_definition_is_read_back_and_names_differ() {
        let dir = tempfile::tempdir().unwrap();
        let (name, other) = (unique_name(), unique_name());
        assert_ne!(name, other);
        let mut net = Testnet::create(dir.path(), &name, false, &["n1", "n2"], &[]).unwrap();
        let link = "postroad:node#x";
        let ready = format!(
            r#"{{"node":"a","name":"n1","network":"{name}","client":[],"admin":"127.0.0.1:1",
                "admin_token_file":"/t","link":"{link}"}}"#
        );
        net.nodes[0].ready = serde_json::from_str(&ready).unwrap();
        let text = fs::read_to_string(save(&net, 2).unwrap()).unwrap();
        let read: NetworkDefinition = toml::from_str(&text).unwrap();
        assert_eq!((read.network.name(), &*read.bootstrap), (&*name, &[link.to_owned()][..]));
    }
}
