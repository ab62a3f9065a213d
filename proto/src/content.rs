//! What is inside the seal: only devices see it. `spec/content.md`.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::blob::Blob;
use crate::codec::{self, CodecError};
use crate::ephemeral::EphemeralSecret;
use crate::ids::{AccountId, ConversationId, DeviceNumber, Hash, MessageId, Millis};
use crate::limits::MAX_BODY;
use crate::record::{AccountRecord, Deletion, DeviceList, HandleRecord};
use crate::signed::Signed;
use crate::token::DeliveryToken;

/// Content kinds. The set is open: an unknown kind is kept and shown as such.
pub mod kind {
    /// [`super::Text`].
    pub const TEXT: u64 = 1;
    /// [`super::ReceiptContent`].
    pub const RECEIPT: u64 = 2;
    /// Reserved: a reply is a [`super::Text`] that names what it answers.
    pub const REPLY: u64 = 3;
    /// [`super::Edit`].
    pub const EDIT: u64 = 4;
    /// [`super::Delete`].
    pub const DELETE: u64 = 5;
    /// [`super::Reaction`].
    pub const REACTION: u64 = 6;
    /// Reserved: a file.
    pub const FILE: u64 = 7;
    /// Reserved: somebody's contact link.
    pub const CONTACT: u64 = 8;
    /// Reserved: typing.
    pub const TYPING: u64 = 9;
    /// Reserved: call signalling.
    pub const CALL: u64 = 10;
    /// Reserved: group control.
    pub const GROUP: u64 = 11;
    /// Reserved: between one's own devices.
    pub const SYNC: u64 = 12;
    /// [`super::Resend`].
    pub const RESEND: u64 = 13;
    /// [`super::Introduction`]: nothing but the card.
    pub const INTRODUCTION: u64 = 14;
    /// [`super::Timer`].
    pub const TIMER: u64 = 15;
    /// [`super::Absent`].
    pub const ABSENT: u64 = 16;
    /// [`super::Farewell`].
    pub const FAREWELL: u64 = 17;
}

/// The plaintext of a sealed body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What people and commands call it; a resend keeps it.
    pub id: MessageId,
    /// Where it is shown.
    pub conversation: ConversationId,
    /// Rises by one with each message of this device in this conversation, from 1.
    pub seq: u64,
    /// First 16 bytes of BLAKE3 of the plaintext of `seq` − 1; absent in the first.
    pub previous: Option<ByteArray<16>>,
    /// Lowest `seq` that the sender could still send again.
    pub lowest_kept: u64,
    /// By the sender's clock.
    pub sent_at: Millis,
    /// Who sends: compared with the sealed header.
    pub sender: Sender,
    /// A [`Card`], until the contact has been heard from.
    pub card: Option<Blob>,
    /// A [`kind`] number.
    pub kind: u64,
    /// The encoded content of that kind.
    pub content: Blob,
}

/// The sender as the body names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceNumber,
    /// First 16 bytes of the hash of the device list that the sender goes by.
    pub devices: ByteArray<16>,
}

/// All a contact needs to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Where the sender is homed.
    pub record: Signed<AccountRecord>,
    /// The sender's devices.
    pub devices: Signed<DeviceList>,
    /// The sender's handle.
    pub handle: Option<Signed<HandleRecord>>,
    /// For writing to the sender.
    pub token: DeliveryToken,
    /// What typing and presence are to be sealed under; none if the sender wants to see neither.
    pub ephemeral: Option<EphemeralSecret>,
    /// False: no delivered or read receipts will come, and `at-node` is final.
    pub sends_receipts: bool,
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Text {
    /// UTF-8, shown as it is but for control characters.
    pub text: String,
    /// The message of the same conversation that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reference>,
    /// Whether it was first written by or to somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<bool>,
    /// Seconds until both sides forget it: of the sender's from when it was written, of the
    /// recipient's from when it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vanish: Option<u64>,
    /// Where the text names people of the conversation; rising and apart, at most
    /// [`MAX_MENTIONS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentions: Option<Vec<Mention>>,
}

impl Text {
    /// A text and nothing else.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// A part of a text that names somebody of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// Who is named.
    pub account: AccountId,
    /// Where the name begins, bytes of UTF-8.
    pub start: u64,
    /// Its length, bytes of UTF-8.
    pub length: u64,
}

/// Mentions of one text: as many as a person reads.
pub const MAX_MENTIONS: usize = 64;

/// A message of the same conversation, by whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Who wrote it: ids are unique for each writer only.
    pub account: AccountId,
    /// Which one.
    pub id: MessageId,
}

/// Another text for a text that the sender wrote before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The sender's own message.
    pub id: MessageId,
    /// The whole new text.
    pub text: String,
}

/// Takes back what the sender wrote before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// The sender's own message.
    pub id: MessageId,
}

/// The sender's one reaction to a message; the latest counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// To what.
    pub to: Reference,
    /// At most [`MAX_REACTION`] bytes; empty takes it back.
    pub emoji: String,
}

/// Largest reaction, bytes of UTF-8: emoji of many code points fit, words are no reactions.
pub const MAX_REACTION: usize = 32;

/// The sender's account is going to end, or is not after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farewell {
    /// What the account said to its home.
    pub statement: Signed<Deletion>,
}

/// How long texts are kept from now on, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Seconds, [`MAX_VANISH`] at most; 0 for ever.
    pub seconds: u64,
}

/// Longest time after which a text may vanish, seconds: a year.
pub const MAX_VANISH: u64 = 365 * 86_400;

/// Asks the recipient to send again what a gap shows missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resend {
    /// The recipient's device that sent it.
    pub device: DeviceNumber,
    /// Inclusive ranges of the `seq` that never came, rising and apart.
    pub ranges: Vec<(u64, u64)>,
}

/// Answers [`Resend`] for what is not sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Ranges of the sending device's `seq` that held nothing for a person: receipts and the like.
    pub empty: Vec<(u64, u64)>,
    /// Ranges that held something and can no longer be sent: they were given up before.
    pub lost: Vec<(u64, u64)>,
}

/// An empty message that carries a card: how accepting a request is made known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {}

/// What happened to messages; itself never receipted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptContent {
    /// 1 delivered, 2 read.
    pub how: u64,
    /// The device that sent them.
    pub device: DeviceNumber,
    /// Inclusive ranges of their `seq`, rising and apart; cumulative.
    pub ranges: Vec<(u64, u64)>,
}

/// Receipt numbers.
pub mod receipt {
    /// The messages are in a device's database.
    pub const DELIVERED: u64 = 1;
    /// A person saw them.
    pub const READ: u64 = 2;
}

/// The first step of a message's way, signed by the sending device's Olm key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The message.
    pub message: MessageId,
    /// The sending account.
    pub account: AccountId,
    /// The sending device.
    pub device: DeviceNumber,
    /// By the device's clock.
    pub at: Millis,
}

impl Message {
    /// The bytes to seal.
    ///
    /// # Errors
    /// None in practice: see [`codec::encode`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// From what a body opened to.
    ///
    /// # Errors
    /// When it is not a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_BODY)
    }
}

/// First 16 bytes of BLAKE3: how messages name the one before and device lists.
pub fn short_hash(bytes: &[u8]) -> ByteArray<16> {
    shorten(&Hash::of(bytes))
}

/// The first 16 bytes of a hash.
pub fn shorten(hash: &Hash) -> ByteArray<16> {
    let mut short = [0; 16];
    short.copy_from_slice(&hash.0[..16]);
    ByteArray::new(short)
}

/// The conversation of two accounts: BLAKE3 in key derivation mode over both, the smaller first.
pub fn conversation(one: &AccountId, other: &AccountId) -> ConversationId {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    let hash = blake3::derive_key("postroad v1 conversation", &[low.0, high.0].concat());
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    ConversationId(id)
}
