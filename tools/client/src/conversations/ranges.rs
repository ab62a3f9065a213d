//! Which numbers of a device's messages are here, which are missing, and which will not come.

use postroad_proto::ids::{AccountId, ConversationId};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::db::{blob, int, unsigned};
use crate::e2e::DeviceAddress;
use crate::error::Result;

/// Ranges that one receipt names; with more gaps than this the oldest are left out.
const MAX_RANGES: usize = 256;

/// Adds `seq` to what was received. False when it was there.
pub(super) fn extend(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    seq: u64,
) -> Result<bool> {
    let mut query = tx.prepare_cached(
        "SELECT 1 FROM received
         WHERE chat = ?1 AND account = ?2 AND device = ?3 AND first <= ?4 AND last >= ?4",
    )?;
    if query.exists(params![chat.0, sender.0.0, sender.1, int(seq)])? {
        return Ok(false);
    }
    take_range(tx, chat, sender, (seq, seq))?;
    Ok(true)
}

/// Adds numbers none of which was there, and joins them with their neighbours.
fn take_range(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    (first, last): (u64, u64),
) -> Result<()> {
    let key = (chat.0, sender.0.0, sender.1);
    let mut query = tx.prepare_cached(
        "SELECT first, last FROM received
         WHERE chat = ?1 AND account = ?2 AND device = ?3 AND first <= ?5 + 1 AND last >= ?4 - 1",
    )?;
    let touching = query
        .query_map(params![key.0, key.1, key.2, int(first), int(last)], |row| {
            Ok((unsigned(row, "first")?, unsigned(row, "last")?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let from = touching.iter().map(|range| range.0).fold(first, u64::min);
    let to = touching.iter().map(|range| range.1).fold(last, u64::max);
    let mut delete = tx.prepare_cached(
        "DELETE FROM received WHERE chat = ?1 AND account = ?2 AND device = ?3 AND first = ?4",
    )?;
    for (old, _) in &touching {
        delete.execute(params![key.0, key.1, key.2, int(*old)])?;
    }
    tx.prepare_cached("INSERT INTO received VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        key.0,
        key.1,
        key.2,
        int(from),
        int(to)
    ])?;
    Ok(())
}

/// Another device of ours has received these numbers: they are missed here no more, whether they lie
/// before or behind what came here.
pub(crate) fn received_elsewhere(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    ranges: &[(u64, u64)],
) -> Result<()> {
    for range in ranges {
        let held = all_ranges(tx, chat, sender)?;
        for new in without(*range, &held) {
            take_range(tx, chat, sender, new)?;
        }
    }
    Ok(())
}

/// And these are never to come.
pub(crate) fn lost_elsewhere(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    ranges: &[(u64, u64)],
) -> Result<()> {
    let mut insert = tx.prepare_cached("INSERT INTO lost VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for range in ranges {
        for (first, last) in without(*range, &known(tx, chat, sender)?) {
            insert.execute(params![chat.0, sender.0.0, sender.1, int(first), int(last)])?;
        }
    }
    Ok(())
}

/// A device says that these numbers of its held nothing for a person: they are missed no more.
pub(crate) fn close(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    ranges: &[(u64, u64)],
) -> Result<()> {
    for range in ranges {
        let known = known(tx, chat, sender)?;
        for missing in without(believed(*range, &known), &known) {
            take_range(tx, chat, sender, missing)?;
        }
    }
    Ok(())
}

/// A device says that these numbers of its will not come.
pub(crate) fn give_up(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    ranges: &[(u64, u64)],
) -> Result<()> {
    let known = known(tx, chat, sender)?;
    let believed: Vec<_> = ranges.iter().map(|range| believed(*range, &known)).collect();
    lost_elsewhere(tx, chat, sender, &believed)
}

/// Numbers of which it is known that they came, or will not: one that came stays one that came, and
/// none is counted twice.
fn known(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
) -> Result<Vec<(u64, u64)>> {
    let mut known = all_ranges(tx, chat, sender)?;
    known.extend(lost(tx, chat, sender)?);
    known.sort_unstable();
    Ok(known)
}

/// What a device says of its own numbers counts as far as they were heard of: it could name any.
fn believed((first, last): (u64, u64), known: &[(u64, u64)]) -> (u64, u64) {
    (first, last.min(known.iter().map(|range| range.1).max().unwrap_or(0)))
}

/// What of a range lies in none of others, which rise.
fn without((first, last): (u64, u64), others: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut next, mut left) = (first.max(1), Vec::new());
    for (from, to) in others.iter().filter(|(_, to)| *to >= first) {
        if *from > last {
            break;
        }
        if *from > next {
            left.push((next, from - 1));
        }
        next = next.max(to.saturating_add(1));
    }
    if next <= last {
        left.push((next, last));
    }
    left
}

/// Everything received from a device, as a receipt names it.
pub(crate) fn ranges(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
) -> Result<Vec<(u64, u64)>> {
    let mut query = tx.prepare_cached(
        "SELECT first, last FROM received WHERE chat = ?1 AND account = ?2 AND device = ?3
         ORDER BY first DESC LIMIT ?4",
    )?;
    let key = params![chat.0, sender.0.0, sender.1, MAX_RANGES as i64];
    let mut ranges = query
        .query_map(key, |row| Ok((unsigned(row, "first")?, unsigned(row, "last")?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    ranges.reverse();
    Ok(ranges)
}

/// The same, however many there are.
pub(crate) fn all_ranges(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
) -> Result<Vec<(u64, u64)>> {
    let mut query = tx.prepare_cached(
        "SELECT first, last FROM received WHERE chat = ?1 AND account = ?2 AND device = ?3
         ORDER BY first",
    )?;
    let rows = query.query_map(params![chat.0, sender.0.0, sender.1], |row| {
        Ok((unsigned(row, "first")?, unsigned(row, "last")?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Devices of which something was received.
pub(crate) fn senders(tx: &Transaction<'_>) -> Result<Vec<DeviceAddress>> {
    let mut query = tx.prepare("SELECT DISTINCT account, device FROM received")?;
    let rows =
        query.query_map([], |row| Ok((AccountId(blob(row, "account")?), row.get("device")?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What is not there directly before a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Messages that may come yet.
    pub(crate) missing: u64,
    /// Messages of which their sender says that they will not.
    pub(crate) lost: u64,
}

/// What is missing directly before `seq` now.
pub(crate) fn gap_before(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    seq: u64,
) -> Result<Gap> {
    let mut query = tx.prepare_cached(
        "SELECT first, coalesce((SELECT max(last) FROM received AS lower
             WHERE lower.chat = ?1 AND lower.account = ?2 AND lower.device = ?3
             AND lower.last < received.first), 0) AS before
         FROM received WHERE chat = ?1 AND account = ?2 AND device = ?3
         AND first <= ?4 AND last >= ?4",
    )?;
    let found = query
        .query_row(params![chat.0, sender.0.0, sender.1, int(seq)], |row| {
            Ok((unsigned(row, "first")?, unsigned(row, "before")?))
        })
        .optional()?;
    // Only the first of a range has a gap before it.
    let Some((first, before)) = found.filter(|(first, _)| *first == seq && seq > 1) else {
        return Ok(Gap::default());
    };
    let gap = (before + 1, first - 1);
    let all = (gap.1 + 1).saturating_sub(gap.0);
    let lost: u64 = lost(tx, chat, sender)?
        .into_iter()
        .map(|range| (range.1.min(gap.1) + 1).saturating_sub(range.0.max(gap.0)))
        .sum();
    Ok(Gap { missing: all.saturating_sub(lost), lost: lost.min(all) })
}

/// What a device said will not come.
pub(crate) fn lost(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
) -> Result<Vec<(u64, u64)>> {
    let mut query = tx.prepare_cached(
        "SELECT first, last FROM lost WHERE chat = ?1 AND account = ?2 AND device = ?3
         ORDER BY first",
    )?;
    let rows = query.query_map(params![chat.0, sender.0.0, sender.1], |row| {
        Ok((unsigned(row, "first")?, unsigned(row, "last")?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Up to `limit` ranges that a device sent and that may come yet, oldest first.
pub(crate) fn missing(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    limit: usize,
) -> Result<Vec<(u64, u64)>> {
    let mut query = tx.prepare_cached(
        "SELECT first, last FROM received WHERE chat = ?1 AND account = ?2 AND device = ?3
         UNION ALL SELECT first, last FROM lost WHERE chat = ?1 AND account = ?2 AND device = ?3
         ORDER BY first",
    )?;
    let mut rows = query.query(params![chat.0, sender.0.0, sender.1])?;
    let (mut next, mut missing) = (1, Vec::new());
    while let Some(row) = rows.next()? {
        let (first, last) = (unsigned(row, "first")?, unsigned(row, "last")?);
        if first > next {
            missing.push((next, first - 1));
        }
        if missing.len() == limit {
            break;
        }
        next = next.max(last + 1);
    }
    Ok(missing)
}

/// The number after the highest that came from a device.
pub(crate) fn next_of(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
) -> Result<u64> {
    let mut query = tx.prepare_cached(
        "SELECT coalesce(max(last), 0) + 1 AS next FROM received
         WHERE chat = ?1 AND account = ?2 AND device = ?3",
    )?;
    Ok(query.query_row(params![chat.0, sender.0.0, sender.1], |row| unsigned(row, "next"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CHAT: ConversationId = ConversationId([1; 16]);
    const SENDER: DeviceAddress = (AccountId([2; 32]), 1);

    #[test]
    fn what_is_not_to_come_is_missed_no_more() {
        let (mut db, _) = testing::database();
        db.write(|tx| {
            let take = |n: u64| extend(tx, &CHAT, SENDER, n).unwrap();
            let gap = |seq| gap_before(tx, &CHAT, SENDER, seq).unwrap();
            assert!(take(2) && take(9) && !take(9));
            assert_eq!(missing(tx, &CHAT, SENDER, 9)?, [(1, 1), (3, 8)]);
            close(tx, &CHAT, SENDER, &[(1, 4), (8, 8)])?;
            assert_eq!(ranges(tx, &CHAT, SENDER)?, [(1, 4), (8, 9)]);
            assert_eq!(gap(8), Gap { missing: 3, lost: 0 });
            give_up(tx, &CHAT, SENDER, &[(1, 6)])?;
            assert_eq!(gap(8), Gap { missing: 1, lost: 2 });
            assert_eq!(missing(tx, &CHAT, SENDER, 9)?, [(7, 7)]);
            // Nothing that came is given up, and what was given up may come after all.
            assert_eq!(ranges(tx, &CHAT, SENDER)?, [(1, 4), (8, 9)]);
            assert!(take(5) && take(6) && take(7));
            assert_eq!((gap(8), next_of(tx, &CHAT, SENDER)?), (Gap::default(), 10));
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn what_another_device_has_is_missed_no_more() {
        assert_eq!(without((1, 9), &[]), [(1, 9)]);
        assert_eq!(without((0, 9), &[(1, 2), (4, 4), (9, 12)]), [(3, 3), (5, 8)]);
        assert_eq!(without((3, 4), &[(1, 9)]), []);
        let (mut db, _) = testing::database();
        db.write(|tx| {
            extend(tx, &CHAT, SENDER, 9)?;
            received_elsewhere(tx, &CHAT, SENDER, &[(1, 4), (8, 12)])?;
            lost_elsewhere(tx, &CHAT, SENDER, &[(4, 6), (11, 14)])?;
            assert_eq!(all_ranges(tx, &CHAT, SENDER)?, [(1, 4), (8, 12)]);
            assert_eq!(lost(tx, &CHAT, SENDER)?, [(5, 6), (13, 14)]);
            assert_eq!(missing(tx, &CHAT, SENDER, 9)?, [(7, 7)]);
            Ok(())
        })
        .unwrap();
    }
}
