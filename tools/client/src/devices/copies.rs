//! Messages as the account's devices tell each other: what one sent shows on the others, and what one
//! lacks another may have.

use postroad_proto::content::{self, kind};
use postroad_proto::ids::{AccountId, ConversationId, DeviceNumber, MessageId, Millis};
use postroad_proto::sync::{Copy, Item, Place, Progress, Want};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::entries::{device_key, parse_device};
use super::{Due, note};
use crate::amend::{self, Target};
use crate::contacts;
use crate::conversations;
use crate::db::{blob, bool_of, int, unsigned};
use crate::error::Result;
use crate::events::{self, Event};
use crate::identity::Identity;
use crate::messages::{self, NewMessage};
use crate::state::State;
use crate::steps;

/// Ranges that a device asks for at once, and messages that one question is answered with.
const MAX_RANGES: usize = 64;
const MAX_ANSWERED: usize = 256;

/// Whether messages of a kind are of use to other devices: what concerns the way alone is not.
pub(crate) fn is_copied(number: u64) -> bool {
    !matches!(
        number,
        kind::RECEIPT
            | kind::TYPING
            | kind::SYNC
            | kind::RESEND
            | kind::INTRODUCTION
            | kind::ABSENT
    )
}

/// A message of ours was stored, or has got its place.
pub(crate) fn note_copy(tx: &Transaction<'_>, row: i64, number: u64, now: Millis) -> Result<()> {
    if is_copied(number) { note(tx, Due::Copy, row, now) } else { Ok(()) }
}

/// A message that this device sends has come further. What contacts say of it goes to all devices.
pub(crate) fn note_progress(
    tx: &Transaction<'_>,
    row: i64,
    (number, state): (u64, State),
    now: Millis,
) -> Result<()> {
    if !is_copied(number) || matches!(state, State::Delivered | State::Read) {
        return Ok(());
    }
    let is_ours = tx
        .prepare_cached(
            "SELECT 1 FROM message JOIN identity USING (device) WHERE row = ?1 AND outgoing = 1",
        )?
        .exists([row])?;
    if is_ours { note(tx, Due::Progress, row, now) } else { Ok(()) }
}

const SELECT: &str = "SELECT message.*, contact.account AS with_account FROM message
     JOIN contact USING (chat)";

/// A message as the other devices are told; none when it is gone.
pub(super) fn item(tx: &Transaction<'_>, row: i64) -> Result<Option<Item>> {
    let found = tx
        .prepare_cached(&format!("{SELECT} WHERE row = ?1"))?
        .query_row([row], from_row)
        .optional()?;
    found.map(|copy| complete(tx, row, copy)).transpose()
}

fn complete(tx: &Transaction<'_>, row: i64, mut copy: Copy) -> Result<Item> {
    copy.queued = steps::queued_evidence(tx, row)?.map(Into::into);
    Ok(Item::new(&copy)?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Copy> {
    let number = |column| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs))
    };
    let content: Vec<u8> = row.get("content")?;
    Ok(Copy {
        with: AccountId(blob(row, "with_account")?),
        account: AccountId(blob(row, "account")?),
        device: row.get("device")?,
        seq: number("seq")?,
        id: MessageId(blob(row, "id")?),
        kind: unsigned(row, "kind")?,
        content: content.into(),
        sent_at: unsigned(row, "sent_at")?,
        received_at: number("received_at")?,
        deadline: unsigned(row, "deadline")?,
        state: unsigned(row, "state")?,
        reason: row.get("reason")?,
        shown: bool_of(row, "shown")?,
        deleted: bool_of(row, "deleted")?,
        vanish_at: number("vanish_at")?,
        queued: None,
    })
}

/// Messages that are of use to other devices.
pub(crate) fn count(tx: &Transaction<'_>) -> Result<u64> {
    let mut query =
        tx.prepare_cached("SELECT count(*) FROM message WHERE kind NOT IN (2, 9, 12, 13, 14, 16)")?;
    let count: i64 = query.query_row([], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Up to `count` messages after a row, for a device that has none yet: each with its row, and without an
/// item where that is of no use to others.
pub(crate) fn after(
    tx: &Transaction<'_>,
    row: i64,
    count: usize,
) -> Result<Vec<(i64, Option<Item>)>> {
    let mut query = tx.prepare_cached(&format!("{SELECT} WHERE row > ?1 ORDER BY row LIMIT ?2"))?;
    let found = query
        .query_map(params![row, count as i64], |row| Ok((row.get("row")?, from_row(row)?)))?
        .collect::<rusqlite::Result<Vec<(i64, Copy)>>>()?;
    let items = found.into_iter().map(|(row, copy)| match is_copied(copy.kind) {
        true => Ok((row, Some(complete(tx, row, copy)?))),
        false => Ok((row, None)),
    });
    items.collect()
}

/// Another device has a message.
pub(super) fn apply(tx: &Transaction<'_>, own: &Identity, copy: &Copy, now: Millis) -> Result<()> {
    let Some(state) = state_of(copy.state).filter(|_| is_copied(copy.kind)) else {
        return Ok(());
    };
    let outgoing = copy.account == own.account;
    if !outgoing && copy.account != copy.with {
        return Ok(());
    }
    let chat = content::conversation(&own.account, &copy.with);
    let held: Option<i64> = tx
        .prepare_cached("SELECT row FROM message WHERE account = ?1 AND id = ?2")?
        .query_row(params![copy.account.0, copy.id.0], |row| row.get(0))
        .optional()?;
    match held {
        Some(row) => merge(tx, row, copy, state, now),
        None => insert(tx, copy, (chat, outgoing, state), now),
    }
}

fn insert(
    tx: &Transaction<'_>,
    copy: &Copy,
    (chat, outgoing, state): (ConversationId, bool, State),
    now: Millis,
) -> Result<()> {
    let sender = (copy.account, copy.device);
    let row = messages::insert(
        tx,
        &NewMessage {
            id: copy.id,
            chat,
            outgoing,
            sender,
            seq: copy.seq,
            kind: copy.kind,
            content: &copy.content,
            sent_at: copy.sent_at,
            received_at: copy.received_at,
            deadline: copy.deadline,
            state,
        },
    )?;
    let vanish_at = copy.vanish_at.map(int);
    tx.prepare_cached(
        "UPDATE message SET reason = ?2, shown = max(shown, ?3),
         vanish_at = ifnull(?4, vanish_at) WHERE row = ?1",
    )?
    .execute(params![row, copy.reason, copy.shown, vanish_at])?;
    if let Some(queued) = copy.queued.as_deref().filter(|_| outgoing) {
        steps::save(tx, row, &steps::queued_elsewhere(sender, copy.sent_at, queued))?;
    }
    if let (false, Some(seq)) = (outgoing, copy.seq) {
        conversations::received_elsewhere(tx, &chat, sender, &[(seq, seq)])?;
    }
    if copy.kind == kind::TIMER
        && let Some(contact) = contacts::find(tx, &copy.with)?
    {
        amend::set_timer(tx, &contact, &copy.content, (copy.sent_at, copy.id), now)?;
    }
    amend::arrived(tx, row, now)?;
    if copy.deleted {
        amend::erase(tx, row, &Target { by: copy.account, id: copy.id })?;
    }
    if messages::is_hidden(copy.kind) || copy.shown && !outgoing {
        return Ok(());
    }
    let event = match outgoing {
        true => Event::State { row, state },
        false => Event::Message { row },
    };
    // What is a message of somebody who is not known yet, nobody can look at.
    match contacts::find(tx, &copy.with)? {
        Some(_) => events::record(tx, now, &event),
        None => Ok(()),
    }
}

/// Of a message that is here, what the other device knows more of.
fn merge(tx: &Transaction<'_>, row: i64, copy: &Copy, state: State, now: Millis) -> Result<()> {
    tx.prepare_cached(
        "UPDATE message SET seq = ?2 WHERE row = ?1 AND seq IS NULL AND outgoing = 1",
    )?
    .execute(params![row, copy.seq.map(int)])?;
    if copy.shown {
        messages::show(tx, row, now)?;
    }
    advance(tx, row, state, &copy.reason, now)?;
    let deleted: bool =
        tx.query_row("SELECT deleted FROM message WHERE row = ?1", [row], |row| row.get(0))?;
    if copy.deleted && !deleted {
        amend::erase(tx, row, &Target { by: copy.account, id: copy.id })?;
        events::record(tx, now, &Event::Changed { row })?;
    }
    Ok(())
}

/// Moves a message of ours forward on another device's word.
fn advance(tx: &Transaction<'_>, row: i64, state: State, reason: &str, now: Millis) -> Result<()> {
    let found = tx
        .prepare_cached("SELECT state, kind FROM message WHERE row = ?1 AND outgoing = 1")?
        .query_row([row], |row| Ok((row.get::<_, i64>(0)?, unsigned(row, "kind")?)))
        .optional()?;
    let Some((held, number)) = found else { return Ok(()) };
    if !State::from_number(held).is_some_and(|held| held.may_become(state)) {
        return Ok(());
    }
    tx.prepare_cached("UPDATE message SET state = ?2, reason = ?3 WHERE row = ?1")?
        .execute(params![row, state.number(), reason])?;
    match messages::is_hidden(number) {
        true => Ok(()),
        false => events::record(tx, now, &Event::State { row, state }),
    }
}

fn state_of(number: u64) -> Option<State> {
    State::from_number(i64::try_from(number).ok()?)
}

/// How far a message has come, as the other devices are told.
pub(super) fn progress(tx: &Transaction<'_>, row: i64) -> Result<Option<Item>> {
    let found = tx
        .prepare_cached("SELECT id, state, reason FROM message WHERE row = ?1")?
        .query_row([row], |row| {
            let (id, reason) = (MessageId(blob(row, "id")?), row.get("reason")?);
            Ok(Progress { id, state: unsigned(row, "state")?, reason })
        })
        .optional()?;
    Ok(found.map(|progress| Item::new(&progress)).transpose()?)
}

/// The device that sends a message says how far it has come.
pub(super) fn apply_progress(
    tx: &Transaction<'_>,
    own: &Identity,
    progress: &Progress,
    now: Millis,
) -> Result<()> {
    let Some(state) = state_of(progress.state) else { return Ok(()) };
    let row: Option<i64> = tx
        .prepare_cached("SELECT row FROM message WHERE account = ?1 AND id = ?2 AND device <> ?3")?
        .query_row(params![own.account.0, progress.id.0, own.device], |row| row.get(0))
        .optional()?;
    row.map_or(Ok(()), |row| advance(tx, row, state, &progress.reason, now))
}

/// Where another device stands with a contact's device.
pub(crate) fn place(
    tx: &Transaction<'_>,
    with: &AccountId,
    device: DeviceNumber,
) -> Result<Option<Item>> {
    let Some(contact) = contacts::find(tx, with)? else { return Ok(None) };
    let from = (*with, device);
    let received = conversations::all_ranges(tx, &contact.chat, from)?;
    let lost = conversations::lost(tx, &contact.chat, from)?;
    Ok(Some(Item::new(&Place { with: *with, device, received, lost })?))
}

pub(super) fn apply_place(tx: &Transaction<'_>, own: &Identity, place: &Place) -> Result<()> {
    let chat = content::conversation(&own.account, &place.with);
    let from = (place.with, place.device);
    conversations::received_elsewhere(tx, &chat, from, &place.received)?;
    conversations::lost_elsewhere(tx, &chat, from, &place.lost)
}

/// What is missing of a contact's device.
pub(super) fn want(tx: &Transaction<'_>, of: &str) -> Result<Option<Item>> {
    let Some(from) = parse_device(of) else { return Ok(None) };
    let Some(contact) = contacts::find(tx, &from.0)? else { return Ok(None) };
    let mut ranges = conversations::missing(tx, &contact.chat, from, MAX_RANGES)?;
    let lost = conversations::lost(tx, &contact.chat, from)?;
    ranges.extend(lost.into_iter().rev().take(MAX_RANGES - ranges.len()));
    ranges.sort_unstable();
    if ranges.is_empty() {
        return Ok(None);
    }
    Ok(Some(Item::new(&Want { with: from.0, device: from.1, ranges })?))
}

/// Another device asks for what it lacks.
pub(super) fn wanted(tx: &Transaction<'_>, own: &Identity, want: &Want, now: Millis) -> Result<()> {
    let chat = content::conversation(&own.account, &want.with);
    let mut left = MAX_ANSWERED;
    for (first, last) in want.ranges.iter().take(MAX_RANGES) {
        let mut query = tx.prepare_cached(
            "SELECT row FROM message WHERE chat = ?1 AND account = ?2 AND device = ?3
             AND outgoing = 0 AND seq BETWEEN ?4 AND ?5 ORDER BY seq LIMIT ?6",
        )?;
        let (first, last) = (int(*first), int(*last));
        let key = params![chat.0, want.with.0, want.device, first, last, left as i64];
        let rows =
            query.query_map(key, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        left -= rows.len();
        for row in rows {
            note(tx, Due::Copy, row, now)?;
        }
        if left == 0 {
            // The rest when they ask again.
            return Ok(());
        }
        let key = format!("{} {first} {last}", device_key((want.with, want.device)));
        note(tx, Due::Place, key, now)?;
    }
    Ok(())
}

/// What came of a range that another device lacks: after the copies of what it held for a person.
pub(super) fn answer(tx: &Transaction<'_>, key: &str) -> Result<Option<Item>> {
    let mut parts = key.split(' ');
    let from = parts.next().and_then(parse_device);
    let mut number = || parts.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(from), Some(first), Some(last)) = (from, number(), number()) else { return Ok(None) };
    let Some(contact) = contacts::find(tx, &from.0)? else { return Ok(None) };
    let received = conversations::all_ranges(tx, &contact.chat, from)?.into_iter();
    let received = received.map(|(a, b)| (a.max(first), b.min(last))).filter(|(a, b)| a <= b);
    let (received, lost) = (received.collect(), Vec::new());
    Ok(Some(Item::new(&Place { with: from.0, device: from.1, received, lost })?))
}
