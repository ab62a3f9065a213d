//! Following what happens: for `watch`, and for waiting until a message got somewhere.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Client;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::sync::Synced;

/// How often the database is asked whether another process wrote to it.
const POLL: Duration = Duration::from_millis(250);
/// How often an idle connection is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(45);

/// Where following has come to.
#[derive(Default)]
pub(crate) struct Follow {
    /// The database's data version when it was last looked at.
    seen: Option<i64>,
    /// When a lost connection is tried again.
    retry_at: Option<Instant>,
    /// When the connection was last heard from.
    heard: Option<Instant>,
}

impl Client {
    /// Waits until something happens, at most for `within`, and deals with it: mail that comes in,
    /// what another process stored for sending, a connection that is lost and tried again. Holds
    /// the profile only while it connects, so that other commands have their turns.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub async fn step(&mut self, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        if self.online.is_none() {
            return self.reconnect(until).await;
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
        let version = self.db.data_version()?;
        let is_changed = self.follow.seen.replace(version) != Some(version);
        if !came && !is_changed && !is_silent && !self.is_due()? {
            return Ok(());
        }
        self.follow.heard = Some(Instant::now());
        let worked = match self.take_and_work(came || is_silent).await {
            Ok(()) => Ok(()),
            Err(error) => self.lost(error),
        };
        // What we wrote ourselves is no news.
        self.follow.seen = Some(self.db.data_version()?);
        worked
    }

    async fn take_and_work(&mut self, drain: bool) -> Result<()> {
        if drain {
            self.connect().await?;
        }
        self.work().await
    }

    async fn reconnect(&mut self, until: Instant) -> Result<()> {
        let now = Instant::now();
        if let Some(at) = self.follow.retry_at.filter(|at| *at > now) {
            sleep(POLL.min(at.min(until).saturating_duration_since(now))).await;
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
                self.backoff.reset();
                self.follow.retry_at = None;
                self.follow.heard = Some(Instant::now());
                Ok(())
            }
            Ok(Synced::Offline(error)) => self.lost(error.into()),
            Err(error) => self.lost(error),
        }
    }

    /// A lost connection is tried again later, and so is a node that refuses this device: it may
    /// come to its senses. Anything else is the caller's.
    fn lost(&mut self, error: Error) -> Result<()> {
        self.online = None;
        match error {
            Error::Connection(_) | Error::Refused { .. } => {
                tracing::debug!(%error, "no connection");
                self.follow.retry_at = Some(Instant::now() + self.backoff.next_wait());
                Ok(())
            }
            other => Err(other),
        }
    }

    /// Whether something that was put off is due.
    fn is_due(&mut self) -> Result<bool> {
        let now = crate::clock::now();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.db.read(|tx| {
            Ok(tx.query_row(
                "SELECT EXISTS (SELECT 1 FROM outbox WHERE offer = 1 AND next_try <= ?1)
                 OR EXISTS (SELECT 1 FROM contact JOIN outbox ON contact = account
                            WHERE envelope IS NULL AND contact.next_try BETWEEN 1 AND ?1)
                 OR EXISTS (SELECT 1 FROM outbox JOIN message ON row = message
                            WHERE deadline <= ?1 / 1000)",
                [now],
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

    /// Ends the connection, if there is one.
    pub fn disconnect(&mut self) {
        self.online = None;
    }

    /// Whether there is a connection now.
    pub fn is_online(&self) -> bool {
        self.online.is_some()
    }
}
