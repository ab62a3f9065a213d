//! The Noise channel against another implementation of it, and against hostile peers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::arbitrary::{Damage, WEAK_X25519, damage};
use common::noise::Handshake;
use common::samples::{ALICE_NOISE, NODE_NOISE, NODE_SEED, key, network};
use common::{encode_frame, samples, unhex};
use postroad_proto::codec::{self, CodecError};
use postroad_proto::frame::{Frame, Ping};
use postroad_proto::hello::hello;
use postroad_proto::ids::{Hash, NodeId};
use postroad_proto::limits::{MAX_FRAME, REKEY_AFTER};
use postroad_proto::noise::{
    Channel, Initiator, MAX_CHUNK, NoiseError, NoiseSecret, Responder, public_key,
};
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::{Signed, SignedError};
use proptest::prelude::*;
use proptest::test_runner::Config;

fn record() -> Vec<u8> {
    codec::encode(&samples::signed_node_record()).unwrap()
}

fn prologue() -> [u8; 20] {
    hello(&network())
}

/// Two ends of an established channel: the client's and the node's.
fn pair() -> (Channel, Channel) {
    let (client, first) = Initiator::start(&NoiseSecret(ALICE_NOISE), &prologue()).unwrap();
    let (node, second) =
        Responder::start(&NoiseSecret(NODE_NOISE), &prologue(), &first, &record()).unwrap();
    let (client, seen, third) = client.finish(&second, &network(), Some(&samples::node())).unwrap();
    let (node, device) = node.finish(&third).unwrap();
    assert_eq!(seen, samples::node_record());
    assert_eq!(device, public_key(&NoiseSecret(ALICE_NOISE)));
    (client, node)
}

fn ping(request: u64) -> Vec<u8> {
    encode_frame(&Ping { request }.into())
}

fn sealed(channel: &mut Channel, frames: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    channel.seal(frames, &mut wire).unwrap();
    wire
}

#[test]
fn a_client_written_from_the_documents_reaches_our_node() {
    let mut client = Handshake::new(true, ALICE_NOISE, [0xa1; 32], &prologue());
    let first = client.write(0, &[]);
    let (node, second) =
        Responder::start(&NoiseSecret(NODE_NOISE), &prologue(), &first, &record()).unwrap();
    assert_eq!(client.read(1, &second), Some(record()));
    let (mut node, device) = node.finish(&client.write(2, &[])).unwrap();
    assert_eq!(device, public_key(&NoiseSecret(ALICE_NOISE)));
    let (mut up, mut down) = client.split();
    node.receive(&up.seal(&ping(7))).unwrap();
    assert_eq!(node.next_frame(), Ok(Some(Ping { request: 7 }.into())));
    let wire = sealed(&mut node, &ping(8));
    assert_eq!(down.decrypt(&[], &wire[2..]), Some(ping(8)));
}

#[test]
fn a_node_written_from_the_documents_is_reached_by_our_client() {
    let (client, first) = Initiator::start(&NoiseSecret(ALICE_NOISE), &prologue()).unwrap();
    let mut node = Handshake::new(false, NODE_NOISE, [0xa2; 32], &prologue());
    assert_eq!(node.read(0, &first), Some(vec![]));
    let second = node.write(1, &record());
    let (mut client, _, third) =
        client.finish(&second, &network(), Some(&samples::node())).unwrap();
    assert_eq!(node.read(2, &third), Some(vec![]));
    let (mut up, mut down) = node.split();
    let wire = sealed(&mut client, &ping(9));
    assert_eq!(up.decrypt(&[], &wire[2..]), Some(ping(9)));
    // An empty transport message is nothing, and no frame.
    client.receive(&down.seal(b"")).unwrap();
    assert_eq!(client.next_frame(), Ok(None));
}

#[test]
fn keys_are_renewed_where_the_documents_say() {
    let mut client = Handshake::new(true, ALICE_NOISE, [0xa1; 32], &prologue());
    let first = client.write(0, &[]);
    let (node, second) =
        Responder::start(&NoiseSecret(NODE_NOISE), &prologue(), &first, &record()).unwrap();
    client.read(1, &second).unwrap();
    let (mut node, _) = node.finish(&client.write(2, &[])).unwrap();
    let (mut up, mut down) = client.split();
    let mut wire = Vec::new();
    for _ in 0..REKEY_AFTER {
        wire.clear();
        node.seal(b"\0", &mut wire).unwrap();
    }
    down.nonce = REKEY_AFTER;
    down.rekey();
    let wire = sealed(&mut node, &ping(1));
    assert_eq!(down.decrypt(&[], &wire[2..]), Some(ping(1)));
    // The other direction has its own count.
    node.receive(&up.seal(&ping(2))).unwrap();
    assert_eq!(node.next_frame(), Ok(Some(Ping { request: 2 }.into())));
}

#[test]
fn frames_span_and_share_messages() {
    let (mut client, mut node) = pair();
    let frames: Vec<Frame> =
        common::sample_frames::frames().into_iter().map(|(_, frame)| frame).collect();
    let Some(Frame::Push(mut push)) = frames.iter().find(|f| f.name() == "Push").cloned() else {
        panic!("expected a push");
    };
    push.body = vec![7; 120_000].into();
    let large = Frame::Push(push);
    let mut plain: Vec<u8> = frames.iter().flat_map(encode_frame).collect();
    plain.extend(encode_frame(&large));
    assert!(plain.len() > MAX_CHUNK);
    let wire = sealed(&mut client, &plain);
    let mut seen = Vec::new();
    for piece in wire.chunks(777) {
        node.receive(piece).unwrap();
        while let Some(frame) = node.next_frame().unwrap() {
            seen.push(frame);
        }
    }
    assert_eq!(seen.len(), frames.len() + 1);
    assert_eq!(seen.pop(), Some(large));
    assert_eq!(seen, frames);
}

#[test]
fn unknown_kinds_are_passed_over_and_bad_lengths_are_not() {
    let (mut client, mut node) = pair();
    let mut plain = vec![0, 0, 0, 3, 200, 0xff, 0xff];
    plain.extend(ping(3));
    node.receive(&sealed(&mut client, &plain)).unwrap();
    assert_eq!(node.next_frame(), Ok(Some(Ping { request: 3 }.into())));

    let too_long = (MAX_FRAME as u32 + 1).to_be_bytes();
    node.receive(&sealed(&mut client, &too_long)).unwrap();
    let expected = CodecError::TooLarge { limit: MAX_FRAME, got: MAX_FRAME + 1 };
    assert_eq!(node.next_frame(), Err(NoiseError::Codec(expected)));

    let (mut client, mut node) = pair();
    node.receive(&sealed(&mut client, &[0, 0, 0, 0])).unwrap();
    assert_eq!(node.next_frame(), Err(NoiseError::Codec(CodecError::Truncated)));
}

/// What a client says to a node that shows `record` in the second message.
fn answer_to(record: &[u8], expected: Option<&NodeId>) -> NoiseError {
    let (client, first) = Initiator::start(&NoiseSecret(ALICE_NOISE), &prologue()).unwrap();
    let (_, second) =
        Responder::start(&NoiseSecret(NODE_NOISE), &prologue(), &first, record).unwrap();
    client.finish(&second, &network(), expected).err().unwrap()
}

fn signed_node(change: impl Fn(&mut NodeRecord), seed: [u8; 32]) -> Vec<u8> {
    let mut record = samples::node_record();
    change(&mut record);
    codec::encode(&Signed::new(&record, &key(seed), &network()).unwrap()).unwrap()
}

#[test]
fn only_the_wanted_node_with_its_own_record_is_spoken_to() {
    let other = NodeId(key([9; 32]).verifying_key().to_bytes());
    let got = answer_to(&record(), Some(&other));
    assert_eq!(got, NoiseError::WrongNode { expected: other, got: samples::node() });
    let stolen = signed_node(|r| r.noise = Hash([5; 32]), NODE_SEED);
    assert_eq!(answer_to(&stolen, Some(&samples::node())), NoiseError::NotItsRecord);
    assert_eq!(answer_to(&stolen, None), NoiseError::NotItsRecord);
    let forged = signed_node(|_| (), [9; 32]);
    let bad = NoiseError::Record(SignedError::BadSignature);
    assert_eq!(answer_to(&forged, Some(&samples::node())), bad);
    let elsewhere =
        Signed::new(&samples::node_record(), &key(NODE_SEED), &"other".parse().unwrap()).unwrap();
    assert_eq!(answer_to(&codec::encode(&elsewhere).unwrap(), None), bad);
    assert!(matches!(answer_to(b"", None), NoiseError::Codec(_)));
}

#[test]
fn another_prologue_ends_the_handshake() {
    let (client, first) = Initiator::start(&NoiseSecret(ALICE_NOISE), &prologue()).unwrap();
    let other = hello(&"other".parse().unwrap());
    let (_, second) =
        Responder::start(&NoiseSecret(NODE_NOISE), &other, &first, &record()).unwrap();
    let result = client.finish(&second, &network(), None);
    assert!(matches!(result, Err(NoiseError::Noise(_))));
}

#[test]
fn weak_static_keys_are_refused_on_both_sides() {
    for weak in WEAK_X25519 {
        let weak: [u8; 32] = unhex(weak).try_into().unwrap();
        let mut client = Handshake::new(true, ALICE_NOISE, [0xa1; 32], &prologue()).claiming(weak);
        let first = client.write(0, &[]);
        let (node, second) =
            Responder::start(&NoiseSecret(NODE_NOISE), &prologue(), &first, &record()).unwrap();
        client.read(1, &second).unwrap();
        assert_eq!(node.finish(&client.write(2, &[])).err(), Some(NoiseError::WeakKey));

        let (client, first) = Initiator::start(&NoiseSecret(ALICE_NOISE), &prologue()).unwrap();
        let mut node = Handshake::new(false, NODE_NOISE, [0xa2; 32], &prologue()).claiming(weak);
        node.read(0, &first).unwrap();
        let second = node.write(1, &signed_node(|r| r.noise = Hash(weak), NODE_SEED));
        let result = client.finish(&second, &network(), Some(&samples::node()));
        assert_eq!(result.err(), Some(NoiseError::WeakKey));
    }
}

#[test]
fn a_replayed_or_reordered_message_ends_the_channel() {
    let (mut client, mut node) = pair();
    let (one, two) = (sealed(&mut client, &ping(1)), sealed(&mut client, &ping(2)));
    node.receive(&one).unwrap();
    assert!(matches!(node.receive(&one), Err(NoiseError::Noise(_))));
    let (mut client, mut node) = pair();
    let _lost = sealed(&mut client, &ping(1));
    assert!(matches!(node.receive(&two), Err(NoiseError::Noise(_))));
    assert!(matches!(node.receive(&sealed(&mut client, &ping(3))), Err(NoiseError::Noise(_))));
}

proptest! {
    #![proptest_config(Config { cases: 128, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_bytes_at_any_point_of_a_handshake(bytes in prop::collection::vec(any::<u8>(), 0..1600)) {
        let secret = NoiseSecret(NODE_NOISE);
        let record = record();
        let _ = Responder::start(&secret, &prologue(), &bytes, &record);
        let (client, first) = Initiator::start(&NoiseSecret(ALICE_NOISE), &prologue()).unwrap();
        prop_assert!(client.finish(&bytes, &network(), None).is_err());
        let (node, _) = Responder::start(&secret, &prologue(), &first, &record).unwrap();
        prop_assert!(node.finish(&bytes).is_err());
    }

    #[test]
    fn a_damaged_handshake_does_not_come_up(damage in damage()) {
        let (client, first) = Initiator::start(&NoiseSecret(ALICE_NOISE), &prologue()).unwrap();
        let secret = NoiseSecret(NODE_NOISE);
        let (node, second) = Responder::start(&secret, &prologue(), &first, &record()).unwrap();
        let damaged = damage.apply(&second);
        prop_assume!(damaged != second);
        prop_assert!(client.finish(&damaged, &network(), Some(&samples::node())).is_err());
        drop(node);
    }

    #[test]
    fn any_bytes_on_the_wire_give_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (_, mut node) = pair();
        let received = node.receive(&bytes);
        if received.is_ok() {
            prop_assert_eq!(node.next_frame(), Ok(None));
        }
    }

    #[test]
    fn any_plaintext_in_the_channel_does_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600), kind in any::<u8>(),
    ) {
        let (mut client, mut node) = pair();
        let length = (bytes.len() as u32 + 1).to_be_bytes();
        let framed = [length.as_slice(), &[kind], &bytes].concat();
        node.receive(&sealed(&mut client, &framed)).unwrap();
        while let Ok(Some(_)) = node.next_frame() {}
        let (mut client, mut node) = pair();
        node.receive(&sealed(&mut client, &bytes)).unwrap();
        while let Ok(Some(_)) = node.next_frame() {}
    }

    #[test]
    fn damaged_transport_gives_no_frame(damages in prop::collection::vec(damage(), 1..4)) {
        let (mut client, mut node) = pair();
        let wire = sealed(&mut client, &ping(1));
        let damaged = damages.iter().fold(wire.clone(), |bytes, damage| match damage {
            _ if bytes.is_empty() => bytes,
            damage => Damage::apply(damage, &bytes),
        });
        // What was only appended after the message leaves the message whole.
        prop_assume!(!damaged.starts_with(&wire));
        if node.receive(&damaged).is_ok() {
            prop_assert_eq!(node.next_frame(), Ok(None));
        }
    }
}
