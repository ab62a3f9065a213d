//! Coming into step with the home: what it holds for us is taken, what it needs from us is given,
//! what waits is sent.

mod apply;
mod chores;
mod credit;
pub(crate) mod keys;
mod online;
mod ranges;
mod records;
mod signs;

use std::time::Duration;

use postroad_proto::frame::{Frame, Register, Registered, Welcome};
use postroad_proto::ids::{NodeId, ParcelId};
use postroad_proto::limits::FORWARD_SECONDS;
use postroad_proto::receipt::ReceiptRoot;
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::Signed;
use rusqlite::{Transaction, params};
use tokio::time::{Instant, sleep};

#[cfg(test)]
pub(crate) use apply::new_generation;
pub(crate) use apply::take_frames;
pub(crate) use chores::LISTED;
pub(crate) use keys::keep as keep_prekeys;
pub(crate) use online::As;
use online::Awaited;
pub(crate) use online::{Online, refused};
pub(crate) use records::fetch_own_records;

use crate::amend;
use crate::client::Client;
use crate::clock;
use crate::contacts::tokens;
use crate::db::int;
use crate::deletion;
use crate::devices;
use crate::error::{ConnectionError, Error, Result};
use crate::identity::Identity;
use crate::linking;
use crate::outbox;
use crate::quotes;
use crate::receipts;
use crate::receive;
use crate::recovery;
use crate::resend;
use crate::settings;
use crate::waiting;

/// How long a command waits for the process that has the connection, and how often it looks.
const BY_OWNER: Duration = Duration::from_secs(4);
const BY_OWNER_POLL: Duration = Duration::from_millis(20);
/// How long a command waits for a connection, and one that cannot do without.
pub(crate) const CONNECT: Duration = Duration::from_millis(2000);
pub(crate) const RECOVER: Duration = Duration::from_secs(5);
/// Envelopes that are offered before the first is settled.
const WINDOW: usize = 64;
/// Homes that one sync goes after the account to.
const MOVES: usize = 4;
/// Rounds of seal, send and take that one sync makes: each answer may make new work.
const ROUNDS: usize = 6;

/// What a round of work waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The home's answers, and for a while those of nodes that it asks: nobody may be there to take
    /// them later.
    ForOthers,
    /// The home's answers only: this process takes the others when they come.
    ForHome,
}

/// What became of asking the process that has the connection.
enum ByOwner {
    /// It has done what was asked for.
    Done,
    /// It has not answered in time.
    Silent,
    /// It is no more: this process may connect.
    Gone,
}

/// How a sync went.
#[derive(Debug)]
pub enum Synced {
    /// In step with the home.
    Online,
    /// Another process on this profile has the connection, and has done what this one needs.
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
        self.db.read(|tx| match linking::is_unfinished(tx)? {
            true => Err(Error::LinkUnfinished),
            false if recovery::is_unfinished(tx)? => Err(Error::RestoreUnfinished),
            false => Ok(()),
        })?;
        if !self.own_connection()? {
            match self.sync_by_owner().await? {
                ByOwner::Done => return Ok(Synced::Shared),
                ByOwner::Silent => return Ok(Synced::Offline(ConnectionError::Silent)),
                ByOwner::Gone => {}
            }
        }
        let mut result = self.come_into_step().await;
        for _ in 0..MOVES {
            if !matches!(result, Err(Error::Connection(ConnectionError::Moved))) {
                break;
            }
            self.online = None;
            result = self.come_into_step().await;
        }
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

    async fn come_into_step(&mut self) -> Result<()> {
        self.connect().await?;
        self.work(Waits::ForOthers).await?;
        self.locate().await
    }

    /// Whether this process may connect: no other one on this profile has a connection.
    pub(crate) fn own_connection(&self) -> Result<bool> {
        Ok(self.online.is_some() || self.profile.own_connection()?)
    }

    /// Asks the process that has the connection to come into step with the home, and waits for
    /// it.
    async fn sync_by_owner(&mut self) -> Result<ByOwner> {
        let asked = self.db.write(|tx| {
            let asked = settings::number(tx, settings::SYNC_ASKED)? + 1;
            settings::set_text(tx, settings::SYNC_ASKED, &asked.to_string())?;
            Ok(asked)
        })?;
        let until = Instant::now() + BY_OWNER;
        while Instant::now() < until {
            sleep(BY_OWNER_POLL).await;
            if self.db.read(|tx| settings::number(tx, settings::SYNC_DONE))? >= asked {
                return Ok(ByOwner::Done);
            }
            if self.own_connection()? {
                return Ok(ByOwner::Gone);
            }
        }
        Ok(ByOwner::Silent)
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
            let quotes = self.db.read(|tx| quotes::for_hello(tx, &own.home.node))?;
            let opened = match Online::open(&own, As::Device, quotes.clone(), CONNECT).await {
                Err(Error::NoAccount) => {
                    self.end_if_due()?;
                    let (online, welcome) = self.register_again(&own, quotes).await?;
                    return self.begin(online, &welcome).await;
                }
                opened => opened,
            };
            let (mut online, node, welcome) = opened?;
            if !self.greeted(&node, &welcome)? {
                continue;
            }
            if !own.registered {
                self.register(&mut online, &own).await?;
            }
            let is_new = own.registered && own.generation != welcome.generation;
            self.begin(online, &welcome).await?;
            // Of the handle a welcome says nothing.
            return if is_new { self.take_own_records().await } else { Ok(()) };
        }
        Err(ConnectionError::Protocol("the node changes its generation with every hello".into()))?
    }

    /// Learns from a welcome. False when the home is in another generation than it was.
    fn greeted(&mut self, node: &NodeRecord, welcome: &Welcome) -> Result<bool> {
        self.db.write(|tx| {
            let mut own = Identity::load(tx, &self.vault)?;
            own.learn_home(tx, &node.name, &node.client)?;
            tx.execute(
                "UPDATE identity SET max_deadline = ?1 WHERE max_deadline <> ?1",
                [int(welcome.limits.max_deadline)],
            )?;
            outbox::retry_soon(tx, clock::now())?;
            deletion::greeted(tx, &own, welcome.delete_at, welcome.time)?;
            take_generation(tx, &own, welcome.generation)
        })
    }

    /// Gives the home what it needs, and takes what it has.
    async fn begin(&mut self, online: Online, welcome: &Welcome) -> Result<()> {
        self.online = Some(online);
        self.compare_record(welcome.record.as_ref()).await?;
        self.chores(welcome.one_time_keys).await?;
        self.say_end_again().await?;
        self.drain().await
    }

    /// The home does not know this account though it made it: it was set back to before that. The
    /// handle that it signed proves it, once the home knows as well that it was set back; else the
    /// invite may serve again.
    async fn register_again(
        &mut self,
        own: &Identity,
        quotes: Vec<Signed<ReceiptRoot>>,
    ) -> Result<(Online, Welcome)> {
        let (mut online, node, welcome) = Online::open(own, As::Stranger, quotes, CONNECT).await?;
        let is_new = own.generation != 0 && welcome.generation != own.generation;
        // Whoever comes so late may have been moved elsewhere by another device, and be forgotten here.
        let issued = own.record.open(&own.network)?.issued;
        let is_late = issued + FORWARD_SECONDS < clock::now() / 1000;
        let may_again = is_new || own.join_code.is_some() && !is_late;
        // Without either, a node that is open to all would bring back whom its operator has deleted; or
        // whoever has deleted it themselves.
        if !may_again || self.db.read(|tx| deletion::is_said(tx, own))? {
            return Err(Error::NoAccount);
        }
        match self.register(&mut online, own).await {
            Err(Error::Refused { code, .. }) if !code.retriable() => Err(Error::NoAccount),
            Err(error) => Err(error),
            Ok(()) => {
                self.greeted(&node, &welcome)?;
                self.db.write(|tx| give_again(tx, own, welcome.generation))?;
                Ok((online, welcome))
            }
        }
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
                    // In place of an invite, at a node that has lost the account.
                    proof: own.handle.clone(),
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
    pub(crate) async fn work(&mut self, waits: Waits) -> Result<()> {
        let mut told = false;
        self.say_ephemerals().await?;
        for _ in 0..ROUNDS {
            self.register_tokens().await?;
            self.fetch_keys().await?;
            let sealed = self.seal()?;
            let came = self.flush(waits).await?;
            // What the home did not take just now, it does not take in the next round either.
            if sealed == 0 && came == 0 && (told || !self.has_chores()?) {
                break;
            }
            self.chores(u64::MAX).await?;
            told = true;
        }
        // Once all that is to be at the home is there, so that whoever is sent after us finds it.
        self.leave_homes().await
    }

    /// The part of the work that needs no connection.
    pub(crate) fn seal(&mut self) -> Result<usize> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            receive::forget_seen(tx, now)?;
            outbox::expire(tx, &own, now)?;
            amend::vanish(tx, now)?;
            receipts::queue_due(tx, vault, &own, now)?;
            resend::queue_due(tx, vault, &own, now)?;
            receive::retry_later(tx, vault, &own, now)?;
            let sealed = outbox::seal_waiting(tx, vault, &own, now)?;
            // With the places that these have taken just now.
            match devices::queue_due(tx, vault, &own, now)? {
                true => Ok(sealed + outbox::seal_waiting(tx, vault, &own, now)?),
                false => Ok(sealed),
            }
        })
    }

    /// Offers what is due and waits until the home has answered for each. How much came in that may
    /// make new work.
    pub(crate) async fn flush(&mut self, waits: Waits) -> Result<usize> {
        let mut came = 0;
        loop {
            let Some(online) = self.online.as_mut() else {
                return Err(ConnectionError::Closed.into());
            };
            let in_flight = online.in_flight();
            let room = WINDOW.saturating_sub(in_flight.len());
            let now = clock::now();
            let offers = self.db.read(|tx| outbox::offers(tx, &in_flight, room, now))?;
            if outbox::has_new_tokens(&offers) {
                self.db.write(|tx| outbox::note_tokens(tx, &offers))?;
            }
            online.offer(offers).await?;
            match online.awaited() {
                Awaited::Home => online.wait().await?,
                Awaited::Others(until) if waits == Waits::ForOthers => {
                    if !online.wait_until(until).await? {
                        self.note_overdue()?;
                        return Ok(came);
                    }
                    came += self.apply().await?;
                    // What was answered goes out while the others are still waited for.
                    self.fetch_keys().await?;
                    self.seal()?;
                    continue;
                }
                Awaited::Others(_) | Awaited::Nobody => {
                    self.note_overdue()?;
                    return Ok(came);
                }
            }
            came += self.apply().await?;
        }
    }

    /// Asks the home where that waits which it has accepted.
    pub(crate) async fn locate(&mut self) -> Result<()> {
        let asked = self.db.read(waiting::to_locate)?;
        let Some(online) = self.online.as_mut().filter(|_| !asked.is_empty()) else {
            return Ok(());
        };
        let parcels: Vec<ParcelId> = asked.iter().map(|(_, parcel)| *parcel).collect();
        let answers = match online.locate(&parcels).await {
            Ok(answers) => answers,
            // It stays with what was known.
            Err(Error::Refused { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = clock::now();
        if self.db.read(|tx| waiting::is_news(tx, &asked, &answers, now))? {
            self.db.write(|tx| waiting::store(tx, &asked, &answers, now))?;
        }
        // What came meanwhile may be the very receipts.
        self.apply().await.map(drop)
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
    give_again(tx, own, generation)?;
    // The first one that we ever see is not a change.
    Ok(own.generation == 0 && own.cursor == 0)
}

/// The home has lost what we gave it: all of it is given again.
fn give_again(tx: &Transaction<'_>, own: &Identity, generation: u64) -> Result<()> {
    tx.execute(
        "UPDATE identity SET generation = ?1, cursor = 0, fallback_at = 0, tokens_due = 1",
        params![int(generation)],
    )?;
    tx.execute("UPDATE contact SET token_registered = 0", [])?;
    tokens::retire_again(tx, own, clock::now())?;
    tx.execute("UPDATE invite SET registered = 0", [])?;
    tx.execute("UPDATE setting SET dirty = 1 WHERE key = ?1", [settings::LOOKUPS])?;
    // A home that has never had one lacks nothing.
    if own.generation != 0 {
        recovery::vault::note_urgent(tx)?;
    }
    outbox::reoffer_all(tx)?;
    outbox::reoffer_node(tx, &own.home.node)
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

/// The generation's frames that are for the log only.
fn unexpected(frame: &Frame, node: &NodeId) {
    tracing::debug!(frame = frame.name(), %node, "an unexpected frame");
}
