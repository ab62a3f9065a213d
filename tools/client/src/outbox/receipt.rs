//! A node's receipt: who may give which, and what it changes.

use postroad_proto::ids::{AccountId, Millis, ParcelId};
use postroad_proto::limits::CLOCK_ALLOWANCE_SECONDS;
use postroad_proto::receipt::{Receipt, ReceiptKind, ReceiptRoot, role};
use postroad_proto::signed::Signed;
use rusqlite::{OptionalExtension, Transaction};

use super::reach;
use super::reoffer_node;
use super::settle::{forget_if_spent, give_up};
use crate::contacts::{self, Contact, Custodian};
use crate::db::{blob, bool_of, unsigned};
use crate::error::{Result, StorageError};
use crate::events;
use crate::identity::Identity;
use crate::messages;
use crate::quotes;
use crate::state::State;
use crate::steps;

/// A message of ours that a receipt names.
struct Sent {
    row: i64,
    kind: u64,
    state: State,
    sent_at: Millis,
    /// Seconds.
    deadline: u64,
    contact: AccountId,
    /// It is still to be offered, or kept until it is delivered.
    is_kept: bool,
}

/// What a receipt is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// Our home has it.
    Accepted,
    /// The contact's node has it.
    AtNode,
    /// A node that was the contact's has it. What is sent goes to the new one all the same.
    AtFormer,
    /// Nobody took it in time.
    Expired,
    /// Nothing, and nothing wrong.
    Nothing,
    /// Whoever signed it has no say in it.
    Wrong,
}

/// Takes a node's receipt. One that does not verify, comes from the wrong node or names nothing of
/// ours is noted and changes nothing.
pub(crate) fn apply(
    tx: &Transaction<'_>,
    own: &Identity,
    receipt: &Receipt,
    now: Millis,
) -> Result<()> {
    let root = match receipt.verify(&own.network) {
        Ok(root) => root,
        Err(error) => {
            let text = format!("a receipt does not hold: {error}");
            return events::problem(tx, now, "bad_receipt", &text);
        }
    };
    let is_home = root.node == own.home.node;
    let Some(sent) = find(tx, &receipt.item.parcel)? else {
        // Of a message that is gone. Nobody else's root is kept for nothing.
        return if is_home {
            quotes::note(tx, &root, &receipt.root, now).map(drop)
        } else {
            Ok(())
        };
    };
    let contact = contacts::get(tx, &sent.contact)?;
    let custodian = contact.custodian(tx, &own.network, &root.node)?;
    let word = weigh(&sent, receipt, is_home, custodian, now);
    if word == Word::Wrong {
        let text = format!("a receipt by {} which has no part in it", root.node);
        return events::problem(tx, now, "bad_receipt", &text);
    }
    // Before it settles anything: this one is of the new generation already.
    if quotes::note(tx, &root, &receipt.root, now)? && !is_home {
        reoffer_node(tx, &root.node)?;
    }
    if sent.is_kept {
        settle(tx, &sent, &contact, word, is_home, &root, receipt, now)
    } else if word == Word::Expired && matches!(sent.state, State::AtNode | State::Expired) {
        // It was final, but for this; or this device said so before, and here is proof.
        step(tx, sent.row, State::Expired, &root, receipt, now)
    } else {
        // Settled already: a repeat.
        Ok(())
    }
}

fn find(tx: &Transaction<'_>, parcel: &ParcelId) -> Result<Option<Sent>> {
    let found = tx
        .prepare_cached(
            "SELECT row, kind, state, sent_at, deadline, contact.account AS contact,
             outbox.message NOT NULL AS is_kept
             FROM message JOIN contact USING (chat) LEFT JOIN outbox ON outbox.message = row
             WHERE outgoing = 1 AND (parcel = ?1 OR row IN
                 (SELECT message FROM former_parcel WHERE parcel = ?1))",
        )?
        .query_row([parcel.0], |row| {
            let state: i64 = row.get("state")?;
            Ok(State::from_number(state).map(|state| {
                Ok(Sent {
                    row: row.get("row")?,
                    kind: unsigned(row, "kind")?,
                    state,
                    sent_at: unsigned(row, "sent_at")?,
                    deadline: unsigned(row, "deadline")?,
                    contact: AccountId(blob(row, "contact")?),
                    is_kept: bool_of(row, "is_kept")?,
                })
            }))
        })
        .optional()?;
    let Some(found) = found else { return Ok(None) };
    let sent: rusqlite::Result<Sent> = found.ok_or(StorageError::Value("state"))?;
    Ok(Some(sent?))
}

fn weigh(sent: &Sent, receipt: &Receipt, is_home: bool, custodian: Custodian, now: Millis) -> Word {
    let item = &receipt.item;
    let takes = item.role == role::HOME || item.role == role::BACKUP;
    let is_over = now / 1000 + CLOCK_ALLOWANCE_SECONDS >= sent.deadline;
    match (ReceiptKind::from_number(item.kind), custodian) {
        (Some(ReceiptKind::Accepted), _) if is_home && item.role == role::ORIGIN => Word::Accepted,
        (Some(ReceiptKind::AtNode), Custodian::Now) if takes => Word::AtNode,
        // What was written after the move was never sent there.
        (Some(ReceiptKind::AtNode), Custodian::Before(until)) if takes && sent.sent_at <= until => {
            Word::AtFormer
        }
        // Before the deadline it is a lie, whoever signs it.
        (Some(ReceiptKind::Expired), Custodian::Now) if is_over => Word::Expired,
        (Some(ReceiptKind::Expired), _) if is_over && is_home => Word::Expired,
        // It is about a copy that lies where the contact no longer is.
        (Some(ReceiptKind::Expired), Custodian::Before(_)) => Word::Nothing,
        _ => Word::Wrong,
    }
}

#[allow(clippy::too_many_arguments, reason = "all that is known of one receipt")]
fn settle(
    tx: &Transaction<'_>,
    sent: &Sent,
    contact: &Contact,
    word: Word,
    is_home: bool,
    root: &ReceiptRoot,
    receipt: &Receipt,
    now: Millis,
) -> Result<()> {
    let row = sent.row;
    match word {
        Word::Accepted => step(tx, row, State::Accepted, root, receipt, now)?,
        Word::AtNode | Word::AtFormer => {
            // What the recipient's own node took, our home took as well if it is the same.
            if is_home {
                step(tx, row, State::Accepted, root, receipt, now)?;
            }
            step(tx, row, State::AtNode, root, receipt, now)?;
        }
        Word::Expired => {
            step(tx, row, State::Expired, root, receipt, now)?;
            return give_up(tx, row);
        }
        Word::Nothing | Word::Wrong => return Ok(()),
    }
    if word == Word::AtFormer {
        return Ok(());
    }
    tx.prepare_cached("UPDATE outbox SET offer = 0, tries = 0, next_try = 0 WHERE message = ?1")?
        .execute([row])?;
    let list = contact.devices.as_ref().map(Signed::hash);
    let is_current = receipt.item.devices.is_none_or(|hash| Some(hash) == list);
    if word == Word::AtNode && !is_current {
        contacts::ask_records(tx, &contact.account)?;
    }
    let is_receipted = reach::is_receipted(sent.kind) && contact.sends_receipts;
    if word == Word::AtNode && !is_receipted && reach::is_for_all(tx, row)? && is_current {
        give_up(tx, row)?;
        forget_if_spent(tx, row, sent.kind)?;
    }
    Ok(())
}

fn step(
    tx: &Transaction<'_>,
    row: i64,
    state: State,
    root: &ReceiptRoot,
    receipt: &Receipt,
    now: Millis,
) -> Result<()> {
    let step = steps::custody(state, root.node, root.at, receipt)?;
    messages::advance(tx, row, &step, "", now)?;
    Ok(())
}
