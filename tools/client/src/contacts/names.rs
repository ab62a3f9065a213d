//! What contacts are called here, and whom a name stands for.

use postroad_proto::ids::AccountId;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Contact, find};
use crate::error::{Error, Result};
use crate::identity::Identity;

/// Longest name a contact may be given, characters.
const MAX_NAME: usize = 64;

/// The contact that `text` names: a name that was given, a handle, or an id.
pub(crate) fn resolve(tx: &Transaction<'_>, own: &Identity, text: &str) -> Result<Contact> {
    let mut query = tx.prepare_cached(
        "SELECT * FROM contact WHERE name = ?1 OR handle = ?1 ORDER BY name = ?1 DESC",
    )?;
    let named = query.query_row([text], |row| Ok(Contact::from_row(row))).optional()?;
    if let Some(contact) = named {
        return contact;
    }
    let account = text.parse::<AccountId>().ok();
    if account == Some(own.account) || own.full_handle().as_deref() == Some(text) {
        return Err(Error::Yourself);
    }
    let contact = match account {
        Some(account) => find(tx, &account)?,
        None => None,
    };
    contact.ok_or_else(|| Error::NotFound { what: "contact", name: text.to_owned() })
}

/// Whether `name` may be used, and for nobody but `account`.
pub(crate) fn check_name(tx: &Transaction<'_>, name: &str, account: &AccountId) -> Result<()> {
    let bad = |why| Err(Error::BadName(name.chars().take(MAX_NAME).collect(), why));
    if name.trim().is_empty() || name.trim() != name {
        return bad("it is empty or begins or ends with a space");
    }
    if name.chars().count() > MAX_NAME {
        return bad("it has more than 64 characters");
    }
    if name.chars().any(char::is_control) {
        return bad("it contains control characters");
    }
    if name.parse::<AccountId>().is_ok() || name.starts_with("postroad:") {
        return bad("it looks like an id or a link");
    }
    let holder: Option<Vec<u8>> = tx
        .query_row("SELECT account FROM contact WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    match holder {
        Some(holder) if holder != account.0 => Err(Error::NameTaken(name.to_owned())),
        _ => Ok(()),
    }
}

/// A free name for a contact who was given none: what the handle proposes, or the id's beginning.
pub(crate) fn free_name(tx: &Transaction<'_>, handle: &str, account: &AccountId) -> Result<String> {
    let proposed = handle.split('@').next().unwrap_or_default();
    let base = match check_name(tx, proposed, account) {
        Err(Error::BadName(..)) => account.to_string().chars().take(8).collect(),
        _ => proposed.to_owned(),
    };
    let mut name = base.clone();
    let mut number = 2;
    while check_name(tx, &name, account).is_err() {
        name = format!("{base}-{number}");
        number += 1;
    }
    Ok(name)
}

/// Renames.
pub(crate) fn rename(tx: &Transaction<'_>, account: &AccountId, name: &str) -> Result<()> {
    check_name(tx, name, account)?;
    tx.execute("UPDATE contact SET name = ?2 WHERE account = ?1", params![account.0, name])?;
    Ok(())
}
