//! Olm pickles in the database, encrypted under the profile's key.

use postroad_proto::ids::Millis;
use rusqlite::{Transaction, params};

use super::{DeviceAddress, OwnDevice, PeerSessions};
use crate::db::{int, unsigned};
use crate::error::Result;
use crate::vault::Vault;

/// This device's Olm account.
pub(crate) fn load_own(tx: &Transaction<'_>, vault: &Vault) -> Result<OwnDevice> {
    let text: String = tx.query_row("SELECT olm FROM identity", [], |row| row.get(0))?;
    Ok(OwnDevice::unpickle(&text, &vault.pickle_key())?)
}

pub(crate) fn save_own(tx: &Transaction<'_>, vault: &Vault, own: &OwnDevice) -> Result<()> {
    tx.execute("UPDATE identity SET olm = ?1", [own.pickle(&vault.pickle_key())])?;
    Ok(())
}

/// The sessions with one device.
pub(crate) fn load_sessions(
    tx: &Transaction<'_>,
    vault: &Vault,
    (account, device): DeviceAddress,
) -> Result<PeerSessions> {
    let key = vault.pickle_key();
    let mut sessions = PeerSessions::default();
    let mut query = tx.prepare_cached(
        "SELECT id, pickle, used FROM session WHERE account = ?1 AND device = ?2",
    )?;
    let rows = query.query_map(params![account.0, device], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, unsigned(row, "used")?))
    })?;
    for row in rows {
        let (id, pickle, used): (String, String, Millis) = row?;
        sessions.load(id, &pickle, used, &key)?;
    }
    Ok(sessions)
}

/// Stores what changed.
pub(crate) fn save_sessions(
    tx: &Transaction<'_>,
    vault: &Vault,
    (account, device): DeviceAddress,
    sessions: &PeerSessions,
) -> Result<()> {
    let mut delete =
        tx.prepare_cached("DELETE FROM session WHERE account = ?1 AND device = ?2 AND id = ?3")?;
    for id in sessions.dropped() {
        delete.execute(params![account.0, device, id])?;
    }
    let mut upsert = tx.prepare_cached(
        "INSERT OR REPLACE INTO session (account, device, id, pickle, used)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (id, pickle, used) in sessions.changed(&vault.pickle_key()) {
        upsert.execute(params![account.0, device, id, pickle, int(used)])?;
    }
    Ok(())
}
