//! Following what happens: for `watch`, and for waiting until a message got somewhere.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Client;
use crate::amend;
use crate::devices;
use crate::error::{ConnectionError, Error, Result, StorageError};
use crate::events::{self, Event};
use crate::moving;
use crate::outbox;
use crate::resend;
use crate::settings;
use crate::sync::{Synced, Waits};

/// How often the database is asked whether another process wrote to it.
const POLL: Duration = Duration::from_millis(100);
/// How long the process that has the connection may take to give it up.
const TAKE_OVER: Duration = Duration::from_secs(4);
/// How often an idle connection is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(45);

/// Where following has come to.
#[derive(Default)]
pub(crate) struct Follow {
    /// The database's version when a step had done all that there was to do.
    seen: Option<(i64, u64)>,
    /// When a lost connection is tried again.
    retry_at: Option<Instant>,
    /// When the connection was last heard from.
    heard: Option<Instant>,
    /// Requests for the connection that were there when it was last looked.
    yielded: Option<u64>,
    /// Why the connection was lost.
    why: Option<String>,
}

impl Client {
    /// Waits until something happens, at most for `within`, and deals with it: mail that comes in,
    /// what another process stored for sending, a connection that is lost and tried again. Holds
    /// the profile only while it connects, so that other commands have their turns.
    ///
    /// # Errors
    /// [`crate::Error::Storage`]; [`StorageError::Locked`] once the profile was locked: the connection
    /// is given up, and the client is to be dropped, and its keys with it.
    pub async fn step(&mut self, within: Duration) -> Result<()> {
        if self.was_locked() {
            self.disconnect();
            return Err(StorageError::Locked.into());
        }
        let until = Instant::now() + within;
        if self.online.is_none() {
            return self.reconnect(until).await;
        }
        if self.is_to_yield()? {
            return self.lost(ConnectionError::Yielded.into());
        }
        let heard = *self.follow.heard.get_or_insert_with(Instant::now);
        let is_silent = heard.elapsed() > KEEPALIVE;
        let Some(online) = self.online.as_mut() else { return Ok(()) };
        let wait = POLL.min(until.saturating_duration_since(Instant::now()));
        let came = match timeout(wait, online.idle()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => return self.lost(error),
            Err(_) => false,
        };
        let version = self.db.version()?;
        let is_changed = self.follow.seen.replace(version) != Some(version);
        if !came && !is_changed && !is_silent && !self.is_due()? {
            return Ok(());
        }
        self.follow.heard = Some(Instant::now());
        let asked = self.asked_sync()?;
        if came && !is_changed && asked.is_none() && !is_silent {
            match self.take_signs().await {
                Ok(true) => {
                    self.follow.seen = Some((version.0, self.db.version()?.1));
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => return self.lost(error),
            }
        }
        let worked = match self.take_and_work(came || is_silent, asked.is_some()).await {
            Ok(()) => Ok(()),
            Err(error) => self.lost(error),
        };
        if let (Some(asked), true) = (asked, self.online.is_some()) {
            self.answer_sync(asked)?;
        }
        // What the step wrote itself is no news. What others wrote meanwhile is, and what its caller
        // stores afterwards.
        self.follow.seen = Some((version.0, self.db.version()?.1));
        worked
    }

    async fn take_and_work(&mut self, drain: bool, is_asked: bool) -> Result<()> {
        if drain || is_asked {
            self.connect().await?;
        }
        if is_asked {
            // As if the other command had the connection.
            self.work(Waits::ForOthers).await?;
            return self.locate().await;
        }
        self.work(Waits::ForHome).await
    }

    async fn reconnect(&mut self, until: Instant) -> Result<()> {
        let now = Instant::now();
        if let Some(at) = self.follow.retry_at.filter(|at| *at > now) {
            sleep(POLL.min(at.min(until).saturating_duration_since(now))).await;
            return Ok(());
        }
        if self.is_shared()? {
            // That process does the work; what it did shows in the database.
            self.follow.why = None;
            sleep(POLL.min(until.saturating_duration_since(now))).await;
            return Ok(());
        }
        // Another command on this profile may be connected: it has its turn first.
        let left = until.saturating_duration_since(now);
        match timeout(left, self.profile.lock(|| ())).await {
            Ok(locked) => locked?,
            Err(_) => return Ok(()),
        }
        let synced = self.sync().await;
        self.profile.unlock()?;
        match synced {
            Ok(Synced::Online) => {
                self.connected();
                Ok(())
            }
            Ok(Synced::Shared) => Ok(()),
            Ok(Synced::Offline(error)) => self.lost(error.into()),
            Err(error) => self.lost(error),
        }
    }

    fn connected(&mut self) {
        self.backoff.reset();
        self.follow.retry_at = None;
        self.follow.yielded = None;
        self.follow.why = None;
        self.follow.heard = Some(Instant::now());
    }

    /// Whether another process has asked for the connection since this one has it.
    fn is_to_yield(&mut self) -> Result<bool> {
        let asked = self.db.read(|tx| settings::number(tx, settings::YIELD))?;
        Ok(self.follow.yielded.replace(asked).is_some_and(|before| before != asked))
    }

    /// A lost connection is tried again later, and so is a node that refuses this device: it may
    /// come to its senses. Anything else is the caller's.
    fn lost(&mut self, error: Error) -> Result<()> {
        let has_moved = self.check_home().is_err();
        self.disconnect();
        // Who asked meanwhile asked somebody else.
        self.follow.yielded = None;
        match error {
            Error::Connection(ConnectionError::Moved) if has_moved => Ok(()),
            Error::Connection(_) | Error::Refused { .. } | Error::NoAccount => {
                tracing::debug!(%error, "no connection");
                self.note_offline(&error.to_string())?;
                self.follow.why = Some(error.to_string());
                self.follow.retry_at = Some(Instant::now() + self.backoff.next_wait());
                Ok(())
            }
            other => Err(other),
        }
    }

    /// Whether something that was put off is due.
    fn is_due(&mut self) -> Result<bool> {
        let now = crate::clock::now();
        self.db.read(|tx| {
            let asks = resend::next_at(tx)?.is_some_and(|at| at <= now);
            if asks
                || outbox::is_due(tx, now)?
                || amend::is_due(tx, now)?
                || devices::is_due(tx, now)?
                || moving::is_due(tx, now)?
            {
                return Ok(true);
            }
            Ok(tx.query_row(
                "SELECT EXISTS (SELECT 1 FROM contact JOIN outbox ON contact = account
                            WHERE envelope IS NULL AND contact.next_try BETWEEN 1 AND ?1
                            AND stale < 2)
                 OR EXISTS (SELECT 1 FROM outbox JOIN message ON row = message
                            WHERE deadline <= ?1 / 1000)",
                [i64::try_from(now).unwrap_or(i64::MAX)],
                |row| row.get(0),
            )?)
        })
    }

    /// The number of the newest event.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn newest_event(&mut self) -> Result<i64> {
        self.db.read(events::newest)
    }

    /// Events after the one with number `after`, with their numbers: also those of other processes
    /// on this profile.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn events_since(&mut self, after: i64) -> Result<Vec<(i64, Event)>> {
        self.db.read(|tx| events::since(tx, after))
    }

    /// The number that [`Self::remember_event`] kept last; none yet.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn remembered_event(&mut self) -> Result<Option<i64>> {
        let text = self.db.read(|tx| settings::text(tx, settings::AGENT_EVENT))?;
        Ok(text.and_then(|number| number.parse().ok()))
    }

    /// Keeps the number of the last event that this profile's agent has dealt with, for the next one.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn remember_event(&mut self, number: i64) -> Result<()> {
        self.db.write(|tx| settings::set_text(tx, settings::AGENT_EVENT, &number.to_string()))
    }

    /// The first event after the one with number `after`, with its number. Waits for it as long as
    /// it takes, and does meanwhile what [`Self::step`] does. [`Self::newest_event`] begins with
    /// now; a number that was kept goes on from there, even in another process, as long as its
    /// events are kept: the newest ten thousand.
    ///
    /// # Errors
    /// [`crate::Error::Storage`]. A lost connection is none: it is tried again.
    pub async fn next_event(&mut self, after: i64) -> Result<(i64, Event)> {
        loop {
            if let Some(next) = self.db.read(|tx| events::next(tx, after))? {
                return Ok(next);
            }
            self.step(KEEPALIVE).await?;
        }
    }

    /// Ends the connection, if there is one; another process may connect then.
    pub fn disconnect(&mut self) {
        self.online = None;
        // A lock that cannot be given back ends with the process at the latest.
        if let Err(error) = self.profile.disown_connection() {
            tracing::warn!(%error, "the connection's lock was not given back");
        }
    }

    /// Whether this process goes on trying what was put off.
    pub(crate) fn is_followed(&self) -> bool {
        self.follow.seen.is_some()
    }

    /// Whether this process has a connection now.
    pub fn is_online(&self) -> bool {
        self.online.is_some()
    }

    /// Whether another process on this profile has a connection and does the work.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn is_shared(&self) -> Result<bool> {
        if self.online.is_some() || self.profile.own_connection()? {
            if self.online.is_none() {
                self.profile.disown_connection()?;
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// How long it is until [`Self::step`] tries to connect again, if it waits for that.
    pub fn retries_in(&self) -> Option<Duration> {
        let at = self.follow.retry_at.filter(|_| self.online.is_none())?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Why there is no connection, as [`Self::step`] or [`Self::sync`] found.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn offline_reason(&mut self) -> Result<Option<String>> {
        if let Some(why) = &self.follow.why {
            return Ok(Some(why.clone()));
        }
        let noted = self.db.read(|tx| settings::text(tx, settings::OFFLINE))?;
        let gone = "the process that had the connection gave it up";
        Ok(noted.filter(|why| !why.is_empty()).or_else(|| Some(gone.to_owned())))
    }

    /// Makes sure that this process may connect: one that has the connection gives it up, and
    /// comes back to it later. For what must be asked of the home directly.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub async fn take_over(&mut self) -> Result<()> {
        if self.own_connection()? {
            return Ok(());
        }
        self.db.write(|tx| {
            let asked = settings::number(tx, settings::YIELD)? + 1;
            settings::set_text(tx, settings::YIELD, &asked.to_string())
        })?;
        let until = Instant::now() + TAKE_OVER;
        while Instant::now() < until && !self.own_connection()? {
            sleep(POLL / 4).await;
        }
        Ok(())
    }
}
