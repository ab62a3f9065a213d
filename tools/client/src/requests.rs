//! Strangers who ask to write to us, and how that is answered.

use postroad_proto::codec;
use postroad_proto::content::{Introduction, kind};
use postroad_proto::frame::settle as how;
use postroad_proto::ids::{AccountId, Millis, NodeId};
use rusqlite::{Transaction, params};

use crate::contacts::{self, Contact, Phase, tokens};
use crate::db::int;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::identity::Identity;
use crate::messages::{self, Query};
use crate::outbox;
use crate::vault::Vault;

/// Remembers what is to be settled when the user has decided.
pub(crate) fn note(
    tx: &Transaction<'_>,
    account: &AccountId,
    origin: NodeId,
    tag: [u8; 16],
) -> Result<()> {
    tx.execute(
        "UPDATE contact SET origin = ?2, tag = ?3 WHERE account = ?1",
        params![account.0, origin.0, tag],
    )?;
    Ok(())
}

/// The home is to be told, with the next connection.
pub(crate) fn settle(tx: &Transaction<'_>, origin: NodeId, tag: [u8; 16], how: u64) -> Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO settle VALUES (?1, ?2, ?3)",
        params![origin.0, tag, int(how)],
    )?;
    Ok(())
}

/// Sends nothing but our card.
pub(crate) fn introduce(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
    now: Millis,
) -> Result<()> {
    let content = codec::encode(&Introduction {})?;
    outbox::queue(tx, vault, own, contact, kind::INTRODUCTION, &content, now)?;
    Ok(())
}

fn asking(contact: &Contact) -> Result<()> {
    if contact.blocked {
        return Err(Error::Blocked(contact.name.clone()));
    }
    if contact.phase == Phase::Asking {
        return Ok(());
    }
    Err(Error::NotFound { what: "request of", name: contact.name.clone() })
}

/// The stranger becomes a contact: their messages show, and they get our card.
pub(crate) fn accept(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
    now: Millis,
) -> Result<()> {
    asking(contact)?;
    if let Some((origin, tag)) = contact.request {
        settle(tx, origin, tag, how::ACCEPTED)?;
    }
    contacts::set_phase(tx, &contact.account, Phase::Ready)?;
    let contact = contacts::get(tx, &contact.account)?;
    introduce(tx, vault, own, &contact, now)?;
    events::record(tx, now, &Event::Contact { account: contact.account })?;
    let unshown = Query { contact: Some(contact.account), unshown: true, ..Query::default() };
    for message in messages::list(tx, &unshown)? {
        events::record(tx, now, &Event::Message { row: message.row })?;
    }
    Ok(())
}

/// Forgets the request. Nothing is said, and the stranger may ask again.
pub(crate) fn ignore(tx: &Transaction<'_>, contact: &Contact) -> Result<()> {
    asking(contact)?;
    if let Some((origin, tag)) = contact.request {
        settle(tx, origin, tag, how::IGNORED)?;
    }
    tx.execute("DELETE FROM message WHERE chat = ?1", [contact.chat.0])?;
    tx.execute("DELETE FROM receipt_due WHERE contact = ?1", [contact.account.0])?;
    tx.execute("DELETE FROM contact WHERE account = ?1", [contact.account.0])?;
    Ok(())
}

/// What they send is taken again, and they get our card with another token: the old ones were
/// dropped for good.
pub(crate) fn unblock(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
    now: Millis,
) -> Result<()> {
    if !contact.blocked {
        return Ok(());
    }
    tx.execute("UPDATE contact SET blocked = 0 WHERE account = ?1", [contact.account.0])?;
    tokens::renew_dropped(tx, &contact.account, now)?;
    let contact = contacts::get(tx, &contact.account)?;
    if contact.phase == Phase::Ready {
        introduce(tx, vault, own, &contact, now)?;
    }
    events::record(tx, now, &Event::Contact { account: contact.account })
}

/// Nothing of theirs is taken any more, and nothing of ours goes to them. What nodes have already
/// stays as it is: it is out of our hands.
pub(crate) fn block(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
    now: Millis,
) -> Result<()> {
    if let Some((origin, tag)) = contact.request {
        settle(tx, origin, tag, how::BLOCKED)?;
    }
    let robbed = tokens::drop_all(tx, own, contact, now)?;
    tx.execute("UPDATE contact SET blocked = 1 WHERE account = ?1", [contact.account.0])?;
    tx.execute("DELETE FROM receipt_due WHERE contact = ?1", [contact.account.0])?;
    tx.execute("DELETE FROM ephemeral WHERE account = ?1", [contact.account.0])?;
    if let Some(robbed) = robbed {
        // Their token is known to others: they get another, and with its use the old one ends.
        introduce(tx, vault, own, &contacts::get(tx, &robbed)?, now)?;
    }
    outbox::cancel(tx, own, &contact.account, now)?;
    events::record(tx, now, &Event::Contact { account: contact.account })
}
