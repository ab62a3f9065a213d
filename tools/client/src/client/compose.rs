//! Writing, and changing what was written, as commands use it.

mod answer;

use postroad_proto::codec;
use postroad_proto::content::{
    self, Delete, Edit, MAX_VANISH, Mention, Reference, Text, Timer, kind,
};
use postroad_proto::ids::{MessageId, Millis};
use rusqlite::{OptionalExtension, Transaction};
use serde::Serialize;

use super::Client;
use crate::amend::{self, Target};
use crate::clock;
use crate::contacts::{self, Contact, Phase};
use crate::db::unsigned;
use crate::ephemeral;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::mentions;
use crate::messages::{self, Message};
use crate::outbox::{self, MAX_TEXT};
use crate::state::State;
use crate::steps::{self, Signer};
use crate::vault::Vault;

/// Something that was stored for sending.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its row in this database.
    pub row: i64,
    /// Its id.
    pub id: MessageId,
    /// The contact's name.
    pub chat: String,
    /// How far it got.
    pub state: State,
}

/// Bytes that the largest text leaves to mentions: 64 of at most 60.
const MENTIONS_ROOM: usize = 4 * 1024;

/// What writing takes, in one transaction.
struct Desk<'a> {
    tx: &'a Transaction<'a>,
    vault: &'a Vault,
    own: Identity,
    now: Millis,
}

impl Client {
    fn at_desk<T>(&mut self, work: impl FnOnce(&Desk<'_>) -> Result<T>) -> Result<T> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| work(&Desk { tx, vault, own: Identity::load(tx, vault)?, now }))
    }

    /// Stores a text for a contact. It is sent with the next sync that can, and kept until it is
    /// delivered or its deadline has passed.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`], [`Error::Blocked`].
    pub fn send_text(&mut self, to: &str, text: &str) -> Result<Sent> {
        self.at_desk(|desk| {
            let contact = contacts::resolve(desk.tx, &desk.own, to)?;
            desk.text(&contact, Text::plain(text))
        })
    }

    /// Answers a message with a text, in its conversation.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`], [`Error::Blocked`].
    pub fn reply(&mut self, to: &MessageId, text: &str) -> Result<Sent> {
        self.at_desk(|desk| {
            let (message, contact) = desk.open(to)?;
            let reply = Some(desk.reference(&message));
            desk.text(&contact, Text { reply, ..Text::plain(text) })
        })
    }

    /// Sends the text of a message to somebody else, or once more; it says that it was forwarded.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Impossible`] without a text, [`Error::Blocked`].
    pub fn forward(&mut self, message: &MessageId, to: &str) -> Result<Sent> {
        self.at_desk(|desk| {
            let message = messages::with_id(desk.tx, message)?;
            let text = message.text.ok_or(Error::Impossible("only texts can be forwarded"))?;
            let contact = contacts::resolve(desk.tx, &desk.own, to)?;
            desk.text(&contact, Text { forwarded: Some(true), ..Text::plain(text) })
        })
    }

    /// Puts another text in the place of one of ours, on both sides.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Impossible`] if it is no text of ours, [`Error::TooLarge`],
    /// [`Error::Blocked`].
    pub fn edit(&mut self, message: &MessageId, text: &str) -> Result<Sent> {
        self.at_desk(|desk| {
            let (message, contact) = desk.open(message)?;
            if !message.outgoing || message.kind != kind::TEXT {
                return Err(Error::Impossible("only your own texts can be edited"));
            }
            outbox::check_text(desk.tx, &desk.own, &contact, text)?;
            // The latest counts, whatever the clock has done meanwhile.
            let last = edited_at(desk.tx, message.row)?;
            let at = desk.now.max(message.sent_at.max(last) + 1);
            let edit = Edit { id: message.id, text: text.to_owned() };
            desk.queue(&contact, kind::EDIT, &edit, at)
        })
    }

    /// Takes back a message of ours, on both sides. One that has not been sealed yet is never sent.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Impossible`] if it is not ours, [`Error::Blocked`].
    pub fn delete(&mut self, message: &MessageId) -> Result<Sent> {
        self.at_desk(|desk| {
            let (message, contact) = desk.open(message)?;
            if !message.outgoing {
                return Err(Error::Impossible("only your own messages can be deleted"));
            }
            if is_unsealed(desk.tx, message.row)? {
                return desk.withdraw(message);
            }
            desk.queue(&contact, kind::DELETE, &Delete { id: message.id }, desk.now)
        })
    }

    /// Reacts to a message, in place of an earlier reaction; with `None` takes that back.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Impossible`] if it is too long, [`Error::Blocked`].
    pub fn react(&mut self, message: &MessageId, emoji: Option<&str>) -> Result<Sent> {
        let emoji = emoji.unwrap_or_default();
        if !amend::is_reaction(emoji) {
            return Err(Error::Impossible(
                "a reaction is one emoji or a few letters without spaces, at most 32 bytes",
            ));
        }
        self.at_desk(|desk| {
            let (message, contact) = desk.open(message)?;
            let to = desk.reference(&message);
            let reaction = content::Reaction { to, emoji: emoji.to_owned() };
            desk.queue(&contact, kind::REACTION, &reaction, desk.now)
        })
    }

    /// Says how long texts of a conversation are kept from now on, by both sides: seconds, a year at
    /// most; `None` for ever.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Impossible`] before anything was written, [`Error::Blocked`].
    pub fn set_timer(&mut self, chat: &str, seconds: Option<u64>) -> Result<Sent> {
        if seconds.is_some_and(|seconds| !(1..=MAX_VANISH).contains(&seconds)) {
            return Err(Error::Impossible("texts can be kept from a second to a year"));
        }
        self.at_desk(|desk| {
            let contact = contacts::resolve(desk.tx, &desk.own, chat)?;
            outbox::check_contact(&contact)?;
            if contact.phase == Phase::Stranger {
                return Err(Error::Impossible("write to them first: they do not know you yet"));
            }
            let timer = Timer { seconds: seconds.unwrap_or(0) };
            let sent = desk.queue(&contact, kind::TIMER, &timer, desk.now)?;
            let said = (desk.now, sent.id);
            amend::set_timer(desk.tx, &contact, &codec::encode(&timer)?, said, desk.now)?;
            Ok(sent)
        })
    }
}

impl Desk<'_> {
    /// A message that is there to be referred to, and whom it is exchanged with.
    fn open(&self, id: &MessageId) -> Result<(Message, Contact)> {
        let message = messages::with_id(self.tx, id)?;
        if messages::is_hidden(message.kind) {
            return Err(Error::NotFound { what: "message", name: id.to_string() });
        }
        if message.deleted {
            return Err(Error::Impossible("that message was deleted"));
        }
        let contact = contacts::get(self.tx, &message.contact)?;
        outbox::check_contact(&contact)?;
        Ok((message, contact))
    }

    fn reference(&self, message: &Message) -> Reference {
        let account = if message.outgoing { self.own.account } else { message.contact };
        Reference { account, id: message.id }
    }

    fn text(&self, contact: &Contact, text: Text) -> Result<Sent> {
        outbox::check_text(self.tx, &self.own, contact, &text.text)?;
        ephemeral::written(self.tx, &contact.account)?;
        let mentions = self.mentions(contact, &text.text);
        let text = Text { vanish: contact.timer, mentions, ..text };
        self.queue(contact, kind::TEXT, &text, self.now)
    }

    /// Where a text names one of the two who will read it. A stranger does not know our names yet,
    /// and a text that fills an envelope leaves no room.
    fn mentions(&self, contact: &Contact, text: &str) -> Option<Vec<Mention>> {
        if contact.phase == Phase::Stranger || text.len() > MAX_TEXT - MENTIONS_ROOM {
            return None;
        }
        let of_handle = |handle: String| {
            let short = handle.split('@').next().unwrap_or_default().to_owned();
            [handle, short]
        };
        let own = self.own.full_handle().map(of_handle).into_iter().flatten().collect();
        let mut theirs = vec![contact.name.clone()];
        theirs.extend(of_handle(contact.handle.clone()));
        let people = [(self.own.account, own), (contact.account, theirs)];
        Some(mentions::find(text, &people)).filter(|found| !found.is_empty())
    }

    fn queue(
        &self,
        contact: &Contact,
        number: u64,
        content: &impl Serialize,
        at: Millis,
    ) -> Result<Sent> {
        outbox::retry_contact(self.tx, &contact.account)?;
        let content = codec::encode(content)?;
        let (row, id) =
            outbox::queue(self.tx, self.vault, &self.own, contact, number, &content, at)?;
        Ok(Sent { row, id, chat: contact.name.clone(), state: State::Queued })
    }

    /// Ends a message that has not got anywhere.
    fn withdraw(&self, message: Message) -> Result<Sent> {
        let signer = Signer::Device(self.own.account, self.own.device);
        let step = steps::plain(State::Failed, signer, self.now);
        let reason = "you deleted it before it was sent";
        messages::advance(self.tx, message.row, &step, reason, self.now)?;
        outbox::give_up(self.tx, message.row)?;
        let target = Target { by: self.own.account, id: message.id };
        amend::erase(self.tx, message.row, &target)?;
        Ok(Sent { row: message.row, id: message.id, chat: message.chat, state: State::Failed })
    }
}

fn edited_at(tx: &Transaction<'_>, row: i64) -> Result<Millis> {
    let mut query = tx.prepare_cached("SELECT edited_at FROM message WHERE row = ?1")?;
    Ok(query.query_row([row], |row| unsigned(row, "edited_at"))?)
}

/// Whether a message waits and has no place in the sequence yet.
fn is_unsealed(tx: &Transaction<'_>, row: i64) -> Result<bool> {
    let found = tx
        .prepare_cached("SELECT plaintext IS NULL FROM outbox WHERE message = ?1")?
        .query_row([row], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(false))
}
