//! Frames: what a client and its node say to each other. `spec/client.md` is the normative text.
//!
//! On the channel a frame is its length (u32, big-endian, kind included), its kind (u8) and its
//! body (CBOR). Frames follow one another in the byte stream inside the Noise messages and may span
//! or share them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::blob::Blob;
use crate::codec::{self, CodecError};
use crate::envelope::{Attributes, Envelope};
use crate::error::ErrorCode;
use crate::ids::{AccountId, DeviceNumber, Hash, Millis, NodeId, ParcelId};
use crate::limits::MAX_FRAME;
use crate::merkle::Step;
use crate::prekey::{ClaimedPrekey, Prekey};
use crate::receipt::{Receipt, ReceiptItem, ReceiptRoot};
use crate::record::{AccountRecord, DeviceList, Handle, HandleRecord};
use crate::signed::Signed;
use crate::token::{InviteCode, InviteEntry, Proof, TokenEntry};

macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident = $number:literal { $($(#[$fdoc:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

            impl From<$name> for Frame {
                fn from(frame: $name) -> Self {
                    Self::$name(Box::new(frame))
                }
            }
        )*

        /// Any frame.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Frame { $($(#[$doc])* $name(Box<$name>),)* }

        impl Frame {
            /// Name and number of every kind.
            pub const KINDS: &'static [(&'static str, u8)] = &[$((stringify!($name), $number)),*];

            /// The number of its kind.
            pub fn kind(&self) -> u8 {
                match self { $(Self::$name(_) => $number,)* }
            }

            /// Its kind's name.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            fn body(&self) -> Result<Vec<u8>, CodecError> {
                match self { $(Self::$name(frame) => codec::encode(frame.as_ref()),)* }
            }

            fn from_body(kind: u8, body: &[u8]) -> Result<Option<Self>, CodecError> {
                Ok(Some(match kind {
                    $($number => Self::$name(Box::new(codec::decode(body, MAX_FRAME)?)),)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}

frames! {
    /// Client: who it is and what it has. The first frame. Answered by [`Welcome`] or [`Done`].
    Hello = 1 {
        /// Lowest and highest protocol version it speaks.
        versions: (u64, u64),
        /// Its account, unless it is about to register.
        account: Option<AccountId>,
        /// Its device number; its Noise key must be that device's.
        device: DeviceNumber,
        /// Hash of the device list it knows.
        devices: Option<Hash>,
        /// Mailbox items up to this number are in its database.
        cursor: u64,
        /// The highest receipt it holds of each of up to 64 nodes.
        quoted: Vec<Quote>,
    }
    /// Client: makes an account here. Result: [`Registered`].
    Register = 2 {
        /// Ties the answer to it.
        request: u64,
        /// The node's invite, unless the node is open.
        invite: Option<InviteCode>,
        /// The handle wanted.
        handle: Option<Handle>,
        /// Names this node as home.
        record: Signed<AccountRecord>,
        /// Lists the device with this connection's Noise key.
        devices: Signed<DeviceList>,
    }
    /// Client: asks for somebody's records. Result: [`Records`].
    RecordsGet = 3 {
        /// Ties the answer to it.
        request: u64,
        /// The node to ask; another than its home is reserved.
        node: NodeId,
        /// By account, with a token or invite as proof.
        account: Option<AccountId>,
        /// By handle, which is its own proof.
        handle: Option<Handle>,
        /// Why it may ask.
        proof: Proof,
    }
    /// Client: replaces its own records. Result: nothing.
    RecordsPut = 4 {
        /// Ties the answer to it.
        request: u64,
        /// The new record.
        record: Option<Signed<AccountRecord>>,
        /// The new device list; needs a record that names its hash.
        devices: Option<Signed<DeviceList>>,
    }
    /// Client: adds prekeys of its own device. Result: [`Count`] of one-time keys held.
    PrekeysPut = 5 {
        /// Ties the answer to it.
        request: u64,
        /// One-time keys.
        one_time: Vec<Prekey>,
        /// Replaces the fallback key.
        fallback: Option<Prekey>,
    }
    /// Client: takes one prekey per device. Result: [`Claimed`].
    PrekeysClaim = 6 {
        /// Ties the answer to it.
        request: u64,
        /// The account's home; another than one's own is reserved.
        node: NodeId,
        /// Whose prekeys.
        account: AccountId,
        /// Of which devices.
        devices: Vec<DeviceNumber>,
        /// Token or invite: one-time keys. A handle gets the fallback keys only.
        proof: Proof,
    }
    /// Client: registers delivery tokens that it gives to contacts. Result: nothing.
    TokensPut = 7 {
        /// Ties the answer to it.
        request: u64,
        /// The same one again is success.
        tokens: Vec<TokenEntry>,
    }
    /// Client: drops delivery tokens, which blocks their holders. Result: nothing.
    TokensDrop = 8 {
        /// Ties the answer to it.
        request: u64,
        /// Unknown ones are passed over.
        hashes: Vec<Hash>,
    }
    /// Client: asks for its tokens. Result: [`Tokens`].
    TokensList = 9 {
        /// Ties the answer to it.
        request: u64,
    }
    /// Client: turns a contact's invite into a token of its own choice. Result: [`Records`].
    TokensRedeem = 10 {
        /// Ties the answer to it.
        request: u64,
        /// The contact's home; another than one's own is reserved.
        node: NodeId,
        /// The contact.
        account: AccountId,
        /// The invite.
        invite: InviteCode,
        /// The token's hash. The same one again is success.
        token: Hash,
    }
    /// Client: registers contact invites. Result: nothing.
    InvitesPut = 11 {
        /// Ties the answer to it.
        request: u64,
        /// The same one again is success and keeps its count.
        invites: Vec<InviteEntry>,
    }
    /// Client: takes contact invites back. Result: nothing.
    InvitesDrop = 12 {
        /// Ties the answer to it.
        request: u64,
        /// Unknown ones are passed over.
        hashes: Vec<Hash>,
    }
    /// Client: settles a stranger's request. Result: nothing.
    RequestsSettle = 13 {
        /// Ties the answer to it.
        request: u64,
        /// As pushed.
        origin: NodeId,
        /// As pushed.
        tag: ByteArray<16>,
        /// 1 accepted, 2 ignored, 3 blocked.
        how: u64,
    }
    /// Client: hands over an envelope. Answered by [`Accepted`] and [`Refused`].
    Send = 14 {
        /// Ties the answer to it.
        number: u64,
        /// With every route.
        envelope: Envelope,
    }
    /// Client: mailbox items that are in its database.
    Ack = 15 {
        /// The node's generation that numbered them.
        generation: u64,
        /// Inclusive ranges, rising and apart; at most 256.
        ranges: Vec<(u64, u64)>,
    }
    /// Client: how much more may be pushed to it.
    Credit = 16 {
        /// Items, added to what is left.
        messages: u64,
        /// Bytes of header and body, added to what is left.
        bytes: u64,
    }
    /// Client: are you there? Result: nothing.
    Ping = 17 {
        /// Ties the answer to it.
        request: u64,
    }
    /// Client: how strangers may reach it. Result: nothing.
    SettingsPut = 18 {
        /// Ties the answer to it.
        request: u64,
        /// Whether its handle can be looked up, and so requests come in.
        lookups: bool,
    }
    /// Node: answers [`Hello`].
    Welcome = 64 {
        /// The version spoken from here on.
        version: u64,
        /// Raised when the node finds that its data was rolled back.
        generation: u64,
        /// Random, one per start of the node.
        run: ByteArray<8>,
        /// What it takes.
        limits: NodeLimits,
        /// Its clock.
        time: Millis,
        /// Whether the account named in the hello is homed here.
        registered: bool,
        /// One-time keys of this device that are left here.
        one_time_keys: u64,
        /// The current record of the account.
        record: Option<Signed<AccountRecord>>,
    }
    /// Node: answers a request.
    Done = 65 {
        /// As asked.
        request: u64,
        /// Set when it failed.
        code: Option<ErrorCode>,
        /// The encoded result, when there is one.
        result: Option<Blob>,
        /// Seconds to wait before asking again; 0 when that makes no difference.
        retry_after: u64,
        /// For people.
        detail: String,
    }
    /// Node: has custody, durably.
    Accepted = 66 {
        /// The [`Send`] numbers settled by this.
        numbers: Vec<u64>,
        /// One per parcel.
        items: Vec<ReceiptItem>,
        /// From the root of these items' tree to the signed root.
        path: Vec<Step>,
        /// Signed once per commit.
        root: Signed<ReceiptRoot>,
    }
    /// Node: does not take an envelope, or one of its parcels.
    Refused = 67 {
        /// The [`Send`] number.
        number: u64,
        /// Which account's parcel; absent for the whole envelope.
        account: Option<AccountId>,
        /// Why.
        code: ErrorCode,
        /// Whether trying again makes sense.
        retriable: bool,
        /// Seconds to wait before that.
        retry_after: u64,
        /// For people; names the limit.
        detail: String,
        /// With MOVED and STALE_DEVICES: what is newer.
        records: Option<Records>,
    }
    /// Node: mail. Spends credit.
    Push = 68 {
        /// Its number in this mailbox.
        seq: u64,
        /// As sealed.
        attributes: Attributes,
        /// Which token was used.
        label: Option<ByteArray<8>>,
        /// Of a stranger's request: the node it came from.
        origin: Option<NodeId>,
        /// Of a stranger's request: what to settle.
        tag: Option<ByteArray<16>>,
        /// As in the envelope.
        body_hash: Hash,
        /// This device's sealed header.
        header: Option<Blob>,
        /// The sealed body.
        body: Blob,
    }
    /// Node: what became of mail this device sent, or news of a node. Spends credit; is acked.
    Notice = 69 {
        /// Its number in this mailbox.
        seq: u64,
        /// A receipt.
        receipt: Option<Receipt>,
        /// Reserved: a refusal that came late.
        refused: Option<LateRefusal>,
        /// Reserved: a node started a new generation.
        generation: Option<(NodeId, u64)>,
    }
    /// Node: where a parcel waits. Reserved for mail between nodes.
    Waiting = 70 {
        /// The parcel.
        parcel: ParcelId,
        /// The node it waits for.
        node: NodeId,
        /// Since when.
        since: Millis,
        /// For people.
        reason: String,
        /// When it is tried again.
        next_try: Millis,
    }
}

/// The highest receipt that a client holds of a node: by it a node that was rolled back finds out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The node.
    pub node: NodeId,
    /// From the receipt.
    pub generation: u64,
    /// From the receipt.
    pub run: ByteArray<8>,
    /// From the receipt.
    pub commit: u64,
}

/// What a node takes from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLimits {
    /// Largest sealed body, bytes.
    pub max_body: u64,
    /// Longest deadline, seconds.
    pub max_deadline: u64,
    /// Items in one mailbox.
    pub mailbox_messages: u64,
    /// Bytes in one mailbox.
    pub mailbox_bytes: u64,
    /// Envelopes and requests in flight.
    pub in_flight: u64,
}

/// Result of [`Register`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// When a handle was asked for.
    pub handle: Option<Signed<HandleRecord>>,
}

/// Result of [`RecordsGet`] and [`TokensRedeem`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// Where the account is homed.
    pub record: Signed<AccountRecord>,
    /// Its devices.
    pub devices: Signed<DeviceList>,
    /// Its handle, if it has one.
    pub handle: Option<Signed<HandleRecord>>,
    /// Each device's fallback key, for a request; empty otherwise.
    pub fallback: Vec<ClaimedPrekey>,
}

/// Result of [`PrekeysPut`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many there are now.
    pub count: u64,
}

/// Result of [`PrekeysClaim`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// One per device that has any.
    pub prekeys: Vec<ClaimedPrekey>,
}

/// Result of [`TokensList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// In no order.
    pub tokens: Vec<TokenEntry>,
}

/// A refusal that came after acceptance. Reserved for mail between nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRefusal {
    /// The parcel.
    pub parcel: ParcelId,
    /// Why.
    pub code: ErrorCode,
    /// Seconds.
    pub retry_after: u64,
    /// With MOVED.
    pub record: Option<Signed<AccountRecord>>,
}

/// How a stranger's request is settled.
pub mod settle {
    /// The stranger becomes a contact.
    pub const ACCEPTED: u64 = 1;
    /// Nothing is said; the stranger may ask again.
    pub const IGNORED: u64 = 2;
    /// The stranger's tag is kept and refused.
    pub const BLOCKED: u64 = 3;
}

impl Frame {
    /// Appends the frame, length and kind in front.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] above [`MAX_FRAME`].
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let body = self.body()?;
        let length = body.len() + 1;
        if length > MAX_FRAME {
            return Err(CodecError::TooLarge { limit: MAX_FRAME, got: length });
        }
        out.extend_from_slice(&(length as u32).to_be_bytes());
        out.push(self.kind());
        out.extend_from_slice(&body);
        Ok(())
    }

    /// The frame in `bytes`: kind and body, without the length. `None` for a kind that this
    /// version does not know, which is passed over.
    ///
    /// # Errors
    /// When the body is not what its kind says.
    pub fn decode(bytes: &Bytes) -> Result<Option<Self>, CodecError> {
        let (kind, body) = bytes.split_first().ok_or(CodecError::Truncated)?;
        Self::from_body(*kind, body)
    }
}
