//! Handles of contacts, as their nodes signed them. The first account that a handle is seen to name,
//! and the first node that a name is seen to stand for, are kept: who comes later under the same
//! handle does not get what is meant for the first.

use postroad_proto::codec;
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::record::{Handle, HandleChange, HandleRecord};
use postroad_proto::signed::Signed;
use rusqlite::{Transaction, params};

use super::{Contact, all};
use crate::error::{Error, Result};
use crate::events;
use crate::identity::{Identity, full_handle};

/// The problem's code.
const CHANGED: &str = "handle_changed";

/// A handle as its node signed it. The node's name in it is its own word, so it is no proof, and
/// does not replace a name that was looked up.
pub(super) fn store_handle(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    signed: &Signed<HandleRecord>,
    handle: &HandleRecord,
    now: Millis,
) -> Result<()> {
    if let Some(first) = holder(tx, own, handle)?.filter(|first| first.account != contact.account) {
        return claimed(tx, contact, &first, handle, now);
    }
    let held = record_of(own, contact);
    if held.is_some_and(|held| is_same(&held, handle) && held.seq > handle.seq) {
        return Ok(());
    }
    let is_ours = handle.node == own.home.node;
    let same = contact.handle_proven && is_for(&contact.handle, &handle.handle);
    let keeps = same && contact.home.node == handle.node && !is_ours;
    let (text, proven) = match keeps {
        true => (contact.handle.clone(), true),
        // A node's id proves itself.
        false => (full_handle(handle), is_ours || handle.node_name.is_empty()),
    };
    tx.execute(
        "UPDATE contact SET handle_record = ?2, handle = ?3, handle_proven = ?4 WHERE account = ?1",
        params![contact.account.0, codec::encode(signed)?, text, proven],
    )?;
    Ok(())
}

/// Shows that a handle names another account than the one that had it first, who keeps it here.
fn claimed(
    tx: &Transaction<'_>,
    contact: &Contact,
    first: &Contact,
    handle: &HandleRecord,
    now: Millis,
) -> Result<()> {
    let full = full_handle(handle);
    tx.execute(
        "UPDATE contact SET handle = ?2, handle_proven = 0, handle_record = NULL WHERE account = ?1",
        params![contact.account.0, full],
    )?;
    let text = format!(
        "the handle {full} was that of {:?} and is now that of {:?} ({}): what is sent to it still \
         goes to {0:?}",
        first.name,
        contact.name,
        how(handle)
    );
    // It comes with each of their cards, and is said once.
    let is_known = tx
        .prepare_cached("SELECT 1 FROM problem WHERE code = ?1 AND message = ?2")?
        .exists(params![CHANGED, text])?;
    if is_known { Ok(()) } else { events::problem(tx, now, CHANGED, &text) }
}

/// Says that the node in a contact's handle was looked up under the name that stands there.
pub(crate) fn prove_handle(tx: &Transaction<'_>, account: &AccountId, full: &str) -> Result<()> {
    tx.execute(
        "UPDATE contact SET handle = ?2, handle_proven = 1 WHERE account = ?1",
        params![account.0, full],
    )?;
    Ok(())
}

/// Refuses a handle that is known as another account's.
pub(crate) fn check_handle(
    tx: &Transaction<'_>,
    own: &Identity,
    full: &str,
    handle: &HandleRecord,
) -> Result<()> {
    match holder(tx, own, handle)? {
        Some(first) if first.account != handle.account => Err(Error::HandleChanged {
            handle: full.to_owned(),
            was: first.name,
            now: handle.account,
            how: how(handle),
        }),
        _ => Ok(()),
    }
}

/// Refuses a node's name that stood for another node when a contact was found under it.
pub(crate) fn check_node(
    tx: &Transaction<'_>,
    own: &Identity,
    name: &str,
    node: &NodeId,
) -> Result<()> {
    for contact in all(tx)?.into_iter().filter(|contact| contact.handle_proven) {
        let known_as = contact.handle.split_once('@').map(|(_, name)| name);
        let Some(record) = record_of(own, &contact).filter(|_| known_as == Some(name)) else {
            continue;
        };
        if record.node != *node {
            return Err(Error::NodeChanged {
                name: name.to_owned(),
                of: contact.name,
                was: record.node,
                now: *node,
            });
        }
    }
    Ok(())
}

/// The contact whose handle this is here: the first whom its node called so.
fn holder(tx: &Transaction<'_>, own: &Identity, handle: &HandleRecord) -> Result<Option<Contact>> {
    let has_it =
        |contact: &Contact| record_of(own, contact).is_some_and(|held| is_same(&held, handle));
    Ok(all(tx)?.into_iter().find(has_it))
}

/// What a contact's node signed of their handle.
pub(super) fn record_of(own: &Identity, contact: &Contact) -> Option<HandleRecord> {
    contact.handle_record.as_ref()?.open(&own.network).ok()
}

fn is_same(one: &HandleRecord, other: &HandleRecord) -> bool {
    one.node == other.node && one.handle == other.handle
}

fn is_for(full: &str, handle: &Handle) -> bool {
    full.split_once('@').is_some_and(|(own, _)| own == handle.as_str())
}

/// Whether nobody has the handle any more.
pub(crate) fn is_released(handle: &HandleRecord) -> bool {
    handle.how == HandleChange::Released.number()
}

/// Why a handle is whose it is, as its node says.
fn how(handle: &HandleRecord) -> &'static str {
    let is = |change: HandleChange| handle.how == change.number();
    if is(HandleChange::First) {
        "its node knows of no earlier one"
    } else if is(HandleChange::OldKey) {
        "the earlier one agreed"
    } else {
        "the node's operator decided"
    }
}
