//! Contacts as the account's devices tell each other: how they are reached.

use postroad_proto::ids::{AccountId, MessageId, Millis};
use postroad_proto::link::NodeLink;
use postroad_proto::sync::{Item, Person, phase};
use rusqlite::{OptionalExtension, Transaction, params};
use serde_bytes::ByteArray;

use super::entries;
use crate::contacts::{self, Contact, NewContact, Phase, Verified};
use crate::db::{int, part, unsigned};
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::identity::Identity;
use crate::vault::Vault;

/// How the phases rank on the wire.
const RANKS: [(Phase, u64); 5] = [
    (Phase::Asking, phase::ASKING),
    (Phase::Stranger, phase::STRANGER),
    (Phase::Requested, phase::REQUESTED),
    (Phase::Linked, phase::LINKED),
    (Phase::Ready, phase::READY),
];

fn rank(phase: Phase) -> Option<u64> {
    RANKS.into_iter().find(|(known, _)| *known == phase).map(|(_, rank)| rank)
}

/// A contact as the other devices are told; none when there is none any more.
pub(crate) fn item(tx: &Transaction<'_>, account: &AccountId) -> Result<Option<Item>> {
    let Some(contact) = contacts::find(tx, account)? else { return Ok(None) };
    let Some(rank) = rank(contact.phase) else { return Ok(None) };
    let sql = "SELECT token_at, timer_at, timer_by, created_at FROM contact WHERE account = ?1";
    let (token_at, timer_at, timer_by, since) =
        tx.prepare_cached(sql)?.query_row([account.0], |row| {
            let by: Vec<u8> = row.get("timer_by")?;
            let at = (unsigned(row, "token_at")?, unsigned(row, "timer_at")?);
            Ok((at.0, at.1, MessageId::from_slice(&by), unsigned(row, "created_at")?))
        })?;
    let person = Person {
        account: *account,
        name: contact.name,
        phase: rank,
        home: contact.home.to_string(),
        handle: contact.handle,
        handle_proven: contact.handle_proven,
        invite: contact.invite.map(|invite| ByteArray::new(invite.0)),
        token: contact.token.map(|token| ByteArray::new(token.0)),
        record: contact.record,
        devices: contact.devices,
        handle_record: contact.handle_record,
        sends_receipts: contact.sends_receipts,
        ephemeral: contact.ephemeral.map(|secret| ByteArray::new(secret.0)),
        token_number: contact.token_number,
        token_floor: contact.token_floor,
        token_at,
        token_label: contact.token_label.map(ByteArray::new),
        chosen_label: contact.chosen_label.map(ByteArray::new),
        request: contact.request.map(|(origin, tag)| (origin, ByteArray::new(tag))),
        timer: contact.timer.unwrap_or(0),
        timer_at,
        timer_by,
        since,
    };
    Ok(Some(Item::new(&person)?))
}

/// Another device knows somebody.
pub(super) fn apply(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    person: &Person,
    now: Millis,
) -> Result<()> {
    if person.account == own.account {
        return Ok(());
    }
    let home: NodeLink = person.home.parse()?;
    if home.network != own.network {
        let (expected, got) = (own.network.to_string(), home.network.to_string());
        return Err(Error::WrongNetwork { expected, got });
    }
    let Some((phase, _)) = RANKS.into_iter().find(|(_, rank)| *rank == person.phase) else {
        return Ok(());
    };
    match contacts::find(tx, &person.account)? {
        Some(contact) => merge(tx, &contact, person, (phase, &home))?,
        None => {
            insert(tx, own, person, (phase, &home), now)?;
            entries::apply_to(tx, vault, own, &person.account, now)?;
        }
    }
    if let (Some(record), Some(devices)) = (&person.record, &person.devices) {
        let contact = contacts::get(tx, &person.account)?;
        let handle = person.handle_record.as_ref();
        // A record that does not hold is no reason to do without the contact.
        let stored = part(tx, || {
            let verified = Verified::check(&person.account, &own.network, record, devices, handle)?;
            contacts::store_records(tx, own, &contact, &verified, now)
        })?;
        if let Err(error) = stored {
            events::problem(tx, now, "bad_record", &error.to_string())?;
        }
    }
    events::record(tx, now, &Event::Contact { account: person.account })
}

fn insert(
    tx: &Transaction<'_>,
    own: &Identity,
    person: &Person,
    (phase, home): (Phase, &NodeLink),
    now: Millis,
) -> Result<()> {
    let account = person.account;
    let name = match contacts::is_name(&person.name) {
        false => contacts::free_name(tx, &person.handle, &account)?,
        true if contacts::holder_of_name(tx, &person.name)?.is_some() => {
            contacts::numbered_name(tx, &person.name, &account)?
        }
        true => person.name.clone(),
    };
    let (verified, handle) = (false, person.handle.as_str());
    let new = NewContact { account, name: &name, phase, verified, home, handle };
    contacts::insert_quietly(tx, own, &new, now)?;
    tx.execute(
        "UPDATE contact SET handle_proven = ?2, invite = ?3, token = ?4, sends_receipts = ?5,
         ephemeral = ?6, token_number = ?7, token_floor = ?8, token_at = ?9, token_label = ?10,
         chosen_label = ?11, origin = ?12, tag = ?13, timer = ?14, timer_at = ?15,
         timer_by = ifnull(?16, x''), created_at = ?17 WHERE account = ?1",
        params![
            account.0,
            person.handle_proven,
            person.invite.map(ByteArray::into_array),
            person.token.map(ByteArray::into_array),
            person.sends_receipts,
            person.ephemeral.map(ByteArray::into_array),
            person.token_number,
            person.token_floor,
            int(person.token_at),
            person.token_label.map(ByteArray::into_array),
            person.chosen_label.map(ByteArray::into_array),
            person.request.map(|(origin, _)| origin.0),
            person.request.map(|(_, tag)| tag.into_array()),
            int(person.timer),
            int(person.timer_at),
            person.timer_by.map(|id| id.0),
            int(person.since),
        ],
    )?;
    Ok(())
}

fn merge(
    tx: &Transaction<'_>,
    contact: &Contact,
    person: &Person,
    (phase, home): (Phase, &NodeLink),
) -> Result<()> {
    let account = contact.account.0;
    if rank(contact.phase) < rank(phase) {
        tx.execute(
            "UPDATE contact SET phase = ?2, token = ifnull(?3, token), invite = ifnull(?4, invite),
             error = NULL, error_detail = '', tries = 0, next_try = 0 WHERE account = ?1",
            params![
                account,
                phase as i64,
                person.token.map(ByteArray::into_array),
                person.invite.map(ByteArray::into_array),
            ],
        )?;
        if contact.record.is_none() {
            let sql = "UPDATE contact SET home = ?2 WHERE account = ?1";
            tx.execute(sql, params![account, contacts::home_text(home)?])?;
        }
    }
    // Somebody whose card this device has yet to send with the newer token in it.
    tx.execute(
        "UPDATE contact SET card_known = 0, token_registered = 0, token_number = ?2, token_at = ?3
         WHERE account = ?1 AND token_number < ?2",
        params![account, person.token_number, int(person.token_at)],
    )?;
    tx.execute(
        "UPDATE contact SET token_floor = max(token_floor, ?2) WHERE account = ?1",
        params![account, person.token_floor],
    )?;
    let timer_by = person.timer_by.map(|id| id.0.to_vec()).unwrap_or_default();
    tx.execute(
        "UPDATE contact SET timer = ?2, timer_at = ?3, timer_by = ?4
         WHERE account = ?1 AND (timer_at, timer_by) < (?3, ?4)",
        params![account, int(person.timer), int(person.timer_at), timer_by],
    )?;
    let held: Option<Vec<u8>> = tx
        .query_row("SELECT token FROM contact WHERE account = ?1", [account], |row| row.get(0))
        .optional()?
        .flatten();
    if let (None, Some(token)) = (held, person.token) {
        tx.execute(
            "UPDATE contact SET token = ?2 WHERE account = ?1",
            params![account, token.into_array()],
        )?;
    }
    Ok(())
}
