//! The user's settings, and small facts that outlive a process.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::error::Result;

/// Whether contacts are told that their messages arrived and were read.
pub(crate) const RECEIPTS: &str = "receipts";
/// Whether this account's handle can be looked up, and so strangers can ask to write.
pub(crate) const LOOKUPS: &str = "lookups";
/// Whether contacts see that the user is writing, and the user that they are.
pub(crate) const TYPING: &str = "typing";
/// Whether contacts see that the user is there, and the user that they are.
pub(crate) const PRESENCE: &str = "presence";
/// Until when the user counts as being there.
pub(crate) const HERE: &str = "here";
/// The switches that are the same on all devices.
pub(crate) const SHARED: [&str; 4] = [RECEIPTS, LOOKUPS, TYPING, PRESENCE];
/// Why there was no connection the last time.
pub(crate) const OFFLINE: &str = "offline";
/// When the recovery phrase was written down and tested.
pub(crate) const PHRASE_TESTED: &str = "phrase tested";
/// Not empty while this profile is becoming a device of an account again.
pub(crate) const RECOVERING: &str = "recovering";
/// 1: what is in the vault at the home has changed. When it was put last, and its version.
pub(crate) const VAULT_DIRTY: &str = "vault dirty";
pub(crate) const VAULT_AT: &str = "vault at";
pub(crate) const VAULT_VERSION: &str = "vault version";
/// The highest number that a device of the account ever had, as far as it is known.
pub(crate) const LAST_DEVICE: &str = "last device";
/// The backup that is being restored, and the last of its records that was taken; empty if none is.
pub(crate) const RESTORING: &str = "restoring";
/// When the home is going to delete the account, as it says, seconds; 0 for never.
pub(crate) const ENDS_AT: &str = "ends at";
/// Epoch and number of the last record of the account that the home and this device had both.
pub(crate) const AGREED: &str = "agreed";
/// How often other processes asked the one that has the connection to come into step, and how many
/// of these it has answered.
pub(crate) const SYNC_ASKED: &str = "sync asked";
pub(crate) const SYNC_DONE: &str = "sync done";
/// How often it was asked to let another process have the connection.
pub(crate) const YIELD: &str = "yield";

/// For how many seconds the keys of a profile with a passphrase are held while nobody uses them.
pub(crate) const LOCK_AFTER: &str = "lock after";
/// The number of the last event that the user's agent dealt with.
pub(crate) const AGENT_EVENT: &str = "agent event";

/// A switch; on unless it was turned off.
pub(crate) fn is_on(tx: &Transaction<'_>, key: &str) -> Result<bool> {
    Ok(text(tx, key)?.is_none_or(|value| value == "on"))
}

/// Turns a switch. Whether that changed anything.
pub(crate) fn turn(tx: &Transaction<'_>, key: &str, on: bool) -> Result<bool> {
    if is_on(tx, key)? == on {
        return Ok(false);
    }
    tx.execute(
        "INSERT OR REPLACE INTO setting (key, value, dirty) VALUES (?1, ?2, 1)",
        params![key, if on { "on" } else { "off" }],
    )?;
    Ok(true)
}

pub(crate) fn text(tx: &Transaction<'_>, key: &str) -> Result<Option<String>> {
    let mut query = tx.prepare_cached("SELECT value FROM setting WHERE key = ?1")?;
    Ok(query.query_row([key], |row| row.get(0)).optional()?)
}

/// A counter; 0 at first.
pub(crate) fn number(tx: &Transaction<'_>, key: &str) -> Result<u64> {
    Ok(text(tx, key)?.and_then(|value| value.parse().ok()).unwrap_or(0))
}

pub(crate) fn set_text(tx: &Transaction<'_>, key: &str, value: &str) -> Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO setting (key, value, dirty) VALUES (?1, ?2, 0)",
        params![key, value],
    )?;
    Ok(())
}

/// Whether the home is to be told of a switch.
pub(crate) fn is_dirty(tx: &Transaction<'_>, key: &str) -> Result<bool> {
    let mut query = tx.prepare_cached("SELECT dirty FROM setting WHERE key = ?1")?;
    Ok(query.query_row([key], |row| row.get::<_, i64>(0)).optional()? == Some(1))
}

/// The home has been told that it is `on`.
pub(crate) fn clean(tx: &Transaction<'_>, key: &str, on: bool) -> Result<()> {
    let value = if on { "on" } else { "off" };
    tx.execute("UPDATE setting SET dirty = 0 WHERE key = ?1 AND value = ?2", [key, value])?;
    Ok(())
}
