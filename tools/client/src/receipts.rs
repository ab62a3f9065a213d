//! Delivered and read: cumulative receipts between devices, and what they do to our messages.

use postroad_proto::codec;
use postroad_proto::content::{ReceiptContent, kind, receipt};
use postroad_proto::ids::{AccountId, DeviceNumber, MessageId, Millis};
use rusqlite::{Transaction, params};

use crate::contacts::{self, Contact};
use crate::conversations;
use crate::db::{blob, int, unsigned};
use crate::e2e::DeviceAddress;
use crate::error::Result;
use crate::identity::Identity;
use crate::messages;
use crate::outbox;
use crate::settings;
use crate::state::State;
use crate::steps;
use crate::vault::Vault;

/// A device is owed word that its messages arrived.
pub(crate) fn owe(tx: &Transaction<'_>, to: DeviceAddress) -> Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO receipt_due VALUES (?1, ?2, ?3)")?
        .execute(params![to.0.0, to.1, int(receipt::DELIVERED)])?;
    Ok(())
}

/// What a contact was told may be lost with their node's data: all of it is owed again.
pub(crate) fn owe_again(tx: &Transaction<'_>, contact: &AccountId) -> Result<()> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO receipt_due (contact, device, how)
         SELECT account, device, how
         FROM received, (SELECT ?2 AS how UNION SELECT ?3) WHERE account = ?1",
    )?
    .execute(params![contact.0, int(receipt::DELIVERED), int(receipt::READ)])?;
    Ok(())
}

/// Turns what is owed into messages: one per device, whatever came in since the last.
pub(crate) fn queue_due(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    now: Millis,
) -> Result<()> {
    if !settings::is_on(tx, settings::RECEIPTS)? {
        // Our own devices are told all the same: what they sent is kept until they are.
        tx.execute("DELETE FROM receipt_due WHERE contact <> (SELECT account FROM identity)", [])?;
    }
    let mut query = tx.prepare_cached(
        "SELECT contact, device, max(how) AS how, min(how) AS least FROM receipt_due
         GROUP BY contact, device",
    )?;
    let due = query
        .query_map([], |row| {
            let to = (AccountId(blob(row, "contact")?), row.get::<_, DeviceNumber>("device")?);
            Ok((to, unsigned(row, "how")?, unsigned(row, "least")?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (to, most, least) in due {
        let Some(contact) = contacts::find(tx, &to.0)? else {
            forget(tx, to)?;
            continue;
        };
        if contact.blocked {
            forget(tx, to)?;
        } else if contact.is_ready() {
            queue_for(tx, vault, own, &contact, to, (least, most), now)?;
            forget(tx, to)?;
        }
    }
    Ok(())
}

fn forget(tx: &Transaction<'_>, to: DeviceAddress) -> Result<()> {
    tx.prepare_cached("DELETE FROM receipt_due WHERE contact = ?1 AND device = ?2")?
        .execute(params![to.0.0, to.1])?;
    Ok(())
}

fn queue_for(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
    to: DeviceAddress,
    (least, most): (u64, u64),
    now: Millis,
) -> Result<()> {
    let delivered = conversations::ranges(tx, &contact.chat, to)?;
    let read =
        if most == receipt::READ { read_ranges(tx, contact, to, &delivered)? } else { vec![] };
    // Read includes delivered.
    let only_read = read == delivered;
    let mut contents = Vec::new();
    if least == receipt::DELIVERED && !only_read {
        contents.push(ReceiptContent { how: receipt::DELIVERED, device: to.1, ranges: delivered });
    }
    if !read.is_empty() {
        contents.push(ReceiptContent { how: receipt::READ, device: to.1, ranges: read });
    }
    for content in contents {
        let content = codec::encode(&content)?;
        outbox::queue(tx, vault, own, contact, kind::RECEIPT, &content, now)?;
    }
    Ok(())
}

/// What was received without what the user has not seen.
pub(crate) fn read_ranges(
    tx: &Transaction<'_>,
    contact: &Contact,
    from: DeviceAddress,
    received: &[(u64, u64)],
) -> Result<Vec<(u64, u64)>> {
    let mut query = tx.prepare_cached(
        "SELECT seq FROM message WHERE chat = ?1 AND account = ?2 AND device = ?3
         AND outgoing = 0 AND shown = 0 AND seq NOT NULL ORDER BY seq",
    )?;
    let unseen = query
        .query_map(params![contact.chat.0, from.0.0, from.1], |row| unsigned(row, "seq"))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(without(received, &unseen))
}

/// `ranges` without some numbers, both rising.
fn without(ranges: &[(u64, u64)], numbers: &[u64]) -> Vec<(u64, u64)> {
    let mut left = Vec::new();
    for (first, last) in ranges {
        let mut from = *first;
        for number in numbers.iter().filter(|n| (*first..=*last).contains(n)) {
            if *number > from {
                left.push((from, number - 1));
            }
            from = number + 1;
        }
        if from <= *last {
            left.push((from, *last));
        }
    }
    left
}

/// Takes a contact's receipt: what it names is delivered, or read.
pub(crate) fn apply(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    by: DeviceAddress,
    id: MessageId,
    content: &ReceiptContent,
    (at, now): (Millis, Millis),
) -> Result<()> {
    if !(1..=2).contains(&content.how) {
        return Ok(());
    }
    // Who does not say what they have read is not told either. That it arrived is needed all the
    // same: it ends the sending.
    let states: &[State] = match content.how {
        receipt::READ if settings::is_on(tx, settings::RECEIPTS)? => {
            &[State::Delivered, State::Read]
        }
        _ => &[State::Delivered],
    };
    // Of our other devices' messages as well, as far as this one has copies.
    let mut query = tx.prepare_cached(
        "SELECT row FROM message WHERE chat = ?1 AND device = ?2 AND seq BETWEEN ?3 AND ?4
         AND outgoing = 1 AND state < 6",
    )?;
    for (first, last) in &content.ranges {
        let key = params![contact.chat.0, content.device, as_i64(*first), as_i64(*last)];
        let rows =
            query.query_map(key, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        for row in rows {
            for state in states {
                let step = steps::end_to_end(*state, by, id, content, at)?;
                messages::advance(tx, row, &step, "", now)?;
            }
        }
    }
    if content.device != own.device {
        return Ok(());
    }
    outbox::reach::confirm(tx, own, contact, by.1, &content.ranges)
}

fn as_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_left_out() {
        assert_eq!(without(&[(1, 5), (8, 9)], &[]), [(1, 5), (8, 9)]);
        assert_eq!(without(&[(1, 5), (8, 9)], &[1, 3, 9]), [(2, 2), (4, 5), (8, 8)]);
        assert_eq!(without(&[(1, 2)], &[1, 2]), []);
    }
}
