//! What happened, in the order in which it happened, for whoever follows: also what another process
//! on the same profile did.

use postroad_proto::blob::Blob;
use postroad_proto::codec;
use postroad_proto::ids::{AccountId, Millis};
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

use crate::db::int;
use crate::error::Result;
use crate::state::State;

/// Events kept; who follows reads them within seconds.
const KEPT: i64 = 10_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message for the user came in.
    Message {
        /// Its row, for [`crate::Client::message_at`].
        row: i64,
    },
    /// A message of ours got further.
    State {
        /// Its row.
        row: i64,
        /// Its new state.
        state: State,
    },
    /// Somebody asks to write to us.
    Request {
        /// Who.
        account: AccountId,
    },
    /// A contact is new or has changed.
    Contact {
        /// Who.
        account: AccountId,
    },
    /// A message is another than before: edited, deleted, reacted to; or its time was over, and it
    /// is gone.
    Changed {
        /// Its row.
        row: i64,
    },
    /// Something went wrong that the user should know of.
    Problem {
        /// A stable word.
        code: String,
        /// For people.
        message: String,
    },
}

/// As stored. One shape for all kinds keeps it append-only.
#[derive(Serialize, Deserialize)]
struct Stored {
    row: i64,
    state: i64,
    account: Option<Blob>,
    code: String,
    message: String,
}

/// Adds an event.
pub(crate) fn record(tx: &Transaction<'_>, now: Millis, event: &Event) -> Result<()> {
    let mut stored =
        Stored { row: 0, state: 0, account: None, code: String::new(), message: String::new() };
    let kind = match event {
        Event::Message { row } => {
            stored.row = *row;
            1
        }
        Event::State { row, state } => {
            (stored.row, stored.state) = (*row, state.number());
            2
        }
        Event::Request { account } => {
            stored.account = Some(account.0.to_vec().into());
            3
        }
        Event::Contact { account } => {
            stored.account = Some(account.0.to_vec().into());
            4
        }
        Event::Changed { row } => {
            stored.row = *row;
            6
        }
        Event::Problem { code, message } => {
            (stored.code, stored.message) = (code.clone(), message.clone());
            5
        }
    };
    let mut insert = tx.prepare_cached("INSERT INTO event (at, kind, body) VALUES (?1, ?2, ?3)")?;
    let id = insert.insert(params![int(now), kind, codec::encode(&stored)?])?;
    if id % 1000 == 0 {
        tx.execute("DELETE FROM event WHERE id < ?1", [id - KEPT])?;
    }
    Ok(())
}

/// Adds a problem, which `status` shows, and its event.
pub(crate) fn problem(tx: &Transaction<'_>, now: Millis, code: &str, message: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO problem (at, code, message) VALUES (?1, ?2, ?3)",
        params![int(now), code, message],
    )?;
    tx.execute("DELETE FROM problem WHERE id <= (SELECT max(id) FROM problem) - 1000", [])?;
    record(tx, now, &Event::Problem { code: code.to_owned(), message: message.to_owned() })
}

/// The number of the newest event.
pub(crate) fn newest(tx: &Transaction<'_>) -> Result<i64> {
    Ok(tx.query_row("SELECT coalesce(max(id), 0) FROM event", [], |row| row.get(0))?)
}

/// Events after the one with number `after`, with their numbers; at most 1,000.
pub(crate) fn since(tx: &Transaction<'_>, after: i64) -> Result<Vec<(i64, Event)>> {
    at_most(tx, after, usize::MAX)
}

/// The first of these.
pub(crate) fn next(tx: &Transaction<'_>, after: i64) -> Result<Option<(i64, Event)>> {
    Ok(at_most(tx, after, 1)?.pop())
}

fn at_most(tx: &Transaction<'_>, after: i64, count: usize) -> Result<Vec<(i64, Event)>> {
    let mut query =
        tx.prepare_cached("SELECT id, kind, body FROM event WHERE id > ?1 ORDER BY id LIMIT 1000")?;
    let rows = query.query_map([after], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    let mut events = Vec::new();
    for row in rows {
        let (id, kind, body) = row?;
        if let Some(event) = read(kind, codec::decode(&body, 64 * 1024)?) {
            events.push((id, event));
        }
        if events.len() == count {
            break;
        }
    }
    Ok(events)
}

fn read(kind: i64, stored: Stored) -> Option<Event> {
    let account = || stored.account.as_deref().and_then(AccountId::from_slice);
    Some(match kind {
        1 => Event::Message { row: stored.row },
        2 => Event::State { row: stored.row, state: State::from_number(stored.state)? },
        3 => Event::Request { account: account()? },
        4 => Event::Contact { account: account()? },
        5 => Event::Problem { code: stored.code, message: stored.message },
        6 => Event::Changed { row: stored.row },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn events_come_one_by_one_and_what_a_newer_version_wrote_is_passed_over() {
        let (mut db, _) = testing::database();
        db.write(|tx| {
            let before = newest(tx)?;
            record(tx, 1, &Event::Message { row: 1 })?;
            tx.execute("UPDATE event SET kind = 99", [])?;
            record(tx, 1, &Event::Changed { row: 2 })?;
            record(tx, 1, &Event::Message { row: 3 })?;
            let (number, event) = next(tx, before)?.unwrap();
            assert_eq!(event, Event::Changed { row: 2 });
            let (last, event) = next(tx, number)?.unwrap();
            assert_eq!(event, Event::Message { row: 3 });
            assert_eq!((next(tx, last)?, newest(tx)?), (None, last));
            assert_eq!(since(tx, before)?.len(), 2);
            Ok(())
        })
        .unwrap();
    }
}
