//! Sending, reading and asking why, as commands use them.

use std::time::Duration;

use postroad_proto::codec;
use postroad_proto::content::{Text, kind};
use postroad_proto::ids::{MessageId, Millis};
use rusqlite::{OptionalExtension, Transaction};
use tokio::time::Instant;

use super::Client;
use crate::clock;
use crate::contacts;
use crate::db::unsigned;
use crate::error::Result;
use crate::identity::Identity;
use crate::messages::{self, Message, Query};
use crate::outbox;
use crate::state::State;
use crate::steps::{self, CheckedStep, Signer};

/// A text that was stored for sending.
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

/// What a message waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// Where it is: `this device`, or a node's id.
    pub at: String,
    /// Since when.
    pub since: Millis,
    /// What it waits for.
    pub reason: String,
    /// When something is tried again, if this device is to try it and a process runs that will.
    pub next_try: Option<Millis>,
}

/// Where a message is and how it came there.
#[derive(Debug, Clone)]
pub struct Why {
    /// The message.
    pub message: Message,
    /// Its steps, each checked again.
    pub steps: Vec<CheckedStep>,
    /// Absent when its state is final.
    pub waiting: Option<WaitsFor>,
}

impl Client {
    /// Stores a text for a contact. It is sent with the next sync that can, and kept until it is
    /// delivered or its deadline has passed.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::TooLarge`], [`crate::Error::Blocked`].
    pub fn send_text(&mut self, to: &str, text: &str) -> Result<Sent> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            let contact = contacts::resolve(tx, &own, to)?;
            outbox::check_text(tx, &own, &contact, text)?;
            outbox::retry_contact(tx, &contact.account)?;
            let content = codec::encode(&Text { text: text.to_owned() })?;
            let (row, id) = outbox::queue(tx, vault, &own, &contact, kind::TEXT, &content, now)?;
            Ok(Sent { row, id, chat: contact.name, state: State::Queued })
        })
    }

    /// How far a message is.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn state_of(&mut self, row: i64) -> Result<Option<State>> {
        Ok(self.db.read(|tx| messages::at(tx, row))?.map(|message| message.state))
    }

    /// Follows until a message of ours has reached `wanted`, or cannot, or `within` is over.
    /// Returns the state that it is in then.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub async fn wait_for(&mut self, row: i64, wanted: State, within: Duration) -> Result<State> {
        let until = Instant::now() + within;
        loop {
            let state = self.state_of(row)?.unwrap_or(State::Failed);
            let left = until.saturating_duration_since(Instant::now());
            if state.reached(wanted) || state.is_lost() || left.is_zero() {
                return Ok(state);
            }
            self.step(left).await?;
        }
    }

    /// Messages, oldest first.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn messages(&mut self, query: &Query) -> Result<Vec<Message>> {
        self.db.read(|tx| messages::list(tx, query))
    }

    /// The message at a row, as events name it.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn message_at(&mut self, row: i64) -> Result<Option<Message>> {
        self.db.read(|tx| messages::at(tx, row))
    }

    /// The user has seen these.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn mark_shown(&mut self, messages: &[Message]) -> Result<()> {
        let incoming = messages.iter().filter(|message| !message.outgoing && !message.shown);
        let rows: Vec<i64> = incoming.map(|message| message.row).collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.db.write(|tx| messages::mark_shown(tx, &rows))
    }

    /// Where a message is, how it came there, and what it waits for.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub fn why(&mut self, id: &MessageId) -> Result<Why> {
        let has_runner = self.is_followed() || self.is_shared()?;
        let vault = &self.vault;
        self.db.read(|tx| {
            let own = Identity::load(tx, vault)?;
            let message = messages::with_id(tx, id)?;
            if !message.outgoing {
                return Ok(Why { steps: vec![arrived(&own, &message)], message, waiting: None });
            }
            let steps = steps::check(tx, &own, message.row, &message.contact)?;
            let waiting = waiting(tx, &own, &message, &steps, has_runner)?;
            Ok(Why { message, steps, waiting })
        })
    }
}

/// The one step of somebody else's message that this device vouches for.
fn arrived(own: &Identity, message: &Message) -> CheckedStep {
    CheckedStep {
        state: State::Delivered,
        by: Signer::Device(own.account, own.device),
        at: message.received_at.unwrap_or(message.sent_at),
        verified: true,
    }
}

/// What a message of ours waits for: absent when its state is final. Being read is nothing that is
/// waited for; it may never come.
fn waiting(
    tx: &Transaction<'_>,
    own: &Identity,
    message: &Message,
    steps: &[CheckedStep],
    has_runner: bool,
) -> Result<Option<WaitsFor>> {
    let contact = contacts::get(tx, &message.contact)?;
    let since = steps.iter().filter(|s| s.state == message.state).map(|s| s.at).next_back();
    let since = since.unwrap_or(message.sent_at);
    let found = match message.state {
        State::Queued => {
            let reason = match message.reason.as_str() {
                "" => "it is about to be sent".to_owned(),
                reason => reason.to_owned(),
            };
            let at = "this device".to_owned();
            let next_try = match reason.as_str() {
                // The next step is the other side's.
                outbox::NOT_ACCEPTED => None,
                _ => {
                    let head = outbox::ahead(tx, message.row)?.map_or(message.row, |(row, _)| row);
                    let next_try = next_try(tx, head)?.max(contact.next_try);
                    has_runner.then(|| next_try.max(clock::now()))
                }
            };
            WaitsFor { at, since, reason, next_try }
        }
        State::Accepted => WaitsFor {
            at: own.home.node.to_string(),
            since,
            reason: if message.reason.is_empty() {
                "the recipient's node has not taken it yet".to_owned()
            } else {
                message.reason.clone()
            },
            next_try: None,
        },
        State::AtNode if contact.sends_receipts && !contact.blocked => WaitsFor {
            at: contact.home.node.to_string(),
            since,
            reason: "the recipient's device has not confirmed it yet".to_owned(),
            next_try: None,
        },
        _ => return Ok(None),
    };
    Ok(Some(found))
}

fn next_try(tx: &Transaction<'_>, row: i64) -> Result<Millis> {
    let next = tx
        .prepare_cached("SELECT next_try FROM outbox WHERE message = ?1")?
        .query_row([row], |row| unsigned(row, "next_try"))
        .optional()?;
    Ok(next.unwrap_or(0))
}
