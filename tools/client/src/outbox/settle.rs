//! What becomes of an envelope: a receipt, a refusal, its deadline.

use postroad_proto::codec;
use postroad_proto::content::kind;
use postroad_proto::envelope::{Class, Envelope};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Records;
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::receipt::{Receipt, ReceiptKind, ReceiptRoot};
use rusqlite::{OptionalExtension, Transaction, params};

use super::is_receipted;
use crate::connection::{retry_at, wait_after};
use crate::contacts::{self, Contact, Phase, Verified};
use crate::db::{blob, int, unsigned};
use crate::error::Result;
use crate::events;
use crate::identity::Identity;
use crate::messages;
use crate::state::State;
use crate::steps::{self, Signer};

/// Takes a node's receipt. One that does not verify, comes from the wrong node or names nothing of
/// ours is noted and changes nothing.
pub(crate) fn apply_receipt(
    tx: &Transaction<'_>,
    own: &Identity,
    receipt: &Receipt,
    now: Millis,
) -> Result<()> {
    let root = match receipt.verify(&own.network) {
        Ok(root) => root,
        Err(error) => {
            let text = format!("a receipt does not hold: {error}");
            return events::problem(tx, now, "bad_receipt", &text);
        }
    };
    let found = tx
        .prepare_cached(
            "SELECT row, kind, contact FROM message JOIN outbox ON message = row WHERE parcel = ?1",
        )?
        .query_row([receipt.item.parcel.0], |row| {
            Ok((row.get(0)?, unsigned(row, "kind")?, AccountId(blob(row, "contact")?)))
        })
        .optional()?;
    // Settled already: a repeat.
    let Some((row, kind, account)) = found else { return note_quote(tx, &root) };
    let contact = contacts::get(tx, &account)?;
    let custodians = contact.custodians(&own.network)?;
    let is_home = root.node == own.home.node;
    let is_theirs = custodians.contains(&root.node);
    match ReceiptKind::from_number(receipt.item.kind) {
        Some(ReceiptKind::Accepted) if is_home => {
            step(tx, row, State::Accepted, &root, receipt, now)?;
        }
        Some(ReceiptKind::AtNode) if is_theirs => {
            if is_home {
                step(tx, row, State::Accepted, &root, receipt, now)?;
            }
            step(tx, row, State::AtNode, &root, receipt, now)?;
        }
        Some(ReceiptKind::Expired) if is_home || is_theirs => {
            step(tx, row, State::Expired, &root, receipt, now)?;
            return give_up(tx, row);
        }
        _ => {
            let text = format!("a receipt by {} which has no part in it", root.node);
            return events::problem(tx, now, "bad_receipt", &text);
        }
    }
    note_quote(tx, &root)?;
    tx.prepare_cached("UPDATE outbox SET offer = 0, tries = 0, next_try = 0 WHERE message = ?1")?
        .execute([row])?;
    let at_node = receipt.item.kind == ReceiptKind::AtNode.number();
    if at_node && (!is_receipted(kind) || !contact.sends_receipts) {
        give_up(tx, row)?;
        forget_if_receipt(tx, row, kind)?;
    }
    Ok(())
}

fn step(
    tx: &Transaction<'_>,
    row: i64,
    state: State,
    root: &ReceiptRoot,
    receipt: &Receipt,
    now: Millis,
) -> Result<()> {
    let step = steps::custody(state, root.node, root.at, receipt)?;
    messages::advance(tx, row, &step, "", now)?;
    Ok(())
}

/// The message's fate is settled: nothing of it is kept for sending again.
pub(crate) fn give_up(tx: &Transaction<'_>, row: i64) -> Result<()> {
    tx.prepare_cached("DELETE FROM outbox WHERE message = ?1")?.execute([row])?;
    Ok(())
}

/// A receipt of ours that arrived is of no more use; newer ones say all that it said.
fn forget_if_receipt(tx: &Transaction<'_>, row: i64, number: u64) -> Result<()> {
    if number == kind::RECEIPT {
        tx.prepare_cached("DELETE FROM message WHERE row = ?1")?.execute([row])?;
    }
    Ok(())
}

/// Remembers the highest receipt of a node, which is quoted to it.
fn note_quote(tx: &Transaction<'_>, root: &ReceiptRoot) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO quote VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (node) DO UPDATE SET generation = ?2, run = ?3, commit_no = ?4
         WHERE (generation, commit_no) < (?2, ?4)",
    )?
    .execute(params![root.node.0, int(root.generation), root.run, int(root.commit)])?;
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
    pub(crate) records: Option<&'a Records>,
}

/// Takes a refusal: a settled one ends the attempt, any other is tried again later.
pub(crate) fn refuse(
    tx: &Transaction<'_>,
    own: &Identity,
    row: i64,
    refusal: &Refusal<'_>,
    now: Millis,
) -> Result<()> {
    let found = tx
        .prepare_cached(
            "SELECT contact, tries, envelope FROM outbox WHERE message = ?1 AND envelope NOT NULL",
        )?
        .query_row([row], |row| {
            let tries: u32 = row.get("tries")?;
            Ok((AccountId(blob(row, "contact")?), tries, row.get::<_, Vec<u8>>("envelope")?))
        })
        .optional()?;
    let Some((account, tries, envelope)) = found else { return Ok(()) };
    let contact = contacts::get(tx, &account)?;
    let moved = matches!(refusal.code, ErrorCode::Moved | ErrorCode::StaleDevices);
    if moved && learn(tx, own, &contact, refusal, now)? && tries < 8 {
        return match refusal.code {
            // Another home changes the route only; other devices need other headers.
            ErrorCode::Moved => wait(tx, row, tries, now, &why(refusal)),
            _ => unseal(tx, row, tries, now),
        };
    }
    if refusal.retriable {
        let until = retry_at(now, tries, refusal.code, refusal.retry_after);
        return wait(tx, row, tries, until, &why(refusal));
    }
    let state = if refusal.code == ErrorCode::Expired { State::Expired } else { State::Failed };
    let step = steps::plain(state, Signer::Node(refusal.by), now);
    messages::advance(tx, row, &step, &why(refusal), now)?;
    give_up(tx, row)?;
    let envelope: Envelope = codec::decode(&envelope, MAX_FRAME)?;
    if envelope.class() == Some(Class::Request) && contact.phase == Phase::Requested {
        contacts::set_phase(tx, &account, Phase::Stranger)?;
    }
    Ok(())
}

fn why(refusal: &Refusal<'_>) -> String {
    if refusal.code == ErrorCode::Denied {
        return format!("{}: {}", refusal.code, super::NOT_TAKEN);
    }
    if refusal.detail.is_empty() {
        refusal.code.to_string()
    } else {
        format!("{}: {}", refusal.code, refusal.detail)
    }
}

fn wait(tx: &Transaction<'_>, row: i64, tries: u32, until: Millis, reason: &str) -> Result<()> {
    tx.prepare_cached("UPDATE outbox SET tries = ?2, next_try = ?3, offer = 1 WHERE message = ?1")?
        .execute(params![row, tries + 1, i64::try_from(until).unwrap_or(i64::MAX)])?;
    messages::set_reason(tx, row, reason)
}

/// Seals it again for the devices that the contact has now: the same message at the same place.
fn unseal(tx: &Transaction<'_>, row: i64, tries: u32, now: Millis) -> Result<()> {
    tx.prepare_cached(
        "UPDATE outbox SET envelope = NULL, offer = 0, tries = ?2, next_try = ?3
         WHERE message = ?1",
    )?
    .execute(params![row, tries + 1, int(now)])?;
    messages::set_reason(tx, row, super::NO_KEYS)
}

/// Stores newer records that came with a refusal. Whether there were any that hold.
fn learn(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    refusal: &Refusal<'_>,
    now: Millis,
) -> Result<bool> {
    let Some(records) = refusal.records else { return Ok(false) };
    let handle = records.handle.as_ref();
    let account = &contact.account;
    match Verified::check(account, &own.network, &records.record, &records.devices, handle) {
        Ok(verified) => {
            contacts::store_records(tx, contact, &own.network, &verified)?;
            Ok(true)
        }
        Err(error) => {
            events::problem(tx, now, "bad_record", &error.to_string())?;
            Ok(false)
        }
    }
}

/// Marks what is past its deadline: nobody else may ever say so.
pub(crate) fn expire(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<()> {
    let mut query = tx.prepare_cached(
        "SELECT row, kind, contact FROM outbox JOIN message ON row = message WHERE deadline <= ?1",
    )?;
    let over = query
        .query_map([int(now / 1000)], |row| {
            Ok((row.get(0)?, unsigned(row, "kind")?, AccountId(blob(row, "contact")?)))
        })?
        .collect::<rusqlite::Result<Vec<(i64, u64, AccountId)>>>()?;
    for (row, number, account) in over {
        let signer = Signer::Device(own.account, own.device);
        let step = steps::plain(State::Expired, signer, now);
        let contact = contacts::get(tx, &account)?;
        // From somebody who is blocked no receipt is taken: where it was last known stays.
        if !contact.blocked {
            messages::advance(tx, row, &step, "nobody took it before its deadline", now)?;
        }
        give_up(tx, row)?;
        forget_if_receipt(tx, row, number)?;
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
