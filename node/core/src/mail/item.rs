//! How mailbox items are written into the journal: the part that an envelope's items share, and
//! each one's own.

use bytes::Bytes;
use postroad_proto::blob::Blob;
use postroad_proto::codec::{self, CodecError};
use postroad_proto::envelope::{Attributes, Parcel};
use postroad_proto::frame::{Frame, LateRefusal, Notice, Push};
use postroad_proto::ids::{Hash, NodeId};
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::receipt::Receipt;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::changes::StoredItem;

/// What the items of one envelope share: either mail or a notice.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Shared {
    pub(crate) mail: Option<Mail>,
    /// What became of mail that this mailbox's device sent.
    pub(crate) receipt: Option<Receipt>,
    /// Why another node did not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<LateRefusal>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Mail {
    pub(crate) attributes: Attributes,
    pub(crate) body_hash: Hash,
    pub(crate) body: Blob,
    /// See [`crate::mail::stamp`].
    pub(crate) stamp: Blob,
    /// The node it came from, whose stamp it is; none for this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<NodeId>,
}

/// What one item carries alone.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Own {
    pub(crate) label: Option<ByteArray<8>>,
    pub(crate) origin: Option<NodeId>,
    pub(crate) tag: Option<ByteArray<16>>,
    pub(crate) header: Option<Blob>,
    /// Mailboxes that its parcel went to.
    pub(crate) copies: u64,
    /// In an outbox: the parcel as it is handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parcel: Option<Parcel>,
    /// In an outbox: epoch and number of the account record by which it was sent on from another,
    /// and how often it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) moved: Option<(u64, u64, u64)>,
}

pub(crate) fn encode<T: Serialize>(part: &T) -> Result<Bytes, CodecError> {
    codec::encode(part).map(Bytes::from)
}

pub(crate) fn shared(item: &StoredItem) -> Result<Shared, CodecError> {
    codec::decode(&item.shared, MAX_FRAME)
}

pub(crate) fn own(item: &StoredItem) -> Result<Own, CodecError> {
    codec::decode(&item.own, MAX_FRAME)
}

/// The frame that hands `item` to its device.
pub(crate) fn frame(item: &StoredItem) -> Result<Frame, CodecError> {
    let shared = shared(item)?;
    if let Some(mail) = shared.mail {
        let own = own(item)?;
        return Ok(Push {
            seq: item.seq,
            attributes: mail.attributes,
            label: own.label,
            origin: own.origin,
            tag: own.tag,
            body_hash: mail.body_hash,
            header: own.header,
            body: mail.body,
        }
        .into());
    }
    let (receipt, refused) = (shared.receipt, shared.refused);
    Ok(Notice { seq: item.seq, receipt, refused, generation: None }.into())
}
