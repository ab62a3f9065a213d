//! Homes that the account has left: they are told where it went, and give what they have for this
//! device.

use postroad_proto::frame::{RecordsPut, Tokens, TokensList, TokensPut, Welcome};
use postroad_proto::ids::{Millis, NodeId};
use postroad_proto::limits::{FORWARD_SECONDS, MAX_LIST};
use postroad_proto::record::AccountRecordOrder;
use postroad_proto::token::TokenEntry;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::client::Client;
use crate::clock;
use crate::connection::wait_after;
use crate::contacts::tokens;
use crate::db::{blob, int, unsigned};
use crate::error::{ConnectionError, Error, Result};
use crate::identity::Identity;
use crate::sync::{self, As, CONNECT, Online};

/// Tries that are bounded by the wait between them, whatever it is.
const MOST_TRIES: u32 = 16;

/// A home that was left.
struct Left {
    node: NodeId,
    link: String,
    generation: u64,
    cursor: u64,
    since: Millis,
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

/// Whether the account has left that home a moment ago, and that may not know.
pub(super) fn is_left(tx: &Transaction<'_>, node: &NodeId) -> Result<bool> {
    Ok(tx.prepare_cached("SELECT 1 FROM left_home WHERE node = ?1")?.exists([node.0])?)
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
    /// Tells homes that were left, and empties this device's mailboxes there. One that does not answer
    /// is tried again later.
    pub(crate) async fn leave_homes(&mut self) -> Result<()> {
        let now = clock::now();
        for left in self.db.read(|tx| all(tx, now))? {
            let is_over = left.since + FORWARD_SECONDS * 1000 < now;
            let done = match self.empty(&left).await {
                Ok(()) => true,
                // It has forgotten the account, and with it all that lay there.
                Err(Error::NoAccount) => true,
                Err(Error::Connection(ConnectionError::Moved)) => {
                    return Err(ConnectionError::Moved.into());
                }
                Err(error @ (Error::Connection(_) | Error::Refused { .. })) => {
                    tracing::debug!(node = %left.node, %error, "a home that was left");
                    is_over
                }
                Err(error) => return Err(error),
            };
            self.db.write(|tx| match done {
                true => {
                    tx.execute("DELETE FROM left_home WHERE node = ?1", [left.node.0])?;
                    Ok(())
                }
                false => put_off(tx, &left, now),
            })?;
        }
        Ok(())
    }

    async fn empty(&mut self, left: &Left) -> Result<()> {
        let own = self.identity()?;
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
        self.tell_left(&mut online, &own, &welcome).await?;
        loop {
            online.ping().await?;
            if sync::take_frames(&mut self.db, &self.vault, &mut online).await? == 0 {
                return self.check_home();
            }
        }
    }

    /// Says where the account is, unless the node knows.
    async fn tell_left(
        &mut self,
        online: &mut Online,
        own: &Identity,
        welcome: &Welcome,
    ) -> Result<()> {
        let Some(held) = &welcome.record else { return Ok(()) };
        let record = held.open(&own.network)?;
        if record.account != own.account {
            return Err(Error::untrusted("a home that was left", "it has another account"));
        }
        match own.record.compare(held)? {
            AccountRecordOrder::Same => Ok(()),
            AccountRecordOrder::Newer | AccountRecordOrder::Conflict => {
                // Another device has said something there meanwhile, or has moved the account elsewhere.
                sync::fetch_own_records(&mut self.db, &self.vault, online).await?;
                self.check_home()
            }
            AccountRecordOrder::Older => {
                // Tokens that contacts chose are known to the home alone. Once more afterwards: one may
                // have been redeemed in between.
                let held = self.bring_tokens(online, &[]).await?;
                let (record, devices) = (Some(own.record.clone()), Some(own.devices.clone()));
                let put = |request| RecordsPut { request, record, devices }.into();
                online.tell("the record that names the new home", put).await?;
                self.bring_tokens(online, &held).await.map(drop)
            }
        }
    }

    /// Gives the home the tokens that an old one has, but for those that are `known`. All of them.
    async fn bring_tokens(
        &mut self,
        from: &mut Online,
        known: &[TokenEntry],
    ) -> Result<Vec<TokenEntry>> {
        let list = |request| TokensList { request }.into();
        let held: Option<Tokens> = from.ask("the list of tokens", list).await?;
        let held = held.map(|held| held.tokens).unwrap_or_default();
        let new: Vec<TokenEntry> =
            held.iter().filter(|entry| !known.contains(entry)).cloned().collect();
        if new.is_empty() {
            return Ok(held);
        }
        let Some(home) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        for chunk in new.chunks(MAX_LIST) {
            let tokens = chunk.to_vec();
            home.tell("tokens of the old home", |request| TokensPut { request, tokens }.into())
                .await?;
        }
        // What is to end there, or was dropped, is to do so here as well.
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            tokens::retire_again(tx, &own, clock::now())
        })?;
        Ok(held)
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
