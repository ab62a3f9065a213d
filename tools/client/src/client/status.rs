//! What `status` and `settings` show.

use postroad_proto::ephemeral::kind;
use postroad_proto::ids::Millis;
use rusqlite::Transaction;

use super::Client;
use crate::clock;
use crate::contacts::tokens;
use crate::db::unsigned;
use crate::deletion;
use crate::devices::entries;
use crate::ephemeral;
use crate::error::Result;
use crate::messages;
use crate::moving;
use crate::recovery::{phrase_tested, vault};
use crate::settings;

/// The account's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether contacts are told that their messages arrived and were read.
    pub receipts: bool,
    /// Whether the handle can be looked up, and so strangers can ask to write.
    pub lookups: bool,
    /// Whether contacts see that the user is writing to them, and the user that they are.
    pub typing: bool,
    /// Whether contacts see that the user is there, and the user that they are.
    pub presence: bool,
}

/// What is to be changed of [`Settings`]; the rest stays as it is.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs, reason = "as in `Settings`")]
pub struct SettingsChange {
    pub receipts: Option<bool>,
    pub lookups: Option<bool>,
    pub typing: Option<bool>,
    pub presence: Option<bool>,
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

/// What would bring the account back if its devices were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Whether this device has the account's key, and so its recovery phrase.
    pub has_phrase: bool,
    /// When the phrase was last written down and tested, if ever.
    pub phrase_tested: Option<Millis>,
    /// Whether the home keeps the contacts and settings as they are now.
    pub is_kept: bool,
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
    /// What would bring the account back.
    pub recovery: Recovery,
    /// Homes that the account has left and that are still to be told, or have mail for this device.
    pub left: Vec<String>,
    /// When the home is going to delete the account, by its own word.
    pub ends_at: Option<Millis>,
    /// The newest problems, newest first.
    pub problems: Vec<Problem>,
}

impl Client {
    /// How this device stands.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn status(&mut self) -> Result<Status> {
        let has_phrase = self.identity()?.seed().is_some();
        self.db.read(|tx| {
            let count = |sql: &str| -> Result<u64> {
                let number: i64 = tx.query_row(sql, [], |row| row.get(0))?;
                Ok(number.unsigned_abs())
            };
            let visible = format!("kind NOT IN {}", messages::HIDDEN);
            let own = format!(
                "SELECT count(*) FROM outbox JOIN message ON row = message
                 WHERE state < 5 AND {visible}"
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
                recovery: Recovery {
                    has_phrase,
                    phrase_tested: phrase_tested(tx)?,
                    is_kept: !vault::is_behind(tx)?,
                },
                left: moving::homes_left(tx)?,
                ends_at: deletion::end(tx)?,
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
    pub fn set(&mut self, change: SettingsChange) -> Result<Settings> {
        self.db.write(|tx| {
            let on_card = |tx: &Transaction<'_>| -> Result<(bool, bool)> {
                Ok((settings::is_on(tx, settings::RECEIPTS)?, ephemeral::is_wanted(tx)?))
            };
            let before = on_card(tx)?;
            let switches = [
                (settings::RECEIPTS, change.receipts),
                (settings::LOOKUPS, change.lookups),
                (settings::TYPING, change.typing),
                (settings::PRESENCE, change.presence),
            ];
            let now = clock::now();
            for (key, on) in switches {
                if let Some(on) = on {
                    switch(tx, key, on, now)?;
                    entries::set(tx, entries::SETTING, &key, entries::flag(on), now)?;
                }
            }
            if on_card(tx)? != before {
                tokens::renew_all(tx, now)?;
            }
            current(tx)
        })
    }
}

/// Turns one of the switches.
pub(crate) fn switch(tx: &Transaction<'_>, key: &str, on: bool, now: Millis) -> Result<()> {
    if key == settings::PRESENCE && !on {
        ephemeral::note_gone(tx, now)?;
        ephemeral::forget(tx, kind::PRESENCE)?;
    }
    if key == settings::TYPING && !on {
        ephemeral::forget(tx, kind::TYPING)?;
    }
    settings::turn(tx, key, on).map(drop)
}

fn current(tx: &Transaction<'_>) -> Result<Settings> {
    Ok(Settings {
        receipts: settings::is_on(tx, settings::RECEIPTS)?,
        lookups: settings::is_on(tx, settings::LOOKUPS)?,
        typing: settings::is_on(tx, settings::TYPING)?,
        presence: settings::is_on(tx, settings::PRESENCE)?,
    })
}

fn problems(tx: &Transaction<'_>) -> Result<Vec<Problem>> {
    let week = clock::now().saturating_sub(7 * 86_400_000);
    let week = i64::try_from(week).unwrap_or(i64::MAX);
    let mut query = tx
        .prepare("SELECT at, code, message FROM problem WHERE at > ?1 ORDER BY id DESC LIMIT 20")?;
    let rows = query.query_map([week], |row| {
        let (code, message) = (row.get("code")?, row.get("message")?);
        Ok(Problem { at: unsigned(row, "at")?, code, message })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
