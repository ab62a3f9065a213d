//! A node that takes mail and means no good: it never answers, or lies in its answer. Nothing is
//! settled by it, the sender can see why his mail waits, and it arrives when the real node is back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Batch, BatchReply, Frame, MailOpened, Ping, RefusedParcel};
use postroad_proto::ids::{NodeId, ParcelId};
use postroad_proto::merkle;
use postroad_proto::receipt::{ReceiptItem, ReceiptKind, ReceiptRoot, role};
use postroad_proto::record::RECORD_VERSION;
use postroad_proto::signed::Signed;
use postroad_tests::network::NETWORK;
use postroad_tests::peer::{Mail, now, open_frame};
use postroad_tests::{Network, Peer, Person, wait_for};

/// A network of two whose second node was taken over by somebody who has its key, with mail for a
/// user of it.
struct Taken {
    network: Network,
    impostor: Peer,
    alice: Person,
    bob: Person,
    /// Her text to him, which waits.
    id: String,
}

impl Taken {
    fn over() -> Self {
        let mut network = Network::start(2);
        let (alice, bob) = network.alice_and_bob();
        alice.send("bob", "before");
        assert_eq!(bob.receives(1), ["before"]);
        network.nodes[1].kill();
        let impostor = Peer::with_key(network.nodes[1].signing_key(), NETWORK);
        impostor.connect(&network.nodes[0]);
        let record = impostor.record(now() + 1000);
        assert_eq!(impostor.introduce_as(&network.nodes[0], impostor.sign(&record)), None);
        let (id, state) = alice.send("bob", "for his eyes only");
        assert_eq!(state, "accepted");
        Self { network, impostor, alice, bob, id }
    }

    /// The next stream and what is offered on it.
    fn next_batch(&mut self) -> (Mail, Batch) {
        // Any word from this node has the other try at once.
        self.impostor.ask(&self.network.nodes[0], &Ping { request: 1 }.into()).unwrap();
        let mut mail = self.impostor.take_mail();
        mail.welcome();
        let batch = mail.batch();
        assert_eq!(batch.envelopes.len(), 1);
        (mail, batch)
    }

    /// The real node comes back, and with it everything is well.
    fn end_well(mut self) {
        assert_eq!(self.alice.state_of(&self.id), "accepted");
        drop(self.impostor);
        self.network.nodes[1].restart();
        assert_eq!(self.bob.receives(1), ["for his eyes only"]);
        self.alice.wait_until(&self.id, "read");
        assert!(self.bob.inbox().is_empty(), "once");
    }
}

#[test]
fn a_node_that_never_answers_settles_nothing_and_is_tried_again() {
    let mut taken = Taken::over();
    let (mail, batch) = taken.next_batch();
    let why = wait_for("the reason to be told", || {
        let why = taken.alice.ok(&["why", &taken.id]);
        why["waiting"]["reason"].as_str()?.contains("not answered").then_some(why)
    });
    assert_eq!(why["state"], "accepted", "{why}");
    drop(mail);
    let (_mail, again) = taken.next_batch();
    assert_eq!(again.envelopes, batch.envelopes, "the same bytes are offered again");
    taken.end_well();
}

/// The parcel that a batch of one envelope carries.
fn parcel_of(batch: &Batch, network: &postroad_proto::network::Network) -> ParcelId {
    let envelope = &batch.envelopes[0];
    envelope.parcel_id(&envelope.routes[0].parcels[0], network)
}

fn item(parcel: ParcelId) -> ReceiptItem {
    let (kind, until) = (ReceiptKind::AtNode.number(), now() + 3600);
    ReceiptItem { parcel, kind, role: role::HOME, copies: 1, until, devices: None }
}

/// A reply with receipts for these items in the name of `node`, signed with `key`.
fn reply(number: u64, items: Vec<ReceiptItem>, node: NodeId, key: &SigningKey) -> BatchReply {
    let leaves: Vec<_> = items.iter().map(|item| item.leaf().unwrap()).collect();
    let root = ReceiptRoot {
        version: RECORD_VERSION,
        flags: 0,
        node,
        generation: 1,
        run: [1; 8],
        commit: 1,
        at: now() * 1000,
        merkle_root: merkle::root(&leaves),
    };
    let payload = codec::encode(&root).unwrap();
    let network = NETWORK.parse().unwrap();
    let purpose = postroad_proto::signed::Purpose::ReceiptRoot;
    let signature = postroad_proto::signed::sign(key, purpose, &network, &payload);
    let root: Signed<ReceiptRoot> = postroad_tests::raw::forged(&payload, signature);
    BatchReply { number, items, path: vec![], root: Some(root), refused: vec![] }
}

/// Makes a false reply to the batch with this number, about this parcel.
type Forge<'a> = Box<dyn Fn(u64, ParcelId) -> BatchReply + 'a>;

#[test]
fn forged_receipts_settle_nothing() {
    let mut taken = Taken::over();
    let (node, key) = (taken.impostor.node(), taken.impostor.key().clone());
    let other = SigningKey::from_bytes(&[77; 32]);
    let other_node = NodeId(other.verifying_key().to_bytes());
    let forge: [(&str, Forge<'_>); 7] = [
        ("another key", Box::new(|n, p| reply(n, vec![item(p)], node, &other))),
        ("another node", Box::new(|n, p| reply(n, vec![item(p)], other_node, &other))),
        (
            "another tree",
            Box::new(|n, p| {
                let items = vec![item(p)];
                BatchReply { items, ..reply(n, vec![item(ParcelId([1; 16]))], node, &key) }
            }),
        ),
        (
            "a parcel that was not offered",
            Box::new(|n, p| reply(n, vec![item(p), item(ParcelId([1; 16]))], node, &key)),
        ),
        (
            "another kind",
            Box::new(|n, p| {
                let kind = ReceiptKind::Expired.number();
                reply(n, vec![ReceiptItem { kind, ..item(p) }], node, &key)
            }),
        ),
        (
            "no signature",
            Box::new(|n, p| BatchReply { root: None, ..reply(n, vec![item(p)], node, &key) }),
        ),
        ("another batch", Box::new(|n, p| reply(n + 7, vec![item(p)], node, &key))),
    ];
    for (what, forge) in &forge {
        let told = taken.network.nodes[0].events_of("misbehaved").len();
        let (mut mail, batch) = taken.next_batch();
        let parcel = parcel_of(&batch, taken.impostor.network());
        mail.send(forge(batch.number, parcel)).unwrap();
        mail.expect_closed();
        assert_eq!(taken.alice.state_of(&taken.id), "accepted", "{what}");
        wait_for(&format!("the operator to be told of {what}"), || {
            (taken.network.nodes[0].events_of("misbehaved").len() > told).then_some(())
        });
    }
    taken.end_well();
}

#[test]
fn what_is_put_off_or_not_mentioned_waits() {
    let mut taken = Taken::over();
    let (mut mail, batch) = taken.next_batch();
    let refused = RefusedParcel {
        envelope: 0,
        account: None,
        code: ErrorCode::Quota,
        retriable: true,
        retry_after: 1,
        detail: "the mailbox is full".into(),
        record: None,
        records: None,
    };
    let nothing = BatchReply {
        number: batch.number,
        items: vec![],
        path: vec![],
        root: None,
        refused: vec![refused],
    };
    mail.send(nothing.clone()).unwrap();
    let again = mail.batch();
    assert_eq!(again.envelopes, batch.envelopes, "offered again, on the same stream");
    mail.send(BatchReply { number: again.number, refused: vec![], ..nothing }).unwrap();
    let why = wait_for("the reason to be told", || {
        let why = taken.alice.ok(&["why", &taken.id]);
        why["waiting"]["next_try"].is_string().then_some(why)
    });
    assert_eq!(why["state"], "accepted", "{why}");
}

#[test]
fn a_node_that_speaks_no_common_version_or_out_of_turn_is_tried_again() {
    let mut taken = Taken::over();
    let run = open_frame((1, 1)).run;
    let opened = MailOpened { version: 9, generation: 1, run, quoted: None };
    let answers: [(Frame, &str); 2] =
        [(opened.into(), "version"), (Ping { request: 1 }.into(), "turn")];
    for (answer, word) in answers {
        taken.impostor.ask(&taken.network.nodes[0], &Ping { request: 1 }.into()).unwrap();
        let mut mail = taken.impostor.take_mail();
        assert!(matches!(mail.recv(), Some(Frame::MailOpen(_))));
        mail.send(answer).unwrap();
        mail.expect_closed();
        taken.network.nodes[0].wait_for_event("misbehaved", word);
        let why = taken.alice.ok(&["why", &taken.id]);
        assert_eq!(why["state"], "accepted", "{why}");
    }
    taken.end_well();
}
