//! Typing and presence: said to whoever is there, and forgotten. `proto/spec/ephemeral.md`.
//!
//! What is said and what is heard goes through the database, like everything else: the process that
//! shows it is not always the one that has the connection.

use std::collections::BTreeMap;

use postroad_proto::ephemeral::{Ephemeral, kind, presence, typing};
use postroad_proto::frame::{EphemeralPush, EphemeralSend};
use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::limits::EPHEMERAL_SECONDS;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::contacts::{self, Contact, Phase, tokens};
use crate::db::{blob, int, unsigned};
use crate::e2e::DeviceAddress;
use crate::entropy;
use crate::error::Result;
use crate::identity::Identity;
use crate::settings;

/// How long it counts, and how often it is said again, milliseconds.
const TYPING: Millis = 6_000;
const TYPING_AGAIN: Millis = 4_000;
const PRESENCE: Millis = 90_000;
const PRESENCE_AGAIN: Millis = 60_000;
/// Who asks is not answered more often.
const ANSWER_AGAIN: Millis = 20_000;
/// How far the clocks of the two may be apart.
const CLOCKS: Millis = 120_000;
/// In place of a device: what we said.
const OURS: u8 = 0;

/// What a contact does now, as far as their devices say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// Is writing to us.
    pub writing: bool,
    /// Has Postroad before them.
    pub here: bool,
}

fn setting_of(number: u64) -> &'static str {
    if number == kind::TYPING { settings::TYPING } else { settings::PRESENCE }
}

/// Whether contacts are to be given the means to say anything.
pub(crate) fn is_wanted(tx: &Transaction<'_>) -> Result<bool> {
    Ok(settings::is_on(tx, settings::TYPING)? || settings::is_on(tx, settings::PRESENCE)?)
}

/// What we said last: what, when, and until when it counts.
fn last_said(
    tx: &Transaction<'_>,
    to: &AccountId,
    number: u64,
) -> Result<Option<(u64, Millis, Millis)>> {
    let found = tx
        .prepare_cached(
            "SELECT value, at, until FROM ephemeral WHERE account = ?1 AND device = ?2 AND kind = ?3",
        )?
        .query_row(params![to.0, OURS, int(number)], |row| {
            Ok((unsigned(row, "value")?, unsigned(row, "at")?, unsigned(row, "until")?))
        })
        .optional()?;
    Ok(found)
}

/// Whether a contact wants to hear of it, and the user wants them to.
pub(crate) fn is_heard(tx: &Transaction<'_>, to: &AccountId, number: u64) -> Result<bool> {
    let mut query = tx.prepare_cached(
        "SELECT 1 FROM contact WHERE account = ?1 AND phase = ?2 AND blocked = 0
         AND token NOT NULL AND devices NOT NULL AND ephemeral NOT NULL",
    )?;
    Ok(query.exists(params![to.0, Phase::Ready as i64])?
        && settings::is_on(tx, setting_of(number))?)
}

/// Whether there is something new to be said: begun, gone on with for a while, or ended.
pub(crate) fn is_news(
    tx: &Transaction<'_>,
    to: &AccountId,
    (number, value): (u64, u64),
    now: Millis,
) -> Result<bool> {
    let again = if number == kind::TYPING { TYPING_AGAIN } else { PRESENCE_AGAIN };
    // A clock that was set back must not make us silent.
    let last = last_said(tx, to, number)?.filter(|(_, at, until)| (*at..*until).contains(&now));
    Ok(match last {
        Some((0, ..)) | None => value > 0,
        Some((_, at, _)) => value == 0 || at + again <= now,
    })
}

/// Stores what is to be said, unless nobody hears it.
pub(crate) fn say(
    tx: &Transaction<'_>,
    to: &AccountId,
    (number, value): (u64, u64),
    now: Millis,
) -> Result<()> {
    if !is_heard(tx, to, number)? {
        return Ok(());
    }
    let last = last_said(tx, to, number)?.map_or(0, |(_, at, _)| at);
    let lasts = if number == kind::TYPING { TYPING } else { PRESENCE };
    // After a clock that was set back a little, it goes on from there. Far ahead, nobody believes it.
    let at = if (now..now + CLOCKS).contains(&last) { last + 1 } else { now };
    tx.prepare_cached("INSERT OR REPLACE INTO ephemeral VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)")?
        .execute(params![to.0, OURS, int(number), int(value), int(at), int(now + lasts)])?;
    Ok(())
}

/// Whether something waits to be said.
pub(crate) fn is_due(tx: &Transaction<'_>) -> Result<bool> {
    Ok(tx.prepare_cached("SELECT 1 FROM ephemeral WHERE due = 1")?.exists([])?)
}

/// Takes what waits to be said and is still worth it.
pub(crate) fn take_due(
    tx: &Transaction<'_>,
    own: &Identity,
    now: Millis,
) -> Result<Vec<EphemeralSend>> {
    let due = tx
        .prepare_cached("SELECT account, kind, value, at FROM ephemeral WHERE due = 1")?
        .query_map([], |row| {
            let (at, value) = (unsigned(row, "at")?, unsigned(row, "value")?);
            let said = Ephemeral { kind: unsigned(row, "kind")?, device: own.device, at, value };
            Ok((AccountId(blob(row, "account")?), said))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    tx.execute("UPDATE ephemeral SET due = 0 WHERE due = 1", [])?;
    let mut frames = Vec::new();
    for (account, said) in due {
        let contact = contacts::get(tx, &account)?;
        let (Some(token), Some(secret)) = (&contact.token, &contact.ephemeral) else { continue };
        // What was begun before it was turned off ends by itself; that it has ended may be said.
        let is_off = said.value > 0 && !settings::is_on(tx, setting_of(said.kind))?;
        if contact.blocked || is_off || said.at + EPHEMERAL_SECONDS * 1000 < now {
            continue;
        }
        let sealed = secret.seal((&own.account, &account), &said, entropy::bytes())?.into();
        frames.push(EphemeralSend {
            node: contact.home.node,
            account,
            token: token.clone(),
            sealed,
        });
    }
    Ok(frames)
}

/// Takes what a contact's device says. What is not believed is passed over: nobody can do anything
/// about it, and it comes again.
pub(crate) fn take(
    tx: &Transaction<'_>,
    own: &Identity,
    push: &EphemeralPush,
    now: Millis,
) -> Result<()> {
    let holder = tokens::user_of(tx, own, &push.label)?;
    let Some((contact, number)) = holder.filter(|(c, _)| c.phase == Phase::Ready && !c.blocked)
    else {
        return Ok(());
    };
    let pair = (&contact.account, &own.account);
    let Ok(said) = contact.secret_of(own, number).open(pair, &push.sealed, now) else {
        return Ok(());
    };
    let most = match said.kind {
        kind::TYPING => typing::WRITING,
        kind::PRESENCE => presence::HERE_AND_ASKS,
        _ => return Ok(()),
    };
    let devices = contact.device_list()?;
    let is_theirs = devices.is_some_and(|list| list.device(said.device).is_some());
    let is_of_now = said.at.abs_diff(now) <= CLOCKS;
    if said.value > most || !is_theirs || !is_of_now || !settings::is_on(tx, setting_of(said.kind))?
    {
        return Ok(());
    }
    let lasts = if said.kind == kind::TYPING { TYPING } else { PRESENCE };
    let is_new = tx
        .prepare_cached(
            "INSERT INTO ephemeral VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)
             ON CONFLICT DO UPDATE SET value = ?4, at = ?5, until = ?6 WHERE at < ?5",
        )?
        .execute(params![
            contact.account.0,
            said.device,
            int(said.kind),
            int(said.value),
            int(said.at),
            int(now + lasts)
        ])?;
    if is_new > 0 && said.kind == kind::PRESENCE && said.value == presence::HERE_AND_ASKS {
        answer(tx, &contact, now)?;
    }
    Ok(())
}

/// Says that the user is here, if they are, to a contact who asks.
fn answer(tx: &Transaction<'_>, contact: &Contact, now: Millis) -> Result<()> {
    let last = last_said(tx, &contact.account, kind::PRESENCE)?;
    let is_told = last.is_some_and(|(value, at, _)| value > 0 && now.abs_diff(at) < ANSWER_AGAIN);
    if is_told || settings::number(tx, settings::HERE)? <= now {
        return Ok(());
    }
    say(tx, &contact.account, (kind::PRESENCE, presence::HERE), now)
}

/// Whether it is to be noted anew that the user has Postroad before them.
pub(crate) fn is_here_due(tx: &Transaction<'_>, now: Millis) -> Result<bool> {
    let until = settings::number(tx, settings::HERE)?;
    let is_noted = (now + PRESENCE - PRESENCE_AGAIN..=now + PRESENCE).contains(&until);
    Ok(!is_noted && settings::is_on(tx, settings::PRESENCE)?)
}

/// The user has Postroad before them, for a while from now on.
pub(crate) fn note_here(tx: &Transaction<'_>, now: Millis) -> Result<()> {
    settings::set_text(tx, settings::HERE, &(now + PRESENCE).to_string())
}

/// The user has gone: whoever was told of them is told so.
pub(crate) fn note_gone(tx: &Transaction<'_>, now: Millis) -> Result<()> {
    settings::set_text(tx, settings::HERE, "0")?;
    let told = tx
        .prepare_cached(
            "SELECT account FROM ephemeral WHERE device = ?1 AND kind = ?2 AND value > 0
             AND until > ?3",
        )?
        .query_map(params![OURS, int(kind::PRESENCE), int(now)], |row| blob(row, "account"))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for account in told {
        say(tx, &AccountId(account), (kind::PRESENCE, presence::AWAY), now)?;
    }
    Ok(())
}

/// Forgets what contacts said: the user does not want to see it.
pub(crate) fn forget(tx: &Transaction<'_>, number: u64) -> Result<()> {
    tx.execute(
        "DELETE FROM ephemeral WHERE kind = ?1 AND device <> ?2",
        params![int(number), OURS],
    )?;
    Ok(())
}

/// The user sends what they wrote: that says it, and what is written next is news again.
pub(crate) fn written(tx: &Transaction<'_>, to: &AccountId) -> Result<()> {
    wrote(tx, (*to, OURS))
}

/// A message came: its sender's device has done what it said of writing.
pub(crate) fn wrote(tx: &Transaction<'_>, by: DeviceAddress) -> Result<()> {
    tx.prepare_cached(
        "UPDATE ephemeral SET value = 0, due = 0 WHERE account = ?1 AND device = ?2 AND kind = ?3",
    )?
    .execute(params![by.0.0, by.1, int(kind::TYPING)])?;
    Ok(())
}

/// What contacts do now; those of whom nothing is known are left out.
pub(crate) fn signs(tx: &Transaction<'_>, now: Millis) -> Result<BTreeMap<AccountId, Signs>> {
    let mut query = tx.prepare_cached(
        "SELECT account, kind FROM ephemeral WHERE device <> ?1 AND value > 0 AND until > ?2",
    )?;
    let rows = query.query_map(params![OURS, int(now)], |row| {
        Ok((AccountId(blob(row, "account")?), unsigned(row, "kind")?))
    })?;
    let mut signs = BTreeMap::<AccountId, Signs>::new();
    for row in rows {
        let (account, number) = row?;
        let of = signs.entry(account).or_default();
        match number {
            kind::TYPING => of.writing = true,
            _ => of.here = true,
        }
    }
    Ok(signs)
}
