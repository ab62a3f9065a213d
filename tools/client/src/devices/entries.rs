//! Values under keys that the account's devices agree on: of two, the later one counts.

use postroad_proto::codec;
use postroad_proto::ids::{AccountId, DeviceNumber, Millis};
use postroad_proto::limits::MAX_BODY;
use postroad_proto::sync::{Entry, Item};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Due, note};
use crate::client::{set_draft, switch};
use crate::contacts::{self, Phase};
use crate::conversations;
use crate::db::{int, unsigned};
use crate::e2e::DeviceAddress;
use crate::error::Result;
use crate::events::{self, Event};
use crate::identity::Identity;
use crate::messages;
use crate::receipts;
use crate::recovery;
use crate::requests;
use crate::settings;
use crate::vault::Vault;

/// What a key is about; behind it stands whom or what.
pub(crate) const NAME: &str = "name";
pub(crate) const VERIFIED: &str = "verified";
pub(crate) const BLOCKED: &str = "blocked";
pub(crate) const IGNORED: &str = "ignored";
pub(crate) const DRAFT: &str = "draft";
pub(crate) const SETTING: &str = "setting";
pub(crate) const DEVICE: &str = "device";
const SEEN: &str = "seen";

/// When something counts as set that nobody set: whatever a user does goes before it.
const BY_ITSELF: Millis = 1;
/// Bytes of a value that are kept.
const MAX_VALUE: usize = 60 * 1024;

/// A switch's value.
pub(crate) fn flag(on: bool) -> &'static [u8] {
    if on { &[1] } else { &[0] }
}

/// The user sets a value on this device. A value that is there already is not set again.
pub(crate) fn set(
    tx: &Transaction<'_>,
    what: &str,
    of: &dyn ToString,
    value: &[u8],
    now: Millis,
) -> Result<()> {
    let key = format!("{what} {}", of.to_string());
    let held = find(tx, &key)?;
    let is_chosen = |held: &Entry| held.at > BY_ITSELF && *held.value == *value;
    if held.as_ref().is_some_and(is_chosen) {
        return Ok(());
    }
    let at = held.map_or(now, |held| now.max(held.at + 1));
    put(tx, &key, value, at, None)?;
    note_entry(tx, key, now)
}

/// A value that came to be by itself: it counts until somebody sets one.
pub(crate) fn propose(
    tx: &Transaction<'_>,
    what: &str,
    of: &dyn ToString,
    value: &[u8],
    now: Millis,
) -> Result<()> {
    propose_key(tx, format!("{what} {}", of.to_string()), value, now)
}

fn propose_key(tx: &Transaction<'_>, key: String, value: &[u8], now: Millis) -> Result<()> {
    if find(tx, &key)?.is_some() {
        return Ok(());
    }
    put(tx, &key, value, BY_ITSELF, None)?;
    note_entry(tx, key, now)
}

/// The other devices are to be told, and the vault is to have it.
fn note_entry(tx: &Transaction<'_>, key: String, now: Millis) -> Result<()> {
    if is_lasting(&key) {
        recovery::vault::note(tx)?;
    }
    note(tx, Due::Entry, key, now)
}

/// Whether a value outlives the devices: what was begun or seen is of the day, and changes all the time.
pub(crate) fn is_lasting(key: &str) -> bool {
    !key.split_once(' ').is_some_and(|(what, _)| what == DRAFT || what == SEEN)
}

/// Stores a value; without a device it is this one's.
fn put(
    tx: &Transaction<'_>,
    key: &str,
    value: &[u8],
    at: Millis,
    device: Option<DeviceNumber>,
) -> Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO entry (key, value, at, device)
         SELECT ?1, ?2, ?3, ifnull(?4, ifnull((SELECT device FROM identity), 0))",
    )?
    .execute(params![key, value, int(at), device])?;
    Ok(())
}

fn find(tx: &Transaction<'_>, key: &str) -> Result<Option<Entry>> {
    let mut query = tx.prepare_cached("SELECT value, at, device FROM entry WHERE key = ?1")?;
    let found = query.query_row([key], |row| {
        let (value, device): (Vec<u8>, _) = (row.get("value")?, row.get("device")?);
        Ok(Entry { key: key.to_owned(), value: value.into(), at: unsigned(row, "at")?, device })
    });
    Ok(found.optional()?)
}

/// A value that is text; empty if there is none.
pub(crate) fn text(tx: &Transaction<'_>, what: &str, of: &dyn ToString) -> Result<String> {
    let found = find(tx, &format!("{what} {}", of.to_string()))?;
    Ok(found.map_or_else(String::new, |found| String::from_utf8_lossy(&found.value).into_owned()))
}

/// The entry as the other devices are told.
pub(super) fn item(tx: &Transaction<'_>, key: &str) -> Result<Option<Item>> {
    Ok(find(tx, key)?.map(|entry| Item::new(&entry)).transpose()?)
}

/// Another device has set a value.
pub(super) fn apply(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    entry: &Entry,
    now: Millis,
) -> Result<()> {
    if entry.value.len() > MAX_VALUE {
        return Ok(());
    }
    if let Some(of) = entry.key.strip_prefix(SEEN) {
        return apply_seen(tx, own, of.trim_start(), entry, now);
    }
    let held = find(tx, &entry.key)?;
    if held.is_some_and(|held| (held.at, held.device) >= (entry.at, entry.device)) {
        return Ok(());
    }
    put(tx, &entry.key, &entry.value, entry.at, Some(entry.device))?;
    take_effect(tx, vault, own, (&entry.key, &entry.value), now)
}

fn take_effect(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    (key, value): (&str, &[u8]),
    now: Millis,
) -> Result<()> {
    let Some((what, of)) = key.split_once(' ') else { return Ok(()) };
    let text = core::str::from_utf8(value).unwrap_or_default();
    let on = value == flag(true);
    if what == SETTING {
        return match settings::SHARED.contains(&of) {
            true => switch(tx, of, on, now),
            false => Ok(()),
        };
    }
    let Ok(account) = of.parse::<AccountId>() else { return Ok(()) };
    if what == DRAFT {
        return set_draft(tx, &account, text);
    }
    // Of somebody who is not known yet it counts when they are.
    let Some(contact) = contacts::find(tx, &account)?.filter(|c| c.phase != Phase::Own) else {
        return Ok(());
    };
    match what {
        NAME => assign_name(tx, &account, text)?,
        VERIFIED => {
            let sql = "UPDATE contact SET verified = ?2 WHERE account = ?1";
            tx.execute(sql, params![account.0, on])?;
        }
        BLOCKED if on && !contact.blocked => return requests::block(tx, vault, own, &contact, now),
        BLOCKED if !on => {
            tx.execute("UPDATE contact SET blocked = 0 WHERE account = ?1", [account.0])?;
        }
        IGNORED if on && contact.phase == Phase::Asking => return requests::ignore(tx, &contact),
        _ => return Ok(()),
    }
    events::record(tx, now, &Event::Contact { account })
}

/// A contact has become known of whom something was said before.
pub(super) fn apply_to(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    account: &AccountId,
    now: Millis,
) -> Result<()> {
    for what in [NAME, VERIFIED, BLOCKED] {
        if let Some(entry) = find(tx, &format!("{what} {account}"))? {
            take_effect(tx, vault, own, (&entry.key, &entry.value), now)?;
        }
    }
    Ok(())
}

/// Gives a contact the name that was chosen. Where two have one name, all devices let the same one have
/// it: the one whose name was chosen later.
fn assign_name(tx: &Transaction<'_>, account: &AccountId, name: &str) -> Result<()> {
    let Some(other) = contacts::holder_of_name(tx, name)?.filter(|other| other != account) else {
        return match contacts::is_name(name) {
            true => contacts::set_name(tx, account, name),
            false => Ok(()),
        };
    };
    let chosen = |account: &AccountId| -> Result<(Millis, DeviceNumber, AccountId)> {
        let entry = find(tx, &format!("{NAME} {account}"))?;
        Ok(entry.map_or((0, 0, *account), |entry| (entry.at, entry.device, *account)))
    };
    let loser = if chosen(&other)? < chosen(account)? { other } else { *account };
    contacts::set_name(tx, &loser, &contacts::numbered_name(tx, name, &loser)?)?;
    if loser == *account { Ok(()) } else { contacts::set_name(tx, account, name) }
}

/// `ACCOUNT/N`, as keys name a device.
pub(crate) fn device_key((account, device): DeviceAddress) -> String {
    format!("{account}/{device}")
}

/// What [`device_key`] made.
pub(super) fn parse_device(key: &str) -> Option<DeviceAddress> {
    let (account, device) = key.split_once('/')?;
    Some((account.parse().ok()?, device.parse().ok()?))
}

/// The user has seen something of a device's.
pub(crate) fn note_seen(tx: &Transaction<'_>, from: DeviceAddress, now: Millis) -> Result<()> {
    note(tx, Due::Seen, device_key(from), now)
}

fn seen_of(tx: &Transaction<'_>, from: DeviceAddress) -> Result<Vec<(u64, u64)>> {
    let held = find(tx, &format!("{SEEN} {}", device_key(from)))?;
    Ok(held.and_then(|held| codec::decode(&held.value, MAX_BODY).ok()).unwrap_or_default())
}

/// All that was seen of a device's, here or elsewhere.
pub(super) fn seen_item(
    tx: &Transaction<'_>,
    own: &Identity,
    of: &str,
    now: Millis,
) -> Result<Option<Item>> {
    let Some(entry) = seen_now(tx, own, of, now)? else { return Ok(None) };
    put(tx, &entry.key, &entry.value, now, None)?;
    Ok(Some(Item::new(&entry)?))
}

/// The same, without storing it.
fn seen_now(tx: &Transaction<'_>, own: &Identity, of: &str, now: Millis) -> Result<Option<Entry>> {
    let Some(from) = parse_device(of) else { return Ok(None) };
    let Some(contact) = contacts::find(tx, &from.0)? else { return Ok(None) };
    let received = conversations::ranges(tx, &contact.chat, from)?;
    let here = receipts::read_ranges(tx, &contact, from, &received)?;
    let seen = union(seen_of(tx, from)?, here);
    if seen.is_empty() {
        return Ok(None);
    }
    let (key, value) = (format!("{SEEN} {of}"), codec::encode(&seen)?.into());
    Ok(Some(Entry { key, value, at: now, device: own.device }))
}

fn apply_seen(
    tx: &Transaction<'_>,
    own: &Identity,
    of: &str,
    entry: &Entry,
    now: Millis,
) -> Result<()> {
    let Some(from) = parse_device(of).filter(|from| from.0 != own.account) else { return Ok(()) };
    let new: Vec<(u64, u64)> = codec::decode(&entry.value, MAX_BODY)?;
    let seen = union(seen_of(tx, from)?, new);
    put(tx, &entry.key, &codec::encode(&seen)?, entry.at, Some(entry.device))?;
    messages::mark_seen(tx, from, &seen, now)
}

/// Whether the user saw a message elsewhere before it came here.
pub(crate) fn is_seen(tx: &Transaction<'_>, from: DeviceAddress, seq: u64) -> Result<bool> {
    Ok(seen_of(tx, from)?.iter().any(|(first, last)| (*first..=*last).contains(&seq)))
}

/// What lies in either of two lists of inclusive ranges, rising and apart.
fn union(one: Vec<(u64, u64)>, other: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut all = one;
    all.extend(other);
    all.retain(|(first, last)| first <= last);
    all.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(all.len());
    for (first, last) in all {
        match joined.last_mut() {
            Some((_, to)) if first <= to.saturating_add(1) => *to = last.max(*to),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// Values that came to be by themselves: what [`propose`] proposes, by key.
fn by_themselves(tx: &Transaction<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut values = Vec::new();
    for contact in contacts::all(tx)? {
        let account = contact.account;
        values.push((format!("{NAME} {account}"), contact.name.into_bytes()));
        for (what, is_on) in [(VERIFIED, contact.verified), (BLOCKED, contact.blocked)] {
            if is_on {
                values.push((format!("{what} {account}"), flag(true).to_vec()));
            }
        }
    }
    for key in settings::SHARED {
        values.push((format!("{SETTING} {key}"), flag(settings::is_on(tx, key)?).to_vec()));
    }
    Ok(values)
}

/// All entries, with those that nobody set yet: what a new device is told.
pub(crate) fn all(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<Vec<Item>> {
    for (key, value) in by_themselves(tx)? {
        propose_key(tx, key, &value, now)?;
    }
    for from in conversations::senders(tx)? {
        if from.0 != own.account {
            seen_item(tx, own, &device_key(from), now)?;
        }
    }
    view(tx, own, now)
}

/// The same without storing any: what a backup holds.
pub(crate) fn view(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for from in conversations::senders(tx)? {
        if from.0 != own.account {
            let seen = seen_now(tx, own, &device_key(from), now)?;
            items.extend(seen.map(|entry| Item::new(&entry)).transpose()?);
        }
    }
    let mut query = tx.prepare("SELECT key FROM entry WHERE key NOT LIKE 'seen %' ORDER BY key")?;
    let keys = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    for key in keys {
        items.extend(item(tx, &key)?);
    }
    for (key, value) in by_themselves(tx)? {
        if find(tx, &key)?.is_none() {
            let (value, at, device) = (value.into(), BY_ITSELF, own.device);
            items.push(Item::new(&Entry { key, value, at, device })?);
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined() {
        assert_eq!(union(vec![(1, 3), (9, 9)], vec![(4, 5), (8, 8)]), [(1, 5), (8, 9)]);
        assert_eq!(union(vec![], vec![(5, 4), (2, 2)]), [(2, 2)]);
        assert_eq!(union(vec![(1, u64::MAX)], vec![(3, 4)]), [(1, u64::MAX)]);
    }
}
