//! What the account's key signs: its records and the list of its devices.

use postroad_proto::blob::Blob;
use postroad_proto::codec;
use postroad_proto::ids::{AccountId, DeviceNumber, Hash, Millis};
use postroad_proto::limits::{ACCOUNT_RECORD_SECONDS, MAX_ACCOUNT_RECORD, MAX_DEVICES};
use postroad_proto::link::NodeLink;
use postroad_proto::linking::NewDevice;
use postroad_proto::noise;
use postroad_proto::pair;
use postroad_proto::record::{
    AccountRecord, Deletion, Device, DeviceList, OLM_VERSION, RECORD_VERSION, StewardCert,
};
use postroad_proto::recovery::VaultKey;
use postroad_proto::signed::{Signable, Signed};
use rusqlite::Transaction;

use super::{Identity, MAX_HINT, Secrets};
use crate::devices::{self, Due};
use crate::e2e::{OwnDevice, store};
use crate::error::{Error, Result};
use crate::moving;
use crate::recovery::vault;
use crate::settings;
use crate::vault::Vault;

/// The number of an account's first device.
pub(super) const FIRST_DEVICE: DeviceNumber = 1;
/// Addresses of the home that go into the record.
const MAX_HINTS: usize = 2;
/// A record that runs out within this time is replaced.
const RENEW_BEFORE_SECONDS: u64 = 60 * 86_400;

impl Identity {
    /// Issues the next record when this one runs out soon. It is stored before the home gets it:
    /// one number must never be signed twice.
    pub(crate) fn renew(&self, tx: &Transaction<'_>, vault: &Vault, now: Millis) -> Result<()> {
        let old = self.record.open(&self.network)?;
        let seconds = now / 1000;
        if old.expires > seconds + RENEW_BEFORE_SECONDS {
            return Ok(());
        }
        // Past its end a record is still used: nobody need sign it today.
        match self.issue(tx, vault, &self.home, now) {
            Err(Error::NotRoot) => Ok(()),
            issued => issued,
        }
    }

    /// Issues the next record, with `home` in it, as the account or as its steward.
    ///
    /// # Errors
    /// [`Error::NotRoot`] without the account's key and a certificate that holds.
    pub(crate) fn issue(
        &self,
        tx: &Transaction<'_>,
        vault: &Vault,
        home: &NodeLink,
        now: Millis,
    ) -> Result<()> {
        let signed = self.sign_next(tx, vault, home, 0, now)?;
        tx.execute("UPDATE identity SET record = ?1, record_dirty = 1", [codec::encode(&signed)?])?;
        devices::note(tx, Due::Records, 0, now)
    }

    /// The next record, above the number `above` as well, with `home` in it. It is not stored: its number
    /// counts as used once anybody has seen it.
    ///
    /// # Errors
    /// [`Error::NotRoot`] without the account's key and a certificate that holds.
    pub(crate) fn sign_next(
        &self,
        tx: &Transaction<'_>,
        vault: &Vault,
        home: &NodeLink,
        above: u64,
        now: Millis,
    ) -> Result<Signed<AccountRecord>> {
        let old = self.record.open(&self.network)?;
        let seconds = now / 1000;
        let new = AccountRecord {
            seq: self.next_number(tx, &old, above)?,
            previous: Some(self.record.hash()),
            ..account_record(self.account, home, self.devices.hash(), seconds)
        };
        let mut new = AccountRecord { epoch: old.epoch, backups: old.backups, ..new };
        match self.secrets.account_key() {
            Some(key) => Ok(Signed::new(&new, &key, &self.network)?),
            None => {
                new.steward = Some(self.certificate(old.epoch, seconds)?);
                let device = store::load_own(tx, vault)?;
                Ok(Signed::new_by(&new, &self.network, |input| device.sign_input(input))?)
            }
        }
    }

    /// A number that no record had yet.
    fn next_number(&self, tx: &Transaction<'_>, old: &AccountRecord, above: u64) -> Result<u64> {
        let highest = old.seq.max(above).max(moving::last_number(tx, self)?);
        let used_up = || Error::untrusted("the account's record", "its numbers are used up");
        highest.checked_add(1).ok_or_else(used_up)
    }

    /// Whether this device may sign a record in the present epoch.
    pub(crate) fn may_sign(&self, now: Millis) -> Result<bool> {
        let epoch = self.record.open(&self.network)?.epoch;
        Ok(self.is_root() || self.certificate(epoch, now / 1000).is_ok())
    }

    /// This device's certificate, encoded, if it is good for a record of `epoch`.
    fn certificate(&self, epoch: u64, seconds: u64) -> Result<Blob> {
        let signed = self.steward.as_ref().ok_or(Error::NotRoot)?;
        let cert = signed.open(&self.network)?;
        match cert.epoch == epoch && seconds < cert.expires {
            true => Ok(codec::encode(signed)?.into()),
            false => Err(Error::NotRoot),
        }
    }

    /// Certificates of all linked devices, with their numbers: none without the account's key.
    pub(crate) fn certify(&self, now: Millis) -> Result<Vec<(DeviceNumber, Signed<StewardCert>)>> {
        let Some(key) = self.secrets.account_key() else { return Ok(Vec::new()) };
        let epoch = self.record.open(&self.network)?.epoch;
        let others = self.device_list()?.devices.into_iter().filter(|d| d.number != self.device);
        let certs = others.map(|device| {
            let cert = StewardCert {
                version: RECORD_VERSION,
                flags: 0,
                account: self.account,
                epoch,
                device: device.number,
                key: device.olm_signing,
                issued: now / 1000,
                expires: now / 1000 + ACCOUNT_RECORD_SECONDS,
            };
            Ok((device.number, Signed::new(&cert, &key, &self.network)?))
        });
        certs.collect()
    }

    /// What the account's vault is sealed under in the present epoch.
    pub(crate) fn vault_key(&self) -> Result<Option<VaultKey>> {
        let epoch = self.record.open(&self.network)?.epoch;
        let made = self.secrets.seed.as_ref().map(|seed| VaultKey::derive(seed, epoch));
        Ok(made.or_else(|| self.vault_key.clone()))
    }

    /// Keeps what the device with the account's key gave this one: the vault's key, and a certificate,
    /// if one of these is this device's and holds.
    pub(crate) fn store_office(
        &self,
        tx: &Transaction<'_>,
        profile: &Vault,
        key: Option<&VaultKey>,
        stewards: &[Signed<StewardCert>],
    ) -> Result<()> {
        if self.is_root() {
            return Ok(());
        }
        if let Some(key) = key {
            tx.execute("UPDATE identity SET vault_key = ?1", [profile.seal(&key.0)?])?;
            vault::key_came(tx)?;
        }
        let own_key = store::load_own(tx, profile)?.signing();
        for signed in stewards {
            let is_ours = signed.open(&self.network).is_ok_and(|cert| {
                (cert.account, cert.device, cert.key) == (self.account, self.device, own_key)
            });
            if is_ours {
                tx.execute("UPDATE identity SET steward = ?1", [codec::encode(signed)?])?;
            }
        }
        Ok(())
    }

    /// The account's word to its home that it is to be deleted, seconds since the Unix epoch; at 0 that it
    /// is not.
    ///
    /// # Errors
    /// [`Error::NotRoot`].
    pub(crate) fn sign_deletion(
        &self,
        at: u64,
        delete_at: u64,
    ) -> Result<(Signed<Deletion>, Deletion)> {
        let key = self.secrets.account_key().ok_or(Error::NotRoot)?;
        let (account, node) = (self.account, self.home.node);
        let said = Deletion { version: RECORD_VERSION, flags: 0, account, node, at, delete_at };
        Ok((Signed::new(&said, &key, &self.network)?, said))
    }

    /// Whether this device has the account's key, and so may link and revoke devices.
    pub(crate) fn is_root(&self) -> bool {
        self.secrets.account_key().is_some()
    }

    /// Whether there is room for another device.
    ///
    /// # Errors
    /// [`Error::TooManyDevices`].
    pub(crate) fn check_room(&self) -> Result<()> {
        match self.device_list()?.devices.len() < MAX_DEVICES {
            true => Ok(()),
            false => Err(Error::TooManyDevices),
        }
    }

    /// Gives another device a place in the account: its number. Stored, to be put to the home.
    ///
    /// # Errors
    /// [`Error::NotRoot`], [`Error::TooManyDevices`].
    pub(crate) fn admit(
        &self,
        tx: &Transaction<'_>,
        new: &NewDevice,
        now: Millis,
    ) -> Result<DeviceNumber> {
        if new.olm_version != OLM_VERSION {
            return Err(Error::untrusted("the new device", "it speaks another version of Olm"));
        }
        let number =
            DeviceNumber::try_from(self.last_number(tx)? + 1).map_err(|_| Error::TooManyDevices)?;
        let device = Device {
            number,
            noise: new.noise,
            seal: new.seal,
            olm_identity: new.olm_identity,
            olm_signing: new.olm_signing,
            olm_version: new.olm_version,
            rights: 0,
            added: now / 1000,
        };
        self.check_room()?;
        self.change_devices(tx, now, Epoch::Same, |devices| {
            devices.push(device);
            Ok(())
        })?;
        settings::set_text(tx, settings::LAST_DEVICE, &number.to_string())?;
        Ok(number)
    }

    /// Takes a device's place away. Stored, to be put to the home.
    ///
    /// # Errors
    /// [`Error::NotRoot`], [`Error::NotFound`].
    pub(crate) fn revoke(
        &self,
        tx: &Transaction<'_>,
        number: DeviceNumber,
        now: Millis,
    ) -> Result<()> {
        let last = self.last_number(tx)?;
        settings::set_text(tx, settings::LAST_DEVICE, &last.to_string())?;
        self.change_devices(tx, now, Epoch::Next, |devices| {
            let before = devices.len();
            devices.retain(|device| device.number != number);
            match devices.len() < before {
                true => Ok(()),
                false => Err(Error::NotFound { what: "device", name: number.to_string() }),
            }
        })
    }

    /// The highest number that a device of the account has or had.
    pub(crate) fn last_number(&self, tx: &Transaction<'_>) -> Result<u64> {
        let listed = self.device_list()?.devices.iter().map(|device| device.number).max();
        Ok(u64::from(listed.unwrap_or(0)).max(settings::number(tx, settings::LAST_DEVICE)?))
    }

    /// The account's devices.
    pub(crate) fn device_list(&self) -> Result<DeviceList> {
        Ok(codec::decode(&self.devices.payload, DeviceList::LIMIT)?)
    }

    fn change_devices(
        &self,
        tx: &Transaction<'_>,
        now: Millis,
        epoch: Epoch,
        change: impl FnOnce(&mut Vec<Device>) -> Result<()>,
    ) -> Result<()> {
        let key = self.secrets.account_key().ok_or(Error::NotRoot)?;
        let old = self.record.open(&self.network)?;
        let mut list = self.device_list()?;
        change(&mut list.devices)?;
        list.seq += 1;
        list.epoch = old.epoch + u64::from(epoch == Epoch::Next);
        let devices = Signed::new(&list, &key, &self.network)?;
        let new = account_record(self.account, &self.home, devices.hash(), now / 1000);
        let new = AccountRecord {
            epoch: list.epoch,
            seq: self.next_number(tx, &old, 0)?,
            previous: Some(self.record.hash()),
            backups: old.backups,
            ..new
        };
        let record = Signed::new(&new, &key, &self.network)?;
        self.store_records(tx, &record, &devices)?;
        tx.execute("UPDATE identity SET record_dirty = 1", [])?;
        // Under the key of the new epoch.
        vault::note_urgent(tx)?;
        devices::arrange(tx, self, &devices, now)?;
        devices::note(tx, Due::Records, 0, now)
    }
}

/// Whether devices are to lose their say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Epoch {
    Same,
    Next,
}

/// The records of a new account.
pub(super) fn first_records(
    secrets: &Secrets,
    own: &OwnDevice,
    home: &NodeLink,
    epoch: u64,
    now: Millis,
) -> Result<(Signed<AccountRecord>, Signed<DeviceList>)> {
    let key = secrets.account_key().ok_or(Error::NotRoot)?;
    let account = AccountId(key.verifying_key().to_bytes());
    let seconds = now / 1000;
    let device = Device {
        number: FIRST_DEVICE,
        noise: noise::public_key(&secrets.noise),
        seal: pair::seal_public(&secrets.seal)?,
        olm_identity: own.identity(),
        olm_signing: own.signing(),
        olm_version: OLM_VERSION,
        rights: 0,
        added: seconds,
    };
    let list = DeviceList {
        version: RECORD_VERSION,
        flags: 0,
        account,
        epoch,
        seq: 1,
        devices: vec![device],
    };
    let devices = Signed::new(&list, &key, &home.network)?;
    let record = account_record(account, home, devices.hash(), seconds);
    let record = AccountRecord { epoch, ..record };
    Ok((Signed::new(&record, &key, &home.network)?, devices))
}

pub(super) fn account_record(
    account: AccountId,
    home: &NodeLink,
    devices: Hash,
    seconds: u64,
) -> AccountRecord {
    let hints = home.addresses.iter().filter(|address| address.len() <= MAX_HINT);
    let record = AccountRecord {
        version: RECORD_VERSION,
        flags: 0,
        account,
        epoch: 1,
        seq: 1,
        previous: None,
        home: home.node,
        backups: Vec::new(),
        hints: hints.take(MAX_HINTS).cloned().collect(),
        devices,
        lookup_key: None,
        issued: seconds,
        expires: seconds + ACCOUNT_RECORD_SECONDS,
        steward: None,
    };
    debug_assert!(codec::encode(&record).is_ok_and(|bytes| bytes.len() <= MAX_ACCOUNT_RECORD));
    record
}
