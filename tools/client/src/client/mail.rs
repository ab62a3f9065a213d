//! Reading and asking why, as commands use them.

use std::time::Duration;

use postroad_proto::ids::{AccountId, MessageId, Millis, ParcelId};
use rusqlite::{OptionalExtension, Transaction};
use tokio::time::Instant;

use super::Client;
use crate::clock;
use crate::contacts::{self, Contact};
use crate::db::unsigned;
use crate::error::Result;
use crate::identity::Identity;
use crate::messages::{self, Message, Query};
use crate::outbox;
use crate::settings;
use crate::state::State;
use crate::steps::{self, CheckedStep, Signer};
use crate::waiting;

/// What a message waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// Where it is: `this device`, or a node's id.
    pub at: String,
    /// The node that is waited for, when it is another one.
    pub node: Option<String>,
    /// Since when.
    pub since: Millis,
    /// What it waits for.
    pub reason: String,
    /// More about the reason, where there is more; for people.
    pub detail: String,
    /// When something is tried again: by the node, or by this device if a process runs that will.
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
    /// Its id as nodes know it, once it was sealed.
    pub parcel: Option<ParcelId>,
}

impl Client {
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

    /// How many messages of a contact were not shown yet.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn unread(&mut self, contact: &AccountId) -> Result<usize> {
        self.db.read(|tx| messages::unread(tx, contact))
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
        self.db.write(|tx| messages::mark_shown(tx, &rows, clock::now()))
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
                let steps = vec![arrived(&own, &message)];
                return Ok(Why { steps, message, waiting: None, parcel: None });
            }
            let steps = steps::check(tx, &own, message.row, &message.contact)?;
            let waiting = waiting(tx, &own, &message, &steps, has_runner)?;
            let parcel = messages::parcel(tx, message.row)?;
            Ok(Why { message, steps, waiting, parcel })
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
        name: format!("your device {}", own.device),
    }
}

/// What a message of ours waits for: absent when its state is final. Being read is nothing that is
/// waited for; it may never come.
pub(crate) fn waiting(
    tx: &Transaction<'_>,
    own: &Identity,
    message: &Message,
    steps: &[CheckedStep],
    has_runner: bool,
) -> Result<Option<WaitsFor>> {
    let contact = contacts::get(tx, &message.contact)?;
    let since = steps.iter().filter(|s| s.state == message.state).map(|s| s.at).next_back();
    let since = since.unwrap_or(message.sent_at);
    // Also what a node had, once it is to be offered again.
    let is_here = message.state == State::Queued || outbox::is_here(tx, message.row)?;
    match message.state {
        State::AtNode if contact.blocked => Ok(None),
        State::Delivered | State::Read => Ok(None),
        _ if is_here => Ok(Some(here(tx, &contact, message, since, has_runner)?)),
        State::Accepted => Ok(Some(at_home(tx, own, message, since)?)),
        State::AtNode if contact.sends_receipts => {
            let at = steps.iter().rev().find(|step| step.state == State::AtNode);
            let at = at.map_or_else(|| contact.home.node.to_string(), |step| step.by.to_string());
            let reason = "the recipient's device has not confirmed it yet".to_owned();
            let (node, detail, next_try) = (None, String::new(), None);
            Ok(Some(WaitsFor { at, node, since, reason, detail, next_try }))
        }
        _ => Ok(None),
    }
}

/// On this device.
fn here(
    tx: &Transaction<'_>,
    contact: &Contact,
    message: &Message,
    since: Millis,
    has_runner: bool,
) -> Result<WaitsFor> {
    let reason = match message.reason.as_str() {
        "" => "it is about to be sent".to_owned(),
        reason => reason.to_owned(),
    };
    let next_try = match reason.as_str() {
        // The next step is the other side's, or the user's.
        outbox::NOT_ACCEPTED | outbox::TWO_RECORDS => None,
        _ => {
            let head = outbox::ahead(tx, message.row)?.map_or(message.row, |(row, _)| row);
            let next_try = next_try(tx, head)?.max(contact.next_try);
            has_runner.then(|| next_try.max(clock::now()))
        }
    };
    let is_for_keys = reason == outbox::NO_KEYS;
    let detail = if is_for_keys { contact.trouble.clone() } else { String::new() };
    Ok(WaitsFor { at: "this device".to_owned(), node: None, since, reason, detail, next_try })
}

/// At our home, which has said why, if it was asked since.
fn at_home(
    tx: &Transaction<'_>,
    own: &Identity,
    message: &Message,
    since: Millis,
) -> Result<WaitsFor> {
    let at = own.home.node.to_string();
    let Some(told) = waiting::of(tx, message.row)? else {
        let reason = match message.reason.as_str() {
            "" => "the recipient's node has not taken it yet".to_owned(),
            reason => reason.to_owned(),
        };
        let (node, detail, next_try) = (None, String::new(), None);
        return Ok(WaitsFor { at, node, since, reason, detail, next_try });
    };
    let offline = settings::text(tx, settings::OFFLINE)?.unwrap_or_default();
    let detail = match offline.as_str() {
        "" => String::new(),
        why => format!("as the home said last; now it cannot be asked: {why}"),
    };
    Ok(WaitsFor {
        at,
        node: Some(told.node.to_string()),
        since: told.since,
        reason: told.reason,
        detail,
        next_try: told.next_try,
    })
}

fn next_try(tx: &Transaction<'_>, row: i64) -> Result<Millis> {
    let next = tx
        .prepare_cached("SELECT next_try FROM outbox WHERE message = ?1")?
        .query_row([row], |row| unsigned(row, "next_try"))
        .optional()?;
    Ok(next.unwrap_or(0))
}
