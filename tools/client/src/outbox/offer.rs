//! Handing sealed envelopes to the home, the same bytes each time.

use postroad_proto::codec;
use postroad_proto::envelope::{Class, Envelope};
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::token::DeliveryToken;
use rusqlite::{OptionalExtension, Transaction, params};
use serde_bytes::ByteArray;

use crate::contacts::{self, Phase};
use crate::db::{blob, int};
use crate::error::Result;
use crate::receipts;

/// How far ahead a retry may be brought forward, milliseconds.
const SOON: Millis = 60_000;

/// What stands in place of a token on what goes to our own devices: `proto/spec/sync.md`.
const OWN_LABEL: [u8; 8] = [0; 8];

/// An envelope that the home is to be offered.
#[derive(Debug)]
pub(crate) struct Offer {
    /// The message's row.
    pub(crate) row: i64,
    pub(crate) envelope: Envelope,
    /// With which it is offered, unless that is noted already.
    token: Option<DeliveryToken>,
}

/// The first message of each conversation that the home has not taken yet. Whatever was written
/// after it waits behind it, so that nothing overtakes: not even what is on its way to the home at
/// the same moment, since a small one may be taken where a large one is refused.
const HEADS: &str = "SELECT min(message) FROM outbox WHERE offer = 1 GROUP BY contact";
/// Of these, what is to be sealed anew for other devices first.
const UNSEALED: &str = "SELECT 1 FROM outbox AS earlier
     WHERE earlier.contact = outbox.contact AND earlier.message < outbox.message
     AND earlier.envelope IS NULL AND earlier.plaintext IS NOT NULL";

/// Up to `limit` envelopes that are due and not among `in_flight`: one of each conversation.
///
/// Token and home are those that the contact has now; neither is part of what was sealed.
pub(crate) fn offers(
    tx: &Transaction<'_>,
    in_flight: &[i64],
    limit: usize,
    now: Millis,
) -> Result<Vec<Offer>> {
    let mut query = tx.prepare_cached(&format!(
        "SELECT message, contact, envelope, token FROM outbox
         WHERE message IN ({HEADS}) AND next_try <= ?1 AND NOT EXISTS ({UNSEALED})
         ORDER BY message"
    ))?;
    let mut rows = query.query([int(now)])?;
    let mut offers = Vec::new();
    while let Some(row) = rows.next()? {
        if offers.len() == limit {
            break;
        }
        let number: i64 = row.get("message")?;
        if in_flight.contains(&number) {
            continue;
        }
        let bytes: Vec<u8> = row.get("envelope")?;
        let contact = contacts::get(tx, &AccountId(blob(row, "contact")?))?;
        if contact.blocked || contact.disputed {
            continue;
        }
        let mut envelope: Envelope = codec::decode(&bytes, MAX_FRAME)?;
        let is_request = envelope.class() == Some(Class::Request);
        let label = (contact.phase == Phase::Own).then(|| ByteArray::new(OWN_LABEL));
        let token = contact.token.filter(|_| !is_request);
        for route in &mut envelope.routes {
            route.home = contact.home.node;
            for parcel in &mut route.parcels {
                (parcel.token, parcel.label) = (token.clone(), label);
            }
        }
        let noted: Option<Vec<u8>> = row.get("token")?;
        let token = token.filter(|token| noted.as_deref() != Some(token.0.as_slice()));
        offers.push(Offer { row: number, envelope, token });
    }
    Ok(offers)
}

/// Notes the tokens of offers that are about to be made with others than before: a refusal that
/// comes much later is about the one that was used.
pub(crate) fn note_tokens(tx: &Transaction<'_>, offers: &[Offer]) -> Result<()> {
    let mut update = tx.prepare_cached("UPDATE outbox SET token = ?2 WHERE message = ?1")?;
    for offer in offers {
        if let Some(token) = &offer.token {
            update.execute(params![offer.row, token.0])?;
        }
    }
    Ok(())
}

/// Whether [`note_tokens`] has anything to write: mostly what was noted at sealing still holds.
pub(crate) fn has_new_tokens(offers: &[Offer]) -> bool {
    offers.iter().any(|offer| offer.token.is_some())
}

/// Whether [`offers`] would find something.
pub(crate) fn is_due(tx: &Transaction<'_>, now: Millis) -> Result<bool> {
    let mut query = tx.prepare_cached(&format!(
        "SELECT EXISTS (SELECT 1 FROM outbox JOIN contact ON account = contact
             WHERE message IN ({HEADS}) AND outbox.next_try <= ?1 AND blocked = 0 AND stale < 2
             AND NOT EXISTS ({UNSEALED}))"
    ))?;
    Ok(query.query_row([int(now)], |row| row.get(0))?)
}

/// Whether a message waits on this device, be it once more: it is to be sealed or offered.
pub(crate) fn is_here(tx: &Transaction<'_>, row: i64) -> Result<bool> {
    let mut query = tx.prepare_cached(
        "SELECT 1 FROM outbox WHERE message = ?1 AND (offer = 1 OR envelope IS NULL)",
    )?;
    Ok(query.exists([row])?)
}

/// What a message waits behind: an earlier one of the same conversation that the home has not
/// taken. Its row and the reason that it has.
pub(crate) fn ahead(tx: &Transaction<'_>, row: i64) -> Result<Option<(i64, String)>> {
    let mut query = tx.prepare_cached(
        "SELECT first.message, reason FROM outbox AS own
         JOIN outbox AS first ON first.contact = own.contact AND first.message < own.message
         JOIN message ON message.row = first.message
         WHERE own.message = ?1 AND first.offer = 1 AND first.tries > 0
         ORDER BY first.message LIMIT 1",
    )?;
    Ok(query.query_row([row], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// What was put off is tried at once when the user writes to the same contact again.
pub(crate) fn retry_contact(tx: &Transaction<'_>, account: &AccountId) -> Result<()> {
    tx.prepare_cached("UPDATE outbox SET next_try = 0 WHERE contact = ?1 AND next_try > 0")?
        .execute([account.0])?;
    tx.prepare_cached("UPDATE contact SET next_try = 0 WHERE account = ?1 AND next_try > 0")?
        .execute([account.0])?;
    Ok(())
}

/// What is to be tried within a minute is tried now: there is a connection, and nobody may be left
/// to try it then.
pub(crate) fn retry_soon(tx: &Transaction<'_>, now: Millis) -> Result<()> {
    let soon = [int(now), int(now.saturating_add(SOON))];
    tx.execute(
        "UPDATE outbox SET next_try = 0 WHERE offer = 1 AND next_try BETWEEN ?1 AND ?2",
        soon,
    )?;
    tx.execute("UPDATE contact SET next_try = 0 WHERE next_try BETWEEN ?1 AND ?2", soon)?;
    Ok(())
}

/// The home was rolled back: what it took may be lost, so all that is not delivered is offered
/// again. Repeats are known by their ids.
pub(crate) fn reoffer_all(tx: &Transaction<'_>) -> Result<()> {
    let mut query = tx.prepare("SELECT DISTINCT contact FROM outbox")?;
    let accounts = query
        .query_map([], |row| blob(row, "contact"))?
        .collect::<rusqlite::Result<Vec<[u8; 32]>>>()?;
    accounts.iter().try_for_each(|account| reoffer(tx, &AccountId(*account)))
}

fn reoffer(tx: &Transaction<'_>, account: &AccountId) -> Result<()> {
    // What was sealed in several envelopes is of no use in the last of them alone.
    tx.prepare_cached(
        "DELETE FROM reached WHERE confirmed = 0 AND message IN
         (SELECT message FROM outbox JOIN former_parcel USING (message) WHERE contact = ?1)",
    )?
    .execute([account.0])?;
    tx.prepare_cached(
        "UPDATE outbox SET envelope = NULL, offer = 0, next_try = 0 WHERE contact = ?1
         AND plaintext NOT NULL AND message IN (SELECT message FROM former_parcel)",
    )?
    .execute([account.0])?;
    tx.prepare_cached(
        "UPDATE outbox SET offer = 1, next_try = 0 WHERE contact = ?1 AND envelope IS NOT NULL",
    )?
    .execute([account.0])?;
    Ok(())
}

/// A contact's node was rolled back, or they have another home: what was taken for them may be
/// lost, so all of it that is not delivered is offered again. States stay what they are. Receipts are
/// kept by nobody once a node has them, so they are made anew.
pub(crate) fn reoffer_contact(tx: &Transaction<'_>, account: &AccountId) -> Result<()> {
    reoffer(tx, account)?;
    receipts::owe_again(tx, account)
}

/// [`reoffer_contact`] for everybody homed at a node.
pub(crate) fn reoffer_node(tx: &Transaction<'_>, node: &NodeId) -> Result<()> {
    for contact in contacts::all(tx)? {
        if contact.home.node == *node {
            reoffer_contact(tx, &contact.account)?;
        }
    }
    Ok(())
}
