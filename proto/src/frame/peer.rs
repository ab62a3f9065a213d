//! What nodes say to each other. `spec/node.md` is the normative text.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::{Records, frames};
use crate::blob::Blob;
use crate::envelope::Envelope;
use crate::error::ErrorCode;
use crate::ids::{AccountId, Hash, ParcelId};
use crate::merkle::Step;
use crate::receipt::{Receipt, ReceiptItem, ReceiptRoot};
use crate::record::{AccountRecord, NodeRecord};
use crate::signed::Signed;

frames! {
    /// Mail stream, opener: the first frame. Answered by [`MailOpened`].
    MailOpen = 32 {
        /// Lowest and highest protocol version it speaks.
        versions: (u64, u64),
        /// The opener's generation.
        generation: u64,
        /// The opener's run.
        run: ByteArray<8>,
        /// The highest receipt that the opener holds of the other.
        quoted: Option<Signed<ReceiptRoot>>,
    }
    /// Mail stream, taker: answers [`MailOpen`]. Batches may follow, within credit.
    MailOpened = 33 {
        /// The version spoken from here on.
        version: u64,
        /// The taker's generation.
        generation: u64,
        /// The taker's run.
        run: ByteArray<8>,
        /// The highest receipt that the taker holds of the opener.
        quoted: Option<Signed<ReceiptRoot>>,
    }
    /// Mail stream, opener: envelopes, in the order in which they were accepted. Spends credit.
    Batch = 34 {
        /// Ties the reply to it; rises by one.
        number: u64,
        /// At most 64, each with one route: the taker's.
        envelopes: Vec<Envelope>,
    }
    /// Mail stream, taker: what became of a batch. What it names neither in `items` nor in
    /// `refused` is to be offered again.
    BatchReply = 35 {
        /// The batch.
        number: u64,
        /// One per parcel taken into custody.
        items: Vec<ReceiptItem>,
        /// From the root of these items' tree to the signed root.
        path: Vec<Step>,
        /// Signed once per commit; absent when nothing was taken.
        root: Option<Signed<ReceiptRoot>>,
        /// What was not taken.
        refused: Vec<RefusedParcel>,
    }
    /// Mail stream, opener: mail that came from the taker's users was not fetched in time. Best
    /// effort, without an answer.
    Late = 36 {
        /// As it came with the mail.
        stamp: Blob,
        /// Signed by the opener; of kind `expired`.
        receipt: Receipt,
    }
    /// Request: are our tables of nodes the same? Result: [`NodesDigested`].
    NodesDigest = 40 {
        /// Ties the answer to it.
        request: u64,
        /// The asker's root: see `spec/node.md`.
        root: Hash,
        /// The asker's own record, when the other may not have it.
        own: Option<Signed<NodeRecord>>,
    }
    /// Request: what is in these buckets? Result: [`NodesListed`].
    NodesList = 41 {
        /// Ties the answer to it.
        request: u64,
        /// Bucket numbers, rising, a byte each.
        buckets: Blob,
    }
    /// Request: these records. Result: [`Nodes`].
    NodesGet = 42 {
        /// Ties the answer to it.
        request: u64,
        /// The first eight bytes of node ids, one after another; at most 64 of them.
        nodes: Blob,
    }
}

/// A parcel, or a whole envelope, that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedParcel {
    /// The envelope's place in the batch, from 0.
    pub envelope: u64,
    /// Whose parcel; absent for the whole envelope.
    pub account: Option<AccountId>,
    /// Why.
    pub code: ErrorCode,
    /// Whether to offer it again.
    pub retriable: bool,
    /// Seconds to wait before that.
    pub retry_after: u64,
    /// For people; names the limit.
    pub detail: String,
    /// With MOVED: where the account is now.
    pub record: Option<Signed<AccountRecord>>,
    /// With STALE_DEVICES: the account's records.
    pub records: Option<Records>,
}

/// A refusal that came after acceptance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRefusal {
    /// The parcel.
    pub parcel: ParcelId,
    /// Who refused it, as the home says.
    pub node: crate::ids::NodeId,
    /// Why. With MOVED the home has sent the parcel on to where `record` says.
    pub code: ErrorCode,
    /// For people.
    pub detail: String,
    /// With MOVED: where the account is now.
    pub record: Option<Signed<AccountRecord>>,
    /// With STALE_DEVICES: the account's records.
    pub records: Option<Records>,
}

/// Result of [`NodesDigest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesDigested {
    /// The answerer's root.
    pub root: Hash,
    /// Unless the roots are the same: of each of the 256 buckets eight bytes.
    pub buckets: Blob,
}

/// Result of [`NodesList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesListed {
    /// Of the buckets asked for, those from here on were left out: ask for them again. None left
    /// out: 256.
    pub rest: u64,
    /// Per record the first eight bytes of the node's id and of the record's hash.
    pub entries: Blob,
}

/// Result of [`NodesGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// Those of the records asked for that the answerer has.
    pub records: Vec<Signed<NodeRecord>>,
}
