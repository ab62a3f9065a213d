//! What the benches share: an ordinary message on its way, and a channel between a client and its
//! node.
//!
//! A message is what `postroad-load` sends, too: a sealed body of 256 bytes for one device.

#![allow(dead_code)]

#[path = "../../tests/common/samples.rs"]
pub(crate) mod samples;

use bytes::Bytes;
use postroad_proto::blob::Blob;
use postroad_proto::codec;
use postroad_proto::envelope::{Envelope, Header};
use postroad_proto::frame::{Frame, Push, Send};
use postroad_proto::noise::{Channel, Initiator, NoiseSecret, Responder};
use serde_bytes::ByteArray;

/// Messages that go together: a full batch between nodes.
pub(crate) const BATCH: usize = 64;
/// Bytes of a sealed header around an ordinary Olm message.
const HEADER: usize = 219;
const HELLO: &[u8] = b"the plain hello";

/// A message to somebody homed elsewhere.
pub(crate) fn message() -> Envelope {
    let mut envelope = Envelope { stamp: Blob::default(), ..samples::forwarded_envelope() };
    envelope.routes[0].parcels[0].headers = vec![Header { device: 1, sealed: header() }];
    envelope
}

fn header() -> Blob {
    vec![0x5a; HEADER].into()
}

/// A message as its sender hands it over.
pub(crate) fn send(number: u64) -> Frame {
    Send { number, envelope: message() }.into()
}

/// A message as its recipient gets it.
pub(crate) fn push(seq: u64) -> Frame {
    let envelope = message();
    Push {
        seq,
        attributes: envelope.attributes(),
        label: Some(ByteArray::new(*b"contact1")),
        origin: None,
        tag: None,
        body_hash: envelope.body_hash,
        header: Some(header()),
        body: envelope.body,
    }
    .into()
}

/// Frames as they follow one another in a channel.
pub(crate) fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode_into(&mut bytes).expect("a frame within the limits");
    }
    bytes
}

/// A frame without its length, as it is decoded.
pub(crate) fn without_length(frame: &Frame) -> Bytes {
    encoded(core::slice::from_ref(frame)).split_off(4).into()
}

/// The node's record as its side of a handshake carries it.
pub(crate) fn node_record() -> Vec<u8> {
    codec::encode(&samples::signed_node_record()).expect("encodes")
}

/// A whole handshake, both sides of it: the channel of the client and that of the node.
pub(crate) fn shake_hands(record: &[u8]) -> (Channel, Channel) {
    let client = NoiseSecret(samples::ALICE_NOISE);
    let node = NoiseSecret(samples::NODE_NOISE);
    let (initiator, first) = Initiator::start(&client, HELLO).expect("starts");
    let (responder, second) = Responder::start(&node, HELLO, &first, record).expect("answers");
    let expected = samples::node();
    let (at_client, _, third) =
        initiator.finish(&second, &samples::network(), Some(&expected)).expect("is the node");
    let (at_node, _) = responder.finish(&third).expect("is a client");
    (at_client, at_node)
}

/// Frames through a channel, from encoding to decoding. `wire` is a buffer to use. How many there
/// were.
pub(crate) fn carry(
    frames: &[Frame],
    from: &mut Channel,
    to: &mut Channel,
    wire: &mut Vec<u8>,
) -> usize {
    let mut plain = Vec::new();
    for frame in frames {
        frame.encode_into(&mut plain).expect("a frame within the limits");
    }
    wire.clear();
    from.seal(&plain, wire).expect("seals");
    to.receive(wire).expect("opens");
    let mut count = 0;
    while let Some(frame) = to.next_frame().expect("a frame") {
        std::hint::black_box(&frame);
        count += 1;
    }
    count
}
