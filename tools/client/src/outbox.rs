//! What is to reach somebody: stored first, sealed when keys are there, offered until it is settled.

mod offer;
pub(crate) mod reach;
mod receipt;
mod seal;
mod settle;

pub(crate) use offer::{
    Offer, ahead, has_new_tokens, is_due, is_here, note_tokens, offers, reoffer_all,
    reoffer_contact, reoffer_node, retry_contact, retry_soon,
};
pub(crate) use receipt::apply as apply_receipt;
pub(crate) use seal::{request_limit, seal_waiting};
pub(crate) use settle::{Refusal, cancel, expire, give_up, refuse, send_again, unanswered};

use postroad_proto::ids::{MessageId, Millis};
use rusqlite::{Transaction, params};

use crate::amend;
use crate::contacts::{Contact, Phase};
use crate::devices::copies;
use crate::e2e::store;
use crate::entropy;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::identity::Identity;
use crate::messages::{self, NewMessage};
use crate::state::State;
use crate::steps;
use crate::vault::Vault;

/// Largest text, bytes of UTF-8: with card, names and padding it fits one envelope.
pub const MAX_TEXT: usize = 60 * 1024;
/// How long a message is to be kept on its way, seconds, unless the home takes less.
pub(crate) const DEADLINE: u64 = 30 * 86_400;

/// Why a message has not left this device, as `why` says it.
pub(crate) const NO_KEYS: &str = "keys not fetched yet";
pub(crate) const NOT_ACCEPTED: &str = "not accepted yet";

/// There are two records of the contact with one number.
pub(crate) const TWO_RECORDS: &str =
    "somebody else may have the contact's key: ask them, and add their link again to go on";

/// What a node's DENIED means for a message or for a contact's keys: it does not say which.
pub(crate) const NOT_TAKEN: &str =
    "the contact does not take your messages (blocked, or the account is gone)";

/// Stores what is to be sent, before anything else is tried with it.
pub(crate) fn queue(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
    kind: u64,
    content: &[u8],
    now: Millis,
) -> Result<(i64, MessageId)> {
    let id = MessageId(entropy::bytes());
    let row = messages::insert(
        tx,
        &NewMessage {
            id,
            chat: contact.chat,
            outgoing: true,
            sender: own.address(),
            seq: None,
            kind,
            content,
            sent_at: now,
            received_at: None,
            deadline: now / 1000 + own.max_deadline.min(DEADLINE),
            state: State::Queued,
        },
    )?;
    tx.prepare_cached("INSERT INTO outbox (message, contact) VALUES (?1, ?2)")?
        .execute(params![row, contact.account.0])?;
    let device = store::load_own(tx, vault)?;
    steps::save(tx, row, &steps::queued(&device, own.address(), &own.network, id, now)?)?;
    let reason = match contact.phase {
        Phase::Linked => NO_KEYS,
        Phase::Requested => NOT_ACCEPTED,
        _ => "",
    };
    messages::set_reason(tx, row, reason)?;
    copies::note_copy(tx, row, kind, now)?;
    amend::arrived(tx, row, now)?;
    if !messages::is_hidden(kind) {
        // Whoever shows the conversation may be another process.
        events::record(tx, now, &Event::State { row, state: State::Queued })?;
    }
    Ok((row, id))
}

/// Whether anything may be stored for `contact`.
pub(crate) fn check_contact(contact: &Contact) -> Result<()> {
    if contact.blocked {
        return Err(Error::Blocked(contact.name.clone()));
    }
    if contact.phase == Phase::Asking {
        return Err(Error::Unanswered(contact.name.clone()));
    }
    Ok(())
}

/// Whether a text may be stored for `contact`.
pub(crate) fn check_text(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    text: &str,
) -> Result<()> {
    check_contact(contact)?;
    let got = text.len();
    if got > MAX_TEXT {
        return Err(Error::TooLarge { limit: MAX_TEXT, got, place: "one message" });
    }
    if contact.phase == Phase::Stranger && !has_waiting(tx, contact)? {
        let limit = request_limit(tx, own, contact)?;
        if got > limit {
            return Err(Error::TooLarge { limit, got, place: "the request to a stranger" });
        }
    }
    Ok(())
}

fn has_waiting(tx: &Transaction<'_>, contact: &Contact) -> Result<bool> {
    let mut query = tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE contact = ?1)")?;
    Ok(query.query_row([contact.account.0], |row| row.get(0))?)
}
