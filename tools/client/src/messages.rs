//! Messages as the database keeps them and users see them.

mod new;

use postroad_proto::content::{Mention, kind};
use postroad_proto::ids::{AccountId, ConversationId, DeviceNumber, MessageId, Millis, ParcelId};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};

pub(crate) use new::{NewMessage, insert, kept_for};

use self::new::Parts;
use crate::amend::{self, Quoted, Reaction, Target};
use crate::contacts;
use crate::conversations;
use crate::db::{blob, bool_of, int, unsigned};
use crate::deletion;
use crate::devices::{copies, entries};
use crate::e2e::DeviceAddress;
use crate::error::{Error, Result, StorageError};
use crate::events::{self, Event};
use crate::identity;
use crate::mentions;
use crate::outbox;
use crate::settings;
use crate::state::State;
use crate::steps::{self, Step};
use crate::waiting;

/// Kinds that are no messages for the user, as SQL. [`is_hidden`] says the same.
pub(crate) const HIDDEN: &str = "(2, 4, 5, 6, 9, 10, 11, 12, 13, 14, 16)";

/// Whether messages of a kind are never shown as such.
pub(crate) fn is_hidden(number: u64) -> bool {
    matches!(
        number,
        kind::RECEIPT
            | kind::EDIT
            | kind::DELETE
            | kind::REACTION
            | kind::TYPING
            | kind::CALL
            | kind::GROUP
            | kind::SYNC
            | kind::RESEND
            | kind::INTRODUCTION
            | kind::ABSENT
    )
}

/// A message as users see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in this database, by arrival.
    pub row: i64,
    /// Its id, the same on every device.
    pub id: MessageId,
    /// The contact it is exchanged with.
    pub contact: AccountId,
    /// That contact's name.
    pub chat: String,
    /// Whether it is ours.
    pub outgoing: bool,
    /// A [`kind`] number.
    pub kind: u64,
    /// Its text, if its kind has one and it was not deleted; as it was edited last.
    pub text: Option<String>,
    /// What it answers.
    pub reply: Option<Quoted>,
    /// Whether it was first written by or to somebody else.
    pub forwarded: bool,
    /// Whether the text is another one than at first.
    pub edited: bool,
    /// Whether its sender took it back.
    pub deleted: bool,
    /// Where the text names one of the two; none once it is edited.
    pub mentions: Vec<Mention>,
    /// One at most by either side.
    pub reactions: Vec<Reaction>,
    /// Seconds that it is kept, or that texts are kept from a [`kind::TIMER`] on; none for ever.
    pub vanish_after: Option<u64>,
    /// In a [`kind::FAREWELL`], when the sender's account ends; none if it does not after all.
    pub ends_at: Option<Millis>,
    /// By the sender's clock.
    pub sent_at: Millis,
    /// When it came in.
    pub received_at: Option<Millis>,
    /// How far it got.
    pub state: State,
    /// Why it is not further, or how it ended.
    pub reason: String,
    /// Whether the user has seen it.
    pub shown: bool,
    /// Messages of the same sender that are missing directly before it: P3.
    pub missing_before: u64,
    /// And how many more will not come, as their sender says.
    pub lost_before: u64,
}

impl Message {
    /// The name of its kind.
    pub fn kind_name(&self) -> String {
        let name = match self.kind {
            kind::TEXT => "text",
            kind::REPLY => "reply",
            kind::EDIT => "edit",
            kind::DELETE => "delete",
            kind::REACTION => "reaction",
            kind::FILE => "file",
            kind::CONTACT => "contact",
            kind::TIMER => "timer",
            kind::FAREWELL => "farewell",
            other => return format!("unknown-{other}"),
        };
        name.to_owned()
    }
}

/// Which messages are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Of one contact only. Without it, those who are blocked are left out.
    pub contact: Option<AccountId>,
    /// Not shown before, and not ours.
    pub unshown: bool,
    /// Text that contains each of these words, be it within others and whatever the case.
    pub search: Option<String>,
    /// After this row.
    pub after: i64,
    /// The newest so many; 0 for all.
    pub last: usize,
    /// Instead the oldest so many; 0 for all. With [`Self::after`], a conversation of any length can
    /// be read page by page.
    pub first: usize,
    /// Also of people who were not accepted as contacts.
    pub requests: bool,
}

/// The messages that a query asks for, oldest first.
pub(crate) fn list(tx: &Transaction<'_>, query: &Query) -> Result<Vec<Message>> {
    let mut sql = format!(
        "SELECT message.*, contact.account AS with_account, contact.name AS with_name
         FROM message JOIN contact USING (chat)
         WHERE kind NOT IN {HIDDEN} AND row > ?"
    );
    let mut values = vec![Value::Integer(query.after)];
    if query.unshown {
        sql.push_str(" AND outgoing = 0 AND shown = 0");
    }
    if !query.requests {
        sql.push_str(" AND NOT (contact.phase = 4 AND outgoing = 0)");
    }
    match &query.contact {
        Some(account) => {
            sql.push_str(" AND contact.account = ?");
            values.push(Value::Blob(account.0.to_vec()));
        }
        // What was exchanged with somebody before they were blocked is there for who asks for it.
        None => sql.push_str(" AND contact.blocked = 0"),
    }
    for word in query.search.iter().flat_map(|search| search.split_whitespace()) {
        values.push(Value::Text(contains(word, &mut sql)));
    }
    let (order, count) = match query.first {
        0 => (" ORDER BY row DESC LIMIT ?", query.last),
        first => (" ORDER BY row LIMIT ?", first),
    };
    sql.push_str(order);
    values.push(Value::Integer(if count == 0 { -1 } else { count as i64 }));
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| Ok(from_row(row)))?;
    let mut found = rows.map(|row| row?).collect::<Result<Vec<Found>>>()?;
    if query.first == 0 {
        found.reverse();
    }
    found.into_iter().map(|found| found.complete(tx)).collect()
}

/// How many messages of a contact the user has not seen.
pub(crate) fn unread(tx: &Transaction<'_>, contact: &AccountId) -> Result<usize> {
    let sql = format!(
        "SELECT count(*) FROM message JOIN contact USING (chat) WHERE contact.account = ?1
         AND outgoing = 0 AND shown = 0 AND contact.phase <> 4 AND kind NOT IN {HIDDEN}"
    );
    let mut query = tx.prepare_cached(&sql)?;
    let count: i64 = query.query_row([contact.0], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Letters that the index of texts goes by.
const INDEXED: usize = 3;

/// Adds the condition that a text contains `word`; returns the condition's argument.
fn contains(word: &str, sql: &mut String) -> String {
    if word.chars().count() >= INDEXED {
        sql.push_str(" AND row IN (SELECT rowid FROM message_text WHERE message_text MATCH ?)");
        return format!("\"{}\"", word.replace('"', "\"\""));
    }
    sql.push_str(" AND text LIKE ? ESCAPE '\\'");
    let escaped = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// The message at a row.
pub(crate) fn at(tx: &Transaction<'_>, row: i64) -> Result<Option<Message>> {
    let sql = "SELECT message.*, contact.account AS with_account, contact.name AS with_name
               FROM message JOIN contact USING (chat) WHERE row = ?1";
    let found = tx.prepare_cached(sql)?.query_row([row], |row| Ok(from_row(row))).optional()?;
    found.transpose()?.map(|found| found.complete(tx)).transpose()
}

/// The message with an id.
pub(crate) fn with_id(tx: &Transaction<'_>, id: &MessageId) -> Result<Message> {
    let row: Option<i64> = tx
        .prepare_cached("SELECT row FROM message WHERE id = ?1 ORDER BY outgoing DESC")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    let found = match row {
        Some(row) => at(tx, row)?,
        None => None,
    };
    found.ok_or_else(|| Error::NotFound { what: "message", name: id.to_string() })
}

/// A row, without what takes another query.
struct Found {
    message: Message,
    chat: ConversationId,
    sender: ([u8; 32], DeviceNumber),
    seq: Option<u64>,
    reply: Option<Target>,
}

impl Found {
    fn complete(mut self, tx: &Transaction<'_>) -> Result<Message> {
        if let Some(seq) = self.seq.filter(|_| !self.message.outgoing) {
            let sender = (AccountId(self.sender.0), self.sender.1);
            let gap = conversations::gap_before(tx, &self.chat, sender, seq)?;
            (self.message.missing_before, self.message.lost_before) = (gap.missing, gap.lost);
        }
        if let Some(reply) = &self.reply {
            self.message.reply = Some(amend::quote(tx, &self.chat, &self.message.contact, reply)?);
        }
        if !self.message.deleted {
            let target = Target { by: AccountId(self.sender.0), id: self.message.id };
            self.message.reactions = amend::reactions(tx, &self.chat, &target)?;
        }
        if let (false, Some(text)) = (self.message.mentions.is_empty(), &self.message.text) {
            let people = [self.message.contact, identity::account(tx)?];
            self.message.mentions = mentions::valid(text, &self.message.mentions, people);
        }
        let is_settled = matches!(self.message.state, State::Delivered | State::Read);
        if self.message.outgoing && !is_settled && outbox::is_here(tx, self.message.row)? {
            self.message.reason = reason_here(tx, &self.message)?;
        }
        Ok(self.message)
    }
}

/// Why a message is here: that nothing may be written now, what it waits behind, what was noted for
/// it, or that there is no connection.
fn reason_here(tx: &Transaction<'_>, message: &Message) -> Result<String> {
    if contacts::is_disputed(tx, &message.contact)? {
        return Ok(outbox::TWO_RECORDS.to_owned());
    }
    if let Some((_, ahead)) = outbox::ahead(tx, message.row)? {
        return Ok(ahead);
    }
    if !message.reason.is_empty() {
        return Ok(message.reason.clone());
    }
    Ok(settings::text(tx, settings::OFFLINE)?.unwrap_or_default())
}

fn from_row(row: &Row<'_>) -> Result<Found> {
    let state: i64 = row.get("state")?;
    let seq: Option<i64> = row.get("seq")?;
    let received_at: Option<i64> = row.get("received_at")?;
    let kind = unsigned(row, "kind")?;
    let deleted = bool_of(row, "deleted")?;
    let content: Vec<u8> = row.get("content")?;
    let parts = Parts::of(kind, &content);
    let text: Option<String> = row.get("text")?;
    let edited = unsigned(row, "edited_at")? > 0;
    let message = Message {
        row: row.get("row")?,
        id: MessageId(blob(row, "id")?),
        contact: AccountId(blob(row, "with_account")?),
        chat: row.get("with_name")?,
        outgoing: bool_of(row, "outgoing")?,
        kind,
        // What the text was at first, it says.
        mentions: if edited { Vec::new() } else { parts.mentions },
        text,
        reply: None,
        forwarded: parts.forwarded,
        edited: edited && !deleted,
        deleted,
        reactions: Vec::new(),
        vanish_after: parts.vanish,
        ends_at: if kind == kind::FAREWELL { deletion::ends_at(&content) } else { None },
        sent_at: unsigned(row, "sent_at")?,
        received_at: received_at.map(i64::unsigned_abs),
        state: State::from_number(state).ok_or(StorageError::Value("state"))?,
        reason: row.get("reason")?,
        shown: bool_of(row, "shown")?,
        missing_before: 0,
        lost_before: 0,
    };
    Ok(Found {
        message,
        chat: ConversationId(blob(row, "chat")?),
        sender: (blob(row, "account")?, row.get("device")?),
        seq: seq.map(i64::unsigned_abs),
        reply: parts.target.filter(|_| kind == kind::TEXT),
    })
}

/// A message's id as nodes know it, once it was sealed.
pub(crate) fn parcel(tx: &Transaction<'_>, row: i64) -> Result<Option<ParcelId>> {
    let parcel: Option<Vec<u8>> = tx
        .prepare_cached("SELECT parcel FROM message WHERE row = ?1")?
        .query_row([row], |row| row.get(0))?;
    Ok(parcel.and_then(|bytes| ParcelId::from_slice(&bytes)))
}

/// All ids under which nodes know it or knew it: it may have been sealed more than once.
pub(crate) fn parcels(tx: &Transaction<'_>, row: i64) -> Result<Vec<ParcelId>> {
    let mut query = tx.prepare_cached(
        "SELECT parcel FROM message WHERE row = ?1 AND parcel NOT NULL
         UNION SELECT parcel FROM former_parcel WHERE message = ?1",
    )?;
    let rows = query.query_map([row], |row| Ok(ParcelId(blob(row, "parcel")?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Whether a message of this sender is stored.
pub(crate) fn exists(tx: &Transaction<'_>, sender: &AccountId, id: &MessageId) -> Result<bool> {
    let mut query = tx.prepare_cached("SELECT 1 FROM message WHERE account = ?1 AND id = ?2")?;
    Ok(query.exists(params![sender.0, id.0])?)
}

/// Says why a message is where it is.
pub(crate) fn set_reason(tx: &Transaction<'_>, row: i64, reason: &str) -> Result<()> {
    tx.prepare_cached("UPDATE message SET reason = ?2 WHERE row = ?1 AND reason <> ?2")?
        .execute(params![row, reason])?;
    Ok(())
}

/// Saves a step of a message of ours with its evidence, and moves its state forward if that is
/// where the step leads. Whether the state moved.
pub(crate) fn advance(
    tx: &Transaction<'_>,
    row: i64,
    step: &Step,
    reason: &str,
    now: Millis,
) -> Result<bool> {
    steps::save(tx, row, step)?;
    let found: Option<(i64, u64)> = tx
        .prepare_cached("SELECT state, kind FROM message WHERE row = ?1 AND outgoing = 1")?
        .query_row([row], |row| Ok((row.get(0)?, unsigned(row, "kind")?)))
        .optional()?;
    let Some((state, kind)) = found else { return Ok(false) };
    let state = State::from_number(state).ok_or(StorageError::Value("state"))?;
    if !state.may_become(step.state) {
        return Ok(false);
    }
    tx.prepare_cached("UPDATE message SET state = ?2, reason = ?3 WHERE row = ?1")?
        .execute(params![row, step.state.number(), reason])?;
    waiting::forget(tx, row)?;
    copies::note_progress(tx, row, (kind, step.state), now)?;
    if !is_hidden(kind) {
        events::record(tx, now, &Event::State { row, state: step.state })?;
    }
    Ok(true)
}

/// The user has seen messages: their senders are owed a read receipt, and the time of those that
/// vanish runs from now on.
pub(crate) fn mark_shown(tx: &Transaction<'_>, rows: &[i64], now: Millis) -> Result<()> {
    let mut update = tx.prepare_cached(
        "UPDATE message SET shown = 1, state = ?2,
         vanish_at = CASE WHEN vanish > 0 THEN ?3 + vanish * 1000 END
         WHERE row = ?1 AND outgoing = 0 AND shown = 0",
    )?;
    let mut owe = tx.prepare_cached(
        "INSERT OR IGNORE INTO receipt_due (contact, device, how)
         SELECT account, device, 2 FROM message WHERE row = ?1",
    )?;
    let mut from = tx.prepare_cached("SELECT account, device FROM message WHERE row = ?1")?;
    for row in rows {
        if update.execute(params![row, State::Read.number(), int(now)])? > 0 {
            owe.execute([row])?;
            let from = from.query_row([row], |row| {
                Ok((AccountId(blob(row, "account")?), row.get("device")?))
            })?;
            entries::note_seen(tx, from, now)?;
        }
    }
    Ok(())
}

/// The user has seen these of a device's messages elsewhere.
pub(crate) fn mark_seen(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    ranges: &[(u64, u64)],
    now: Millis,
) -> Result<()> {
    let mut query = tx.prepare_cached(
        "SELECT row FROM message WHERE account = ?1 AND device = ?2 AND seq BETWEEN ?3 AND ?4
         AND outgoing = 0 AND shown = 0",
    )?;
    for (first, last) in ranges {
        let rows = query
            .query_map(params![from.0.0, from.1, int(*first), int(*last)], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        rows.into_iter().try_for_each(|row| show(tx, row, now))?;
    }
    Ok(())
}

/// The user has seen a message elsewhere, and its sender is told from there.
pub(crate) fn show(tx: &Transaction<'_>, row: i64, now: Millis) -> Result<()> {
    let shown = tx
        .prepare_cached(
            "UPDATE message SET shown = 1, state = ?2,
             vanish_at = CASE WHEN vanish > 0 THEN ?3 + vanish * 1000 END
             WHERE row = ?1 AND outgoing = 0 AND shown = 0",
        )?
        .execute(params![row, State::Read.number(), int(now)])?;
    if shown == 0 { Ok(()) } else { events::record(tx, now, &Event::Changed { row }) }
}
