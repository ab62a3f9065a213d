//! Messages on their way into the database.

use postroad_proto::codec;
use postroad_proto::content::{MAX_VANISH, Mention, Text, Timer, kind};
use postroad_proto::ids::{AccountId, ConversationId, DeviceNumber, MessageId, Millis};
use rusqlite::{Transaction, params};

use super::is_hidden;
use crate::amend::{self, Target};
use crate::db::int;
use crate::error::Result;
use crate::state::State;

/// A message to be stored.
pub(crate) struct NewMessage<'a> {
    pub(crate) id: MessageId,
    pub(crate) chat: ConversationId,
    pub(crate) outgoing: bool,
    pub(crate) sender: (AccountId, DeviceNumber),
    pub(crate) seq: Option<u64>,
    pub(crate) kind: u64,
    pub(crate) content: &'a [u8],
    pub(crate) sent_at: Millis,
    pub(crate) received_at: Option<Millis>,
    /// Seconds.
    pub(crate) deadline: u64,
    pub(crate) state: State,
}

/// Stores a message; returns its row.
pub(crate) fn insert(tx: &Transaction<'_>, new: &NewMessage<'_>) -> Result<i64> {
    let parts = Parts::of(new.kind, new.content);
    let target = parts.target.or_else(|| amend::target_of(new.kind, new.content, &new.sender.0));
    let vanish = parts.vanish.filter(|_| new.kind == kind::TEXT).unwrap_or(0);
    // The recipient's time runs from when a person sees it.
    let vanish_at = (new.outgoing && vanish > 0).then(|| new.sent_at.saturating_add(vanish * 1000));
    let mut insert = tx.prepare_cached(
        "INSERT INTO message (id, chat, outgoing, account, device, seq, kind, content, text,
         sent_at, received_at, deadline, state, shown, target_by, target, vanish, vanish_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?;
    Ok(insert.insert(params![
        new.id.0,
        new.chat.0,
        new.outgoing,
        new.sender.0.0,
        new.sender.1,
        new.seq.map(int),
        int(new.kind),
        new.content,
        parts.text,
        int(new.sent_at),
        new.received_at.map(int),
        int(new.deadline),
        new.state.number(),
        // What is never shown need not be seen either.
        is_hidden(new.kind),
        target.map(|target| target.by.0),
        target.map(|target| target.id.0),
        int(vanish),
        vanish_at.map(int),
    ])?)
}

/// What a message for the user is made of.
#[derive(Default)]
pub(super) struct Parts {
    text: Option<String>,
    pub(super) target: Option<Target>,
    pub(super) forwarded: bool,
    /// Seconds, at least one.
    pub(super) vanish: Option<u64>,
    /// As the sender says.
    pub(super) mentions: Vec<Mention>,
}

impl Parts {
    /// Nothing of a kind that is not known, or of content that cannot be read.
    pub(super) fn of(number: u64, content: &[u8]) -> Self {
        let limit = content.len();
        match number {
            kind::TEXT => {
                let Ok(text) = codec::decode::<Text>(content, limit) else {
                    return Self::default();
                };
                Self {
                    target: text.reply.map(|to| Target { by: to.account, id: to.id }),
                    forwarded: text.forwarded.unwrap_or(false),
                    vanish: kept_for(text.vanish.unwrap_or(0)),
                    mentions: text.mentions.unwrap_or_default(),
                    text: Some(text.text),
                }
            }
            kind::TIMER => {
                let timer = codec::decode::<Timer>(content, limit);
                let vanish = timer.ok().and_then(|timer| kept_for(timer.seconds));
                Self { vanish, ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

/// Seconds that something is kept, in the bounds that there are; none for ever.
pub(crate) fn kept_for(seconds: u64) -> Option<u64> {
    (seconds > 0).then(|| seconds.min(MAX_VANISH))
}
