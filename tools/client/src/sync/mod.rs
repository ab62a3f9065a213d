//! Coming into step with the home: what it holds for us is taken, what it needs from us is given,
//! what waits is sent.

mod apply;
mod chores;
mod keys;
mod online;

use std::time::Duration;

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Frame, Register, Registered};
use postroad_proto::ids::NodeId;
use postroad_proto::signed::Signed;
use rusqlite::{Transaction, params};
use tokio::time::{Instant, sleep};

pub(crate) use keys::keep as keep_prekeys;
pub(crate) use online::Online;

use crate::client::Client;
use crate::clock;
use crate::db::int;
use crate::error::{ConnectionError, Error, Result};
use crate::identity::Identity;
use crate::outbox;
use crate::receipts;
use crate::receive;
use crate::settings;

/// How long a command waits for the process that has the connection, and how often it looks.
const BY_OWNER: Duration = Duration::from_secs(4);
const BY_OWNER_POLL: Duration = Duration::from_millis(20);
/// How long a command waits for a connection.
const CONNECT: Duration = Duration::from_millis(2000);
/// Envelopes that are offered before the first is settled.
const WINDOW: usize = 64;
/// Rounds of seal, send and take that one sync makes: each answer may make new work.
const ROUNDS: usize = 6;

/// How a sync went.
#[derive(Debug)]
pub enum Synced {
    /// In step with the home.
    Online,
    /// Another process on this profile has the connection, and has done what this one needs; or
    /// was given time for it.
    Shared,
    /// No connection; what could be done without one was done.
    Offline(ConnectionError),
}

impl Synced {
    /// Whether there is a connection, be it another process's.
    pub fn is_online(&self) -> bool {
        matches!(self, Self::Online | Self::Shared)
    }
}

impl Client {
    /// Takes what came in and sends what waits. Without a connection, does what can be done here.
    ///
    /// # Errors
    /// Only when the local database fails or the home refuses this device.
    pub async fn sync(&mut self) -> Result<Synced> {
        if !self.own_connection()? && self.sync_by_owner().await? {
            return Ok(Synced::Shared);
        }
        let result = match self.connect().await {
            Ok(()) => self.work().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.note_offline("")?;
                Ok(Synced::Online)
            }
            Err(Error::Connection(error)) => {
                self.disconnect();
                self.note_offline(&error.to_string())?;
                self.seal()?;
                Ok(Synced::Offline(error))
            }
            Err(error) => {
                self.disconnect();
                if matches!(error, Error::Refused { .. } | Error::NoAccount) {
                    self.note_offline(&error.to_string())?;
                }
                Err(error)
            }
        }
    }

    /// Whether this process may connect: no other one on this profile has a connection.
    pub(crate) fn own_connection(&self) -> Result<bool> {
        Ok(self.online.is_some() || self.profile.own_connection()?)
    }

    /// Asks the process that has the connection to come into step with the home, and waits for
    /// it. False when that process is gone: then this one may connect.
    async fn sync_by_owner(&mut self) -> Result<bool> {
        let asked = self.db.write(|tx| {
            let asked = settings::number(tx, settings::SYNC_ASKED)? + 1;
            settings::set_text(tx, settings::SYNC_ASKED, &asked.to_string())?;
            Ok(asked)
        })?;
        let until = Instant::now() + BY_OWNER;
        while Instant::now() < until {
            sleep(BY_OWNER_POLL).await;
            if self.db.read(|tx| settings::number(tx, settings::SYNC_DONE))? >= asked {
                return Ok(true);
            }
            if self.own_connection()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What other processes have asked for so far; [`Self::answer_sync`] says that it is done.
    pub(crate) fn asked_sync(&mut self) -> Result<Option<u64>> {
        self.db.read(|tx| {
            let asked = settings::number(tx, settings::SYNC_ASKED)?;
            Ok((asked > settings::number(tx, settings::SYNC_DONE)?).then_some(asked))
        })
    }

    /// See [`Self::asked_sync`].
    pub(crate) fn answer_sync(&mut self, asked: u64) -> Result<()> {
        self.db.write(|tx| settings::set_text(tx, settings::SYNC_DONE, &asked.to_string()))
    }

    /// Connects, unless there is a connection, and takes what the home holds for us.
    pub(crate) async fn connect(&mut self) -> Result<()> {
        if self.online.is_some() {
            return self.drain().await;
        }
        // Twice: a home that was rolled back numbers its items anew, from a new hello on.
        for _ in 0..2 {
            let own = self.identity()?;
            let quotes = self.db.read(online::quotes)?;
            let (mut online, node, welcome) = Online::open(&own, quotes, CONNECT).await?;
            let generation = welcome.generation;
            let same = self.db.write(|tx| {
                let mut own = Identity::load(tx, &self.vault)?;
                own.learn_home(tx, &node.name, &node.client)?;
                tx.execute(
                    "UPDATE identity SET max_deadline = ?1 WHERE max_deadline <> ?1",
                    [i64::try_from(welcome.limits.max_deadline).unwrap_or(i64::MAX)],
                )?;
                outbox::retry_soon(tx, clock::now())?;
                take_generation(tx, &own, generation)
            })?;
            if !same {
                continue;
            }
            if !own.registered {
                self.register(&mut online, &own).await?;
            }
            self.online = Some(online);
            self.chores(welcome.one_time_keys).await?;
            return self.drain().await;
        }
        Err(ConnectionError::Protocol("the node changes its generation with every hello".into()))?
    }

    async fn register(&mut self, online: &mut Online, own: &Identity) -> Result<()> {
        let answer: Option<Registered> = online
            .ask("to make the account", |request| {
                Register {
                    request,
                    invite: own.join_code.clone(),
                    handle: own.handle_wanted.clone(),
                    record: own.record.clone(),
                    devices: own.devices.clone(),
                }
                .into()
            })
            .await?;
        let handle = answer.and_then(|registered| registered.handle);
        if let Some(signed) = &handle {
            check_handle(own, signed)?;
        }
        self.db.write(|tx| {
            tx.execute(
                "UPDATE identity SET registered = 1, handle = ?1",
                [handle.as_ref().map(postroad_proto::codec::encode).transpose()?],
            )?;
            Ok(())
        })
    }

    /// Gives what the home needs, seals what can be sealed and sends it, until nothing is left.
    pub(crate) async fn work(&mut self) -> Result<()> {
        let mut told = false;
        for _ in 0..ROUNDS {
            self.register_tokens().await?;
            self.fetch_keys().await?;
            let sealed = self.seal()?;
            let came = self.flush().await?;
            // What the home did not take just now, it does not take in the next round either.
            if sealed == 0 && came == 0 && (told || !self.has_chores()?) {
                break;
            }
            self.chores(u64::MAX).await?;
            told = true;
        }
        Ok(())
    }

    /// The part of the work that needs no connection.
    pub(crate) fn seal(&mut self) -> Result<usize> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            receive::forget_seen(tx, now)?;
            outbox::expire(tx, &own, now)?;
            receipts::queue_due(tx, vault, &own, now)?;
            outbox::seal_waiting(tx, vault, &own, now)
        })
    }

    /// Offers what is due and waits until the home has answered for each. How much mail came in.
    async fn flush(&mut self) -> Result<usize> {
        let mut came = 0;
        loop {
            let Some(online) = self.online.as_mut() else {
                return Err(ConnectionError::Closed.into());
            };
            let in_flight = online.in_flight();
            let room = WINDOW.saturating_sub(in_flight.len());
            let now = clock::now();
            let offers = self.db.read(|tx| outbox::offers(tx, &in_flight, room, now))?;
            online.offer(offers).await?;
            if online.in_flight().is_empty() {
                return Ok(came);
            }
            online.wait().await?;
            came += self.apply().await?;
        }
    }

    /// Takes all that the mailbox holds: a ping is answered behind what the credit let through.
    async fn drain(&mut self) -> Result<()> {
        loop {
            let Some(online) = self.online.as_mut() else {
                return Err(ConnectionError::Closed.into());
            };
            online.ping().await?;
            if self.apply().await? == 0 {
                return Ok(());
            }
        }
    }

    /// Why there is no connection, for `why` and `status`; empty when there is one.
    pub(crate) fn note_offline(&mut self, why: &str) -> Result<()> {
        self.db.write(|tx| {
            if settings::text(tx, settings::OFFLINE)?.unwrap_or_default() != why {
                settings::set_text(tx, settings::OFFLINE, why)?;
            }
            if why.is_empty() {
                let now = i64::try_from(clock::now()).unwrap_or(i64::MAX);
                // Not with every command: each write is a sync of the disk.
                tx.execute(
                    "UPDATE identity SET synced_at = ?1 WHERE synced_at + 10000 < ?1",
                    [now],
                )?;
            }
            Ok(())
        })
    }
}

/// Notes the home's generation; false when it is another one than before: then the numbers of
/// mailbox items begin anew, and all that the home held for us must be given again.
fn take_generation(tx: &Transaction<'_>, own: &Identity, generation: u64) -> Result<bool> {
    if own.generation == generation {
        return Ok(true);
    }
    tx.execute(
        "UPDATE identity SET generation = ?1, cursor = 0, fallback_at = 0",
        params![int(generation)],
    )?;
    tx.execute("UPDATE contact SET token_registered = 0", [])?;
    tx.execute("UPDATE invite SET registered = 0", [])?;
    tx.execute("UPDATE setting SET dirty = 1 WHERE key = ?1", [settings::LOOKUPS])?;
    outbox::reoffer_all(tx)?;
    // The first one that we ever see is not a change.
    Ok(own.generation == 0 && own.cursor == 0)
}

fn check_handle(
    own: &Identity,
    signed: &Signed<postroad_proto::record::HandleRecord>,
) -> Result<()> {
    let handle = signed.open(&own.network)?;
    if handle.account == own.account && handle.node == own.home.node {
        return Ok(());
    }
    Err(Error::untrusted("the handle that the node gave", "it is another account's"))
}

/// Whether a refusal is worth asking again later.
pub(crate) fn is_retriable(error: &Error) -> bool {
    matches!(error, Error::Refused { code, .. } if code.retriable())
}

/// What a refusal says.
pub(crate) fn refusal(error: &Error) -> Option<(ErrorCode, &str, u64)> {
    match error {
        Error::Refused { code, detail, retry_after, .. } => Some((*code, detail, *retry_after)),
        _ => None,
    }
}

/// The generation's frames that are for the log only.
fn unexpected(frame: &Frame, node: &NodeId) {
    tracing::debug!(frame = frame.name(), %node, "an unexpected frame");
}
