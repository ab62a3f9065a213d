//! How sending ends, or goes on another way: refusals, the deadline, the user's change of mind.

use postroad_proto::codec;
use postroad_proto::content::kind;
use postroad_proto::envelope::{Class, Envelope};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Records;
use postroad_proto::ids::{AccountId, DeviceNumber, Millis, NodeId};
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::record::AccountRecord;
use postroad_proto::signed::Signed;
use rusqlite::{OptionalExtension, Transaction, params};

use super::reach;
use crate::connection::{retry_at, wait_after};
use crate::contacts::{self, Contact, News, Phase, Verified};
use crate::db::{blob, bool_of, int, part, unsigned};
use crate::devices;
use crate::error::{Error, Result, StorageError};
use crate::events;
use crate::identity::Identity;
use crate::messages;
use crate::state::State;
use crate::steps::{self, Signer};
use crate::waiting;

/// Refusals that one message may be led another way by: whoever gives that many leads in circles.
const MAX_TURNS: u32 = 8;

/// The message's fate is settled: nothing of it is kept for sending again.
pub(crate) fn give_up(tx: &Transaction<'_>, row: i64) -> Result<()> {
    tx.prepare_cached("DELETE FROM outbox WHERE message = ?1")?.execute([row])?;
    Ok(())
}

/// A receipt of ours that arrived is of no more use: newer ones say all that it said. Neither is what
/// our other devices were told.
pub(super) fn forget_if_spent(tx: &Transaction<'_>, row: i64, number: u64) -> Result<()> {
    if matches!(number, kind::RECEIPT | kind::SYNC) {
        tx.prepare_cached("DELETE FROM message WHERE row = ?1")?.execute([row])?;
    }
    Ok(())
}

/// A node's refusal.
#[derive(Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) by: NodeId,
    pub(crate) code: ErrorCode,
    pub(crate) retriable: bool,
    /// Seconds.
    pub(crate) retry_after: u64,
    pub(crate) detail: &'a str,
    /// With MOVED: where the account is now.
    pub(crate) record: Option<&'a Signed<AccountRecord>>,
    /// With STALE_DEVICES, and MOVED at once: the account's records.
    pub(crate) records: Option<&'a Records>,
    /// It came after our home had accepted the message.
    pub(crate) is_late: bool,
}

/// A message that was refused, as the outbox has it.
struct Refused {
    row: i64,
    state: State,
    tries: u32,
    turns: u32,
    envelope: Envelope,
    token: Option<Vec<u8>>,
}

/// Takes a refusal: one that shows another way is answered by taking it, a settled one ends the
/// attempt, any other is tried again later.
pub(crate) fn refuse(
    tx: &Transaction<'_>,
    own: &Identity,
    row: i64,
    refusal: &Refusal<'_>,
    now: Millis,
) -> Result<()> {
    let Some((account, refused)) = find(tx, row)? else { return Ok(()) };
    let contact = contacts::get(tx, &account)?;
    if refused.turns < MAX_TURNS && turn(tx, own, &contact, &refused, refusal, now)? {
        tx.prepare_cached("UPDATE outbox SET turns = turns + 1 WHERE message = ?1")?
            .execute([row])?;
        return Ok(());
    }
    let reason = why(own, &contact, refusal);
    if refusal.retriable {
        let until = retry_at(now, refused.tries, refusal.code, refusal.retry_after);
        return wait(tx, row, refused.tries, until, &reason);
    }
    if refusal.is_late && refused.state == State::AtNode {
        // Nobody signed the refusal; what was signed goes before it.
        return Ok(());
    }
    let state = if refusal.code == ErrorCode::Expired { State::Expired } else { State::Failed };
    let step = steps::plain(state, Signer::Node(refusal.by), now);
    messages::advance(tx, row, &step, &reason, now)?;
    give_up(tx, row)?;
    let is_request = refused.envelope.class() == Some(Class::Request);
    if is_request && contact.phase == Phase::Requested {
        contacts::set_phase(tx, &account, Phase::Stranger)?;
    }
    Ok(())
}

fn find(tx: &Transaction<'_>, row: i64) -> Result<Option<(AccountId, Refused)>> {
    let found = tx
        .prepare_cached(
            "SELECT contact, state, tries, turns, envelope, token
             FROM outbox JOIN message ON row = message
             WHERE message = ?1 AND envelope NOT NULL",
        )?
        .query_row([row], |found| {
            let account = AccountId(blob(found, "contact")?);
            let state: i64 = found.get("state")?;
            let envelope: Vec<u8> = found.get("envelope")?;
            Ok((
                account,
                state,
                found.get("tries")?,
                found.get("turns")?,
                envelope,
                found.get("token")?,
            ))
        })
        .optional()?;
    let Some((account, state, tries, turns, envelope, token)) = found else { return Ok(None) };
    let state = State::from_number(state).ok_or(StorageError::Value("state"))?;
    let envelope = codec::decode(&envelope, MAX_FRAME)?;
    Ok(Some((account, Refused { row, state, tries, turns, envelope, token })))
}

/// Takes another way, if the refusal shows one. Whether it did.
fn turn(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    refused: &Refused,
    refusal: &Refusal<'_>,
    now: Millis,
) -> Result<bool> {
    let row = refused.row;
    match refusal.code {
        ErrorCode::Moved => {
            let Some(news) = learn_home(tx, own, contact, refusal, now)? else { return Ok(false) };
            let reason = why(own, contact, refusal);
            let home = contacts::get(tx, &contact.account)?.home.node;
            if refusal.is_late && news != News::Older && home != own.home.node {
                // Our home has sent it on to the new one by itself.
                set_aside(tx, row, &reason)?;
            } else {
                let until = match news {
                    News::Newer => now,
                    // We knew, and it went the old way all the same: not again at once.
                    _ => retry_at(now, refused.turns, refusal.code, refusal.retry_after),
                };
                wait(tx, row, refused.tries, until, &reason)?;
            }
            Ok(true)
        }
        ErrorCode::StaleDevices => {
            if learn(tx, own, contact, refusal, now)? == Some(News::Older) {
                // Their node has yet to learn of the list that we know.
                let until = retry_at(now, refused.turns, refusal.code, refusal.retry_after);
                wait(tx, row, refused.tries, until, &why(own, contact, refusal))?;
            } else {
                unseal(tx, row, refused.tries, super::NO_KEYS, now)?;
            }
            Ok(true)
        }
        ErrorCode::Denied => {
            // A newer card may have come meanwhile; tokens of older ones end some day.
            let is_newer = refused.token.is_some()
                && contact.token.as_ref().map(|token| token.0.as_slice())
                    != refused.token.as_deref();
            if is_newer && contact.token.is_some() {
                wait(tx, row, refused.tries, now, "it is offered again with the newer token")?;
            }
            Ok(is_newer && contact.token.is_some())
        }
        _ => Ok(false),
    }
}

/// How a refusal reads: who refused is named when it was not our own home.
fn why(own: &Identity, contact: &Contact, refusal: &Refusal<'_>) -> String {
    let code = refusal.code;
    let what = match refusal.detail {
        _ if code == ErrorCode::Denied => format!("{code}: {}", super::NOT_TAKEN),
        "" => code.to_string(),
        detail => format!("{code}: {detail}"),
    };
    if refusal.by == own.home.node {
        return what;
    }
    format!("{what} (refused by {})", contacts::node_name(own, Some(contact), &refusal.by))
}

fn wait(tx: &Transaction<'_>, row: i64, tries: u32, until: Millis, reason: &str) -> Result<()> {
    tx.prepare_cached("UPDATE outbox SET tries = ?2, next_try = ?3, offer = 1 WHERE message = ?1")?
        .execute(params![row, tries + 1, int(until)])?;
    messages::set_reason(tx, row, reason)
}

/// Nothing is to be offered: it is on its way.
fn set_aside(tx: &Transaction<'_>, row: i64, reason: &str) -> Result<()> {
    tx.prepare_cached("UPDATE outbox SET offer = 0, next_try = 0 WHERE message = ?1")?
        .execute([row])?;
    waiting::forget(tx, row)?;
    messages::set_reason(tx, row, reason)
}

/// Seals it again for the devices that the contact has now: the same message at the same place.
fn unseal(tx: &Transaction<'_>, row: i64, tries: u32, reason: &str, now: Millis) -> Result<()> {
    tx.prepare_cached(
        "UPDATE outbox SET envelope = NULL, offer = 0, tries = ?2, next_try = ?3
         WHERE message = ?1",
    )?
    .execute(params![row, tries + 1, int(now)])?;
    reach::forget_unconfirmed(tx, row)?;
    // What was sealed before nobody will hand over: word of it, old or new, is of no more use.
    tx.prepare_cached("UPDATE message SET parcel = NULL WHERE row = ?1")?.execute([row])?;
    tx.prepare_cached("DELETE FROM step WHERE message = ?1 AND state IN (?2, ?3)")?
        .execute(params![row, State::Accepted.number(), State::AtNode.number()])?;
    waiting::forget(tx, row)?;
    messages::set_reason(tx, row, reason)
}

/// The contact's device misses it, though a node may have taken it: it is sealed anew, so that the
/// device can open it, and goes out once more.
pub(crate) fn send_again(tx: &Transaction<'_>, row: i64, to: DeviceNumber) -> Result<()> {
    let turned = tx
        .prepare_cached(
            "UPDATE outbox SET turns = turns + 1
             WHERE message = ?1 AND envelope IS NOT NULL AND turns < ?2",
        )?
        .execute(params![row, MAX_TURNS])?;
    if turned == 0 {
        return Ok(());
    }
    // What no node has taken yet has reached nobody.
    match is_offered(tx, row)? {
        true => reach::forget_unconfirmed(tx, row)?,
        false => reach::forget(tx, row, to)?,
    }
    tx.prepare_cached(
        "UPDATE outbox SET envelope = NULL, offer = 0, tries = 0, next_try = 0 WHERE message = ?1",
    )?
    .execute([row])?;
    Ok(())
}

fn is_offered(tx: &Transaction<'_>, row: i64) -> Result<bool> {
    let mut query = tx.prepare_cached("SELECT offer FROM outbox WHERE message = ?1")?;
    Ok(query.query_row([row], |row| row.get(0))?)
}

/// Learns from a refusal where the account is homed. `None` when it does not say, or lies.
fn learn_home(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    refusal: &Refusal<'_>,
    now: Millis,
) -> Result<Option<News>> {
    let Some(record) = refusal.record else { return learn(tx, own, contact, refusal, now) };
    match part(tx, || contacts::store_moved(tx, own, contact, record, now))? {
        Ok(news) => Ok(Some(news)),
        Err(error) => distrust(tx, &error, now),
    }
}

/// Learns from a refusal which devices the account has. Without records they are to be asked for.
fn learn(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    refusal: &Refusal<'_>,
    now: Millis,
) -> Result<Option<News>> {
    let account = &contact.account;
    let Some(records) = refusal.records else {
        if refusal.code == ErrorCode::StaleDevices {
            contacts::mark_stale(tx, account)?;
        }
        return Ok(None);
    };
    let handle = records.handle.as_ref();
    let (record, list) = (&records.record, &records.devices);
    let stored = part(tx, || {
        if contact.phase == Phase::Own {
            return devices::take_records(tx, own, record, list, now);
        }
        let verified = Verified::check(account, &own.network, record, list, handle)?;
        contacts::store_records(tx, own, contact, &verified, now)
    })?;
    match stored {
        Ok(news) => Ok(Some(news)),
        Err(error) => {
            if refusal.code == ErrorCode::StaleDevices {
                contacts::mark_stale(tx, account)?;
            }
            distrust(tx, &error, now)
        }
    }
}

fn distrust(tx: &Transaction<'_>, error: &Error, now: Millis) -> Result<Option<News>> {
    events::problem(tx, now, "bad_record", &error.to_string())?;
    Ok(None)
}

/// Marks what is past its deadline: nobody else may ever say so.
pub(crate) fn expire(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<()> {
    let mut query = tx.prepare_cached(
        "SELECT row, kind, contact, state = ?2 AND offer = 0 AS is_there
         FROM outbox JOIN message ON row = message WHERE deadline <= ?1",
    )?;
    let over = query
        .query_map(params![int(now / 1000), State::AtNode.number()], |row| {
            let account = AccountId(blob(row, "contact")?);
            Ok((row.get(0)?, unsigned(row, "kind")?, account, bool_of(row, "is_there")?))
        })?
        .collect::<rusqlite::Result<Vec<(i64, u64, AccountId, bool)>>>()?;
    for (row, number, account, is_there) in over {
        let signer = Signer::Device(own.account, own.device);
        let step = steps::plain(State::Expired, signer, now);
        let contact = contacts::get(tx, &account)?;
        // From somebody who is blocked no receipt is taken: where it was last known stays. So it
        // does for somebody who has ceased to send receipts since.
        if !contact.blocked && (contact.sends_receipts || !is_there) {
            messages::advance(tx, row, &step, "nobody took it before its deadline", now)?;
        }
        give_up(tx, row)?;
        forget_if_spent(tx, row, number)?;
        // A request that nobody answered may be made again.
        if contact.phase == Phase::Requested {
            contacts::set_phase(tx, &account, Phase::Stranger)?;
        }
    }
    Ok(())
}

/// The home answered an offer with nothing that settles it: it is tried again later.
pub(crate) fn unanswered(tx: &Transaction<'_>, row: i64, now: Millis) -> Result<()> {
    let tries: Option<u32> = tx
        .prepare_cached("SELECT tries FROM outbox WHERE message = ?1 AND offer = 1")?
        .query_row([row], |row| row.get(0))
        .optional()?;
    let Some(tries) = tries else { return Ok(()) };
    let until = now + u64::try_from(wait_after(tries).as_millis()).unwrap_or_default();
    wait(tx, row, tries, until, "the home's answer did not settle it")
}

/// Nothing more goes to a contact: what has not left this device has failed. How much that was
/// shows in the messages.
pub(crate) fn cancel(
    tx: &Transaction<'_>,
    own: &Identity,
    to: &AccountId,
    now: Millis,
) -> Result<()> {
    let mut query = tx.prepare_cached(
        "SELECT message FROM outbox JOIN message ON row = message
         WHERE contact = ?1 AND state = 0",
    )?;
    let rows =
        query.query_map([to.0], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for row in rows {
        let step = steps::plain(State::Failed, Signer::Device(own.account, own.device), now);
        messages::advance(tx, row, &step, "you blocked the contact before it was sent", now)?;
        give_up(tx, row)?;
    }
    Ok(())
}
