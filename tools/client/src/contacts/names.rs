//! What contacts are called here, and whom a name stands for.

use postroad_proto::ids::{AccountId, Millis, NodeId};
use rusqlite::{OptionalExtension, Transaction, params};

use super::handles::record_of;
use super::{Contact, all, find};
use crate::db::blob;
use crate::devices::entries;
use crate::error::{Error, Result};
use crate::identity::Identity;

/// Longest name a contact may be given, characters.
const MAX_NAME: usize = 64;

/// How our own messages are signed: nobody else may be called that.
pub(crate) const RESERVED_NAME: &str = "me";

/// Whether a character does not show, or changes how its neighbours do: two names with and without
/// it would look the same.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}'      // soft hyphen, grapheme joiner, Arabic mark
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
            | '\u{17b4}' | '\u{17b5}'             // Khmer inherent vowels
            | '\u{180b}'..='\u{180f}'             // Mongolian selectors
            | '\u{200b}'..='\u{200f}'             // zero width, joiners, direction marks
            | '\u{2028}'..='\u{202e}'             // separators, embeddings, overrides
            | '\u{2060}'..='\u{206f}'             // word joiner, isolates, deprecated controls
            | '\u{2800}'                          // empty Braille pattern
            | '\u{fe00}'..='\u{fe0f}'             // variation selectors
            | '\u{feff}'                          // byte order mark
            | '\u{fff0}'..='\u{fffb}'             // annotation
            | '\u{1bca0}'..='\u{1bca3}'           // shorthand format controls
            | '\u{1d173}'..='\u{1d17a}'           // musical format controls
            | '\u{e0000}'..='\u{e0fff}') // tags, more selectors
}

/// The contact that `text` names: a name that was given, a handle, or an id.
///
/// A handle counts only when the node's name in it was looked up, or stands there as the node's id:
/// anybody can call their node `road.example`, and would get what is meant for somebody else.
pub(crate) fn resolve(tx: &Transaction<'_>, own: &Identity, text: &str) -> Result<Contact> {
    let mut query = tx.prepare_cached(
        "SELECT * FROM contact
         WHERE (name = ?1 OR handle = ?1 AND handle_proven = 1) AND phase <> 5
         ORDER BY name = ?1 DESC",
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
        None => by_node_id(tx, own, text)?,
    };
    contact.ok_or_else(|| Error::NotFound { what: "contact", name: text.to_owned() })
}

/// The contact whose handle is `handle@node id`, as that node signed it.
fn by_node_id(tx: &Transaction<'_>, own: &Identity, text: &str) -> Result<Option<Contact>> {
    let Some((handle, node)) = text.split_once('@') else { return Ok(None) };
    let Ok(node) = node.parse::<NodeId>() else { return Ok(None) };
    let bound = all(tx)?.into_iter().find(|contact| {
        record_of(own, contact)
            .is_some_and(|record| record.node == node && record.handle.as_str() == handle)
    });
    Ok(bound)
}

/// Whether `name` may be used, and for nobody but `account`.
pub(crate) fn check_name(tx: &Transaction<'_>, name: &str, account: &AccountId) -> Result<()> {
    check_form(name)?;
    match holder_of_name(tx, name)? {
        Some(holder) if holder != *account => Err(Error::NameTaken(name.to_owned())),
        _ => Ok(()),
    }
}

/// Who has a name.
pub(crate) fn holder_of_name(tx: &Transaction<'_>, name: &str) -> Result<Option<AccountId>> {
    let holder = tx
        .prepare_cached("SELECT account FROM contact WHERE name = ?1")?
        .query_row([name], |row| blob(row, "account"))
        .optional()?;
    Ok(holder.map(AccountId))
}

/// Whether a text may be somebody's name.
pub(crate) fn is_name(name: &str) -> bool {
    check_form(name).is_ok()
}

/// Whether a text may be a name at all.
pub(crate) fn check_form(name: &str) -> Result<()> {
    let bad = |why| Err(Error::BadName(name.chars().take(MAX_NAME).collect(), why));
    if name.trim().is_empty() || name.trim() != name {
        return bad("it is empty or begins or ends with a space");
    }
    if name.chars().count() > MAX_NAME {
        return bad("it has more than 64 characters");
    }
    if name.chars().any(is_unseen) {
        return bad("it contains characters that cannot be seen or that reorder text");
    }
    if name.to_lowercase() == RESERVED_NAME {
        return bad("it stands for yourself");
    }
    if name.parse::<AccountId>().is_ok() || name.starts_with("postroad:") {
        return bad("it looks like an id or a link");
    }
    Ok(())
}

/// A free name for a contact who was given none: what the handle proposes, or the id's beginning.
pub(crate) fn free_name(tx: &Transaction<'_>, handle: &str, account: &AccountId) -> Result<String> {
    let proposed = handle.split('@').next().unwrap_or_default();
    let base = match check_name(tx, proposed, account) {
        Err(Error::BadName(..)) => account.to_string().chars().take(8).collect(),
        _ => proposed.to_owned(),
    };
    match holder_of_name(tx, &base)?.filter(|holder| holder != account) {
        Some(_) => numbered_name(tx, &base, account),
        None => Ok(base),
    }
}

/// `base` with the first number behind it that nobody else has.
pub(crate) fn numbered_name(
    tx: &Transaction<'_>,
    base: &str,
    account: &AccountId,
) -> Result<String> {
    let mut number = 2;
    loop {
        let name = format!("{base}-{number}");
        if holder_of_name(tx, &name)?.is_none_or(|holder| holder == *account) {
            return Ok(name);
        }
        number += 1;
    }
}

/// The user gives a contact another name.
pub(crate) fn rename(
    tx: &Transaction<'_>,
    account: &AccountId,
    name: &str,
    now: Millis,
) -> Result<()> {
    check_name(tx, name, account)?;
    set_name(tx, account, name)?;
    entries::set(tx, entries::NAME, account, name.as_bytes(), now)
}

/// Gives a contact a name that is free.
pub(crate) fn set_name(tx: &Transaction<'_>, account: &AccountId, name: &str) -> Result<()> {
    tx.execute("UPDATE contact SET name = ?2 WHERE account = ?1", params![account.0, name])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_name_shows_whole_and_is_nobody_elses() {
        let (mut db, _) = testing::database();
        let account = AccountId([1; 32]);
        db.read(|tx| {
            for name in ["me", "Me", "ME", "bo\u{200b}b", "bob\u{202e}", "\u{2066}bob", "b\tb"] {
                let refused = check_name(tx, name, &account);
                assert!(matches!(refused, Err(Error::BadName(..))), "{name:?}: {refused:?}");
                // Nor is it taken from what somebody calls themselves.
                let derived = free_name(tx, &format!("{name}@road.example"), &account)?;
                assert!(account.to_string().starts_with(&derived), "{derived}");
            }
            for name in ["bob", "Zoë", "मीरा", "महेश", "王小明", "mel", "it's me"]
            {
                check_name(tx, name, &account)?;
            }
            Ok(())
        })
        .unwrap();
    }
}
