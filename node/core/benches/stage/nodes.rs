//! Nodes and the records that they tell of each other.

use bytes::Bytes;
use postroad_core::changes::{Changes, Recovered};
use postroad_core::roads::{Command, Event, Verdict};
use postroad_core::{Config, Core, Input, Keys, Output, Registration};
use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::ids::{Hash, NodeId};
use postroad_proto::network::Network;
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::Signed;

pub(crate) const NOW: u64 = 1_800_000_000_000;

pub(crate) fn network() -> Network {
    "measured".parse().unwrap()
}

/// A node that has started.
pub(crate) fn node(number: u8, recovered: &Recovered) -> Core {
    let mut core = starting(number, recovered);
    settle(&mut core);
    core
}

/// A node whose first group waits to be sealed. It takes all the mail of its users that comes.
pub(crate) fn starting(number: u8, recovered: &Recovered) -> Core {
    let keys = Keys {
        signing: SigningKey::from_bytes(&[number; 32]),
        secret: [number; 32],
        network: network(),
        name: format!("node{number}.example"),
    };
    let config = Config { registration: Registration::Open, token_rate: 0, ..Config::default() };
    Core::start(config, keys, recovered, [number; 8], NOW).unwrap()
}

/// A node as they are met in the field: two addresses, a name.
pub(crate) fn record(index: u64, seq: u64) -> Bytes {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&index.to_be_bytes());
    let key = SigningKey::from_bytes(&seed);
    let record = NodeRecord {
        version: 1,
        flags: 0,
        node: NodeId(key.verifying_key().to_bytes()),
        seq: NOW / 1000 + seq,
        generation: 1,
        next_key: Some(Hash([1; 32])),
        noise: Hash([2; 32]),
        next_noise: Some(Hash([3; 32])),
        client: vec![format!("post{index}.example.org:7450")],
        p2p: vec![
            format!("/dns4/post{index}.example.org/tcp/7452"),
            "/ip4/192.0.2.17/tcp/7452".into(),
        ],
        relays: vec![],
        name: format!("post{index}.example.org"),
        region: "eu".into(),
        versions: (1, 1),
        features: 0,
        max_body: 65_536,
        max_deadline: 2_592_000,
        issued: NOW / 1000,
        expires: NOW / 1000 + 7 * 86_400,
    };
    codec::encode(&Signed::new(&record, &key, &network()).unwrap()).unwrap().into()
}

/// Ends a group, as if its changes were durable: what the node wants of the roads.
pub(crate) fn settle(core: &mut Core) -> Vec<Command> {
    core.seal(NOW);
    core.committed();
    let outputs = core.take_outputs().into_iter();
    outputs
        .filter_map(|output| match output {
            Output::Road(command) => Some(command),
            _ => None,
        })
        .collect()
}

/// The `index`-th record comes by gossip. One peer may not tell of all that many nodes.
pub(crate) fn gossiped(index: u64, record: &Bytes) -> Input {
    let from = NodeId([(index / 1000) as u8; 32]);
    Input::Road(Event::Gossip { id: 1, from, record: record.clone() })
}

/// What the core said of the records that came.
pub(crate) fn verdicts(outputs: Vec<Output>) -> Vec<Verdict> {
    let verdicts = outputs.into_iter().filter_map(|output| match output {
        Output::Road(Command::Verdict { verdict, .. }) => Some(verdict),
        _ => None,
    });
    verdicts.collect()
}

/// What a store would hand back at the next start, of a node that holds what `changes` wrote.
pub(crate) fn recovered(changes: Changes) -> Recovered {
    let state = changes.state.into_iter();
    let state = state.filter_map(|change| Some((change.key, change.value?))).collect();
    Recovered { commit: changes.commit, state, ..Recovered::default() }
}
