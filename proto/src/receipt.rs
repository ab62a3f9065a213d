//! Custody receipts: a node's signed word that it took a parcel, or gave it up. `spec/receipts.md`.

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::ids::{Hash, Millis, NodeId, ParcelId};
use crate::limits::MAX_PATH;
use crate::merkle::{self, Step, Tree};
use crate::network::Network;
use crate::record::{CRITICAL_FLAGS, RECORD_VERSION};
use crate::signed::{Purpose, Signable, Signed, SignedError};

/// What a receipt says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// The sender's home has custody.
    Accepted,
    /// The recipient's home, or a backup, has custody.
    AtNode,
    /// Nobody took it before its deadline.
    Expired,
}

impl ReceiptKind {
    /// The number on the wire.
    pub fn number(self) -> u64 {
        match self {
            Self::Accepted => 1,
            Self::AtNode => 2,
            Self::Expired => 3,
        }
    }

    /// The kind with `number`.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Accepted, Self::AtNode, Self::Expired].into_iter().find(|k| k.number() == number)
    }
}

/// Role numbers: as what the node speaks.
pub mod role {
    /// The sender's home.
    pub const ORIGIN: u64 = 1;
    /// The recipient's home.
    pub const HOME: u64 = 2;
    /// A backup of the recipient.
    pub const BACKUP: u64 = 3;
}

/// One parcel's line in a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptItem {
    /// The parcel.
    pub parcel: ParcelId,
    /// A [`ReceiptKind`] number.
    pub kind: u64,
    /// A [`role`] number.
    pub role: u64,
    /// Mailboxes that hold it here.
    pub copies: u64,
    /// Held until then, seconds since the Unix epoch.
    pub until: u64,
    /// Hash of the recipient's current device list, so that a stale sender notices.
    pub devices: Option<Hash>,
}

impl ReceiptItem {
    /// Its leaf in the Merkle tree: over its encoding.
    ///
    /// # Errors
    /// None in practice: see [`codec::encode`].
    pub fn leaf(&self) -> Result<Hash, CodecError> {
        codec::with_encoded(self, merkle::leaf)
    }
}

/// What a node signs once per commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRoot {
    /// [`RECORD_VERSION`].
    pub version: u64,
    /// See [`CRITICAL_FLAGS`].
    pub flags: u64,
    /// The node; its key signs.
    pub node: NodeId,
    /// The node's generation.
    pub generation: u64,
    /// Random, one per start of the node.
    #[serde(with = "serde_bytes")]
    pub run: [u8; 8],
    /// The commit that made all of it durable.
    pub commit: u64,
    /// When, by the node's clock, milliseconds since the Unix epoch.
    pub at: Millis,
    /// Over the items of the commit.
    pub merkle_root: Hash,
}

impl Signable for ReceiptRoot {
    const PURPOSE: Purpose = Purpose::ReceiptRoot;
    const LIMIT: usize = 256;

    fn signer(&self, _: &Network) -> Result<[u8; 32], SignedError> {
        Ok(self.node.0)
    }

    fn validate(&self) -> Result<(), CodecError> {
        if self.version != RECORD_VERSION || self.flags & CRITICAL_FLAGS != 0 {
            return Err(CodecError::Value("unknown receipt version or critical flag"));
        }
        Ok(())
    }
}

/// One item with all it takes to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The item.
    pub item: ReceiptItem,
    /// From its leaf to the root.
    pub path: Vec<Step>,
    /// The signed root.
    pub root: Signed<ReceiptRoot>,
}

impl Receipt {
    /// The root, if the item hangs below it and its node signed it.
    ///
    /// # Errors
    /// [`SignedError`]; a path that leads elsewhere, or has more than [`MAX_PATH`] steps, counts as
    /// a bad signature.
    pub fn verify(&self, network: &Network) -> Result<ReceiptRoot, SignedError> {
        let root = self.root.open(network)?;
        let fits = self.path.len() <= MAX_PATH;
        if !fits || merkle::climb(self.item.leaf()?, &self.path) != root.merkle_root {
            return Err(SignedError::BadSignature);
        }
        Ok(root)
    }
}

/// Receipts that one signature stands for: what several parcels of one device became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// At least one.
    pub entries: Vec<ReceiptEntry>,
    /// What all their paths end with.
    pub path: Vec<Step>,
    /// The signed root.
    pub root: Signed<ReceiptRoot>,
}

/// An item among [`Receipts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptEntry {
    /// The item.
    pub item: ReceiptItem,
    /// From its leaf to where the common path begins.
    pub path: Vec<Step>,
}

impl Receipts {
    /// Takes them apart into receipts that stand alone.
    pub fn split(self) -> impl Iterator<Item = Receipt> {
        let Self { entries, path, root } = self;
        entries.into_iter().map(move |ReceiptEntry { item, path: mut steps }| {
            steps.extend_from_slice(&path);
            Receipt { item, path: steps, root: root.clone() }
        })
    }
}

impl From<Receipt> for Receipts {
    fn from(receipt: Receipt) -> Self {
        let Receipt { item, path, root } = receipt;
        Self { entries: vec![ReceiptEntry { item, path: Vec::new() }], path, root }
    }
}

/// Takes the items that one session gets in one reply apart into receipts that stand alone.
///
/// `path` leads from the root of the items' own tree to the signed root.
///
/// # Errors
/// None in practice: see [`codec::encode`].
pub fn split(
    items: &[ReceiptItem],
    path: &[Step],
    root: &Signed<ReceiptRoot>,
) -> Result<Vec<Receipt>, CodecError> {
    let tree = Tree::new(items.iter().map(ReceiptItem::leaf).collect::<Result<_, _>>()?);
    Ok(items
        .iter()
        .enumerate()
        .map(|(index, item)| Receipt {
            item: item.clone(),
            path: [tree.path(index).as_slice(), path].concat(),
            root: root.clone(),
        })
        .collect())
}
