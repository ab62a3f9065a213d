//! How mailbox items are written into the journal: the part that an envelope's items share, and
//! each one's own.

use bytes::Bytes;
use postroad_proto::blob::Blob;
use postroad_proto::codec::{self, CodecError};
use postroad_proto::envelope::{Attributes, Parcel};
use postroad_proto::frame::{Frame, LateRefusal, Notice, Push};
use postroad_proto::ids::{Hash, NodeId};
use postroad_proto::merkle::Step;
use postroad_proto::receipt::{ReceiptRoot, Receipts};
use postroad_proto::signed::Signed;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::changes::StoredItem;

/// What an item mostly takes beside its body, bytes.
const REST: usize = 384;

/// What the items of one envelope share: either mail or a notice.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Shared {
    pub(crate) mail: Option<Mail>,
    /// What became of mail that the mailboxes' devices sent: what the receipts have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipts: Option<SharedReceipts>,
    /// Why another node did not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<LateRefusal>,
}

/// What [`Receipts`] for several mailboxes have in common; the entries are each one's own.
#[derive(Serialize, Deserialize)]
pub(crate) struct SharedReceipts {
    pub(crate) path: Vec<Step>,
    pub(crate) root: Signed<ReceiptRoot>,
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

/// What one item of mail carries alone; of receipts it is its [`ReceiptEntry`]s.
///
/// [`ReceiptEntry`]: postroad_proto::receipt::ReceiptEntry
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Own {
    pub(crate) label: Option<ByteArray<8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<NodeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// [`Shared`] as it lies in the journal.
#[derive(Deserialize)]
struct SharedRef<'a> {
    #[serde(borrow)]
    mail: Option<MailRef<'a>>,
    #[serde(default)]
    receipts: Option<SharedReceipts>,
    #[serde(default)]
    refused: Option<LateRefusal>,
}

#[derive(Deserialize)]
struct MailRef<'a> {
    attributes: Attributes,
    body_hash: Hash,
    #[serde(with = "serde_bytes")]
    body: &'a [u8],
    #[serde(with = "serde_bytes")]
    stamp: &'a [u8],
    #[serde(default)]
    origin: Option<NodeId>,
}

pub(crate) fn encode<T: Serialize>(part: &T) -> Result<Bytes, CodecError> {
    codec::encode(part).map(Bytes::from)
}

/// The part that an envelope's items share and that of its first item, in one piece of memory.
pub(crate) fn encode_both(shared: &Shared, own: &Own) -> Result<(Bytes, Bytes), CodecError> {
    let body = shared.mail.as_ref().map_or(0, |mail| mail.body.len());
    let mut both = Vec::with_capacity(body + REST);
    codec::encode_into(shared, &mut both)?;
    let shared = both.len();
    codec::encode_into(own, &mut both)?;
    let mut own = Bytes::from(both);
    Ok((own.split_to(shared), own))
}

/// The shared part; its byte strings are slices of the item's.
pub(crate) fn shared(item: &StoredItem) -> Result<Shared, CodecError> {
    let whole = &item.shared;
    let found: SharedRef<'_> = codec::decode_own(whole)?;
    let mail = found.mail.map(|mail| Mail {
        attributes: mail.attributes,
        body_hash: mail.body_hash,
        body: whole.slice_ref(mail.body).into(),
        stamp: whole.slice_ref(mail.stamp).into(),
        origin: mail.origin,
    });
    Ok(Shared { mail, receipts: found.receipts, refused: found.refused })
}

pub(crate) fn own(item: &StoredItem) -> Result<Own, CodecError> {
    codec::decode_own(&item.own)
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
    let receipts = match shared.receipts {
        Some(SharedReceipts { path, root }) => {
            let entries = codec::decode_own(&item.own)?;
            Some(Receipts { entries, path, root })
        }
        None => None,
    };
    Ok(Notice { seq: item.seq, receipts, refused: shared.refused, generation: None }.into())
}
