//! A node of a version to come, as far as records go: what it says beside what is known is passed
//! over in questions, answers and records, and what must not be passed over is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use postroad_proto::codec;
use postroad_proto::frame::{
    Done, Frame, Nodes, NodesDigest, NodesDigested, NodesGet, NodesList, NodesListed,
};
use postroad_proto::ids::Hash;
use postroad_proto::record::{CRITICAL_FLAGS, NodeRecord};
use postroad_proto::signed::Signed;
use postroad_tests::network::NETWORK;
use postroad_tests::peer::{unknown_key_in, with_unknown_key};
use postroad_tests::{Network, Node, Peer, wait_for};
use serde::Serialize;

/// What a node of a version to come answers: more in the answer, and more in what it carries.
fn answer(request: u64, result: &impl Serialize) -> Option<Bytes> {
    let result = unknown_key_in(&codec::encode(result).unwrap());
    let done = Done {
        request,
        code: None,
        result: Some(result.into()),
        retry_after: 0,
        detail: String::new(),
    };
    Some(with_unknown_key(done))
}

/// Eight bytes of a record's node and of its hash, as tables list it.
fn entry(peer: &Peer, record: &Signed<NodeRecord>) -> Vec<u8> {
    [&peer.node().0[..8], &record.hash().0[..8]].concat()
}

fn seq_at(node: &Node, peer: &Peer) -> Option<u64> {
    node.route(&peer.node().to_string())["seq"].as_u64()
}

#[test]
fn questions_about_records_may_say_more_than_is_known() {
    let network = Network::start(1);
    let node = &network.nodes[0];
    let peer = Peer::start(51, NETWORK);
    peer.connect(node);
    // Its record has a flag that is not critical.
    let own = peer.sign(&NodeRecord { flags: 1, ..peer.record(1) });
    let (request, root) = (7, Hash([0; 32]));
    let buckets: Vec<u8> = (0..=255).collect();
    let nodes = peer.node().0[..8].to_vec();
    let questions = [
        with_unknown_key(NodesDigest { request, root, own: Some(own) }),
        with_unknown_key(NodesList { request, buckets: buckets.into() }),
        with_unknown_key(NodesGet { request, nodes: nodes.into() }),
    ];
    for question in questions {
        let Ok(Some(Frame::Done(done))) = peer.ask_raw(node, &question) else {
            panic!("no answer to {question:?}")
        };
        assert_eq!((done.request, done.code), (request, None), "{}", done.detail);
        assert!(done.result.is_some());
    }
    assert_eq!(seq_at(node, &peer), Some(1));

    // A critical flag is another matter: whoever does not know it must not act by the record.
    for (seq, flag) in [(2, 1 << 16), (3, 1 << 31), (4, CRITICAL_FLAGS)] {
        peer.introduce_as(node, peer.sign_as(&NodeRecord { flags: flag, ..peer.record(seq) }));
        assert_eq!(seq_at(node, &peer), Some(1), "{flag:#x}");
    }
    assert!(node.events_of("bad-record").is_empty(), "nobody is to blame for a newer version");
    peer.introduce_as(node, peer.sign(&peer.record(5)));
    assert_eq!(seq_at(node, &peer), Some(5));
}

#[test]
fn answers_about_records_may_say_more_than_is_known() {
    let network = Network::start(1);
    let node = &network.nodes[0];
    let peer = Peer::start(52, NETWORK);
    let [newer, known] = [53, 54].map(|seed| Peer::start(seed, NETWORK));
    let critical = newer.sign_as(&NodeRecord { flags: 1 << 20, ..newer.record(1) });
    let usual = known.sign(&NodeRecord { flags: 1 << 2, ..known.record(1) });
    let entries = [entry(&newer, &critical), entry(&known, &usual)].concat();
    // The critical one first: it must not keep the node from the other.
    let records = vec![critical, usual];
    peer.answer_with(move |_, question| match question {
        Frame::NodesDigest(ask) => {
            let (root, buckets) = (Hash([1; 32]), vec![1; 256 * 8].into());
            answer(ask.request, &NodesDigested { root, buckets })
        }
        Frame::NodesList(ask) => {
            answer(ask.request, &NodesListed { rest: 256, entries: entries.clone().into() })
        }
        Frame::NodesGet(ask) => answer(ask.request, &Nodes { records: records.clone() }),
        _ => None,
    });
    // Whoever connects is asked at once.
    peer.connect(node);
    wait_for("the record to be fetched", || (seq_at(node, &known) == Some(1)).then_some(()));
    assert_eq!(seq_at(node, &newer), None, "its flag is critical");
    assert!(node.events_of("bad-record").is_empty());
}
