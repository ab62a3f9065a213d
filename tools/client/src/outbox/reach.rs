//! Which of a recipient's devices have a message, and which it is still to be sealed for.
//!
//! A message is kept until each device of the newest list says to have it, or until its deadline: a
//! device that was linked meanwhile, or whose session is lost, gets it as well.

use postroad_proto::content::kind;
use postroad_proto::envelope::Header;
use postroad_proto::ids::{AccountId, DeviceNumber};
use postroad_proto::record::Device;
use rusqlite::{Transaction, params};

use super::settle::{forget_if_spent, give_up};
use crate::contacts::{self, Contact};
use crate::db::unsigned;
use crate::e2e::store;
use crate::error::Result;
use crate::identity::Identity;
use crate::vault::Vault;

/// Devices that what is sent to a contact is for: all of theirs; of our own account all but this one.
pub(crate) fn recipients(own: &Identity, contact: &Contact) -> Result<Vec<Device>> {
    let mut devices = contact.device_list()?.map(|list| list.devices).unwrap_or_default();
    if contact.account == own.account {
        devices.retain(|device| device.number != own.device);
    }
    Ok(devices)
}

/// Those of `devices` that a message was not sealed for.
pub(super) fn left(tx: &Transaction<'_>, row: i64, devices: Vec<Device>) -> Result<Vec<Device>> {
    let mut query = tx.prepare_cached("SELECT device FROM reached WHERE message = ?1")?;
    let reached = query
        .query_map([row], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<DeviceNumber>>>()?;
    Ok(devices.into_iter().filter(|device| !reached.contains(&device.number)).collect())
}

/// A message was sealed for the devices of these headers, out of those that it was to be sealed for.
pub(super) fn sealed(
    tx: &Transaction<'_>,
    row: i64,
    headers: &[Header],
    wanted: usize,
) -> Result<()> {
    let mut insert =
        tx.prepare_cached("INSERT OR IGNORE INTO reached (message, device) VALUES (?1, ?2)")?;
    for header in headers {
        insert.execute(params![row, header.device])?;
    }
    tx.prepare_cached("UPDATE outbox SET missing = ?2 WHERE message = ?1")?
        .execute(params![row, headers.len() < wanted])?;
    Ok(())
}

/// What was sealed and not confirmed is worth nothing: it is to be sealed anew.
pub(super) fn forget_unconfirmed(tx: &Transaction<'_>, row: i64) -> Result<()> {
    tx.prepare_cached("DELETE FROM reached WHERE message = ?1 AND confirmed = 0")?
        .execute([row])?;
    Ok(())
}

/// A device says that it misses a message.
pub(super) fn forget(tx: &Transaction<'_>, row: i64, device: DeviceNumber) -> Result<()> {
    tx.prepare_cached("DELETE FROM reached WHERE message = ?1 AND device = ?2")?
        .execute(params![row, device])?;
    Ok(())
}

/// A device of a contact says that it has what this device sent with these numbers: what all have is
/// kept no longer.
pub(crate) fn confirm(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    device: DeviceNumber,
    ranges: &[(u64, u64)],
) -> Result<()> {
    let devices = recipients(own, contact)?;
    let mut query = tx.prepare_cached(
        "SELECT row, kind FROM outbox JOIN message ON row = message
         WHERE contact = ?1 AND seq BETWEEN ?2 AND ?3 AND NOT EXISTS
         (SELECT 1 FROM reached WHERE reached.message = row AND reached.device = ?4
          AND confirmed = 1)",
    )?;
    for (first, last) in ranges {
        let key = params![contact.account.0, as_i64(*first), as_i64(*last), device];
        let rows = query
            .query_map(key, |row| Ok((row.get(0)?, unsigned(row, "kind")?)))?
            .collect::<rusqlite::Result<Vec<(i64, u64)>>>()?;
        for (row, number) in rows {
            tx.prepare_cached("INSERT OR REPLACE INTO reached VALUES (?1, ?2, 1)")?
                .execute(params![row, device])?;
            end_if_complete(tx, row, number, &devices)?;
        }
    }
    Ok(())
}

fn end_if_complete(
    tx: &Transaction<'_>,
    row: i64,
    number: u64,
    devices: &[Device],
) -> Result<bool> {
    let mut query =
        tx.prepare_cached("SELECT device FROM reached WHERE message = ?1 AND confirmed = 1")?;
    let confirmed = query
        .query_map([row], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<DeviceNumber>>>()?;
    let is_complete =
        !confirmed.is_empty() && devices.iter().all(|device| confirmed.contains(&device.number));
    if is_complete {
        give_up(tx, row)?;
        forget_if_spent(tx, row, number)?;
    }
    Ok(is_complete)
}

/// Whether a message was sealed for every device that a contact has, as far as is known.
pub(super) fn is_for_all(tx: &Transaction<'_>, row: i64) -> Result<bool> {
    let mut query = tx.prepare_cached("SELECT missing = 0 FROM outbox WHERE message = ?1")?;
    Ok(query.query_row([row], |row| row.get(0))?)
}

/// A contact has other devices than before: what is kept for them may be for more of them, or for none
/// that is left.
pub(crate) fn devices_changed(
    tx: &Transaction<'_>,
    own: &Identity,
    account: &AccountId,
) -> Result<()> {
    let devices = recipients(own, &contacts::get(tx, account)?)?;
    let mut query = tx.prepare_cached(
        "SELECT row, kind FROM outbox JOIN message ON row = message
         WHERE contact = ?1 AND plaintext NOT NULL",
    )?;
    let kept = query
        .query_map([account.0], |row| Ok((row.get(0)?, unsigned(row, "kind")?)))?
        .collect::<rusqlite::Result<Vec<(i64, u64)>>>()?;
    for (row, number) in kept {
        if end_if_complete(tx, row, number, &devices)? {
            continue;
        }
        let is_missing = !left(tx, row, devices.clone())?.is_empty();
        tx.prepare_cached("UPDATE outbox SET missing = ?2 WHERE message = ?1")?
            .execute(params![row, is_missing])?;
    }
    Ok(())
}

/// What nodes have taken already and some device was left out of is sealed once more, for those alone
/// that were left out and can be sealed to now.
pub(super) fn unseal_missing(tx: &Transaction<'_>, vault: &Vault, own: &Identity) -> Result<()> {
    let mut query = tx.prepare_cached(
        "SELECT message, contact FROM outbox
         WHERE missing = 1 AND offer = 0 AND envelope NOT NULL ORDER BY message",
    )?;
    let rows = query
        .query_map([], |row| Ok((row.get(0)?, AccountId(crate::db::blob(row, "contact")?))))?
        .collect::<rusqlite::Result<Vec<(i64, AccountId)>>>()?;
    for (row, account) in rows {
        let contact = contacts::get(tx, &account)?;
        let devices = left(tx, row, recipients(own, &contact)?)?;
        let mut is_of_use = false;
        for device in &devices {
            is_of_use |= is_sealable(tx, vault, &account, device.number)?;
        }
        if is_of_use {
            tx.prepare_cached("UPDATE outbox SET envelope = NULL WHERE message = ?1")?
                .execute([row])?;
        }
    }
    Ok(())
}

/// Whether there is a session with a device, or a key to start one.
fn is_sealable(
    tx: &Transaction<'_>,
    vault: &Vault,
    account: &AccountId,
    device: DeviceNumber,
) -> Result<bool> {
    let mut prekey =
        tx.prepare_cached("SELECT 1 FROM prekey WHERE account = ?1 AND device = ?2")?;
    Ok(prekey.exists(params![account.0, device])?
        || !store::load_sessions(tx, vault, (*account, device))?.is_empty())
}

/// Whether mail waits for a contact's keys: it is not sealed, or not for all devices.
pub(crate) fn awaits_keys(tx: &Transaction<'_>, account: &AccountId) -> Result<bool> {
    let mut query = tx.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM outbox
             WHERE contact = ?1 AND (envelope IS NULL OR missing = 1))",
    )?;
    Ok(query.query_row([account.0], |row| row.get(0))?)
}

/// Whether a message is kept until the recipient's receipt, or only until a node has it: nobody
/// answers a receipt.
pub(super) fn is_receipted(number: u64) -> bool {
    number != kind::RECEIPT
}

fn as_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
