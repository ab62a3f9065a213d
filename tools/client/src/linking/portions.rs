//! What a device hands to a new one, in portions: first what it agrees on with all, then its messages.

use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::linking::Portion;
use postroad_proto::sync::Item;
use rusqlite::Transaction;

use crate::contacts;
use crate::conversations;
use crate::deletion;
use crate::devices::{self, copies, entries, person_item};
use crate::error::Result;
use crate::identity::Identity;
use crate::vault::Vault;

/// Messages that are looked at for one portion, and bytes from which on it is full.
const MESSAGES: usize = 128;
const FULL: usize = 32 * 1024;

/// How far the old device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    /// Items handed over of those that come before messages.
    pub(crate) items: usize,
    /// The last message's row; none before the first.
    pub(crate) row: Option<i64>,
    /// Messages handed over.
    pub(crate) done: u64,
}

/// What comes before messages: whom the account knows and what it agrees on.
pub(crate) fn opening(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<Vec<Item>> {
    let mut items = opening_with(tx, own, entries::all(tx, own, now)?)?;
    items.extend(deletion::item(tx)?);
    Ok(items)
}

/// The same without storing anything: what a backup begins with.
pub(crate) fn view(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<Vec<Item>> {
    opening_with(tx, own, entries::view(tx, own, now)?)
}

fn opening_with(tx: &Transaction<'_>, own: &Identity, entries: Vec<Item>) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let people = contacts::all(tx)?;
    for contact in &people {
        items.extend(person_item(tx, &contact.account)?);
    }
    items.extend(entries);
    for (account, device) in conversations::senders(tx)? {
        // Our own other devices among them: what they told before is in what is handed over here.
        let is_known = |account: &AccountId| people.iter().any(|c| c.account == *account);
        if account == own.account || is_known(&account) {
            items.extend(copies::place(tx, &account, device)?);
        }
    }
    Ok(items)
}

/// The portion after `cursor`, and where it ends. `opening` is what [`opening`] gave.
pub(crate) fn next(
    tx: &Transaction<'_>,
    opening: &[Item],
    cursor: Cursor,
    number: u64,
) -> Result<(Portion, Cursor)> {
    let all = copies::count(tx)?;
    let mut portion = Portion { number, done: cursor.done, all, last: false, items: Vec::new() };
    let mut bytes = 0;
    for item in opening.iter().skip(cursor.items) {
        if bytes > 0 && bytes + item.body.len() > FULL {
            break;
        }
        bytes += item.body.len();
        portion.items.push(item.clone());
    }
    if !portion.items.is_empty() {
        let items = cursor.items + portion.items.len();
        return Ok((portion, Cursor { items, ..cursor }));
    }
    let mut cursor = Cursor { row: Some(cursor.row.unwrap_or(0)), ..cursor };
    for (row, item) in copies::after(tx, cursor.row.unwrap_or(0), MESSAGES)? {
        let size = item.as_ref().map_or(0, |item| item.body.len());
        if bytes > 0 && bytes + size > FULL {
            break;
        }
        bytes += size;
        cursor.row = Some(row);
        cursor.done += u64::from(item.is_some());
        portion.items.extend(item);
    }
    portion.done = cursor.done;
    portion.last = copies::after(tx, cursor.row.unwrap_or(0), 1)?.is_empty();
    Ok((portion, cursor))
}

/// The new device takes a portion.
pub(crate) fn take(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    portion: &Portion,
    now: Millis,
) -> Result<()> {
    devices::take_items(tx, vault, own, &portion.items, now)
}
