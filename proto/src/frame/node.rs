//! What a node says to its clients. `spec/client.md` is the normative text.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::{LateRefusal, frames};
use crate::blob::Blob;
use crate::envelope::Attributes;
use crate::error::ErrorCode;
use crate::ids::{AccountId, Hash, Millis, NodeId, ParcelId};
use crate::merkle::Step;
use crate::prekey::ClaimedPrekey;
use crate::receipt::{ReceiptItem, ReceiptRoot, Receipts};
use crate::record::{AccountRecord, DeviceList, HandleRecord};
use crate::signed::Signed;
use crate::token::TokenEntry;

frames! {
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
        /// When the account is to be deleted here by its own word, seconds since the Unix epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delete_at: Option<u64>,
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
        /// Its number in this mailbox; 0 for what is no item of it and is not acked.
        seq: u64,
        /// Receipts.
        receipts: Option<Receipts>,
        /// A refusal that came after acceptance.
        refused: Option<LateRefusal>,
        /// A node's generation, which is higher than the one that the client quoted. Number 0.
        generation: Option<(NodeId, u64)>,
    }
    /// Node: where a parcel waits. Answers [`Locate`](super::Locate).
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
    /// Node: a sign of typing or presence. Spends no credit, and comes once or not at all.
    EphemeralPush = 71 {
        /// Which token was used.
        label: ByteArray<8>,
        /// As it was sent.
        sealed: Blob,
    }
    /// Node, to a guest of a rendezvous: bytes from the other side.
    RendezvousPush = 72 {
        /// As they were sent.
        data: Blob,
    }
    /// Node, to a guest of a rendezvous: the other side came, came anew, or went.
    RendezvousPeer = 73 {
        /// Whether it is there now.
        here: bool,
    }
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

/// With CONFLICT, the answer to [`VaultPut`](super::VaultPut): which vault is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultState {
    /// Its version; 0 when there is none.
    pub version: u64,
    /// How many parts it has.
    pub parts: u64,
}

/// Result of [`VaultGet`](super::VaultGet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultPart {
    /// The vault's.
    pub version: u64,
    /// How many there are.
    pub parts: u64,
    /// As it was put.
    pub data: Blob,
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
