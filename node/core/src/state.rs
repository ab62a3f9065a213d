//! The tables a node keeps: in memory for deciding, and as keys and values in the journal.

use std::collections::BTreeMap;
use std::hash::Hash as StdHash;

use bytes::Bytes;
use postroad_proto::blob::Blob;
use postroad_proto::codec::{self, CodecError};
use postroad_proto::ids::{AccountId, DeviceNumber, Hash, NodeId};
use postroad_proto::limits::{MAX_DEVICE_LIST, MAX_DEVICES};
use postroad_proto::prekey::Prekey;
use postroad_proto::receipt::ReceiptRoot;
use postroad_proto::record::{
    AccountRecord, Deletion, DeviceList, Handle, HandleRecord, NodeRecord,
};
use postroad_proto::signed::Signed;
use postroad_proto::token::{RequestTag, TokenEntry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::changes::MailboxId;
use crate::group::Staged;

/// A value larger than this is a bug: the store takes 64 KiB.
const MAX_VALUE: usize = 60 * 1024;

/// A kind of row: how its key is written, and the table's number, which is never reused.
pub(crate) trait Row: Serialize + DeserializeOwned + PartialEq {
    type Key: StdHash + Eq + Ord + Clone;
    const TABLE: u8;
    /// Whether a promise hangs on each change: see [`crate::changes::StateChange::promised`].
    const PROMISED: bool = true;
    fn key_bytes(key: &Self::Key) -> Vec<u8>;
    fn key_from(bytes: &[u8]) -> Option<Self::Key>;
}

/// All rows of a kind, by key.
pub(crate) struct Table<R: Row> {
    rows: BTreeMap<R::Key, R>,
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

impl<R: Row> Table<R> {
    pub(crate) fn get(&self, key: &R::Key) -> Option<&R> {
        self.rows.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&R::Key, &R)> {
        self.rows.iter()
    }

    pub(crate) fn range(&self, from: R::Key, to: R::Key) -> impl Iterator<Item = (&R::Key, &R)> {
        self.rows.range(from..=to)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Nothing is written when the row is there already.
    pub(crate) fn put(&mut self, key: R::Key, row: R, staged: &mut Staged) {
        if self.rows.get(&key) == Some(&row) {
            return;
        }
        // A row that does not encode is a bug in its type; the tests encode every kind.
        if let Ok(value) = codec::encode(&row) {
            staged.state(key_of::<R>(&key), Some(value.into()), R::PROMISED);
        }
        self.rows.insert(key, row);
    }

    pub(crate) fn remove(&mut self, key: &R::Key, staged: &mut Staged) -> Option<R> {
        let row = self.rows.remove(key)?;
        staged.state(key_of::<R>(key), None, R::PROMISED);
        Some(row)
    }

    fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), CodecError> {
        let key = R::key_from(key).ok_or(CodecError::Value("a state key is malformed"))?;
        self.rows.insert(key, codec::decode(value, MAX_VALUE)?);
        Ok(())
    }
}

fn key_of<R: Row>(key: &R::Key) -> Bytes {
    [&[R::TABLE], R::key_bytes(key).as_slice()].concat().into()
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident: $row:ident,)*) => {
        /// Every table.
        #[derive(Default)]
        pub(crate) struct Tables { $($(#[$doc])* pub(crate) $name: Table<$row>,)* }

        impl Tables {
            pub(crate) fn load(state: &[(Bytes, Bytes)]) -> Result<Self, CodecError> {
                let mut tables = Self::default();
                for (key, value) in state {
                    match key.split_first() {
                        $(Some((&$row::TABLE, rest)) => tables.$name.load(rest, value)?,)*
                        _ => return Err(CodecError::Value("a table that this version does not know")),
                    }
                }
                Ok(tables)
            }
        }
    };
}

tables! {
    /// One row: the node's own.
    node: NodeRow,
    accounts: AccountRow,
    handles: HandleRow,
    /// The operator's invites to make an account.
    node_invites: InviteRow,
    contact_invites: ContactInviteRow,
    tokens: TokenRow,
    prekeys: PrekeyRow,
    requests: RequestRow,
    floors: FloorRow,
    /// Where and how other nodes, and this one, are reached.
    routes: RouteRow,
    /// Peers that the operator named.
    pins: PinRow,
    /// Earlier runs of this node in its present generation.
    runs: RunRow,
    /// The highest receipt held of each other node.
    seen: SeenRow,
    /// Which vault an account has.
    vaults: VaultRow,
    /// What is in it, and in those that are not whole yet.
    vault_parts: VaultPartRow,
}

macro_rules! row {
    ($name:ident = $table:literal, $key:ty, |$k:ident| $write:expr, |$b:ident| $read:expr) => {
        row!($name = $table, promised true, $key, |$k| $write, |$b| $read);
    };
    ($name:ident = $table:literal, promised $promised:literal, $key:ty, |$k:ident| $write:expr, |$b:ident| $read:expr) => {
        impl Row for $name {
            type Key = $key;
            const TABLE: u8 = $table;
            const PROMISED: bool = $promised;
            fn key_bytes($k: &$key) -> Vec<u8> {
                $write
            }
            fn key_from($b: &[u8]) -> Option<$key> {
                $read
            }
        }
    };
}

/// The node's generation and the run that wrote last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeRow {
    /// Whose store this is.
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) run: [u8; 8],
    /// The number that the next account gets.
    pub(crate) next_account: u64,
    /// When the generation began because the data had been rolled back, seconds since the Unix
    /// epoch; 0 for the first one.
    #[serde(default)]
    pub(crate) generation_at: u64,
}
row!(NodeRow = 1, (), |_k| vec![], |b| b.is_empty().then_some(()));

/// An account homed here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AccountRow {
    /// Stands for the account in stamps.
    pub(crate) number: u64,
    pub(crate) record: Signed<AccountRecord>,
    pub(crate) devices: Devices,
    pub(crate) handle: Option<Handle>,
    /// Whether strangers may look it up and send a request.
    pub(crate) lookups: bool,
    /// Seconds since the Unix epoch.
    pub(crate) since: u64,
    /// The invite it came with, so that registering again is success.
    pub(crate) invite: Option<Hash>,
    /// The node's generation in which its devices last gave their tokens.
    #[serde(default)]
    pub(crate) tokens_of: u64,
    /// Whether its record names another home by now.
    #[serde(default)]
    pub(crate) moved: bool,
    /// What it last said of its deletion here.
    #[serde(default)]
    pub(crate) deletion: Option<Signed<Deletion>>,
    /// When it moved away, seconds since the Unix epoch; 0 when it did not.
    #[serde(default)]
    pub(crate) moved_at: u64,
}
row!(AccountRow = 2, AccountId, |k| k.0.to_vec(), |b| AccountId::from_slice(b));

/// An account's device list, with what is asked of it for every message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Signed<DeviceList>", into = "Signed<DeviceList>")]
pub(crate) struct Devices {
    pub(crate) signed: Signed<DeviceList>,
    /// See [`Signed::hash`].
    pub(crate) hash: Hash,
    /// The devices' numbers, zeros behind them.
    numbers: [DeviceNumber; MAX_DEVICES],
}

impl Devices {
    /// The list. Its signature was checked when it came in.
    pub(crate) fn list(&self) -> Option<DeviceList> {
        codec::decode(&self.signed.payload, MAX_DEVICE_LIST).ok()
    }

    /// Whether there is a device of that number.
    pub(crate) fn has(&self, device: DeviceNumber) -> bool {
        device != 0 && self.numbers.contains(&device)
    }

    /// The devices' numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = DeviceNumber> {
        self.numbers.into_iter().take_while(|device| *device != 0)
    }
}

impl From<Signed<DeviceList>> for Devices {
    fn from(signed: Signed<DeviceList>) -> Self {
        let mut devices = Self { hash: signed.hash(), numbers: [0; MAX_DEVICES], signed };
        let listed = devices.list().map(|list| list.devices).unwrap_or_default();
        for (slot, device) in devices.numbers.iter_mut().zip(listed) {
            *slot = device.number;
        }
        devices
    }
}

impl From<Devices> for Signed<DeviceList> {
    fn from(devices: Devices) -> Self {
        devices.signed
    }
}

impl PartialEq for Devices {
    fn eq(&self, other: &Self) -> bool {
        self.signed == other.signed
    }
}

/// A handle, bound or reserved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HandleRow {
    pub(crate) record: Signed<HandleRecord>,
    pub(crate) account: AccountId,
    /// Of a deleted account: nobody else gets it before, seconds since the Unix epoch.
    pub(crate) reserved_until: Option<u64>,
}
row!(HandleRow = 3, Handle, |k| k.as_str().as_bytes().to_vec(), |b| core::str::from_utf8(b)
    .ok()?
    .parse()
    .ok());

/// An invite's count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InviteRow {
    /// 0 for any number.
    pub(crate) uses: u64,
    pub(crate) used: u64,
    /// Seconds since the Unix epoch; 0 for never.
    pub(crate) expires: u64,
    pub(crate) revoked: bool,
}
row!(InviteRow = 4, Hash, |k| k.0.to_vec(), |b| Hash::from_slice(b));

/// An account's invite to become its contact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContactInviteRow {
    pub(crate) invite: InviteRow,
}
row!(ContactInviteRow = 5, (AccountId, Hash), |k| join(&k.0, &k.1), |b| split(b));

/// A delivery token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    pub(crate) entry: TokenEntry,
}
row!(TokenRow = 6, (AccountId, Hash), |k| join(&k.0, &k.1), |b| split(b));

/// A prekey; of the key (account, device, key) the device's fallback key has an all-zero last part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PrekeyRow {
    pub(crate) prekey: Prekey,
    /// The node's generation in which it came: one-time keys of an earlier one may have been given
    /// out already, and are worth nothing.
    #[serde(default)]
    pub(crate) generation: u64,
}
row!(
    PrekeyRow = 7,
    (AccountId, DeviceNumber, Hash),
    |k| [k.0.0.as_slice(), &[k.1], &k.2.0].concat(),
    |b| {
        let (account, rest) = b.split_at_checked(32)?;
        let (device, key) = rest.split_first()?;
        Some((AccountId::from_slice(account)?, *device, Hash::from_slice(key)?))
    }
);

/// A stranger's request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestRow {
    /// False once it was settled by blocking.
    pub(crate) open: bool,
    /// Until then it counts, seconds since the Unix epoch; 0 for ever (blocked).
    pub(crate) until: u64,
}
row!(
    RequestRow = 8,
    (AccountId, NodeId, RequestTag),
    |k| [k.0.0.as_slice(), &k.1.0, &k.2].concat(),
    |b| {
        let (account, rest) = b.split_at_checked(32)?;
        let (origin, tag) = rest.split_at_checked(32)?;
        Some((AccountId::from_slice(account)?, NodeId::from_slice(origin)?, tag.try_into().ok()?))
    }
);

/// A mailbox's sequence numbers below this may have been used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FloorRow {
    pub(crate) next: u64,
}
row!(FloorRow = 9, MailboxId, |k| [k.account.0.as_slice(), &[k.device]].concat(), |b| {
    let (device, account) = b.split_last()?;
    Some(MailboxId { account: AccountId::from_slice(account)?, device: *device })
});

/// A node's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RouteRow {
    pub(crate) record: Signed<NodeRecord>,
}
row!(RouteRow = 10, promised false, NodeId, |k| k.0.to_vec(), |b| NodeId::from_slice(b));

/// A peer that the operator named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PinRow {
    pub(crate) addresses: Vec<String>,
    pub(crate) name: String,
}
row!(PinRow = 11, NodeId, |k| k.0.to_vec(), |b| NodeId::from_slice(b));

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRow {
    /// Its last commit.
    pub(crate) commit: u64,
    /// When the next one began, seconds since the Unix epoch.
    pub(crate) ended: u64,
}
row!(RunRow = 12, [u8; 8], |k| k.to_vec(), |b| b.try_into().ok());

/// The highest receipt held of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeenRow {
    pub(crate) root: Signed<ReceiptRoot>,
}
row!(SeenRow = 13, promised false, NodeId, |k| k.0.to_vec(), |b| NodeId::from_slice(b));

/// The vault that an account has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VaultRow {
    pub(crate) version: u64,
    pub(crate) parts: u64,
    /// The device that put it, which tells its parts from those of another one's attempt.
    pub(crate) device: DeviceNumber,
}
row!(VaultRow = 14, AccountId, |k| k.0.to_vec(), |b| AccountId::from_slice(b));

/// One part of a vault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VaultPartRow {
    pub(crate) data: Blob,
}
/// Account, version, the device that put it, number of the part.
pub(crate) type VaultPartKey = (AccountId, u64, DeviceNumber, u8);
row!(
    VaultPartRow = 15,
    VaultPartKey,
    |k| [k.0.0.as_slice(), &k.1.to_be_bytes(), &[k.2, k.3]].concat(),
    |b| {
        let (account, rest) = b.split_at_checked(32)?;
        let (version, rest) = rest.split_first_chunk()?;
        let [device, part] = rest.try_into().ok()?;
        Some((AccountId::from_slice(account)?, u64::from_be_bytes(*version), device, part))
    }
);

fn join(account: &AccountId, hash: &Hash) -> Vec<u8> {
    [account.0, hash.0].concat()
}

fn split(bytes: &[u8]) -> Option<(AccountId, Hash)> {
    let (account, hash) = bytes.split_at_checked(32)?;
    Some((AccountId::from_slice(account)?, Hash::from_slice(hash)?))
}

/// Everything between the first and the last key that belong to `account` and carry a hash.
pub(crate) fn account_range(account: AccountId) -> ((AccountId, Hash), (AccountId, Hash)) {
    ((account, Hash([0; 32])), (account, Hash([0xff; 32])))
}
