//! What `status` and `settings` show.

use postroad_proto::ids::Millis;
use rusqlite::Transaction;

use super::Client;
use crate::db::unsigned;
use crate::error::Result;
use crate::messages;
use crate::settings;

/// The account's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether contacts are told that their messages arrived and were read.
    pub receipts: bool,
    /// Whether the handle can be looked up, and so strangers can ask to write.
    pub lookups: bool,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// When.
    pub at: Millis,
    /// A stable word.
    pub code: String,
    /// For people.
    pub message: String,
}

/// The last contact with the home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastContact {
    /// When this device was last in step with it; 0 for never.
    pub at: Millis,
    /// Why it is not now; empty when it is.
    pub offline: String,
}

/// How this device stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// The home.
    pub contact: LastContact,
    /// Messages of ours whose fate is not settled.
    pub unsettled: u64,
    /// Of these, those that have not left this device.
    pub queued: u64,
    /// Messages that were not shown yet.
    pub unread: u64,
    /// People who ask to write.
    pub requests: u64,
    /// The newest problems, newest first.
    pub problems: Vec<Problem>,
}

impl Client {
    /// How this device stands.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn status(&mut self) -> Result<Status> {
        self.db.read(|tx| {
            let count = |sql: &str| -> Result<u64> {
                let number: i64 = tx.query_row(sql, [], |row| row.get(0))?;
                Ok(number.unsigned_abs())
            };
            let visible = format!("kind NOT IN {}", messages::HIDDEN);
            let own = format!(
                "SELECT count(*) FROM outbox JOIN message ON row = message WHERE {visible}"
            );
            let unread = format!(
                "SELECT count(*) FROM message JOIN contact USING (chat) WHERE outgoing = 0
                 AND shown = 0 AND phase <> 4 AND blocked = 0 AND {visible}"
            );
            let at: i64 = tx.query_row("SELECT synced_at FROM identity", [], |row| row.get(0))?;
            let offline = settings::text(tx, settings::OFFLINE)?.unwrap_or_default();
            Ok(Status {
                contact: LastContact { at: at.unsigned_abs(), offline },
                unsettled: count(&own)?,
                queued: count(&format!("{own} AND state = 0"))?,
                unread: count(&unread)?,
                requests: count("SELECT count(*) FROM contact WHERE phase = 4 AND blocked = 0")?,
                problems: problems(tx)?,
            })
        })
    }

    /// The settings.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn settings(&mut self) -> Result<Settings> {
        self.db.read(current)
    }

    /// Changes settings. The home and the contacts learn of it with what is sent next.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn set(&mut self, receipts: Option<bool>, lookups: Option<bool>) -> Result<Settings> {
        self.db.write(|tx| {
            if let Some(on) = receipts
                && settings::turn(tx, settings::RECEIPTS, on)?
            {
                // The card says whether receipts come: everybody gets a new one, with a token by
                // whose use they show that they have it.
                tx.execute(
                    "UPDATE contact SET card_known = 0, token_registered = 0,
                     token_number = token_number + 1",
                    [],
                )?;
            }
            if let Some(on) = lookups {
                settings::turn(tx, settings::LOOKUPS, on)?;
            }
            current(tx)
        })
    }
}

fn current(tx: &Transaction<'_>) -> Result<Settings> {
    Ok(Settings {
        receipts: settings::is_on(tx, settings::RECEIPTS)?,
        lookups: settings::is_on(tx, settings::LOOKUPS)?,
    })
}

fn problems(tx: &Transaction<'_>) -> Result<Vec<Problem>> {
    let week = crate::clock::now().saturating_sub(7 * 86_400_000);
    let week = i64::try_from(week).unwrap_or(i64::MAX);
    let mut query = tx
        .prepare("SELECT at, code, message FROM problem WHERE at > ?1 ORDER BY id DESC LIMIT 20")?;
    let rows = query.query_map([week], |row| {
        let (code, message) = (row.get("code")?, row.get("message")?);
        Ok(Problem { at: unsigned(row, "at")?, code, message })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
