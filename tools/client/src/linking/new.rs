//! The new device: shows itself, takes its place in the account, and what the other one has.

use std::time::Duration;

use postroad_proto::error::ErrorCode;
use postroad_proto::ids::Millis;
use postroad_proto::link::DeviceLink;
use postroad_proto::linking::{self, Got, Grant, LinkMessage, Portion, envelope, side};
use postroad_proto::noise::{DirectChannel, DirectInitiator};
use rusqlite::{OptionalExtension, Transaction, params};
use tokio::time::{Instant, sleep};

use super::guest::{Guest, Said};
use super::{LinkEvent, portions};
use crate::client::{Client, Whoami, keep_invite};
use crate::clock;
use crate::connection::wait_after;
use crate::error::{Error, Result};
use crate::identity::{Identity, Newcomer};
use crate::sync::Synced;
use crate::vault::Vault;

/// How long a home may not know a link that was never used: it was started anew, and the other device
/// tells it again.
const UNKNOWN: Duration = Duration::from_secs(15);

/// What this device keeps while it is being linked.
struct Held {
    link: DeviceLink,
    name: String,
    keys: Newcomer,
}

fn held(tx: &Transaction<'_>, vault: &Vault) -> Result<Option<Held>> {
    let found: Option<(Vec<u8>, String, Vec<u8>, String)> = tx
        .query_row("SELECT link, name, secrets, olm FROM newcomer", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((link, name, secrets, olm)) = found else { return Ok(None) };
    let link = String::from_utf8_lossy(&vault.open_sealed(&link)?).parse()?;
    Ok(Some(Held { link, name, keys: Newcomer::load(vault, &secrets, &olm)? }))
}

/// Whether this device is being linked and does not have all yet.
pub(crate) fn is_unfinished(tx: &Transaction<'_>) -> Result<bool> {
    Ok(tx.prepare_cached("SELECT 1 FROM newcomer")?.exists([])?)
}

impl Client {
    /// Joins the account of the device that shows `link`, under a name for its owner, and takes all
    /// that it has. Goes on after breaks; after a failure it may be called again with the same link.
    ///
    /// # Errors
    /// [`Error::AlreadyJoined`], [`Error::LinkRefused`], [`Error::LinkOver`], [`Error::Storage`].
    pub async fn join_device(
        &mut self,
        link: &DeviceLink,
        name: &str,
        mut on: impl FnMut(LinkEvent),
    ) -> Result<Whoami> {
        let held = self.begin_joining(link, name)?;
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            let why = match self.join_once(&held, &mut on, &mut tries).await {
                Ok(()) => break,
                Err(Error::Connection(error)) => error.to_string(),
                Err(Error::Refused { code: ErrorCode::Denied, .. })
                    if self.is_granted()? || begun.elapsed() < UNKNOWN =>
                {
                    "the home does not know the link; the other device may have to be started again"
                        .to_owned()
                }
                Err(Error::Refused { code: ErrorCode::Denied, .. }) => {
                    return Err(Error::LinkOver);
                }
                Err(Error::Refused { code, detail, .. }) if code.retriable() => detail,
                Err(error) => return Err(error),
            };
            on(LinkEvent::Lost(why));
            sleep(wait_after(tries).min(Duration::from_secs(10))).await;
            tries += 1;
        }
        match self.sync().await? {
            Synced::Online | Synced::Shared => self.whoami(),
            Synced::Offline(error) => Err(error.into()),
        }
    }

    fn begin_joining(&mut self, link: &DeviceLink, name: &str) -> Result<Held> {
        let vault = &self.vault;
        self.db.write(|tx| {
            if let Some(held) = held(tx, vault)? {
                let is_same = held.link.secret == link.secret;
                if is_same || Identity::find(tx, vault)?.is_some() {
                    return if is_same { Ok(held) } else { Err(Error::LinkUnfinished) };
                }
            }
            if let Some(own) = Identity::find(tx, vault)? {
                return Err(Error::AlreadyJoined { account: own.account.to_string() });
            }
            let keys = Newcomer::generate();
            let (secrets, olm) = keys.store(vault)?;
            tx.execute(
                "INSERT OR REPLACE INTO newcomer VALUES (1, ?1, ?2, ?3, ?4)",
                params![vault.seal(link.to_string().as_bytes())?, name, secrets, olm],
            )?;
            Ok(Held { link: link.clone(), name: name.to_owned(), keys })
        })
    }

    fn is_granted(&mut self) -> Result<bool> {
        let vault = &self.vault;
        self.db.read(|tx| Ok(Identity::find(tx, vault)?.is_some()))
    }

    async fn join_once(
        &mut self,
        held: &Held,
        on: &mut impl FnMut(LinkEvent),
        tries: &mut u32,
    ) -> Result<()> {
        let secret = &held.link.secret;
        let mut guest = Guest::join(&held.link.home, secret.rendezvous(), side::NEW).await?;
        *tries = 0;
        on(LinkEvent::Waiting);
        let (psk, prologue) = (secret.psk(), linking::prologue(&held.link.home.network));
        let mut beginning: Option<DirectInitiator> = None;
        let mut channel: Option<DirectChannel> = None;
        loop {
            let data = match guest.recv().await? {
                Said::Peer(true) => {
                    let (initiator, first) = DirectInitiator::start(&psk, &prologue)
                        .map_err(crate::error::ConnectionError::from)?;
                    (beginning, channel) = (Some(initiator), None);
                    guest.send([&[envelope::HANDSHAKE], first.as_slice()].concat()).await?;
                    continue;
                }
                Said::Peer(false) => {
                    (beginning, channel) = (None, None);
                    on(LinkEvent::Lost("the other device has gone".to_owned()));
                    continue;
                }
                Said::Data(data) => data,
            };
            let message = match data.split_first() {
                Some((&envelope::HANDSHAKE, second)) => {
                    // Whoever answers otherwise does not have the secret.
                    channel = beginning.take().and_then(|begun| begun.finish(second).ok());
                    if channel.is_some() {
                        let new = LinkMessage::NewDevice(held.keys.introduce(&held.name)?);
                        guest.send(super::sealed(channel.as_mut(), &new)?).await?;
                    }
                    continue;
                }
                Some((&envelope::TRANSPORT, message)) => {
                    let plain = channel.as_mut().and_then(|channel| channel.open(message).ok());
                    plain.and_then(|plain| LinkMessage::decode(&plain).ok().flatten())
                }
                _ => None,
            };
            match message {
                Some(LinkMessage::Grant(grant)) => {
                    self.take_place(&grant)?;
                    on(LinkEvent::Granted { device: grant.device, name: held.name.clone() });
                }
                Some(LinkMessage::Portion(portion)) => {
                    self.take_portion(&portion, clock::now())?;
                    let got = LinkMessage::Got(Got { number: portion.number });
                    guest.send(super::sealed(channel.as_mut(), &got)?).await?;
                    on(LinkEvent::Messages { done: portion.done, all: portion.all });
                    if portion.last {
                        return Ok(());
                    }
                }
                Some(LinkMessage::Refusal(refusal)) => {
                    return Err(Error::LinkRefused(refusal.reason));
                }
                _ => {}
            }
        }
    }

    fn take_place(&mut self, grant: &Grant) -> Result<()> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            if let Some(own) = Identity::find(tx, vault)? {
                // After a break, perhaps with newer records.
                let (record, devices) = (&grant.record, &grant.devices);
                return crate::devices::take_records(tx, &own, record, devices, now).map(drop);
            }
            let held = held(tx, vault)?.ok_or(Error::LinkOver)?;
            held.keys.adopt(tx, vault, grant, now)?;
            match &grant.invite {
                Some(invite) => keep_invite(tx, invite.into_array(), now),
                None => Ok(()),
            }
        })
    }

    fn take_portion(&mut self, portion: &Portion, now: Millis) -> Result<()> {
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            portions::take(tx, vault, &own, portion, now)?;
            if portion.last {
                tx.execute("DELETE FROM newcomer", [])?;
            }
            Ok(())
        })
    }
}
