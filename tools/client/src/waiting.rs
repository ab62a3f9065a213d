//! Where messages wait that the home has accepted, as it said when it was asked last.

use postroad_proto::frame::Waiting;
use postroad_proto::ids::{Millis, NodeId, ParcelId};
use postroad_proto::limits::MAX_LIST;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::db::{blob, int, unsigned};
use crate::error::Result;
use crate::state::State;

/// Characters of a reason that are kept.
const MAX_REASON: usize = 512;
/// For how long it is not written down again that nothing has changed, milliseconds.
const FRESH: Millis = 10_000;

/// What the home said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// The node that is waited for.
    pub(crate) node: NodeId,
    pub(crate) since: Millis,
    pub(crate) reason: String,
    pub(crate) next_try: Option<Millis>,
    pub(crate) told_at: Millis,
}

/// Messages to ask for: accepted and no further, those first that were not asked for lately.
pub(crate) fn to_locate(tx: &Transaction<'_>) -> Result<Vec<(i64, ParcelId)>> {
    let mut query = tx.prepare_cached(
        "SELECT row, parcel FROM outbox JOIN message ON row = outbox.message
         LEFT JOIN waiting ON waiting.message = row
         WHERE state = ?1 AND offer = 0 AND envelope NOT NULL AND parcel NOT NULL
         ORDER BY told_at, row DESC LIMIT ?2",
    )?;
    let rows = query.query_map(params![State::Accepted.number(), MAX_LIST as i64], |row| {
        Ok((row.get(0)?, ParcelId(blob(row, "parcel")?)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Whether there is anything new in what the home said: each write is a sync of the disk.
pub(crate) fn is_news(
    tx: &Transaction<'_>,
    asked: &[(i64, ParcelId)],
    answers: &[Waiting],
    now: Millis,
) -> Result<bool> {
    for (row, parcel) in asked {
        let held = of(tx, *row)?;
        let is_old = held.as_ref().is_some_and(|held| held.told_at + FRESH < now);
        let said = answers.iter().find(|answer| answer.parcel == *parcel);
        let said = said.map(|answer| told(answer, held.as_ref().map_or(now, |held| held.told_at)));
        if is_old || held != said {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stores what the home said of those that were asked for, and of no others: silence means that
/// one does not wait there any more.
pub(crate) fn store(
    tx: &Transaction<'_>,
    asked: &[(i64, ParcelId)],
    answers: &[Waiting],
    now: Millis,
) -> Result<()> {
    let mut put =
        tx.prepare_cached("INSERT OR REPLACE INTO waiting VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (row, parcel) in asked {
        let Some(answer) = answers.iter().find(|answer| answer.parcel == *parcel) else {
            forget(tx, *row)?;
            continue;
        };
        let told = told(answer, now);
        let (since, next_try) = (int(told.since), int(told.next_try.unwrap_or(0)));
        put.execute(params![row, told.node.0, since, told.reason, next_try, int(now)])?;
    }
    Ok(())
}

fn told(answer: &Waiting, told_at: Millis) -> Told {
    Told {
        node: answer.node,
        since: answer.since,
        reason: answer.reason.chars().take(MAX_REASON).collect(),
        next_try: (answer.next_try > 0).then_some(answer.next_try),
        told_at,
    }
}

/// It does not wait any more where it waited.
pub(crate) fn forget(tx: &Transaction<'_>, row: i64) -> Result<()> {
    tx.prepare_cached("DELETE FROM waiting WHERE message = ?1")?.execute([row])?;
    Ok(())
}

/// What the home said of a message last.
pub(crate) fn of(tx: &Transaction<'_>, row: i64) -> Result<Option<Told>> {
    let mut query = tx.prepare_cached("SELECT * FROM waiting WHERE message = ?1")?;
    let told = query.query_row([row], |row| {
        let next_try = unsigned(row, "next_try")?;
        Ok(Told {
            node: NodeId(blob(row, "node")?),
            since: unsigned(row, "since")?,
            reason: row.get("reason")?,
            next_try: (next_try > 0).then_some(next_try),
            told_at: unsigned(row, "told_at")?,
        })
    });
    Ok(told.optional()?)
}
