//! What the tests of this crate share. Each test program uses a part of it.

#![allow(dead_code)]

pub(crate) mod arbitrary;
pub(crate) mod arbitrary_frames;
pub(crate) mod cbor;
pub(crate) mod device_samples;
pub(crate) mod noise;
pub(crate) mod sample_frames;
pub(crate) mod samples;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use postroad_proto::codec::CodecError;
use postroad_proto::frame::Frame;

pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).expect("hexadecimal digits")
}

/// A frame as it goes onto the channel: length, kind, body.
pub(crate) fn encode_frame(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode_into(&mut bytes).expect("a frame within the limits");
    bytes
}

/// Back from [`encode_frame`].
pub(crate) fn decode_frame(bytes: &[u8]) -> Result<Option<Frame>, CodecError> {
    Frame::decode(&Bytes::copy_from_slice(&bytes[4..]))
}
