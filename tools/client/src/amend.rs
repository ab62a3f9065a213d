//! What changes messages that are there: edits, deletions, reactions, and time.
//!
//! Each is a message of its own, kept beside those for the user: it may come before the message that
//! it names, and counts when that comes.

use postroad_proto::codec;
use postroad_proto::content::{self, Delete, Edit, MAX_REACTION, Timer, kind};
use postroad_proto::ids::{AccountId, ConversationId, MessageId, Millis};
use postroad_proto::limits::CLOCK_ALLOWANCE_SECONDS;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::de::DeserializeOwned;

use crate::contacts::Contact;
use crate::db::{blob, bool_of, int, unsigned};
use crate::error::Result;
use crate::events::{self, Event};
use crate::messages;

/// Vanished messages that one step erases.
const VANISHING: usize = 1000;

/// What a message answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// Its id.
    pub id: MessageId,
    /// Whether it is ours.
    pub outgoing: bool,
    /// Its text as it is now; none if it is not here, was deleted or has none.
    pub text: Option<String>,
}

/// A reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// Whether it is ours.
    pub outgoing: bool,
    /// What was chosen, at most 32 bytes; from others, whatever they sent.
    pub emoji: String,
}

/// A message by its writer and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) by: AccountId,
    pub(crate) id: MessageId,
}

/// The message that one of kind `number` by `sender` changes.
pub(crate) fn target_of(number: u64, content: &[u8], sender: &AccountId) -> Option<Target> {
    let own = |id| Target { by: *sender, id };
    match number {
        kind::EDIT => read::<Edit>(content).map(|edit| own(edit.id)),
        kind::DELETE => read::<Delete>(content).map(|delete| own(delete.id)),
        kind::REACTION => read::<content::Reaction>(content)
            .filter(|reaction| is_reaction(&reaction.emoji))
            .map(|reaction| Target { by: reaction.to.account, id: reaction.to.id }),
        _ => None,
    }
}

/// Whether this may be a reaction; empty takes one back.
pub(crate) fn is_reaction(emoji: &str) -> bool {
    emoji.len() <= MAX_REACTION && !emoji.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn read<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
    codec::decode(content, content.len()).ok()
}

/// What a reply answers, as it is now.
pub(crate) fn quote(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    contact: &AccountId,
    target: &Target,
) -> Result<Quoted> {
    let text = tx
        .prepare_cached("SELECT text FROM message WHERE chat = ?1 AND account = ?2 AND id = ?3")?
        .query_row(params![chat.0, target.by.0, target.id.0], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(Quoted { id: target.id, outgoing: target.by != *contact, text })
}

/// The reactions to a message: of either side the latest, unless that took it back.
pub(crate) fn reactions(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    target: &Target,
) -> Result<Vec<Reaction>> {
    let mut query = tx.prepare_cached(
        "SELECT outgoing, content FROM message
         WHERE target = ?1 AND target_by = ?2 AND chat = ?3 AND kind = ?4
         ORDER BY outgoing, sent_at DESC, seq IS NULL DESC, seq DESC",
    )?;
    let key = params![target.id.0, target.by.0, chat.0, int(kind::REACTION)];
    let rows = query
        .query_map(key, |row| Ok((bool_of(row, "outgoing")?, row.get::<_, Vec<u8>>("content")?)))?;
    let mut latest: Vec<Reaction> = Vec::new();
    for row in rows {
        let (outgoing, content) = row?;
        if latest.iter().all(|reaction| reaction.outgoing != outgoing) {
            let emoji = read::<content::Reaction>(&content).map(|r| r.emoji).unwrap_or_default();
            latest.push(Reaction { outgoing, emoji });
        }
    }
    latest.retain(|reaction| !reaction.emoji.is_empty());
    Ok(latest)
}

/// A message that is there, as far as it may be changed.
struct There {
    row: i64,
    kind: u64,
    deleted: bool,
    edited: (Millis, u64),
}

fn find(tx: &Transaction<'_>, chat: &ConversationId, target: &Target) -> Result<Option<There>> {
    let mut query = tx.prepare_cached(
        "SELECT row, kind, deleted, edited_at, edited_seq FROM message
         WHERE account = ?1 AND id = ?2 AND chat = ?3",
    )?;
    let found = query.query_row(params![target.by.0, target.id.0, chat.0], |row| {
        Ok(There {
            row: row.get("row")?,
            kind: unsigned(row, "kind")?,
            deleted: bool_of(row, "deleted")?,
            edited: (unsigned(row, "edited_at")?, unsigned(row, "edited_seq")?),
        })
    });
    Ok(found.optional()?)
}

/// An edit or a deletion, as stored.
struct Amendment {
    kind: u64,
    content: Vec<u8>,
    /// When and where in its sender's sequence.
    place: (Millis, u64),
}

impl Amendment {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        // One of ours that waits to be sealed is the latest.
        let seq: Option<i64> = row.get("seq")?;
        Ok(Self {
            kind: unsigned(row, "kind")?,
            content: row.get("content")?,
            place: (unsigned(row, "sent_at")?, seq.map_or(u64::MAX >> 1, i64::unsigned_abs)),
        })
    }
}

/// The message at `row` was stored just now: it may change another, or others that came before may
/// change it. The user hears of what changes.
pub(crate) fn arrived(tx: &Transaction<'_>, row: i64, now: Millis) -> Result<()> {
    let (number, chat, sender, id, target) = tx
        .prepare_cached(
            "SELECT kind, chat, account, id, target_by, target FROM message WHERE row = ?1",
        )?
        .query_row([row], |row| {
            let target: Option<Vec<u8>> = row.get("target")?;
            let target = match target {
                Some(_) => Some(Target {
                    by: AccountId(blob(row, "target_by")?),
                    id: MessageId(blob(row, "target")?),
                }),
                None => None,
            };
            let chat = ConversationId(blob(row, "chat")?);
            let sender = AccountId(blob(row, "account")?);
            Ok((unsigned(row, "kind")?, chat, sender, MessageId(blob(row, "id")?), target))
        })?;
    match (number, target) {
        (kind::EDIT | kind::DELETE, Some(target)) => {
            let Some(there) = find(tx, &chat, &target)? else { return Ok(()) };
            let amendment = tx
                .prepare_cached("SELECT kind, content, seq, sent_at FROM message WHERE row = ?1")?
                .query_row([row], Amendment::from_row)?;
            if amend(tx, &there, &target, &amendment)? {
                events::record(tx, now, &Event::Changed { row: there.row })?;
            }
        }
        (kind::REACTION, Some(target)) => {
            let there = find(tx, &chat, &target)?;
            if let Some(there) = there.filter(|there| !messages::is_hidden(there.kind)) {
                events::record(tx, now, &Event::Changed { row: there.row })?;
            }
        }
        (shown, _) if !messages::is_hidden(shown) => waited(tx, &chat, &Target { by: sender, id })?,
        _ => {}
    }
    Ok(())
}

/// Applies what came before the message that it changes.
fn waited(tx: &Transaction<'_>, chat: &ConversationId, target: &Target) -> Result<()> {
    let mut query = tx.prepare_cached(
        "SELECT kind, content, seq, sent_at FROM message
         WHERE target = ?1 AND target_by = ?2 AND account = ?2 AND chat = ?3 AND kind IN (?4, ?5)
         ORDER BY sent_at, seq",
    )?;
    let key = params![target.id.0, target.by.0, chat.0, int(kind::EDIT), int(kind::DELETE)];
    let waiting =
        query.query_map(key, Amendment::from_row)?.collect::<rusqlite::Result<Vec<Amendment>>>()?;
    for amendment in &waiting {
        if let Some(there) = find(tx, chat, target)? {
            amend(tx, &there, target, amendment)?;
        }
    }
    Ok(())
}

/// Whether it changed anything.
fn amend(
    tx: &Transaction<'_>,
    there: &There,
    target: &Target,
    amendment: &Amendment,
) -> Result<bool> {
    if there.deleted || messages::is_hidden(there.kind) {
        return Ok(false);
    }
    if amendment.kind == kind::DELETE {
        erase(tx, there.row, target)?;
        return Ok(true);
    }
    let Some(edit) = read::<Edit>(&amendment.content) else { return Ok(false) };
    if there.kind != kind::TEXT || amendment.place <= there.edited {
        return Ok(false);
    }
    let (at, seq) = amendment.place;
    tx.prepare_cached(
        "UPDATE message SET text = ?2, edited_at = ?3, edited_seq = ?4 WHERE row = ?1",
    )?
    .execute(params![there.row, edit.text, int(at.max(1)), int(seq)])?;
    Ok(true)
}

/// Leaves of a message that there was one. What waits to be sent keeps its sealed form: its place in
/// the sequence is taken, and the deletion follows it.
pub(crate) fn erase(tx: &Transaction<'_>, row: i64, target: &Target) -> Result<()> {
    tx.prepare_cached(
        "UPDATE message SET deleted = 1, text = NULL, content = x'', shown = 1 WHERE row = ?1",
    )?
    .execute([row])?;
    // Edits hold texts of their own. One that waits to be sealed need not be sent any more.
    let key = params![target.id.0, target.by.0, int(kind::EDIT)];
    tx.prepare_cached(
        "DELETE FROM outbox WHERE plaintext IS NULL AND message IN
         (SELECT row FROM message WHERE kind = ?3 AND target = ?1 AND target_by = ?2)",
    )?
    .execute(key)?;
    tx.prepare_cached(
        "UPDATE message SET content = x'' WHERE kind = ?3 AND target = ?1 AND target_by = ?2",
    )?
    .execute(key)?;
    Ok(())
}

/// Either side says how long texts are kept from now on.
pub(crate) fn set_timer(
    tx: &Transaction<'_>,
    contact: &Contact,
    content: &[u8],
    (said_at, id): (Millis, MessageId),
    now: Millis,
) -> Result<()> {
    let Some(timer) = read::<Timer>(content) else { return Ok(()) };
    // Else a clock that is far ahead would have the last word for ever.
    let said_at = said_at.min(now + CLOCK_ALLOWANCE_SECONDS * 1000);
    let changed = tx
        .prepare_cached(
            "UPDATE contact SET timer = ?2, timer_at = ?3, timer_by = ?4
             WHERE account = ?1 AND (timer_at, timer_by) < (?3, ?4)",
        )?
        .execute(params![
            contact.account.0,
            int(messages::kept_for(timer.seconds).unwrap_or(0)),
            int(said_at),
            id.0
        ])?;
    if changed > 0 {
        events::record(tx, now, &Event::Contact { account: contact.account })?;
    }
    Ok(())
}

/// Messages whose time is over. Those of ours, and what of ours changes others, stay until their
/// fate is settled.
const OVER: &str = "FROM message WHERE vanish_at <= ?1
     AND (state >= 5 OR NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.message = message.row))
     AND NOT EXISTS (SELECT 1 FROM outbox JOIN message AS change ON change.row = outbox.message
         WHERE change.target = message.id AND change.target_by = message.account
         AND change.kind IN (4, 6) AND change.state < 5)";

/// Erases messages whose time is over, with all that changes them.
pub(crate) fn vanish(tx: &Transaction<'_>, now: Millis) -> Result<()> {
    let mut query = tx.prepare_cached(&format!("SELECT row, account, id {OVER} LIMIT ?2"))?;
    let over = query
        .query_map(params![int(now), VANISHING as i64], |row| {
            let target =
                Target { by: AccountId(blob(row, "account")?), id: MessageId(blob(row, "id")?) };
            Ok((row.get::<_, i64>("row")?, target))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (row, target) in over {
        tx.prepare_cached(
            "DELETE FROM message WHERE target = ?1 AND target_by = ?2 AND kind IN (?3, ?4)",
        )?
        .execute(params![
            target.id.0,
            target.by.0,
            int(kind::EDIT),
            int(kind::REACTION)
        ])?;
        tx.prepare_cached("DELETE FROM message WHERE row = ?1")?.execute([row])?;
        events::record(tx, now, &Event::Changed { row })?;
    }
    Ok(())
}

/// Whether [`vanish`] has something to do.
pub(crate) fn is_due(tx: &Transaction<'_>, now: Millis) -> Result<bool> {
    let mut query = tx.prepare_cached(&format!("SELECT 1 {OVER}"))?;
    Ok(query.exists([int(now)])?)
}
