//! Asking a contact's device for what never came, and answering such a question.
//!
//! A gap may close by itself: mail overtakes mail. One that stays is asked for, ever more seldom. A
//! message that does not open is a gap that nobody numbered, and a sign that the session is of no use:
//! then a new one is started to ask on.

use postroad_proto::codec;
use postroad_proto::content::{Absent, Resend, kind};
use postroad_proto::ids::{AccountId, DeviceNumber, Millis};
use postroad_proto::limits::MAX_BODY;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::contacts::{self, Contact, Phase};
use crate::conversations;
use crate::db::{blob, bool_of, int, unsigned};
use crate::devices::{self, entries};
use crate::e2e::{DeviceAddress, MAX_SEQ};
use crate::error::Result;
use crate::identity::Identity;
use crate::messages;
use crate::outbox;
use crate::vault::Vault;

/// How long a gap may take to close by itself.
const PATIENCE: Millis = 10_000;
/// The longest time between two questions.
const LONGEST: Millis = 86_400_000;
/// A new session is started with a device at most this often: headers that do not open can be made
/// by whoever may write to us.
const RENEWAL: Millis = 600_000;
/// After so many questions to a device our own others are asked as well.
const ASKED_IN_VAIN: u32 = 3;
/// Ranges in one question, and numbers that one answer looks at.
const MAX_RANGES: usize = 64;
const MAX_ANSWERED: usize = 4096;

/// The message with number `seq` came from a device: notes whether there is a gap. One that
/// begins to close is asked for again soon.
pub(crate) fn note_gap(
    tx: &Transaction<'_>,
    contact: &Contact,
    (sender, seq): (DeviceAddress, u64),
    now: Millis,
) -> Result<()> {
    if conversations::missing(tx, &contact.chat, sender, 1)?.is_empty() {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO resend (account, device, next_try) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET tries = 0, next_try = ?3
         WHERE next_try = 0 OR (?4 AND next_try > ?3)",
    )?
    .execute(params![
        sender.0.0,
        sender.1,
        int(now + PATIENCE),
        seq + 1 < conversations::next_of(tx, &contact.chat, sender)?
    ])?;
    Ok(())
}

/// Something came from a contact's device that no session opens: the device is asked for it on a
/// new one.
pub(crate) fn note_broken(tx: &Transaction<'_>, from: DeviceAddress, now: Millis) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO resend (account, device, next_try, renew, renewed_at)
         VALUES (?1, ?2, ?3, 1, ?3)
         ON CONFLICT DO UPDATE SET tries = 0, next_try = ?3, renew = 1, renewed_at = ?3
         WHERE renewed_at <= ?3 - ?4",
    )?
    .execute(params![from.0.0, from.1, int(now), int(RENEWAL)])?;
    Ok(())
}

/// Whether a new session is to be started with a device.
pub(crate) fn is_to_renew(
    tx: &Transaction<'_>,
    account: &AccountId,
    device: DeviceNumber,
) -> Result<bool> {
    let mut query =
        tx.prepare_cached("SELECT 1 FROM resend WHERE account = ?1 AND device = ?2 AND renew = 1")?;
    Ok(query.exists(params![account.0, device])?)
}

/// It was.
pub(crate) fn renewed(
    tx: &Transaction<'_>,
    account: &AccountId,
    device: DeviceNumber,
) -> Result<()> {
    tx.prepare_cached("UPDATE resend SET renew = 0 WHERE account = ?1 AND device = ?2")?
        .execute(params![account.0, device])?;
    Ok(())
}

/// When the next question is due.
pub(crate) fn next_at(tx: &Transaction<'_>) -> Result<Option<Millis>> {
    let next: Option<i64> = tx
        .prepare_cached("SELECT min(next_try) FROM resend WHERE next_try > 0")?
        .query_row([], |row| row.get(0))?;
    Ok(next.map(i64::unsigned_abs))
}

struct Due {
    device: DeviceAddress,
    tries: u32,
    /// What came last did not open, so nobody knows how much is missing.
    renewed: bool,
}

/// Turns what is due into questions.
pub(crate) fn queue_due(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    now: Millis,
) -> Result<()> {
    let mut query = tx.prepare_cached(
        "SELECT account, device, tries, renewed_at FROM resend WHERE next_try BETWEEN 1 AND ?1",
    )?;
    let due = query
        .query_map([int(now)], |row| {
            Ok(Due {
                device: (AccountId(blob(row, "account")?), row.get("device")?),
                tries: row.get("tries")?,
                renewed: unsigned(row, "renewed_at")? + RENEWAL > now,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for due in due {
        ask(tx, vault, own, &due, now)?;
    }
    Ok(())
}

fn ask(tx: &Transaction<'_>, vault: &Vault, own: &Identity, due: &Due, now: Millis) -> Result<()> {
    let (account, device) = due.device;
    let contact = contacts::find(tx, &account)?.filter(|contact| !contact.blocked);
    let Some(contact) = contact.filter(Contact::is_ready) else {
        return schedule(tx, due.device, due.tries, 0);
    };
    let mut ranges = conversations::missing(tx, &contact.chat, due.device, MAX_RANGES - 1)?;
    let list = contact.device_list()?;
    if list.is_some_and(|list| list.device(device).is_none()) {
        // It was taken off, and sends nothing any more. Another device of ours may have what it sent.
        conversations::give_up(tx, &contact.chat, due.device, &ranges)?;
        if !ranges.is_empty() && contact.phase != Phase::Own {
            devices::note(tx, devices::Due::Want, entries::device_key(due.device), now)?;
        }
        return schedule(tx, due.device, 0, 0);
    }
    if due.renewed && due.tries == 0 {
        ranges.push((conversations::next_of(tx, &contact.chat, due.device)?, MAX_SEQ));
    }
    if ranges.is_empty() {
        // It has closed. What is kept of it says when a session was renewed last.
        return schedule(tx, due.device, 0, 0);
    }
    let content = codec::encode(&Resend { device, ranges })?;
    outbox::queue(tx, vault, own, &contact, kind::RESEND, &content, now)?;
    if due.tries + 1 == ASKED_IN_VAIN && contact.phase != Phase::Own {
        devices::note(tx, devices::Due::Want, entries::device_key(due.device), now)?;
    }
    let wait = PATIENCE.saturating_mul(2_u64.saturating_pow(due.tries + 1)).min(LONGEST);
    schedule(tx, due.device, due.tries + 1, now + wait)
}

/// 0: not before something else comes of it.
fn schedule(
    tx: &Transaction<'_>,
    (account, device): DeviceAddress,
    tries: u32,
    next_try: Millis,
) -> Result<()> {
    if next_try == 0 {
        tx.prepare_cached(
            "DELETE FROM resend WHERE account = ?1 AND device = ?2 AND renewed_at = 0",
        )?
        .execute(params![account.0, device])?;
    }
    tx.prepare_cached(
        "UPDATE resend SET tries = ?3, next_try = ?4 WHERE account = ?1 AND device = ?2",
    )?
    .execute(params![account.0, device, tries, int(next_try)])?;
    Ok(())
}

/// A contact's device asks for what it misses of ours.
pub(crate) fn answer(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
    (from, content): (DeviceNumber, &[u8]),
    now: Millis,
) -> Result<()> {
    let Ok(asked) = codec::decode::<Resend>(content, MAX_BODY) else { return Ok(()) };
    if asked.device != own.device || !contact.is_ready() || contact.blocked {
        return Ok(());
    }
    let (next, _) = conversations::next_own(tx, &contact.chat)?;
    let mut absent = Absent { empty: Vec::new(), lost: Vec::new() };
    let numbers = asked
        .ranges
        .iter()
        .take(MAX_RANGES)
        .flat_map(|(first, last)| (*first).max(1)..=(*last).min(next - 1))
        .take(MAX_ANSWERED);
    for seq in numbers {
        match kept(tx, own, contact, seq)? {
            Kept::Waits(row) => outbox::send_again(tx, row, from)?,
            Kept::Lost => add(&mut absent.lost, seq),
            Kept::Nothing => add(&mut absent.empty, seq),
        }
    }
    if absent.empty.is_empty() && absent.lost.is_empty() {
        return Ok(());
    }
    let content = codec::encode(&absent)?;
    outbox::queue(tx, vault, own, contact, kind::ABSENT, &content, now)?;
    Ok(())
}

/// What there is of a message that was sent.
enum Kept {
    /// All of it.
    Waits(i64),
    /// A message for the user, and nothing to send.
    Lost,
    /// Nothing for a user.
    Nothing,
}

fn kept(tx: &Transaction<'_>, own: &Identity, contact: &Contact, seq: u64) -> Result<Kept> {
    let mut query = tx.prepare_cached(
        "SELECT row, kind, deleted, plaintext IS NOT NULL AS waits
         FROM message LEFT JOIN outbox ON outbox.message = row
         WHERE chat = ?1 AND outgoing = 1 AND device = ?2 AND seq = ?3",
    )?;
    let found = query
        .query_row(params![contact.chat.0, own.device, int(seq)], |row| {
            if bool_of(row, "waits")? {
                return Ok(Kept::Waits(row.get("row")?));
            }
            let is_shown = !messages::is_hidden(unsigned(row, "kind")?);
            Ok(if is_shown && !bool_of(row, "deleted")? { Kept::Lost } else { Kept::Nothing })
        })
        .optional()?;
    Ok(found.unwrap_or(Kept::Nothing))
}

/// Adds a number to rising ranges.
fn add(ranges: &mut Vec<(u64, u64)>, number: u64) {
    match ranges.last_mut() {
        Some((_, last)) if *last + 1 == number => *last = number,
        _ => ranges.push((number, number)),
    }
}

/// A device says what it will not send again. It speaks of what it sent before that alone.
pub(crate) fn absent(
    tx: &Transaction<'_>,
    contact: &Contact,
    sender: DeviceAddress,
    (content, seq): (&[u8], u64),
    now: Millis,
) -> Result<()> {
    let Ok(absent) = codec::decode::<Absent>(content, MAX_BODY) else { return Ok(()) };
    let before = |ranges: &[(u64, u64)]| -> Vec<(u64, u64)> {
        let ranges = ranges.iter().take(MAX_ANSWERED);
        ranges.map(|(first, last)| ((*first).max(1), (*last).min(seq - 1))).collect()
    };
    conversations::close(tx, &contact.chat, sender, &before(&absent.empty))?;
    let lost = before(&absent.lost);
    conversations::give_up(tx, &contact.chat, sender, &lost)?;
    // Another device of ours may have it.
    match lost.is_empty() || contact.phase == Phase::Own {
        true => Ok(()),
        false => devices::note(tx, devices::Due::Want, entries::device_key(sender), now),
    }
}
