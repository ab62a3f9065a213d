//! How this device comes to belong to an account whose key it was given.

use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::ids::Millis;
use postroad_proto::limits::{MAX_DEADLINE_SECONDS, MAX_DEVICES};
use postroad_proto::link::NodeLink;
use postroad_proto::record::{AccountRecord, DeviceList, HandleRecord};
use postroad_proto::signed::Signed;
use postroad_proto::token::TokenSecret;
use rusqlite::{Transaction, params};
use zeroize::Zeroizing;

use super::records::{account_record, first_records};
use super::{Identity, Secrets};
use crate::devices;
use crate::e2e::OwnDevice;
use crate::error::{Error, Result};
use crate::recovery::vault;
use crate::vault::Vault;

impl Identity {
    /// Makes a new device of the account with this seed, and stores it: what is held of the account
    /// is not known yet, so its first record is below any that was ever held.
    pub(crate) fn recover(
        tx: &Transaction<'_>,
        vault: &Vault,
        seed: &[u8; 32],
        home: &NodeLink,
        now: Millis,
    ) -> Result<Self> {
        let secrets = Secrets { seed: Some(Zeroizing::new(*seed)), ..Secrets::generate() };
        let olm = OwnDevice::generate();
        let (record, devices) = first_records(&secrets, &olm, home, 0, now)?;
        let account = record.open(&home.network)?.account;
        tx.execute(
            "INSERT INTO identity (id, network, account, device, secrets, olm, home, record,
             devices, max_deadline)
             VALUES (1, ?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                home.network.name(),
                account.0,
                vault.seal(&secrets.pickle())?,
                olm.pickle(&vault.pickle_key()),
                home.to_string(),
                codec::encode(&record)?,
                codec::encode(&devices)?,
                MAX_DEADLINE_SECONDS as i64,
            ],
        )?;
        Self::load(tx, vault)
    }

    /// Signs above what is held: with the devices that are there, or with this one alone in a new epoch.
    ///
    /// # Errors
    /// [`Error::TooManyDevices`].
    pub(crate) fn sign_above(
        &self,
        tx: &Transaction<'_>,
        held: &Signed<AccountRecord>,
        mut list: DeviceList,
        cuts_off: bool,
        now: Millis,
    ) -> Result<()> {
        let key = self.secrets.account_key().ok_or(Error::NotRoot)?;
        let old = held.open(&self.network)?;
        let mut this = self.device_list()?;
        let mut this = this.devices.pop().ok_or(Error::NotRoot)?;
        // Each device that was taken off cost an epoch, so no number that high was ever used.
        let highest = list.devices.iter().map(|device| u64::from(device.number)).max();
        let number = highest.unwrap_or(0) + old.epoch.max(1);
        this.number = u8::try_from(number).map_err(|_| Error::TooManyDevices)?;
        this.added = now / 1000;
        let number = this.number;
        if cuts_off {
            list.devices.clear();
        }
        if list.devices.len() >= MAX_DEVICES {
            return Err(Error::TooManyDevices);
        }
        list.devices.push(this);
        list.seq += 1;
        list.epoch = old.epoch + u64::from(cuts_off);
        let devices = Signed::new(&list, &key, &self.network)?;
        let new = AccountRecord {
            epoch: list.epoch,
            seq: old.seq + 1,
            previous: Some(held.hash()),
            backups: old.backups,
            ..account_record(self.account, &self.home, devices.hash(), now / 1000)
        };
        let record = Signed::new(&new, &key, &self.network)?;
        self.store_records(tx, &record, &devices)?;
        tx.execute("UPDATE identity SET device = ?1", [number])?;
        Ok(())
    }

    /// The home has this device.
    pub(crate) fn is_registered(
        &self,
        tx: &Transaction<'_>,
        handle: Option<&Signed<HandleRecord>>,
    ) -> Result<()> {
        tx.execute("UPDATE identity SET registered = 1", [])?;
        self.set_handle(tx, handle)?;
        vault::note_urgent(tx)?;
        devices::arrange(tx, self, &self.devices, self.record.open(&self.network)?.issued * 1000)
    }

    /// The account is homed elsewhere by now.
    pub(crate) fn set_home(&self, tx: &Transaction<'_>, home: &NodeLink) -> Result<()> {
        let key: SigningKey = self.secrets.account_key().ok_or(Error::NotRoot)?;
        let list = self.device_list()?;
        let devices = Signed::new(&list, &key, &self.network)?;
        let record = self.record.open(&self.network)?;
        let record = AccountRecord { home: home.node, hints: home.addresses.clone(), ..record };
        let record = Signed::new(&record, &key, &self.network)?;
        self.store_records(tx, &record, &devices)?;
        tx.execute("UPDATE identity SET home = ?1", [home.to_string()])?;
        Ok(())
    }

    /// What delivery tokens are made from, as the account's other devices had it.
    pub(crate) fn set_tokens(
        &self,
        tx: &Transaction<'_>,
        vault: &Vault,
        tokens: TokenSecret,
    ) -> Result<()> {
        let secrets = self.secrets.with_tokens(tokens);
        tx.execute("UPDATE identity SET secrets = ?1", [vault.seal(&secrets.pickle())?])?;
        Ok(())
    }
}
