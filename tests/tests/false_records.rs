//! A node that lies about nodes: forged, stale, future-dated and contradicting records change
//! nobody's routes, and operators are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_proto::codec;
use postroad_proto::ids::NodeId;
use postroad_proto::record::NodeRecord;
use postroad_tests::network::NETWORK;
use postroad_tests::peer::{node_link, now};
use postroad_tests::{Network, Node, Peer, wait_for};
use serde_json::Value;

const KINDS: [&str; 4] = ["bad-record", "future-record", "equivocates", "own-record"];

/// A network of two and a peer whose record both have.
fn network_and_peer(seed: u8) -> (Network, Peer, NodeRecord) {
    let network = Network::start(2);
    let peer = Peer::start(seed, NETWORK);
    peer.connect(&network.nodes[0]);
    let record = silent(&peer, 10);
    peer.gossip_record(&record);
    for node in &network.nodes {
        wait_for("the peer's record to spread", || {
            (node.route(&peer.node().to_string())["seq"] == 10).then_some(())
        });
    }
    (network, peer, record)
}

/// A record without addresses: nobody connects to the peer, so what the second node hears of it
/// came through the first.
fn silent(peer: &Peer, seq: u64) -> NodeRecord {
    NodeRecord { p2p: vec![], ..peer.record(seq) }
}

/// What a node believes of others that cannot have changed by itself.
fn beliefs(node: &Node) -> Vec<(Value, Value, Value)> {
    let routes = node.postroad(&["routes"]);
    let routes = routes.as_array().unwrap().iter();
    routes.map(|r| (r["node"].clone(), r["seq"].clone(), r["addresses"].clone())).collect()
}

#[test]
fn old_future_and_contradicting_records_change_nothing() {
    let (network, peer, record) = network_and_peer(21);
    let name = peer.node().to_string();
    let believed: Vec<_> = network.nodes.iter().map(beliefs).collect();
    let elsewhere = vec!["/ip4/127.0.0.1/tcp/9".to_owned()];

    let stale = NodeRecord { p2p: elsewhere.clone(), ..peer.record(9) };
    peer.gossip_record(&stale);
    peer.gossip_record(&twin(&peer, &record, |hash, held| hash > held));
    let text = network.nodes[0].wait_for_event("equivocates", &name);
    assert!(text.contains("twice"), "says what it means: {text}");
    let issued = now() + 7200;
    let early = NodeRecord { issued, expires: issued + 60, p2p: elsewhere, ..peer.record(11) };
    peer.gossip_record(&early);
    let text = network.nodes[0].wait_for_event("future-record", &name);
    assert!(text.contains("clock"), "says what it means: {text}");

    assert_eq!(network.nodes.iter().map(beliefs).collect::<Vec<_>>(), believed);
    for kind in KINDS {
        assert!(network.nodes[1].events_of(kind).is_empty(), "{kind} was passed on");
    }
    // What is true is still taken from it.
    peer.gossip_record(&silent(&peer, 12));
    wait_for("a true record", || (network.nodes[1].route(&name)["seq"] == 12).then_some(()));
}

/// A record with the number of another, and a hash that `wanted` finds right beside its hash.
fn twin(
    peer: &Peer,
    first: &NodeRecord,
    wanted: impl Fn([u8; 32], [u8; 32]) -> bool,
) -> NodeRecord {
    let held = peer.sign(first).hash().0;
    let mut twins = (0..).map(|n| NodeRecord { region: format!("twin {n}"), ..first.clone() });
    twins.find(|twin| wanted(peer.sign(twin).hash().0, held)).unwrap()
}

#[test]
fn of_two_records_with_one_number_all_keep_the_same() {
    let (network, peer, record) = network_and_peer(23);
    let name = peer.node().to_string();
    let twin = twin(&peer, &record, |hash, held| hash < held);
    peer.gossip_record(&twin);
    for node in &network.nodes {
        wait_for("the same one everywhere", || {
            (node.route(&name)["region"] == twin.region.as_str()).then_some(())
        });
        node.wait_for_event("equivocates", &name);
    }
}

#[test]
fn nobody_speaks_for_another_node() {
    let (network, peer, _) = network_and_peer(22);
    let believed: Vec<_> = network.nodes.iter().map(beliefs).collect();
    let [first, second] = &network.nodes[..] else { panic!("two nodes") };
    let mut damaged = codec::encode(&peer.sign(&peer.record(14))).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    peer.publish(&damaged);
    first.wait_for_event("bad-record", &peer.node().to_string());

    for victim in [first, second] {
        let node: NodeId = node_link(victim).node;
        // Signed with the liar's key, and numbered so that it would win.
        let forged = NodeRecord { node, ..peer.record(now() * 2) };
        peer.introduce_as(first, peer.sign_as(&forged));
    }
    let too_long = NodeRecord { expires: now() + 30 * 86_400, ..peer.record(11) };
    peer.introduce_as(first, peer.sign(&too_long));
    let over = NodeRecord { issued: now() - 90_000, expires: now() - 3600, ..peer.record(12) };
    peer.introduce_as(first, peer.sign(&over));
    let unknown = NodeRecord { flags: u64::MAX, ..peer.record(13) };
    peer.introduce_as(first, peer.sign_as(&unknown));
    assert_eq!(network.nodes.iter().map(beliefs).collect::<Vec<_>>(), believed);
    assert!(second.events_of("bad-record").is_empty(), "it was passed on");
    assert_eq!(first.postroad(&["status"])["verdict"], "ok");
    peer.introduce_as(first, peer.sign(&silent(&peer, 15)));
    assert_eq!(first.route(&peer.node().to_string())["seq"], 15, "what is true is taken");
}

#[test]
fn a_node_whose_record_others_have_in_a_newer_form_makes_a_newer_one() {
    let mut network = Network::start(2);
    let id = network.nodes[0].id();
    let key = network.nodes[0].signing_key();
    network.nodes[0].kill();
    // As if an earlier life of the node, which it has forgotten, had spoken.
    let past = Peer::with_key(key, NETWORK);
    past.connect(&network.nodes[1]);
    let seq = now() + 5000;
    past.introduce_as(&network.nodes[1], past.sign(&past.record(seq)));
    assert_eq!(network.nodes[1].route(&id)["seq"], seq);
    drop(past);
    network.nodes[0].restart();
    wait_for("the node's own word to count again", || {
        let route = network.nodes[1].route(&id);
        (route["seq"].as_u64() > Some(seq)).then_some(())
    });
    let link = node_link(&network.nodes[0]);
    let route = network.nodes[1].route(&id);
    assert_eq!(route["addresses"], serde_json::json!(link.p2p), "{route}");
}
