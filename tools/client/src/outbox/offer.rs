//! Handing sealed envelopes to the home, the same bytes each time.

use postroad_proto::codec;
use postroad_proto::envelope::{Class, Envelope};
use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::limits::MAX_FRAME;
use rusqlite::Transaction;

use crate::contacts;
use crate::db::{blob, int};
use crate::error::Result;

/// An envelope that the home is to be offered.
#[derive(Debug)]
pub(crate) struct Offer {
    /// The message's row.
    pub(crate) row: i64,
    pub(crate) envelope: Envelope,
}

/// Up to `limit` envelopes that are due and not among `in_flight`.
///
/// Token and home are those that the contact has now; neither is part of what was sealed.
pub(crate) fn offers(
    tx: &Transaction<'_>,
    in_flight: &[i64],
    limit: usize,
    now: Millis,
) -> Result<Vec<Offer>> {
    let mut query = tx.prepare_cached(
        "SELECT message, contact, envelope FROM outbox
         WHERE offer = 1 AND next_try <= ?1 ORDER BY message",
    )?;
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
        if contact.blocked {
            continue;
        }
        let mut envelope: Envelope = codec::decode(&bytes, MAX_FRAME)?;
        let is_request = envelope.class() == Some(Class::Request);
        for route in &mut envelope.routes {
            route.home = contact.home.node;
            for parcel in &mut route.parcels {
                parcel.token = if is_request { None } else { contact.token.clone() };
            }
        }
        offers.push(Offer { row: number, envelope });
    }
    Ok(offers)
}

/// The home was rolled back: what it took may be lost, so all that is not delivered is offered
/// again. Repeats are known by their ids.
pub(crate) fn reoffer_all(tx: &Transaction<'_>) -> Result<()> {
    tx.execute("UPDATE outbox SET offer = 1, next_try = 0 WHERE envelope IS NOT NULL", [])?;
    Ok(())
}
