//! The account's devices, as commands use them.

use postroad_proto::ids::{DeviceNumber, Millis};

use super::Client;
use crate::clock;
use crate::devices::entries;
use crate::error::{Error, Result};
use crate::identity::Identity;

/// A device of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// Its number, which no other device of the account ever had.
    pub number: DeviceNumber,
    /// What its owner calls it; empty if nothing.
    pub name: String,
    /// When it was added.
    pub added: Millis,
    /// Whether it is this one.
    pub is_this: bool,
}

impl Client {
    /// The account's devices, by number.
    ///
    /// # Errors
    /// [`Error::NotJoined`].
    pub fn devices(&mut self) -> Result<Vec<DeviceView>> {
        let vault = &self.vault;
        self.db.read(|tx| {
            let own = Identity::load(tx, vault)?;
            let devices = own.device_list()?.devices.into_iter().map(|device| {
                Ok(DeviceView {
                    number: device.number,
                    name: entries::text(tx, entries::DEVICE, &device.number)?,
                    added: device.added * 1000,
                    is_this: device.number == own.device,
                })
            });
            devices.collect()
        })
    }

    /// Whether this device has the account's key: only such a one links and revokes devices.
    ///
    /// # Errors
    /// [`Error::NotJoined`].
    pub fn has_account_key(&mut self) -> Result<bool> {
        Ok(self.identity()?.is_root())
    }

    /// Takes a device's place in the account away, in favour of nobody: it gets nothing more, and what
    /// it says counts for nothing. The home is told with the next sync, and contacts with the next
    /// message.
    ///
    /// # Errors
    /// [`Error::NotRoot`], [`Error::NotFound`], [`Error::Impossible`] for this very device.
    pub fn revoke_device(&mut self, number: DeviceNumber) -> Result<()> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            if own.is_root() && own.device == number {
                return Err(Error::Impossible("this is that device; revoke it from another one"));
            }
            own.revoke(tx, number, now)?;
            tx.execute("UPDATE device_link SET until = 0, opened = 0 WHERE device = ?1", [number])?;
            Ok(())
        })
    }

    /// Gives a device of the account another name, on all devices.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadName`].
    pub fn rename_device(&mut self, number: DeviceNumber, name: &str) -> Result<()> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            if own.device_list()?.device(number).is_none() {
                return Err(Error::NotFound { what: "device", name: number.to_string() });
            }
            crate::contacts::check_form(name)?;
            entries::set(tx, entries::DEVICE, &number, name.as_bytes(), now)
        })
    }
}
