//! The device that is there already: shows a link, gives the new one its place, hands it what it has.

use std::collections::VecDeque;
use std::time::Duration;

use postroad_proto::error::ErrorCode;
use postroad_proto::ids::{DeviceNumber, Hash, Millis};
use postroad_proto::link::DeviceLink;
use postroad_proto::linking::{
    self, Grant, LinkMessage, LinkSecret, NewDevice, Refusal, envelope, side,
};
use postroad_proto::noise::DirectChannel;
use postroad_proto::sync::Item;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::guest::{Guest, Said};
use super::portions::{self, Cursor};
use super::{LINK_SECONDS, LinkEvent, RESUME_SECONDS};
use crate::client::{Client, held_invite};
use crate::clock;
use crate::connection::wait_after;
use crate::db::{bool_of, int, unsigned};
use crate::devices::entries;
use crate::entropy;
use crate::error::{ConnectionError, Error, Result, StorageError};
use crate::identity::Identity;
use crate::sync::Synced;
use crate::vault::Vault;

/// Portions that are under way.
const WINDOW: u64 = 16;
/// Characters of a device's name.
const MAX_NAME: usize = 64;

/// A link that is shown to another device.
#[derive(Debug, Clone)]
pub struct LinkOffer {
    /// To be read on the other device.
    pub link: DeviceLink,
    /// Until when it can be used; once it was, until when it can be gone on with.
    pub expires_at: Millis,
    /// The device that has begun to use it and does not have all yet.
    pub device: Option<DeviceNumber>,
}

/// The link as stored.
struct Held {
    secret: LinkSecret,
    /// Seconds.
    until: u64,
    opened: bool,
    device: Option<DeviceNumber>,
    noise: Option<Hash>,
    cursor: Cursor,
}

impl Held {
    fn from_row(row: &Row<'_>, vault: &Vault) -> Result<Self> {
        let sealed: Vec<u8> = row.get("secret")?;
        let secret = vault.open_sealed(&sealed)?;
        let secret = secret.as_slice().try_into().map_err(|_| StorageError::Value("link"))?;
        let noise: Option<Vec<u8>> = row.get("noise")?;
        let cursor = Cursor { items: 0, row: row.get("row")?, done: unsigned(row, "done")? };
        Ok(Self {
            secret: LinkSecret(secret),
            until: unsigned(row, "until")?,
            opened: bool_of(row, "opened")?,
            device: row.get("device")?,
            noise: noise.and_then(|noise| Hash::from_slice(&noise)),
            cursor,
        })
    }

    fn offer(&self, own: &Identity) -> LinkOffer {
        LinkOffer {
            link: DeviceLink { home: own.home.clone(), secret: self.secret.clone() },
            expires_at: self.until * 1000,
            device: self.device,
        }
    }
}

fn held(tx: &Transaction<'_>, vault: &Vault) -> Result<Option<Held>> {
    tx.prepare_cached("SELECT * FROM device_link WHERE until > 0")?
        .query_row([], |row| Ok(Held::from_row(row, vault)))
        .optional()?
        .transpose()
}

/// Whether a device has its place already and does not have all yet.
pub(crate) fn is_under_way(tx: &Transaction<'_>, now: Millis) -> Result<bool> {
    let sql = "SELECT 1 FROM device_link WHERE device NOT NULL AND until > ?1";
    Ok(tx.prepare_cached(sql)?.exists([int(now / 1000)])?)
}

/// Another device of ours has written, which none does before it has all: its link is over, though this
/// side may not have been there to hear so.
pub(crate) fn has_written(tx: &Transaction<'_>, device: DeviceNumber) -> Result<()> {
    tx.prepare_cached(
        "UPDATE device_link SET until = 0, opened = 0 WHERE device = ?1 AND until > 0",
    )?
    .execute([device])?;
    Ok(())
}

/// Rendezvous that the home is to be told of: the id, and until when it stands (seconds; 0: over).
pub(crate) fn to_open(tx: &Transaction<'_>, vault: &Vault) -> Result<Option<([u8; 16], u64)>> {
    let found: Option<(Vec<u8>, u64)> = tx
        .prepare_cached("SELECT secret, until FROM device_link WHERE opened = 0")?
        .query_row([], |row| Ok((row.get("secret")?, unsigned(row, "until")?)))
        .optional()?;
    let Some((sealed, until)) = found else { return Ok(None) };
    let secret = vault.open_sealed(&sealed)?;
    let secret = secret.as_slice().try_into().map_err(|_| StorageError::Value("link"))?;
    Ok(Some((LinkSecret(secret).rendezvous(), until)))
}

/// The home was told.
pub(crate) fn is_open(tx: &Transaction<'_>, until: u64) -> Result<()> {
    tx.execute("DELETE FROM device_link WHERE until = 0", [])?;
    tx.execute("UPDATE device_link SET opened = 1 WHERE until = ?1", [int(until)])?;
    Ok(())
}

impl Client {
    /// A link for another device: the one that was shown and is not over, or with `anew` another.
    ///
    /// # Errors
    /// [`Error::NotRoot`], [`Error::TooManyDevices`].
    pub fn offer_link(&mut self, anew: bool) -> Result<LinkOffer> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            if !own.is_root() {
                return Err(Error::NotRoot);
            }
            let held = held(tx, vault)?.filter(|held| held.until > now / 1000 && !anew);
            if let Some(held) = held {
                return Ok(held.offer(&own));
            }
            own.check_room()?;
            let secret: [u8; 32] = entropy::bytes();
            tx.execute(
                "INSERT OR REPLACE INTO device_link (id, secret, until) VALUES (1, ?1, ?2)",
                params![vault.seal(&secret)?, int(now / 1000 + LINK_SECONDS)],
            )?;
            let held = self::held(tx, vault)?.ok_or(StorageError::Value("link"))?;
            Ok(held.offer(&own))
        })
    }

    /// Waits for a device that has the link of [`Self::offer_link`], gives it its place in the
    /// account and hands it all that this device has. Goes on after breaks until that is done, or the
    /// link is over; called again, also in another process, it goes on where it was.
    ///
    /// # Errors
    /// [`Error::LinkOver`], [`Error::TooManyDevices`], [`Error::Storage`].
    pub async fn serve_link(&mut self, mut on: impl FnMut(LinkEvent)) -> Result<DeviceNumber> {
        let mut tries = 0;
        loop {
            let why = match self.serve_once(&mut on, &mut tries).await {
                Err(Error::Connection(error)) => error.to_string(),
                // A home that was started anew has forgotten it.
                Err(Error::Refused { code: ErrorCode::Denied, .. }) => {
                    let sql = "UPDATE device_link SET opened = 0";
                    self.db.write(|tx| Ok(tx.execute(sql, [])?))?;
                    "the home has to be told of the link again".to_owned()
                }
                Err(Error::Refused { code, detail, .. }) if code.retriable() => detail,
                other => return other,
            };
            on(LinkEvent::Lost(why));
            tokio::time::sleep(wait_after(tries).min(Duration::from_secs(10))).await;
            tries += 1;
        }
    }

    async fn serve_once(
        &mut self,
        on: &mut impl FnMut(LinkEvent),
        tries: &mut u32,
    ) -> Result<DeviceNumber> {
        let (own, held) = self.current_link()?;
        if !held.opened {
            self.tell_home().await?;
        }
        let mut guest = Guest::join(&own.home, held.secret.rendezvous(), side::OLD).await?;
        *tries = 0;
        on(LinkEvent::Waiting);
        let mut talk = Talk::new(held.secret.psk(), linking::prologue(&own.network));
        loop {
            let data = match guest.recv().await? {
                Said::Peer(here) => {
                    talk.end();
                    if !here {
                        on(LinkEvent::Lost("the other device has gone".to_owned()));
                    }
                    continue;
                }
                Said::Data(data) => data,
            };
            let said = match talk.hears(&data) {
                Heard::Answer(answer) => {
                    guest.send(answer).await?;
                    continue;
                }
                Heard::Message(message) => message,
                Heard::Nothing => continue,
            };
            match said {
                LinkMessage::NewDevice(new) => match self.admit(&new).await? {
                    Ok(grant) => {
                        let device = grant.device;
                        guest.send(talk.say(&LinkMessage::Grant(Box::new(grant)))?).await?;
                        on(LinkEvent::Granted { device, name: new.name.clone() });
                        talk.begin(device, self.opening()?, self.current_link()?.1.cursor);
                    }
                    Err(reason) => {
                        let refusal = LinkMessage::Refusal(Refusal { reason: reason.clone() });
                        guest.send(talk.say(&refusal)?).await?;
                        on(LinkEvent::Lost(reason));
                    }
                },
                LinkMessage::Got(got) => {
                    if let Some((device, cursor, last)) = talk.got(got.number) {
                        self.has(cursor)?;
                        on(LinkEvent::Messages { done: cursor.done, all: talk.all });
                        if last {
                            self.end_link()?;
                            // The home forgets it by itself, should it not hear this.
                            let _ = self.tell_home().await;
                            return Ok(device);
                        }
                    }
                }
                _ => {}
            }
            while let Some(data) = self.next_portion(&mut talk)? {
                guest.send(data).await?;
            }
        }
    }

    fn current_link(&mut self) -> Result<(Identity, Held)> {
        let now = clock::now() / 1000;
        let vault = &self.vault;
        self.db.read(|tx| {
            let held = held(tx, vault)?.filter(|held| held.until > now).ok_or(Error::LinkOver)?;
            Ok((Identity::load(tx, vault)?, held))
        })
    }

    /// Brings what the home is to know to it: the link, and the records.
    async fn tell_home(&mut self) -> Result<()> {
        // Other commands have their turns while this one waits for the other device.
        self.profile.lock(|| ()).await?;
        let synced = self.sync().await;
        self.disconnect();
        self.profile.unlock()?;
        if let Synced::Offline(error) = synced? {
            return Err(error.into());
        }
        let is_told = self.db.read(|tx| {
            let sql = "SELECT record_dirty = 0
                 AND NOT EXISTS (SELECT 1 FROM device_link WHERE opened = 0) FROM identity";
            Ok(tx.query_row(sql, [], |row| row.get::<_, bool>(0))?)
        })?;
        match is_told {
            true => Ok(()),
            false => Err(ConnectionError::Protocol("the home did not take it".to_owned()).into()),
        }
    }

    /// Gives a device its place, unless the link is another's. Why not, for people.
    async fn admit(&mut self, new: &NewDevice) -> Result<Result<Grant, String>> {
        let now = clock::now();
        let vault = &self.vault;
        let admitted = self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            let held = held(tx, vault)?.ok_or(Error::LinkOver)?;
            match (held.device, held.noise) {
                (Some(_), Some(noise)) if noise == new.noise => return Ok(Ok(())),
                (Some(_), _) => return Ok(Err("another device has used the link".to_owned())),
                (None, _) => {}
            }
            let number = match own.admit(tx, new, now) {
                Ok(number) => number,
                Err(error @ (Error::TooManyDevices | Error::Untrusted { .. })) => {
                    return Ok(Err(error.to_string()));
                }
                Err(error) => return Err(error),
            };
            let name: String =
                new.name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
            entries::set(tx, entries::DEVICE, &number, name.as_bytes(), now)?;
            tx.execute(
                "UPDATE device_link SET device = ?1, noise = ?2, until = ?3, opened = 0",
                params![number, new.noise.0, int(now / 1000 + RESUME_SECONDS)],
            )?;
            Ok(Ok(()))
        })?;
        if let Err(reason) = admitted {
            return Ok(Err(reason));
        }
        self.tell_home().await?;
        let vault = &self.vault;
        self.db.read(|tx| {
            let own = Identity::load(tx, vault)?;
            let held = held(tx, vault)?.ok_or(Error::LinkOver)?;
            let device = held.device.ok_or(Error::LinkOver)?;
            if own.device_list()?.device(device).is_none() {
                return Ok(Err("the device was revoked".to_owned()));
            }
            let invite = held_invite(tx)?.map(|code| code.0);
            Ok(Ok(own.grant(device, invite, now)?))
        })
    }

    fn opening(&mut self) -> Result<Vec<Item>> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| portions::opening(tx, &Identity::load(tx, vault)?, now))
    }

    fn next_portion(&mut self, talk: &mut Talk) -> Result<Option<Vec<u8>>> {
        let Some(serving) = talk.serving.as_mut().filter(|serving| serving.has_room()) else {
            return Ok(None);
        };
        let number = serving.number + 1;
        let (portion, cursor) =
            self.db.read(|tx| portions::next(tx, &serving.opening, serving.cursor, number))?;
        serving.sent(cursor, portion.last);
        talk.all = portion.all;
        talk.say(&LinkMessage::Portion(portion)).map(Some)
    }

    /// The new device has all up to here.
    fn has(&mut self, cursor: Cursor) -> Result<()> {
        self.db.write(|tx| {
            let sql = "UPDATE device_link SET row = ?1, done = ?2";
            tx.execute(sql, params![cursor.row, int(cursor.done)])?;
            Ok(())
        })
    }

    fn end_link(&mut self) -> Result<()> {
        let sql = "UPDATE device_link SET until = 0, opened = 0";
        self.db.write(|tx| Ok(tx.execute(sql, []).map(drop)?))
    }
}

/// What the old device says and hears on one connection.
struct Talk {
    psk: [u8; 32],
    prologue: Vec<u8>,
    channel: Option<DirectChannel>,
    serving: Option<Serving>,
    /// Messages that there are, about.
    all: u64,
}

/// Portions under way.
struct Serving {
    device: DeviceNumber,
    opening: Vec<Item>,
    /// Where the last one ends.
    cursor: Cursor,
    number: u64,
    is_over: bool,
    /// Numbers that are not stored yet, with where they end and whether that is all.
    under_way: VecDeque<(u64, Cursor, bool)>,
}

impl Serving {
    fn has_room(&self) -> bool {
        !self.is_over && (self.under_way.len() as u64) < WINDOW
    }

    fn sent(&mut self, cursor: Cursor, last: bool) {
        self.number += 1;
        self.cursor = cursor;
        self.is_over = last;
        self.under_way.push_back((self.number, cursor, last));
    }
}

enum Heard {
    Answer(Vec<u8>),
    Message(LinkMessage),
    Nothing,
}

impl Talk {
    fn new(psk: [u8; 32], prologue: Vec<u8>) -> Self {
        Self { psk, prologue, channel: None, serving: None, all: 0 }
    }

    fn end(&mut self) {
        self.channel = None;
        self.serving = None;
    }

    /// Who does not have the secret is not heard.
    fn hears(&mut self, data: &[u8]) -> Heard {
        match data.split_first() {
            Some((&envelope::HANDSHAKE, first)) => {
                self.end();
                match DirectChannel::answer(&self.psk, &self.prologue, first) {
                    Ok((channel, second)) => {
                        self.channel = Some(channel);
                        Heard::Answer([&[envelope::HANDSHAKE], second.as_slice()].concat())
                    }
                    Err(_) => Heard::Nothing,
                }
            }
            Some((&envelope::TRANSPORT, message)) => {
                let opened = self.channel.as_mut().and_then(|c| c.open(message).ok());
                let message = opened.and_then(|plain| LinkMessage::decode(&plain).ok().flatten());
                message.map_or(Heard::Nothing, Heard::Message)
            }
            _ => Heard::Nothing,
        }
    }

    fn say(&mut self, message: &LinkMessage) -> Result<Vec<u8>> {
        super::sealed(self.channel.as_mut(), message)
    }

    fn begin(&mut self, device: DeviceNumber, opening: Vec<Item>, cursor: Cursor) {
        let under_way = VecDeque::new();
        let serving = Serving { device, opening, cursor, number: 0, is_over: false, under_way };
        self.serving = Some(serving);
    }

    /// All portions up to a number are stored: where that is, and whether it is the end.
    fn got(&mut self, number: u64) -> Option<(DeviceNumber, Cursor, bool)> {
        let serving = self.serving.as_mut()?;
        let mut reached = None;
        while let Some((under_way, cursor, last)) = serving.under_way.front().copied()
            && under_way <= number
        {
            serving.under_way.pop_front();
            reached = Some((serving.device, cursor, last));
        }
        reached
    }
}
