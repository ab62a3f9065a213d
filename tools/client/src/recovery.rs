//! Bringing an account back with its key alone: from the recovery phrase, or a backup that has it.
//! `proto/spec/recovery.md`.

pub(crate) mod vault;

use std::time::Duration;

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Records, Register, Registered};
use postroad_proto::ids::Millis;
use postroad_proto::limits::{MAX_DEVICES, MAX_FRAME};
use postroad_proto::link::NodeLink;
use postroad_proto::record::{AccountRecord, DeviceList};
use postroad_proto::recovery::{PhraseError, phrase, seed};
use postroad_proto::signed::{Signable, Signed};
use postroad_proto::token::TokenSecret;
use rusqlite::{Transaction, params};
use zeroize::Zeroizing;

use crate::client::{Client, Whoami};
use crate::clock;
use crate::contacts::{self, Phase, tokens};
use crate::devices::entries;
use crate::entropy;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::moving;
use crate::requests;
use crate::settings;
use crate::sync::{As, Online, RECOVER, Synced, refused};
use crate::vault::Vault;

/// How often the home may say that another record is held, before something is wrong: as many devices
/// as an account may have could come back at once.
const TRIES: usize = 2 * MAX_DEVICES;
/// How often on one connection. A home hangs up on who fails a third time.
const TRIES_AT_ONCE: usize = 2;
/// Homes that one restoring is led to.
const MOVES: usize = 4;

/// What becomes of the account's other devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    Keep,
    /// They are cut off, and have no say any more.
    CutOff,
}

/// The account's key as it was read from words.
pub struct AccountKey(Zeroizing<[u8; 32]>);

impl core::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AccountKey(…)")
    }
}

impl AccountKey {
    /// From a recovery phrase.
    ///
    /// # Errors
    /// [`PhraseError`] says which word is wrong, where that can be known.
    pub fn from_phrase(text: &str) -> Result<Self, PhraseError> {
        seed(text).map(Self)
    }

    /// From the key itself.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }
}

impl Client {
    /// The account's recovery phrase: who has it has the account.
    ///
    /// # Errors
    /// [`Error::NotRoot`] on a linked device.
    pub fn phrase(&mut self) -> Result<Zeroizing<String>> {
        let own = self.identity()?;
        own.seed().map(phrase).ok_or(Error::NotRoot)
    }

    /// Whether this is the account's recovery phrase; that is remembered, so that nobody need be asked
    /// again to write it down.
    ///
    /// # Errors
    /// [`Error::NotRoot`], [`Error::Phrase`].
    pub fn test_phrase(&mut self, text: &str) -> Result<bool> {
        let own = self.identity()?;
        let held = own.seed().ok_or(Error::NotRoot)?;
        let fits = *seed(text)? == *held;
        if fits {
            let now = clock::now().to_string();
            self.db.write(|tx| settings::set_text(tx, settings::PHRASE_TESTED, &now))?;
        }
        Ok(fits)
    }

    /// Makes this empty profile a new device of the account that `key` is of, homed where `home` says or
    /// where that leads, under a name for its owner; then takes contacts and settings from the vault
    /// there. May be repeated after any failure. Messages are not kept by nodes.
    ///
    /// # Errors
    /// [`Error::AlreadyJoined`], [`Error::NotThere`] when the node does not know the account,
    /// [`Error::TooManyDevices`], [`Error::Connection`].
    pub async fn restore(
        &mut self,
        key: &AccountKey,
        home: &NodeLink,
        name: &str,
        others: Others,
    ) -> Result<Whoami> {
        self.restore_with(key, home, name, others, None).await
    }

    /// As [`Client::restore`], with what delivery tokens are made from, for a home that has no vault.
    pub(crate) async fn restore_with(
        &mut self,
        key: &AccountKey,
        home: &NodeLink,
        name: &str,
        others: Others,
        tokens: Option<TokenSecret>,
    ) -> Result<Whoami> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            if let Some(own) = Identity::find(tx, vault)? {
                let goes_on = is_unfinished(tx)? && own.seed() == Some(&*key.0);
                return match goes_on {
                    true => Ok(()),
                    false => Err(Error::AlreadyJoined { account: own.account.to_string() }),
                };
            }
            let own = Identity::recover(tx, vault, &key.0, home, now)?;
            if let Some(tokens) = tokens {
                own.set_tokens(tx, vault, tokens)?;
            }
            settings::set_text(tx, settings::RECOVERING, "1")
        })?;
        self.claim(others).await?;
        self.fetch_vault(name).await?;
        match self.sync().await? {
            Synced::Online | Synced::Shared => self.whoami(),
            Synced::Offline(error) => Err(error.into()),
        }
    }

    /// Registers this device by the account's key, above whatever record is held.
    async fn claim(&mut self, others: Others) -> Result<()> {
        let (mut homes, mut tries) = (0, 0);
        while homes < MOVES && tries < TRIES {
            let own = self.identity()?;
            let opened = Online::open(&own, As::Device, Vec::new(), RECOVER).await;
            // Registered already: the answer, or what came after it, was lost.
            let (mut online, node, _) = match opened {
                Err(Error::NoAccount) => {
                    Online::open(&own, As::Stranger, Vec::new(), RECOVER).await?
                }
                opened => opened?,
            };
            let mut own = own;
            self.db.write(|tx| own.learn_home(tx, &node.name, &node.client))?;
            if own.registered {
                self.online = Some(online);
                return Ok(());
            }
            match self.register_above(&mut online, others).await? {
                Claimed::Here => {
                    self.online = Some(online);
                    return Ok(());
                }
                Claimed::Moved(record) => {
                    self.follow(&record)?;
                    homes += 1;
                }
                Claimed::Contended => {
                    tries += TRIES_AT_ONCE;
                    let pause = u64::from(entropy::bytes::<1>()[0]);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
        }
        Err(Error::untrusted("the account's home", "it leads on and on"))
    }

    async fn register_above(&mut self, online: &mut Online, others: Others) -> Result<Claimed> {
        for _ in 0..TRIES_AT_ONCE {
            let own = self.identity()?;
            let done = online
                .request(|request| {
                    Register {
                        request,
                        invite: None,
                        handle: None,
                        record: own.record.clone(),
                        devices: own.devices.clone(),
                        proof: None,
                    }
                    .into()
                })
                .await?;
            let result = done.result.as_deref().unwrap_or_default();
            match done.code {
                None => {
                    let registered: Registered = codec::decode(result, MAX_FRAME)?;
                    self.db.write(|tx| own.is_registered(tx, registered.handle.as_ref()))?;
                    return Ok(Claimed::Here);
                }
                Some(ErrorCode::Conflict) => {
                    let held: Records = codec::decode(result, MAX_FRAME)?;
                    self.sign_above(&held, others)?;
                }
                Some(ErrorCode::Moved) => {
                    let limit = AccountRecord::LIMIT + 128;
                    let record: Signed<AccountRecord> = codec::decode(result, limit)?;
                    return Ok(Claimed::Moved(record));
                }
                Some(
                    ErrorCode::InviteUnknown
                    | ErrorCode::InviteUsed
                    | ErrorCode::InviteExpired
                    | ErrorCode::InviteRevoked
                    | ErrorCode::Denied,
                ) => return Err(Error::NotThere),
                Some(_) => return Err(refused("the account", &done)),
            }
        }
        Ok(Claimed::Contended)
    }

    fn sign_above(&mut self, held: &Records, others: Others) -> Result<()> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            let record = held.record.open(&own.network)?;
            let list: DeviceList = held.devices.open(&own.network)?;
            if record.account != own.account || !record.fits(&held.devices, &list) {
                let why = "they are not the account's, or do not belong together";
                return Err(Error::untrusted("the account's records", why));
            }
            own.sign_above(tx, &held.record, list, others == Others::CutOff, now)
        })
    }

    /// Goes on at the home that the account has by now.
    fn follow(&mut self, moved: &Signed<AccountRecord>) -> Result<()> {
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            let record = moved.open(&own.network)?;
            if record.account != own.account {
                return Err(Error::untrusted("the account's record", "it is another account's"));
            }
            own.set_home(tx, &moving::home_of(&own, &record))
        })
    }

    async fn fetch_vault(&mut self, name: &str) -> Result<()> {
        let found = self.held_vault().await?;
        self.disconnect();
        let now = clock::now();
        let profile = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, profile)?;
            if let Some((version, sealed)) = found {
                vault::open(tx, profile, &own, (version, &sealed), now)?;
            }
            let own = Identity::load(tx, profile)?;
            entries::set(tx, entries::DEVICE, &own.device, name.as_bytes(), now)?;
            tokens::renew_all(tx, now)?;
            tell_contacts(tx, profile, &own, Whom::NotMet, now)?;
            settings::set_text(tx, settings::RECOVERING, "")
        })
    }
}

/// Where a claim led.
enum Claimed {
    Here,
    Moved(Signed<AccountRecord>),
    /// Others register devices of the account at the same time.
    Contended,
}

/// Contacts get this device's card without being written to. All of them, or those that this device has
/// never written to.
pub(crate) fn tell_contacts(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    whom: Whom,
    now: Millis,
) -> Result<()> {
    let sql = "SELECT 1 FROM own_chain WHERE chat = ?1
         UNION SELECT 1 FROM outbox WHERE contact = ?2";
    let mut written = tx.prepare_cached(sql)?;
    for contact in contacts::all(tx)? {
        let is_met = written.exists(params![contact.chat.0, contact.account.0])?;
        let is_meant = whom == Whom::All || !is_met;
        if contact.phase == Phase::Ready && !contact.blocked && is_meant {
            requests::introduce(tx, vault, own, &contact, now)?;
        }
    }
    Ok(())
}

/// Which contacts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    All,
    NotMet,
}

/// When the recovery phrase was last written down and tested, if ever.
pub(crate) fn phrase_tested(tx: &Transaction<'_>) -> Result<Option<Millis>> {
    Ok(Some(settings::number(tx, settings::PHRASE_TESTED)?).filter(|at| *at > 0))
}

/// Whether this profile is being restored and does not have all yet.
pub(crate) fn is_unfinished(tx: &Transaction<'_>) -> Result<bool> {
    Ok(settings::text(tx, settings::RECOVERING)?.is_some_and(|text| !text.is_empty()))
}
