//! What an account's own devices tell each other: content of kind 12, what one device hands to another
//! that is new, and what is kept in vaults and backups. `spec/sync.md`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::blob::Blob;
use crate::codec::{self, CodecError};
use crate::ids::{AccountId, DeviceNumber, MessageId, Millis, NodeId};
use crate::record::{AccountRecord, Deletion, DeviceList, HandleRecord, StewardCert};
use crate::recovery::VaultKey;
use crate::signed::Signed;

/// Content of [`crate::content::kind::SYNC`]: items, to be applied in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sync {
    /// Those of kinds that are not known are passed over.
    pub items: Vec<Item>,
}

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// See [`item`].
    pub kind: u64,
    /// The encoded structure of that kind.
    pub body: Blob,
}

/// Kinds of [`Item`]s. The set is open.
pub mod item {
    /// [`super::Entry`].
    pub const ENTRY: u64 = 1;
    /// [`super::Person`].
    pub const PERSON: u64 = 2;
    /// [`super::Copy`].
    pub const COPY: u64 = 3;
    /// [`super::Progress`].
    pub const PROGRESS: u64 = 4;
    /// [`super::Place`].
    pub const PLACE: u64 = 5;
    /// [`super::OwnRecords`].
    pub const RECORDS: u64 = 6;
    /// [`super::Want`].
    pub const WANT: u64 = 7;
    /// [`super::OwnDeletion`].
    pub const DELETION: u64 = 8;
}

/// A structure that an item carries.
pub trait Carried: Serialize + DeserializeOwned {
    /// Its kind: see [`item`].
    const KIND: u64;
}

macro_rules! carried {
    ($($name:ident = $kind:ident),*) => {$(
        impl Carried for $name {
            const KIND: u64 = item::$kind;
        }
    )*};
}
carried!(
    Entry = ENTRY,
    Person = PERSON,
    Copy = COPY,
    Progress = PROGRESS,
    Place = PLACE,
    OwnRecords = RECORDS,
    Want = WANT,
    OwnDeletion = DELETION
);

impl Item {
    /// An item that carries `body`.
    ///
    /// # Errors
    /// None in practice: see [`codec::encode`].
    pub fn new<T: Carried>(body: &T) -> Result<Self, CodecError> {
        Ok(Self { kind: T::KIND, body: codec::encode(body)?.into() })
    }

    /// What it carries.
    ///
    /// # Errors
    /// When that is not what its kind says.
    pub fn open<T: Carried>(&self) -> Result<T, CodecError> {
        // What it came in has bounded it.
        codec::decode(&self.body, self.body.len())
    }

    /// Whether it carries what its kind says. Of kinds that are not known nothing can be said.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn check(&self) -> Result<(), CodecError> {
        match self.kind {
            item::ENTRY => self.open::<Entry>().map(drop),
            item::PERSON => self.open::<Person>().map(drop),
            item::COPY => self.open::<Copy>().map(drop),
            item::PROGRESS => self.open::<Progress>().map(drop),
            item::PLACE => self.open::<Place>().map(drop),
            item::RECORDS => self.open::<OwnRecords>().map(drop),
            item::WANT => self.open::<Want>().map(drop),
            item::DELETION => self.open::<OwnDeletion>().map(drop),
            _ => Ok(()),
        }
    }
}

/// A value under a key, of which the latest counts: that with the highest (`at`, `device`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is the value of.
    pub key: String,
    /// The key's own.
    pub value: Blob,
    /// When it was set, by the clock of the device that did; higher than that of the value before.
    pub at: Millis,
    /// Which device set it.
    pub device: DeviceNumber,
}

/// A contact: how they are reached, and what they were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub account: AccountId,
    /// What they are called here, unless an [`Entry`] says otherwise.
    pub name: String,
    /// How far acquaintance has come: see [`phase`].
    pub phase: u64,
    /// The home, as a node link.
    pub home: String,
    /// `handle@node`, or empty.
    pub handle: String,
    /// Whether the node in it was looked up under that name.
    pub handle_proven: bool,
    /// The invite of their link.
    pub invite: Option<ByteArray<16>>,
    /// For writing to them.
    pub token: Option<ByteArray<16>>,
    /// Their record.
    pub record: Option<Signed<AccountRecord>>,
    /// Their devices.
    pub devices: Option<Signed<DeviceList>>,
    /// Their handle, as its node signed it.
    pub handle_record: Option<Signed<HandleRecord>>,
    /// Whether they send receipts.
    pub sends_receipts: bool,
    /// What typing and presence to them are sealed under.
    pub ephemeral: Option<ByteArray<32>>,
    /// The number of the newest token that a card of ours gave them.
    pub token_number: u32,
    /// The lowest number that they may still be using.
    pub token_floor: u32,
    /// When the number was raised last.
    pub token_at: Millis,
    /// The label of the token that they used last.
    pub token_label: Option<ByteArray<8>>,
    /// The label of the token that they chose by a link of ours.
    pub chosen_label: Option<ByteArray<8>>,
    /// Of their request: the node that it came from and its tag.
    pub request: Option<(NodeId, ByteArray<16>)>,
    /// How long texts are kept, seconds; 0 for ever.
    pub timer: u64,
    /// When that was said.
    pub timer_at: Millis,
    /// In which message that was said; none if it never was.
    pub timer_by: Option<MessageId>,
    /// When they became known.
    pub since: Millis,
}

/// How far acquaintance has come, by rising rank.
pub mod phase {
    /// They ask to write to us.
    pub const ASKING: u64 = 1;
    /// Found by handle; nothing was sent yet.
    pub const STRANGER: u64 = 2;
    /// Our request is on its way and not accepted yet.
    pub const REQUESTED: u64 = 3;
    /// Added from a link that is not redeemed yet.
    pub const LINKED: u64 = 4;
    /// Both can write.
    pub const READY: u64 = 5;
}

/// A message as a device has it: one of the account's own, or, to a device that lacks it, one that came
/// in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The contact with whom it is exchanged.
    pub with: AccountId,
    /// Who wrote it.
    pub account: AccountId,
    /// Which of the writer's devices.
    pub device: DeviceNumber,
    /// As in the message; none while it waits to be sealed.
    pub seq: Option<u64>,
    /// As in the message.
    pub id: MessageId,
    /// As in the message.
    pub kind: u64,
    /// As in the message; empty if it was deleted.
    pub content: Blob,
    /// As in the message.
    pub sent_at: Millis,
    /// When it came in, if it did.
    pub received_at: Option<Millis>,
    /// Seconds.
    pub deadline: u64,
    /// See [`state`].
    pub state: u64,
    /// Why it is not further, or how it ended.
    pub reason: String,
    /// Whether the user has seen it.
    pub shown: bool,
    /// Whether it was taken back.
    pub deleted: bool,
    /// When it is to vanish, once that time runs.
    pub vanish_at: Option<Millis>,
    /// The signed first step of its way; of own messages alone.
    pub queued: Option<Blob>,
}

/// The states of a message, as numbers. Of two, the one that ranks higher is kept: as they are listed,
/// and failed and expired alike.
pub mod state {
    /// On the sender's device.
    pub const QUEUED: u64 = 0;
    /// The sender's home has custody.
    pub const ACCEPTED: u64 = 1;
    /// The recipient's node has custody.
    pub const AT_NODE: u64 = 2;
    /// A settled refusal ended it.
    pub const FAILED: u64 = 3;
    /// Its deadline passed.
    pub const EXPIRED: u64 = 4;
    /// A device of the recipient has it.
    pub const DELIVERED: u64 = 5;
    /// The recipient saw it.
    pub const READ: u64 = 6;
}

/// How far an own message has come, as the device that sends it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which one.
    pub id: MessageId,
    /// See [`state`].
    pub state: u64,
    /// Why it is not further, or how it ended.
    pub reason: String,
}

/// What a device has of another account's device in a conversation, for one that begins where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// With whom the conversation is.
    pub with: AccountId,
    /// Which of their devices.
    pub device: DeviceNumber,
    /// Inclusive ranges of its `seq` that came, rising and apart.
    pub received: Vec<(u64, u64)>,
    /// Those that are never to come.
    pub lost: Vec<(u64, u64)>,
}

/// The account's own records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRecords {
    /// Where it is homed.
    pub record: Signed<AccountRecord>,
    /// Its devices; the record names its hash.
    pub devices: Signed<DeviceList>,
    /// In a new epoch, what the account's vault is sealed under from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultKey>,
    /// In a new epoch, certificates of the devices that stay stewards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stewards: Option<Vec<Signed<StewardCert>>>,
}

/// What a device lacks of a conversation and its writer no longer sends: whoever has it sends a
/// [`Copy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// With whom the conversation is.
    pub with: AccountId,
    /// Which of their devices wrote it.
    pub device: DeviceNumber,
    /// Inclusive ranges of its `seq`, rising and apart, at most 64.
    pub ranges: Vec<(u64, u64)>,
}

/// The account is going to end, or is not after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnDeletion {
    /// What was said to the home.
    pub statement: Signed<Deletion>,
}
