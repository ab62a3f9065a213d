//! Homes that the account has left: they are told where it went, and give what they have for this
//! device. Whatever one of them says or does, the present home comes first.

use std::time::Duration;

use postroad_proto::frame::{RecordsPut, Tokens, TokensList, TokensPut, Welcome};
use postroad_proto::ids::{Millis, NodeId};
use postroad_proto::limits::{FORWARD_SECONDS, MAX_LIST};
use postroad_proto::record::{AccountRecord, AccountRecordOrder};
use rusqlite::{OptionalExtension, Transaction, params};
use tokio::time::timeout;

use crate::client::Client;
use crate::clock;
use crate::connection::wait_after;
use crate::contacts::tokens;
use crate::db::{blob, bool_of, int, unsigned};
use crate::error::{ConnectionError, Error, Result};
use crate::events;
use crate::identity::Identity;
use crate::sync::{self, As, CONNECT, LISTED, Online};

/// Tries that the wait between them grows with.
const MOST_TRIES: u32 = 16;
/// How long one home may take before others have their turn: it may be hostile, or its line slow.
const TURN: Duration = Duration::from_secs(4);

/// A home that was left.
struct Left {
    node: NodeId,
    link: String,
    generation: u64,
    cursor: u64,
    since: Millis,
    told: bool,
    tries: u32,
}

/// This device leaves its home, for `to`.
pub(super) fn leave(tx: &Transaction<'_>, own: &Identity, to: &NodeId, now: Millis) -> Result<()> {
    tx.execute("DELETE FROM left_home WHERE node = ?1", [to.0])?;
    if own.registered {
        tx.execute(
            "INSERT OR REPLACE INTO left_home (node, link, generation, cursor, since)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                own.home.node.0,
                own.home.to_string(),
                int(own.generation),
                int(own.cursor),
                int(now)
            ],
        )?;
    }
    Ok(())
}

/// A home that took the account for its own, while it was elsewhere.
fn note_other(
    tx: &Transaction<'_>,
    own: &Identity,
    record: &AccountRecord,
    now: Millis,
) -> Result<()> {
    let link = super::home_of(own, record);
    tx.execute(
        "INSERT OR IGNORE INTO left_home (node, link, generation, cursor, since)
         VALUES (?1, ?2, 0, 0, ?3)",
        params![link.node.0, link.to_string(), int(now)],
    )?;
    Ok(())
}

/// Whether the account has left that home and nobody has told it yet.
pub(super) fn is_untold(tx: &Transaction<'_>, node: &NodeId) -> Result<bool> {
    let sql = "SELECT 1 FROM left_home WHERE node = ?1 AND told = 0";
    Ok(tx.prepare_cached(sql)?.exists([node.0])?)
}

/// What homes that were left are called.
pub(crate) fn homes_left(tx: &Transaction<'_>) -> Result<Vec<String>> {
    let homes = all(tx, Millis::MAX)?.into_iter().map(|left| match left.link.parse() {
        Ok(postroad_proto::link::NodeLink { name, .. }) if !name.is_empty() => name,
        _ => left.node.to_string(),
    });
    Ok(homes.collect())
}

/// Whether one is to be tried now.
pub(crate) fn is_due(tx: &Transaction<'_>, now: Millis) -> Result<bool> {
    Ok(tx.prepare_cached("SELECT 1 FROM left_home WHERE next_try <= ?1")?.exists([int(now)])?)
}

fn all(tx: &Transaction<'_>, now: Millis) -> Result<Vec<Left>> {
    let mut query = tx.prepare_cached("SELECT * FROM left_home WHERE next_try <= ?1")?;
    let rows = query.query_map([int(now)], |row| {
        Ok(Left {
            node: NodeId(blob(row, "node")?),
            link: row.get("link")?,
            generation: unsigned(row, "generation")?,
            cursor: unsigned(row, "cursor")?,
            since: unsigned(row, "since")?,
            told: bool_of(row, "told")?,
            tries: row.get("tries")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Which items of a node's mailbox are in the database: up to where, in which generation.
pub(crate) fn position(tx: &Transaction<'_>, own: &Identity, node: &NodeId) -> Result<(u64, u64)> {
    if own.home.node == *node {
        return Ok((own.generation, own.cursor));
    }
    let mut query =
        tx.prepare_cached("SELECT generation, cursor FROM left_home WHERE node = ?1")?;
    let found = query
        .query_row([node.0], |row| Ok((unsigned(row, "generation")?, unsigned(row, "cursor")?)));
    Ok(found.optional()?.unwrap_or_default())
}

/// Items of a node's mailbox up to `cursor` are in the database. The account may have left that node
/// with one of them.
pub(crate) fn note_cursor(tx: &Transaction<'_>, node: &NodeId, cursor: u64) -> Result<()> {
    let left = tx
        .prepare_cached("UPDATE left_home SET cursor = ?1 WHERE node = ?2")?
        .execute(params![int(cursor), node.0])?;
    if left == 0 {
        tx.prepare_cached("UPDATE identity SET cursor = ?1")?.execute([int(cursor)])?;
    }
    Ok(())
}

impl Client {
    /// Tells homes that were left, and empties this device's mailboxes there. One that does not answer, or
    /// takes long, is gone on with later.
    pub(crate) async fn leave_homes(&mut self) -> Result<()> {
        let now = clock::now();
        if !self.db.read(|tx| is_due(tx, now))? {
            return Ok(());
        }
        self.leave_each().await?;
        if !self.identity()?.record_dirty {
            return Ok(());
        }
        // One of them had another record, above which this device has to sign.
        self.put_record().await?;
        self.leave_each().await
    }

    async fn leave_each(&mut self) -> Result<()> {
        let now = clock::now();
        for left in self.db.read(|tx| all(tx, now))? {
            // Beforehand: whoever waits for us may not wait for it.
            self.db.write(|tx| put_off(tx, &left, now))?;
            let ended = timeout(TURN, self.leave_home(&left)).await;
            self.check_home()?;
            let is_over = left.since + FORWARD_SECONDS * 1000 < now;
            let is_done = match ended {
                Ok(Ok(is_done)) => is_done,
                // It has forgotten the account, and with it all that lay there.
                Ok(Err(Error::NoAccount)) => true,
                Ok(Err(error @ Error::Storage(_))) => return Err(error),
                Ok(Err(error)) => {
                    if matches!(error, Error::Refused { .. }) {
                        let text = format!("the move from {}: {error}", left.node);
                        self.db.write(|tx| events::problem(tx, now, "refused", &text))?;
                    }
                    tracing::debug!(node = %left.node, %error, "a home that was left");
                    is_over
                }
                Err(_) => is_over,
            };
            self.db.write(|tx| match is_done {
                true => {
                    tx.execute("DELETE FROM left_home WHERE node = ?1", [left.node.0])?;
                    Ok(())
                }
                false => soon_if_further(tx, &left, now),
            })?;
        }
        Ok(())
    }

    /// Whether the home knows where the account is and has nothing more for this device.
    async fn leave_home(&mut self, left: &Left) -> Result<bool> {
        let own = self.identity()?;
        // The new home first, if that is to have another record.
        if own.record_dirty || own.record.open(&own.network)?.home != own.home.node {
            return Ok(false);
        }
        let there = self.identity()?.at(left.link.parse()?, left.generation, left.cursor);
        let (mut online, _, welcome) =
            Online::open(&there, As::Device, Vec::new(), CONNECT).await?;
        if welcome.generation != left.generation {
            self.db.write(|tx| {
                tx.execute(
                    "UPDATE left_home SET generation = ?1, cursor = 0 WHERE node = ?2",
                    params![int(welcome.generation), left.node.0],
                )?;
                Ok(())
            })?;
        }
        if !self.tell_left(&mut online, left, &own, &welcome).await? {
            return Ok(false);
        }
        loop {
            online.ping().await?;
            if sync::take_frames(&mut self.db, &self.vault, &mut online).await? == 0 {
                // One of its items may have been word of another record.
                return Ok(self.identity()?.record.hash() == own.record.hash());
            }
        }
    }

    /// Says where the account is, unless the node knows. False when that has to be settled first.
    async fn tell_left(
        &mut self,
        online: &mut Online,
        left: &Left,
        own: &Identity,
        welcome: &Welcome,
    ) -> Result<bool> {
        let wrong = |why| Error::untrusted("a home that was left", why);
        let held = welcome.record.as_ref().ok_or_else(|| wrong("it holds no record"))?;
        let record = held.open(&own.network)?;
        if record.account != own.account {
            return Err(wrong("it has another account"));
        }
        match own.record.compare(held)? {
            AccountRecordOrder::Same => {}
            AccountRecordOrder::Newer | AccountRecordOrder::Conflict => {
                // Another device has said something there meanwhile, or has moved the account elsewhere.
                sync::fetch_own_records(&mut self.db, &self.vault, online).await?;
                return Ok(false);
            }
            AccountRecordOrder::Older => {
                if record.home != left.node && record.home != own.home.node {
                    // Another device went elsewhere at the same time, by a record that ours goes before.
                    let now = clock::now();
                    self.db.write(|tx| note_other(tx, own, &record, now))?;
                }
                // Tokens that contacts chose are known to the home alone. Once more afterwards: one may
                // have been redeemed in between.
                self.bring_tokens(online).await?;
                let (record, devices) = (Some(own.record.clone()), Some(own.devices.clone()));
                let put = |request| RecordsPut { request, record, devices }.into();
                online.tell("the record that names the new home", put).await?;
            }
        }
        if self.db.read(|tx| is_untold(tx, &left.node))? {
            self.bring_tokens(online).await?;
            self.db.write(|tx| {
                tx.execute("UPDATE left_home SET told = 1 WHERE node = ?1", [left.node.0])?;
                Ok(())
            })?;
        }
        Ok(true)
    }

    /// Gives the home the tokens that an old one has.
    async fn bring_tokens(&mut self, from: &mut Online) -> Result<()> {
        let list = |request| TokensList { request }.into();
        let held: Option<Tokens> = from.ask("the list of tokens", list).await?;
        let held = held.map(|held| held.tokens).unwrap_or_default();
        if held.is_empty() {
            return Ok(());
        }
        if held.len() >= LISTED {
            let text = "the old home has more tokens than it lists: who added you by link and has never heard from \
                 you may have to add you again";
            self.db.write(|tx| events::problem(tx, clock::now(), "tokens", text))?;
        }
        let Some(home) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        for chunk in held.chunks(MAX_LIST) {
            let tokens = chunk.to_vec();
            home.tell("tokens of the old home", |request| TokensPut { request, tokens }.into())
                .await?;
        }
        // What is to end there, or was dropped, is to do so here as well.
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            tokens::retire_again(tx, &own, clock::now())
        })
    }
}

/// It is tried again after a while: a home that is gone for good costs little.
fn put_off(tx: &Transaction<'_>, left: &Left, now: Millis) -> Result<()> {
    let tries = (left.tries + 1).min(MOST_TRIES);
    let wait = u64::try_from(wait_after(tries).as_millis()).unwrap_or_default();
    tx.execute(
        "UPDATE left_home SET tries = ?2, next_try = ?3 WHERE node = ?1",
        params![left.node.0, tries, int(now + wait * u64::from(tries))],
    )?;
    Ok(())
}

/// There is something new to say to them.
pub(crate) fn retry(tx: &Transaction<'_>) -> Result<()> {
    tx.execute("UPDATE left_home SET next_try = 0 WHERE next_try > 0", [])?;
    Ok(())
}

/// One that has given something, and is not done, is gone on with at once.
fn soon_if_further(tx: &Transaction<'_>, left: &Left, now: Millis) -> Result<()> {
    tx.execute(
        "UPDATE left_home SET tries = 0, next_try = ?3 WHERE node = ?1 AND (cursor, told) > (?2, ?4)",
        params![left.node.0, int(left.cursor), int(now), left.told],
    )?;
    Ok(())
}
