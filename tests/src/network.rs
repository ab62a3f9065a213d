//! Several nodes that know each other.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cut::Cut;
use crate::node::Node;
use crate::person::Person;
use crate::programs::program;
use crate::wait_for;

/// The network that its nodes belong to.
pub const NETWORK: &str = "road-test";

/// Nodes of one network, each with a connection to the first.
pub struct Network {
    /// The nodes, in the order in which they were started.
    pub nodes: Vec<Node>,
    /// A copy of the network's definition, which names the first node.
    definition: PathBuf,
    /// Holds the definition and the nodes' data; goes after the nodes.
    folder: TempDir,
}

impl Network {
    /// Starts `count` nodes and waits until all know and some have reached each other.
    ///
    /// # Panics
    /// When they do not in time.
    pub fn start(count: usize) -> Self {
        Self::start_with(count, "")
    }

    /// [`Self::start`] with this configuration (TOML) for each.
    ///
    /// # Panics
    /// When they do not know each other in time.
    pub fn start_with(count: usize, config: &str) -> Self {
        let mut network = Self::empty();
        for _ in 0..count {
            network.add(config);
        }
        network.wait_until_known();
        network
    }

    /// A network without a node.
    ///
    /// # Panics
    /// When there is no room for its files.
    pub fn empty() -> Self {
        let folder = TempDir::new().unwrap();
        let definition = folder.path().join("network.toml");
        std::fs::write(&definition, format!("network = \"{NETWORK}\"\n")).unwrap();
        Self { nodes: Vec::new(), definition, folder }
    }

    /// Starts one more node. The first becomes where the others begin.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn add(&mut self, config: &str) {
        let mut node = self.prepare(config);
        node.restart();
        self.welcome(node);
    }

    /// Starts one more node, which deceives its users as the file at `rules` says.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn add_hostile(&mut self, config: &str, rules: &Path) {
        let mut node = self.prepare(config);
        node.set_program(program("posthoused-faults"));
        node.set_variable("POSTROAD_HOSTILE", &rules.display().to_string());
        node.restart();
        self.welcome(node);
    }

    /// Two nodes that reach each other over wires that can be cut.
    ///
    /// # Panics
    /// When they do not get ready.
    pub fn start_with_cuts() -> (Self, [Cut; 2]) {
        let mut network = Self::empty();
        let cuts = [0, 1].map(|_| {
            let mut node = network.prepare("");
            // Its first start shows its port; only the wire's end is ever told to others.
            node.set_flags(&["--network", NETWORK]);
            node.restart();
            assert!(node.terminate().success());
            let cut = Cut::before(node.p2p());
            node.set_flags(&["--network", &network.definition(), "--p2p-external", cut.address()]);
            node.restart();
            network.welcome(node);
            cut
        });
        network.wait_until_known();
        (network, cuts)
    }

    /// A node of the network that is not started yet.
    fn prepare(&self, config: &str) -> Node {
        let dir = self.folder.path().join(format!("node-{}", self.nodes.len() + 1));
        let mut node = Node::prepare(&dir, config);
        node.set_flags(&["--network", &self.definition()]);
        node
    }

    fn welcome(&mut self, node: Node) {
        if self.nodes.is_empty() {
            let text = format!("network = \"{NETWORK}\"\nbootstrap = [\"{}\"]\n", node.link());
            std::fs::write(&self.definition, text).unwrap();
        }
        self.nodes.push(node);
    }

    /// Waits until each node knows the current record of each, and is connected to some other.
    ///
    /// # Panics
    /// When they do not in time.
    pub fn wait_until_known(&self) {
        let ids: Vec<String> = self.nodes.iter().map(Node::id).collect();
        for node in &self.nodes {
            wait_for("the nodes to know each other", || knows(node, &ids).then_some(()));
            wait_for("the nodes to be connected", || {
                let peers = node.postroad(&["peers"]);
                (self.nodes.len() == 1 || !peers.as_array()?.is_empty()).then_some(())
            });
        }
    }

    /// Alice on the first node and Bob on the second, who is her contact.
    ///
    /// # Panics
    /// When they cannot join.
    pub fn alice_and_bob(&self) -> (Person, Person) {
        let alice = Person::join("alice", &self.nodes[0]);
        let bob = Person::join("bob", &self.nodes[1]);
        alice.add(&bob);
        (alice, bob)
    }

    /// The file that names the network and its first node.
    pub fn definition(&self) -> String {
        self.definition.display().to_string()
    }
}

/// Whether a node has a current record of all of these.
fn knows(node: &Node, ids: &[String]) -> bool {
    ids.iter().all(|id| node.route(id)["current"] == true)
}
