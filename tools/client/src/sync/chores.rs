//! What the home needs from this device so that others can reach it.

use std::time::Duration;

use postroad_proto::frame::{
    Count, Frame, InvitesDrop, InvitesPut, PrekeysPut, RendezvousOpen, RequestsSettle, SettingsPut,
    Tokens, TokensDrop, TokensList, TokensPut,
};
use postroad_proto::ids::{Hash, Millis, NodeId};
use postroad_proto::limits::MAX_LIST;
use postroad_proto::token::{InviteCode, InviteEntry, TokenEntry, redeemed_label};
use rusqlite::{Transaction, params};
use serde_bytes::ByteArray;

use crate::client::Client;
use crate::clock;
use crate::contacts::tokens::{self, Retired};
use crate::db::{blob, int, unsigned};
use crate::e2e::store;
use crate::error::{ConnectionError, Error, Result};
use crate::events;
use crate::identity::Identity;
use crate::linking;
use crate::recovery::vault;
use crate::settings;

/// Tokens that a home lists at most.
pub(crate) const LISTED: usize = 1024;
/// One-time keys that the home is given, and below how many it gets more.
const ONE_TIME_KEYS: u64 = 50;
const FEW_ONE_TIME_KEYS: u64 = 25;
/// A fallback key is used by many; it is replaced every week.
const FALLBACK_AGE: Duration = Duration::from_secs(7 * 86_400);

impl Client {
    /// Does all of it. `one_time_keys` is how many the home has left, if that is known.
    pub(super) async fn chores(&mut self, one_time_keys: u64) -> Result<()> {
        self.put_record().await?;
        self.open_rendezvous().await?;
        self.put_prekeys(one_time_keys).await?;
        self.put_invites().await?;
        self.register_tokens().await?;
        self.retire_tokens().await?;
        self.put_settings().await?;
        self.settle_requests().await?;
        self.put_vault().await
    }

    /// Whether something came up that the home is to be told.
    pub(super) fn has_chores(&mut self) -> Result<bool> {
        self.db.read(|tx| {
            let now = clock::now();
            if vault::is_due(tx, now)? {
                return Ok(true);
            }
            Ok(tx.query_row(
                "SELECT EXISTS (SELECT 1 FROM settle) OR EXISTS (SELECT 1 FROM token_drop)
                 OR EXISTS (SELECT 1 FROM device_link WHERE opened = 0)
                 OR EXISTS (SELECT 1 FROM identity WHERE record_dirty = 1)
                 OR EXISTS (SELECT 1 FROM invite WHERE registered = 0 OR revoked = 1)
                 OR EXISTS (SELECT 1 FROM setting WHERE dirty = 1 AND key = 'lookups')",
                [],
                |row| row.get::<_, bool>(0),
            )?)
        })
    }

    /// Tells the home. A refusal ends this chore and no other; it is shown as a problem.
    pub(super) async fn tell(
        &mut self,
        what: &'static str,
        frame: impl FnOnce(u64) -> Frame,
    ) -> Result<bool> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        match online.tell(what, frame).await {
            Ok(()) => Ok(true),
            Err(error @ Error::Refused { .. }) => {
                self.db
                    .write(|tx| events::problem(tx, clock::now(), "refused", &error.to_string()))?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells the home where another device may meet this one.
    async fn open_rendezvous(&mut self) -> Result<()> {
        let vault = &self.vault;
        let Some((id, until)) = self.db.read(|tx| linking::to_open(tx, vault))? else {
            return Ok(());
        };
        let open = |request| RendezvousOpen { request, id: ByteArray::new(id), until }.into();
        // One that cannot be closed ends by itself.
        if self.tell("to open a link for another device", open).await? || until == 0 {
            self.db.write(|tx| linking::is_open(tx, until))?;
        }
        Ok(())
    }

    async fn put_prekeys(&mut self, left: u64) -> Result<()> {
        let now = clock::now();
        let vault = &self.vault;
        // Made and stored before they are sent: whoever uses one must find us with its secret.
        let made = self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            let is_old = own.fallback_at.saturating_add(FALLBACK_AGE.as_millis() as Millis) < now;
            if left >= FEW_ONE_TIME_KEYS && !is_old {
                return Ok(None);
            }
            let mut device = store::load_own(tx, vault)?;
            let wanted = usize::try_from(ONE_TIME_KEYS.saturating_sub(left)).unwrap_or(0);
            let one_time = device.one_time_keys(wanted, own.address(), &own.network)?;
            let fallback =
                if is_old { device.fallback_key(own.address(), &own.network)? } else { None };
            store::save_own(tx, vault, &device)?;
            Ok(Some((one_time, fallback)))
        })?;
        let Some((one_time, fallback)) = made else { return Ok(()) };
        let replaced = fallback.is_some();
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let put = |request| PrekeysPut { request, one_time, fallback }.into();
        let answer: Result<Option<Count>> = online.ask("this device's prekeys", put).await;
        let problem = match answer {
            Ok(_) => None,
            Err(error @ Error::Refused { .. }) => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        self.db.write(|tx| {
            if let Some(problem) = problem {
                return events::problem(tx, now, "refused", &problem);
            }
            let mut device = store::load_own(tx, vault)?;
            device.published();
            store::save_own(tx, vault, &device)?;
            if replaced {
                tx.execute("UPDATE identity SET fallback_at = ?1", [int(now)])?;
            }
            Ok(())
        })
    }

    async fn put_invites(&mut self) -> Result<()> {
        let (new, revoked) = self.db.read(|tx| {
            Ok((invites(tx, "registered = 0 AND revoked = 0")?, invites(tx, "revoked = 1")?))
        })?;
        for chunk in new.chunks(MAX_LIST) {
            let entries = chunk.iter().map(|invite| invite.entry.clone()).collect();
            let put = |request| InvitesPut { request, invites: entries }.into();
            if self.tell("the contact invite", put).await? {
                self.for_each(chunk, "UPDATE invite SET registered = 1 WHERE code = ?1")?;
            }
        }
        for chunk in revoked.chunks(MAX_LIST) {
            let hashes = chunk.iter().map(|invite| invite.entry.hash).collect();
            let drop = |request| InvitesDrop { request, hashes }.into();
            if self.tell("to take a contact invite back", drop).await? {
                self.for_each(chunk, "DELETE FROM invite WHERE code = ?1")?;
            }
        }
        Ok(())
    }

    fn for_each(&mut self, invites: &[Invite], sql: &str) -> Result<()> {
        self.db.write(|tx| {
            for invite in invites {
                tx.execute(sql, [invite.code.0])?;
            }
            Ok(())
        })
    }

    /// Registers the tokens that our cards give, before any such card is sealed.
    pub(super) async fn register_tokens(&mut self) -> Result<()> {
        let vault = &self.vault;
        let (fresh, due) = self.db.read(|tx| {
            let fresh = tokens::unregistered(tx, &Identity::load(tx, vault)?)?;
            let due = "SELECT tokens_due FROM identity";
            Ok((fresh, tx.query_row(due, [], |row| row.get::<_, bool>(0))?))
        })?;
        for chunk in fresh.chunks(MAX_LIST) {
            let hashes = chunk.iter().flat_map(|(_, _, hashes)| hashes);
            if !self.put_tokens(hashes.map(|hash| entry(*hash, 0)).collect()).await? {
                return Ok(());
            }
            self.db.write(|tx| {
                chunk.iter().try_for_each(|(who, number, _)| tokens::registered(tx, who, *number))
            })?;
        }
        // A home that was set back waits to hear that these were all, be it none.
        let all = |request| TokensPut { request, tokens: Vec::new() }.into();
        if due && self.tell("that these were all tokens", all).await? {
            self.db.write(|tx| Ok(tx.execute("UPDATE identity SET tokens_due = 0", [])?))?;
        }
        Ok(())
    }

    /// Whether the home has taken them all.
    async fn put_tokens(&mut self, tokens: Vec<TokenEntry>) -> Result<bool> {
        for chunk in tokens.chunks(MAX_LIST) {
            let tokens = chunk.to_vec();
            let put = |request| TokensPut { request, tokens }.into();
            if !self.tell("a contact's token", put).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Drops the tokens of people who were blocked, those included that they chose themselves, and
    /// says when those end that others have replaced.
    async fn retire_tokens(&mut self) -> Result<()> {
        let retired = self.db.read(tokens::retired)?;
        if retired.is_empty() {
            return Ok(());
        }
        let held = match retired.iter().all(|token| token.hash.is_some()) {
            true => Vec::new(),
            false => match self.held_tokens().await? {
                Some(held) => held,
                None => return Ok(()),
            },
        };
        let hashes = |token: &Retired| -> Vec<Hash> {
            let is_its = |entry: &&TokenEntry| entry.label == token.label;
            let found = held.iter().filter(is_its).map(|entry| entry.hash);
            token.hash.map_or_else(|| found.collect(), |hash| vec![hash])
        };
        let (ended, ending): (Vec<&Retired>, Vec<&Retired>) =
            retired.iter().partition(|token| token.expires == 0);
        for chunk in ended.into_iter().flat_map(hashes).collect::<Vec<_>>().chunks(MAX_LIST) {
            let hashes = chunk.to_vec();
            let drop = |request| TokensDrop { request, hashes }.into();
            if !self.tell("to drop a blocked contact's token", drop).await? {
                return Ok(());
            }
        }
        let entries = |token: &Retired| {
            hashes(token).into_iter().map(|h| entry(h, token.expires)).collect::<Vec<_>>()
        };
        if !self.put_tokens(ending.into_iter().flat_map(entries).collect()).await? {
            return Ok(());
        }
        // One that is not found may be in the part of a long list that was left out.
        let is_cut = held.len() >= LISTED;
        let is_done = |token: &&Retired| !is_cut || !hashes(token).is_empty();
        let done: Vec<&Retired> = retired.iter().filter(is_done).collect();
        self.db.write(|tx| done.iter().try_for_each(|token| tokens::is_retired(tx, token)))
    }

    /// The tokens that the home has; nothing if it does not say.
    async fn held_tokens(&mut self) -> Result<Option<Vec<TokenEntry>>> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let list = |request| TokensList { request }.into();
        match online.ask::<Tokens>("the list of tokens", list).await {
            Ok(held) => Ok(Some(held.map(|held| held.tokens).unwrap_or_default())),
            Err(Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put_settings(&mut self) -> Result<()> {
        let lookups = self.db.read(|tx| {
            Ok(settings::is_dirty(tx, settings::LOOKUPS)?
                .then_some(settings::is_on(tx, settings::LOOKUPS)?))
        })?;
        let Some(lookups) = lookups else { return Ok(()) };
        let put = |request| SettingsPut { request, lookups }.into();
        if self.tell("the settings", put).await? {
            self.db.write(|tx| settings::clean(tx, settings::LOOKUPS, lookups))?;
        }
        Ok(())
    }

    async fn settle_requests(&mut self) -> Result<()> {
        let open: Vec<([u8; 32], [u8; 16], u64)> = self.db.read(|tx| {
            let mut query = tx.prepare("SELECT origin, tag, how FROM settle")?;
            let rows = query.query_map([], |row| {
                Ok((blob(row, "origin")?, blob(row, "tag")?, unsigned(row, "how")?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        for (origin, tag, how) in open {
            let settle = |request| {
                let tag = ByteArray::new(tag);
                RequestsSettle { request, origin: NodeId(origin), tag, how }.into()
            };
            // One that the home no longer knows is settled as well.
            self.tell("to settle a request", settle).await?;
            self.db.write(|tx| {
                let key = params![origin, tag];
                tx.execute("DELETE FROM settle WHERE origin = ?1 AND tag = ?2", key)?;
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// A token as the home keeps it; `expires` 0 for never.
fn entry(hash: Hash, expires: u64) -> TokenEntry {
    TokenEntry { hash, label: redeemed_label(&hash), rate: 0, byte_share: 0, expires }
}

/// A contact invite of ours.
struct Invite {
    code: InviteCode,
    entry: InviteEntry,
}

fn invites(tx: &Transaction<'_>, which: &str) -> Result<Vec<Invite>> {
    let mut query = tx.prepare(&format!("SELECT code, uses, expires FROM invite WHERE {which}"))?;
    let rows = query.query_map([], |row| {
        let code = InviteCode(blob(row, "code")?);
        let (uses, expires) = (unsigned(row, "uses")?, unsigned(row, "expires")?);
        let entry = InviteEntry { hash: code.hash(), uses, expires };
        Ok(Invite { code, entry })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
