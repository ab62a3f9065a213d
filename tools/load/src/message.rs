//! Messages as a node sees them, made from a template so that they cost next to nothing.
//!
//! A body is random bytes of the sealed size, with an id and a time in front: a node cannot tell it
//! from a sealed one. The frame is encoded once per recipient; for each message only its number,
//! body and hash are written into a copy.

use postroad_proto::envelope::{Class, ENVELOPE_VERSION, Envelope, Header, Parcel, Route, mode};
use postroad_proto::frame::{Frame, Send};
use postroad_proto::ids::{AccountId, Hash, NodeId};
use postroad_proto::token::DeliveryToken;

use crate::error::LoadError;

/// Bytes of the id and the time in front of a body.
pub(crate) const STAMP: usize = 16;
/// Bytes of a sealed header around an ordinary Olm message, see "Header" in `spec/envelope.md`.
const HEADER: usize = 219;
/// The first number of a `Send`: from here on all numbers have the same length.
const FIRST_NUMBER: u32 = 1 << 16;
/// Seconds until a message expires: longer than any run.
const LIFETIME: u64 = 86_400;

/// Which message it is: the sender's index and how many it sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) u64);

impl Id {
    pub(crate) fn new(sender: u32, count: u32) -> Self {
        Self(u64::from(sender) << 32 | u64::from(count))
    }

    /// The id that a `Send` of this number had.
    pub(crate) fn of_number(sender: u32, number: u64) -> Self {
        Self::new(sender, (number as u32).wrapping_sub(FIRST_NUMBER))
    }

    /// Who sent it.
    pub(crate) fn sender(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// How many the sender sent before.
    pub(crate) fn count(self) -> usize {
        self.0 as u32 as usize
    }
}

/// The id in a body, and when it was to be sent, nanoseconds since the run began.
pub(crate) fn stamp_of(body: &[u8]) -> Option<(Id, u64)> {
    let (id, rest) = body.split_first_chunk::<8>()?;
    let at = rest.first_chunk::<8>()?;
    Some((Id(u64::from_le_bytes(*id)), u64::from_le_bytes(*at)))
}

/// To whom messages go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipient<'a> {
    pub(crate) home: NodeId,
    pub(crate) account: AccountId,
    pub(crate) token: &'a DeliveryToken,
}

/// An encoded `Send` to one recipient, with the places that differ between messages.
#[derive(Debug)]
pub(crate) struct Template {
    frame: Vec<u8>,
    number_at: usize,
    hash_at: usize,
    body_at: usize,
    body: Vec<u8>,
}

impl Template {
    /// A template whose bodies are `filler` behind their stamp.
    pub(crate) fn new(to: Recipient<'_>, filler: &[u8]) -> Result<Self, LoadError> {
        let body = filler.to_vec();
        let hash = Hash::of(&body);
        let headers = vec![Header { device: 1, sealed: vec![0x5a; HEADER].into() }];
        let token = Some(to.token.clone());
        let parcel = Parcel { account: to.account, token, tag: None, label: None, headers };
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            flags: 0,
            class: Class::Message.number(),
            mode: mode::PAIR,
            deadline: postroad_cli::now_ms() / 1000 + LIFETIME,
            body_hash: hash,
            body: body.clone().into(),
            stamp: Vec::new().into(),
            routes: vec![Route { home: to.home, backups: Vec::new(), parcels: vec![parcel] }],
        };
        let mut frame = Vec::new();
        Frame::from(Send { number: u64::from(FIRST_NUMBER), envelope }).encode_into(&mut frame)?;
        let missing = || LoadError::Node("a frame is not laid out as expected".into());
        let number_at = find(&frame, &FIRST_NUMBER.to_be_bytes()).ok_or_else(missing)?;
        let hash_at = find(&frame, hash.as_bytes()).ok_or_else(missing)?;
        let body_at = find(&frame, &body).ok_or_else(missing)?;
        Ok(Self { frame, number_at, hash_at, body_at, body })
    }

    /// Appends the sender's message number `count`, to be sent at `at`.
    pub(crate) fn write(&mut self, sender: u32, count: u32, at: u64, out: &mut Vec<u8>) {
        self.body[..8].copy_from_slice(&Id::new(sender, count).0.to_le_bytes());
        self.body[8..STAMP].copy_from_slice(&at.to_le_bytes());
        let hash = Hash::of(&self.body);
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let mut put = |at: usize, bytes: &[u8]| {
            out[start + at..start + at + bytes.len()].copy_from_slice(bytes);
        };
        put(self.number_at, &(FIRST_NUMBER + count).to_be_bytes());
        put(self.hash_at, hash.as_bytes());
        put(self.body_at, &self.body[..STAMP]);
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_from_a_template_is_a_valid_envelope() {
        let token = DeliveryToken([7; 16]);
        let to = Recipient { home: NodeId([1; 32]), account: AccountId([2; 32]), token: &token };
        let filler: Vec<u8> = (0..=255).rev().collect();
        let mut template = Template::new(to, &filler).unwrap();
        let mut bytes = Vec::new();
        template.write(3, 70_000, 99, &mut bytes);
        let Frame::Send(send) = Frame::decode(&bytes.split_off(4).into()).unwrap().unwrap() else {
            unreachable!()
        };
        send.envelope.validate().unwrap();
        assert_eq!(Id::of_number(3, send.number), Id::new(3, 70_000));
        assert_eq!(stamp_of(&send.envelope.body), Some((Id::new(3, 70_000), 99)));
        assert_eq!(send.envelope.body.len(), 256);
    }
}
