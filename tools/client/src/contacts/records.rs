//! The signed records of a contact.

use postroad_proto::codec;
use postroad_proto::ids::{AccountId, NodeId};
use postroad_proto::network::Network;
use postroad_proto::record::{AccountRecord, DeviceList, HandleRecord};
use postroad_proto::signed::Signed;
use rusqlite::{Transaction, params};

use super::Contact;
use crate::error::{Error, Result};
use crate::identity::full_handle;

/// Records of a contact, verified to be `account`'s own and to belong together.
pub(crate) struct Verified<'a> {
    pub(crate) record: &'a Signed<AccountRecord>,
    pub(crate) devices: &'a Signed<DeviceList>,
    pub(crate) handle: Option<&'a Signed<HandleRecord>>,
    home: NodeId,
    hints: Vec<String>,
    full_handle: Option<String>,
}

impl<'a> Verified<'a> {
    /// Checks all signatures and that nothing is somebody else's.
    pub(crate) fn check(
        account: &AccountId,
        network: &Network,
        record: &'a Signed<AccountRecord>,
        devices: &'a Signed<DeviceList>,
        handle: Option<&'a Signed<HandleRecord>>,
    ) -> Result<Self> {
        let opened = record.open(network)?;
        let list = devices.open(network)?;
        if opened.account != *account || list.account != *account {
            return Err(Error::untrusted("a contact's record", "it is another account's"));
        }
        if opened.devices != devices.hash() {
            let why = "record and device list do not belong together";
            return Err(Error::untrusted("a contact's record", why));
        }
        let full = match handle {
            Some(signed) => {
                let handle = signed.open(network)?;
                (handle.account == *account && handle.node == opened.home)
                    .then(|| full_handle(&handle))
            }
            None => None,
        };
        Ok(Self {
            record,
            devices,
            handle: handle.filter(|_| full.is_some()),
            home: opened.home,
            hints: opened.hints,
            full_handle: full,
        })
    }
}

/// Stores records that are newer than what is held; older ones change nothing.
pub(crate) fn store_records(
    tx: &Transaction<'_>,
    contact: &Contact,
    network: &Network,
    new: &Verified<'_>,
) -> Result<()> {
    if let Some(held) = &contact.record {
        let (held, new) = (held.open(network)?, new.record.open(network)?);
        if (new.epoch, new.seq) < (held.epoch, held.seq) {
            return Ok(());
        }
    }
    let mut home = contact.home.clone();
    if home.node != new.home {
        home.node = new.home;
        home.name.clear();
        home.addresses.clear();
    }
    for hint in &new.hints {
        if !home.addresses.contains(hint) {
            home.addresses.push(hint.clone());
        }
    }
    tx.execute(
        "UPDATE contact SET record = ?2, devices = ?3, home = ?4,
         handle_record = coalesce(?5, handle_record), handle = coalesce(?6, handle)
         WHERE account = ?1",
        params![
            contact.account.0,
            codec::encode(new.record)?,
            codec::encode(new.devices)?,
            home.to_string(),
            new.handle.map(codec::encode).transpose()?,
            new.full_handle
        ],
    )?;
    Ok(())
}
