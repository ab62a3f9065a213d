//! The account and this device of it: keys, and the records they sign.

mod adopt;
mod records;
mod recover;
mod secrets;

use core::fmt;

use postroad_proto::codec;
use postroad_proto::ids::{AccountId, DeviceNumber, Millis, NodeId};
use postroad_proto::limits::MAX_DEADLINE_SECONDS;
use postroad_proto::link::{JoinLink, NodeLink};
use postroad_proto::network::Network;
use postroad_proto::noise::NoiseSecret;
use postroad_proto::pair::SealSecret;
use postroad_proto::record::{AccountRecord, DeviceList, Handle, HandleRecord, StewardCert};
use postroad_proto::recovery::VaultKey;
use postroad_proto::signed::{Signable, Signed};
use postroad_proto::token::{InviteCode, TokenSecret};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::db::{blob, bool_of, unsigned};
use crate::e2e::{DeviceAddress, OwnDevice, store};
use crate::error::{Error, Result, StorageError};
use crate::vault::Vault;

pub(crate) use self::adopt::Newcomer;
use self::records::{FIRST_DEVICE, first_records};
use self::secrets::Secrets;

/// The epoch of a new account.
const FIRST_EPOCH: u64 = 1;
/// Addresses of the home that are kept, and bytes of one.
pub(crate) const MAX_ADDRESSES: usize = 6;
const MAX_HINT: usize = 100;

/// The profile's account, as stored. Debug shows no secret.
pub(crate) struct Identity {
    pub(crate) network: Network,
    pub(crate) account: AccountId,
    pub(crate) device: DeviceNumber,
    pub(crate) home: NodeLink,
    pub(crate) record: Signed<AccountRecord>,
    /// The home does not have this record yet.
    pub(crate) record_dirty: bool,
    pub(crate) devices: Signed<DeviceList>,
    pub(crate) handle_wanted: Option<Handle>,
    pub(crate) handle: Option<Signed<HandleRecord>>,
    pub(crate) join_code: Option<InviteCode>,
    pub(crate) registered: bool,
    pub(crate) generation: u64,
    pub(crate) cursor: u64,
    /// Seconds.
    pub(crate) max_deadline: u64,
    pub(crate) fallback_at: Millis,
    /// This device's certificate, by which it may sign records in place of the account.
    steward: Option<Signed<StewardCert>>,
    /// What the account's vault is sealed under, where that cannot be made from the account's key.
    vault_key: Option<VaultKey>,
    secrets: Secrets,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}/{})", self.account, self.device)
    }
}

impl Identity {
    /// Makes a new account that is to be homed where `link` says, and stores all of it.
    pub(crate) fn create(
        tx: &Transaction<'_>,
        vault: &Vault,
        link: &JoinLink,
        handle: Option<&Handle>,
        now: Millis,
    ) -> Result<Self> {
        let secrets = Secrets::generate();
        let own = OwnDevice::generate();
        let network = &link.node.network;
        let (record, devices) = first_records(&secrets, &own, &link.node, FIRST_EPOCH, now)?;
        let account = record.open(network)?.account;
        let sealed = vault.seal(&secrets.pickle())?;
        tx.execute(
            "INSERT INTO identity (id, network, account, device, secrets, olm, home, record,
             devices, handle_wanted, join_code, max_deadline)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                network.name(),
                account.0,
                FIRST_DEVICE,
                sealed,
                own.pickle(&vault.pickle_key()),
                link.node.to_string(),
                codec::encode(&record)?,
                codec::encode(&devices)?,
                handle.map(Handle::as_str),
                link.code.as_ref().map(|code| code.0),
                MAX_DEADLINE_SECONDS as i64,
            ],
        )?;
        Self::load(tx, vault)
    }

    /// The stored one.
    pub(crate) fn load(tx: &Transaction<'_>, vault: &Vault) -> Result<Self> {
        Self::find(tx, vault)?.ok_or(Error::NotJoined)
    }

    /// The stored one, if there is one.
    pub(crate) fn find(tx: &Transaction<'_>, vault: &Vault) -> Result<Option<Self>> {
        let stored = tx
            .prepare_cached("SELECT * FROM identity")?
            .query_row([], |row| Ok(Self::from_row(row, vault)))
            .optional()?;
        stored.transpose()
    }

    fn from_row(row: &Row<'_>, vault: &Vault) -> Result<Self> {
        let value = |what| move |_| StorageError::Value(what);
        let sealed: Vec<u8> = row.get("secrets")?;
        let secrets = Secrets::from_pickle(&vault.open_sealed(&sealed)?)?;
        let network: String = row.get("network")?;
        let home: String = row.get("home")?;
        let wanted: Option<String> = row.get("handle_wanted")?;
        let code: Option<Vec<u8>> = row.get("join_code")?;
        Ok(Self {
            network: network.parse().map_err(|_| StorageError::Value("network"))?,
            account: AccountId(blob(row, "account")?),
            device: row.get("device")?,
            home: home.parse()?,
            record: signed(row, "record")?.ok_or(StorageError::Value("record"))?,
            record_dirty: bool_of(row, "record_dirty")?,
            devices: signed(row, "devices")?.ok_or(StorageError::Value("devices"))?,
            handle_wanted: wanted
                .map(|text| text.parse())
                .transpose()
                .map_err(|_| StorageError::Value("handle"))?,
            handle: signed(row, "handle")?,
            join_code: code
                .map(|code| code.try_into().map(InviteCode))
                .transpose()
                .map_err(value("invite"))?,
            registered: bool_of(row, "registered")?,
            generation: unsigned(row, "generation")?,
            cursor: unsigned(row, "cursor")?,
            max_deadline: unsigned(row, "max_deadline")?,
            fallback_at: unsigned(row, "fallback_at")?,
            steward: signed(row, "steward")?,
            vault_key: vault_key(row, vault)?,
            secrets,
        })
    }

    /// This device.
    pub(crate) fn address(&self) -> DeviceAddress {
        (self.account, self.device)
    }

    /// The Noise key of this device.
    pub(crate) fn noise(&self) -> &NoiseSecret {
        &self.secrets.noise
    }

    /// The key that headers are sealed to.
    pub(crate) fn seal(&self) -> &SealSecret {
        &self.secrets.seal
    }

    /// What delivery tokens are made from.
    pub(crate) fn tokens(&self) -> &TokenSecret {
        &self.secrets.tokens
    }

    /// Of the account's key; on the first device only, and where it was restored.
    pub(crate) fn seed(&self) -> Option<&[u8; 32]> {
        self.secrets.seed.as_deref()
    }

    /// `handle@node`.
    pub(crate) fn full_handle(&self) -> Option<String> {
        let record = self.handle.as_ref()?.open(&self.network).ok()?;
        Some(full_handle(&record))
    }

    /// Not registered yet, and another link or handle is to be tried: the keys stay.
    pub(crate) fn retarget(
        self,
        tx: &Transaction<'_>,
        vault: &Vault,
        link: &JoinLink,
        handle: Option<&Handle>,
        now: Millis,
    ) -> Result<Self> {
        let own = store::load_own(tx, vault)?;
        let (record, devices) = first_records(&self.secrets, &own, &link.node, FIRST_EPOCH, now)?;
        tx.execute(
            "UPDATE identity SET network = ?1, home = ?2, record = ?3, devices = ?4,
             handle_wanted = ?5, join_code = ?6",
            params![
                link.node.network.name(),
                link.node.to_string(),
                codec::encode(&record)?,
                codec::encode(&devices)?,
                handle.map(Handle::as_str),
                link.code.as_ref().map(|code| code.0),
            ],
        )?;
        Self::load(tx, vault)
    }

    /// The record that says that the account has moved.
    #[cfg(test)]
    pub(crate) fn moved_to(&self, home: NodeId, seq: u64) -> Signed<AccountRecord> {
        self.signs(seq, |record| record.home = home)
    }

    /// A record with something changed in it.
    #[cfg(test)]
    pub(crate) fn signs(
        &self,
        seq: u64,
        change: impl FnOnce(&mut AccountRecord),
    ) -> Signed<AccountRecord> {
        let mut record = self.record.open(&self.network).unwrap();
        (record.seq, record.previous) = (seq, Some(self.record.hash()));
        change(&mut record);
        Signed::new(&record, &self.account_key(), &self.network).unwrap()
    }

    /// The account's own key.
    #[cfg(test)]
    pub(crate) fn account_key(&self) -> postroad_proto::SigningKey {
        self.secrets.account_key().unwrap()
    }

    /// The handle that the home gave, if it gave one that is ours.
    pub(crate) fn set_handle(
        &self,
        tx: &Transaction<'_>,
        handle: Option<&Signed<HandleRecord>>,
    ) -> Result<()> {
        let handle = handle.filter(|handle| {
            let record = handle.open(&self.network);
            record.is_ok_and(|r| (r.account, r.node) == (self.account, self.home.node))
        });
        let handle = handle.map(codec::encode).transpose()?;
        tx.execute("UPDATE identity SET handle = ?1 WHERE handle IS NOT ?1", [handle])?;
        Ok(())
    }

    /// Newer records of this account, from another device or the home.
    pub(crate) fn store_records(
        &self,
        tx: &Transaction<'_>,
        record: &Signed<AccountRecord>,
        devices: &Signed<DeviceList>,
    ) -> Result<()> {
        tx.execute(
            "UPDATE identity SET record = ?1, devices = ?2, record_dirty = 0",
            params![codec::encode(record)?, codec::encode(devices)?],
        )?;
        // Whoever was cut off with the new epoch has the key of the old one.
        if record.open(&self.network)?.epoch > self.record.open(&self.network)?.epoch {
            tx.execute("UPDATE identity SET vault_key = NULL", [])?;
        }
        Ok(())
    }

    /// The same, as a device of another home, in whose mailbox the items up to `cursor` are in the database.
    pub(crate) fn at(self, home: NodeLink, generation: u64, cursor: u64) -> Self {
        Self { home, generation, cursor, ..self }
    }

    /// Addresses of the home as the node itself names them, before those of the link.
    pub(crate) fn learn_home(
        &mut self,
        tx: &Transaction<'_>,
        name: &str,
        addresses: &[String],
    ) -> Result<()> {
        let mut home = self.home.clone();
        let mut all: Vec<String> = Vec::new();
        for address in addresses.iter().chain(&home.addresses) {
            if !all.contains(address) && address.len() <= MAX_HINT && all.len() < MAX_ADDRESSES {
                all.push(address.clone());
            }
        }
        home.addresses = all;
        name.clone_into(&mut home.name);
        if home != self.home {
            tx.execute("UPDATE identity SET home = ?1", [home.to_string()])?;
            self.home = home;
        }
        Ok(())
    }
}

fn vault_key(row: &Row<'_>, vault: &Vault) -> Result<Option<VaultKey>> {
    let sealed: Option<Vec<u8>> = row.get("vault_key")?;
    let Some(sealed) = sealed else { return Ok(None) };
    let key = vault.open_sealed(&sealed)?;
    let key = key.as_slice().try_into().map_err(|_| StorageError::Value("vault key"))?;
    Ok(Some(VaultKey(key)))
}

/// Our account's id.
pub(crate) fn account(tx: &Transaction<'_>) -> Result<AccountId> {
    let mut query = tx.prepare_cached("SELECT account FROM identity")?;
    Ok(AccountId(query.query_row([], |row| blob(row, "account"))?))
}

/// The node that this device goes by as its home.
pub(crate) fn home(tx: &Transaction<'_>) -> Result<NodeId> {
    let mut query = tx.prepare_cached("SELECT home FROM identity")?;
    let text: String = query.query_row([], |row| row.get(0))?;
    Ok(text.parse::<NodeLink>()?.node)
}

/// `handle@name`, or `handle@key` for a node that is named by its key.
pub(crate) fn full_handle(record: &HandleRecord) -> String {
    if record.node_name.is_empty() {
        format!("{}@{}", record.handle, record.node)
    } else {
        record.full()
    }
}

/// The signed object in a column.
pub(crate) fn signed<T: Signable>(row: &Row<'_>, column: &str) -> Result<Option<Signed<T>>> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    Ok(bytes.map(|bytes| codec::decode(&bytes, T::LIMIT + 128)).transpose()?)
}

#[cfg(test)]
mod tests {
    use postroad_proto::limits::ACCOUNT_RECORD_SECONDS;
    use postroad_proto::noise;

    use super::*;
    use crate::testing;

    #[test]
    fn an_account_is_found_again_with_its_keys_and_shows_none() {
        let (mut db, vault) = testing::database();
        let link = testing::join_link();
        let made = db.write(|tx| Identity::create(tx, &vault, &link, None, 1_000_000)).unwrap();
        let found = db.read(|tx| Identity::load(tx, &vault)).unwrap();
        assert_eq!(found.account, made.account);
        assert_eq!(found.noise(), made.noise());
        let record = found.record.open(&found.network).unwrap();
        assert_eq!((record.account, record.home), (made.account, link.node.node));
        let list = found.devices.open(&found.network).unwrap();
        assert_eq!(record.devices, found.devices.hash());
        assert_eq!(list.devices[0].noise, noise::public_key(found.noise()));
        let shown = format!("{found:?} {:?}", found.noise());
        assert_eq!(shown, format!("Identity({}/1) NoiseSecret(…)", made.account));
        // A year later the next record follows this one; until then nothing changes.
        let year = 1_000_000 + ACCOUNT_RECORD_SECONDS * 1000;
        db.write(|tx| found.renew(tx, &vault, 2_000_000)).unwrap();
        assert!(!db.read(|tx| Identity::load(tx, &vault)).unwrap().record_dirty);
        db.write(|tx| found.renew(tx, &vault, year)).unwrap();
        let renewed = db.read(|tx| Identity::load(tx, &vault)).unwrap();
        let next = renewed.record.open(&found.network).unwrap();
        assert_eq!((next.seq, next.previous), (2, Some(found.record.hash())));
        assert!(renewed.record_dirty && next.devices == record.devices);
        let other = Vault::ephemeral();
        assert!(matches!(
            db.read(|tx| Identity::load(tx, &other)),
            Err(Error::Storage(StorageError::Secret))
        ));
    }
}
