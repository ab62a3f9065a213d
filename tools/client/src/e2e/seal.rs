//! Sealing a message for all devices of one account.

use core::fmt;

use postroad_proto::content::Message;
use postroad_proto::envelope::{Attributes, Class, ENVELOPE_VERSION, Header, mode};
use postroad_proto::ids::{AccountId, Hash};
use postroad_proto::pair::{self, ContentKey, Context, HeaderContent, KeyGrant};
use postroad_proto::record::Device;

use super::{DeviceAddress, PeerSessions};
use crate::entropy;
use crate::error::Result;

/// What is to be sealed. Debug shows nothing of the text.
pub struct Letter<'a> {
    /// How nodes treat it.
    pub class: Class,
    /// Until when they keep it, seconds since the Unix epoch.
    pub deadline: u64,
    /// This device.
    pub sender: DeviceAddress,
    /// To whom.
    pub recipient: AccountId,
    /// The message.
    pub message: &'a Message,
    /// Its encoding.
    pub plaintext: &'a [u8],
}

impl fmt::Debug for Letter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter({})", self.message.id)
    }
}

/// What goes into an envelope.
#[derive(Debug)]
pub struct Sealed {
    /// What the seals are bound to.
    pub attributes: Attributes,
    /// Of `body`.
    pub body_hash: Hash,
    /// The sealed body.
    pub body: Vec<u8>,
    /// One per device that there is a session with, by rising number.
    pub headers: Vec<Header>,
}

/// Seals `letter` to those of `devices` that there is a session with. `None` when there is none
/// with any of them. The sessions step forward and are to be stored before anything is sent.
///
/// # Errors
/// When it is too large, or a device's keys are weak.
pub fn seal(letter: &Letter<'_>, devices: &mut [(Device, PeerSessions)]) -> Result<Option<Sealed>> {
    if devices.iter().all(|(_, sessions)| sessions.is_empty()) {
        return Ok(None);
    }
    let attributes = Attributes {
        version: ENVELOPE_VERSION,
        flags: 0,
        class: letter.class.number(),
        mode: mode::PAIR,
        deadline: letter.deadline,
    };
    let key = ContentKey(entropy::bytes());
    let body = pair::seal_body(&key, &attributes, letter.plaintext)?;
    let body_hash = Hash::of(&body);
    let mut headers = Vec::with_capacity(devices.len());
    for (device, sessions) in devices.iter_mut() {
        headers.extend(seal_header(letter, &key, body_hash, device, sessions)?);
    }
    headers.sort_by_key(|header| header.device);
    Ok(Some(Sealed { attributes, body_hash, body, headers }))
}

fn seal_header(
    letter: &Letter<'_>,
    key: &ContentKey,
    body_hash: Hash,
    device: &Device,
    sessions: &mut PeerSessions,
) -> Result<Option<Header>> {
    let context = Context {
        body_hash,
        message: letter.message.id,
        conversation: letter.message.conversation,
        sender: letter.sender.0,
        sender_device: letter.sender.1,
        recipient: letter.recipient,
        recipient_device: device.number,
    };
    let grant = KeyGrant { key: key.clone(), context: context.hash()? };
    let Some(olm) = sessions.encrypt(grant.to_bytes().as_slice()) else { return Ok(None) };
    let (olm_type, olm) = olm?.to_parts();
    let content = HeaderContent {
        sender: letter.sender.0,
        device: letter.sender.1,
        olm_type: olm_type as u64,
        olm: olm.into(),
    };
    let recipient = (letter.recipient, device.number);
    let sealed =
        pair::seal_header(&device.seal, recipient, &body_hash, &content, &mut entropy::rng())?;
    Ok(Some(Header { device: device.number, sealed: sealed.into() }))
}
