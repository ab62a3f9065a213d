//! Restoring a backup: an identity, if the profile has none, and then what is in it.

use std::io::{Read, Seek};

use postroad_proto::backup::{BackupAccount, BackupHead};
use postroad_proto::ids::{AccountId, DeviceNumber, MessageId, Millis};
use postroad_proto::link::NodeLink;
use postroad_proto::sync::Item;
use postroad_proto::token::TokenSecret;
use rusqlite::{Transaction, params};

use super::{Backup, BackupError};
use crate::client::Client;
use crate::clock;
use crate::db::{Db, int};
use crate::devices;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::recovery::{self, AccountKey, Others, Whom};
use crate::settings;
use crate::vault::Vault;

/// Items that one transaction takes, at most, and bytes from which on it is full.
const ITEMS: usize = 256;
const FULL: usize = 256 * 1024;

/// What came of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Whose it is.
    pub account: AccountId,
    /// This device of it.
    pub device: DeviceNumber,
    /// Contacts in the backup.
    pub contacts: u64,
    /// Messages in the backup.
    pub messages: u64,
    /// Of these, those that were not here before this call.
    pub added: u64,
}

impl Client {
    /// Gives this profile all that is in a backup and not here yet. An empty profile becomes a new device of the
    /// account first, under `name` for its owner, at the home that the backup names.
    /// Nothing is taken of a backup that is not whole. Done again it changes nothing; after a kill, or when
    /// what this gives is dropped, it goes on where it was. `on` hears how many messages were gone through, of
    /// about how many.
    ///
    /// # Errors
    /// [`crate::Error::Backup`], [`crate::Error::Storage`], and for an empty profile those of [`Client::restore`].
    pub async fn restore_backup<R: Read + Seek>(
        &mut self,
        backup: &mut Backup<R>,
        name: &str,
        mut on: impl FnMut(u64, u64),
    ) -> Result<Restored> {
        let summary = backup.verify(|_, _| ())?;
        self.identity_for(backup.account(), name).await?;
        let mut import = Import::begin(&mut self.db, &self.vault, backup, clock::now())?;
        while import.step(&mut self.db, &self.vault, backup, clock::now())? {
            on(backup.messages(), summary.messages);
            // So that an interruption is noticed.
            tokio::task::yield_now().await;
        }
        let vault = &self.vault;
        let own = self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            // Those whom only the backup had learn of this device, too.
            recovery::tell_contacts(tx, vault, &own, Whom::NotMet, clock::now())?;
            Ok(own)
        })?;
        Ok(Restored {
            account: own.account,
            device: own.device,
            contacts: summary.contacts,
            messages: summary.messages,
            added: import.added,
        })
    }

    /// Sees to it that the profile is a device: an empty one becomes a new one of the account, by the account's
    /// key.
    async fn identity_for(&mut self, account: &BackupAccount, name: &str) -> Result<()> {
        let vault = &self.vault;
        let is_device = self
            .db
            .read(|tx| Ok(Identity::find(tx, vault)?.is_some() && !recovery::is_unfinished(tx)?))?;
        if is_device {
            return Ok(());
        }
        let seed = account.seed.as_ref().ok_or(BackupError::NoAccountKey)?;
        let key = AccountKey::from_seed(seed.0);
        let home: NodeLink = account.home.parse().map_err(Error::Link)?;
        let tokens = Some(TokenSecret(account.tokens.0));
        self.restore_with(&key, &home, name, Others::Keep, tokens).await.map(drop)
    }
}

/// The taking of a backup's items, some in each transaction.
pub(crate) struct Import {
    /// Messages that were not here before.
    added: u64,
    /// The last record that was taken in an earlier run.
    taken: u64,
}

impl Import {
    /// Begins, or goes on with a backup that was not taken to its end.
    pub(crate) fn begin<R: Read + Seek>(
        db: &mut Db,
        vault: &Vault,
        backup: &mut Backup<R>,
        now: Millis,
    ) -> Result<Self> {
        backup.rewind()?;
        let (head, account) = (backup.head(), backup.account());
        db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            if (own.account, &own.network) != (head.account, &head.network) {
                let (expected, got) = (own.account.to_string(), head.account.to_string());
                return Err(BackupError::OtherAccount { expected, got }.into());
            }
            take_account(tx, account, now)?;
            let held = settings::text(tx, settings::RESTORING)?.unwrap_or_default();
            let taken = held.split_once(' ').filter(|(id, _)| *id == name(head));
            let taken = taken.and_then(|(_, taken)| taken.parse().ok()).unwrap_or(0);
            Ok(Self { added: 0, taken })
        })
    }

    /// Takes some more. False when that was all.
    pub(crate) fn step<R: Read + Seek>(
        &mut self,
        db: &mut Db,
        vault: &Vault,
        backup: &mut Backup<R>,
        now: Millis,
    ) -> Result<bool> {
        let (items, last) = self.batch(backup)?;
        let marker = last.map(|last| format!("{} {last}", name(backup.head())));
        self.added += db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            let newest: i64 =
                tx.query_row("SELECT ifnull(max(row), 0) FROM message", [], |row| row.get(0))?;
            devices::take_items(tx, vault, &own, &items, now)?;
            settings::set_text(tx, settings::RESTORING, &marker.unwrap_or_default())?;
            let added = "SELECT count(*) FROM message WHERE row > ?1";
            let added: i64 = tx.query_row(added, [newest], |row| row.get(0))?;
            Ok(added.unsigned_abs())
        })?;
        Ok(last.is_some())
    }

    /// The next items, and the record of the last one; none when there are no more behind them.
    fn batch<R: Read + Seek>(&self, backup: &mut Backup<R>) -> Result<(Vec<Item>, Option<u64>)> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while let Some((number, item)) = backup.next()? {
            if number <= self.taken {
                continue;
            }
            bytes += item.body.len();
            items.push(item);
            if items.len() == ITEMS || bytes >= FULL {
                return Ok((items, Some(number)));
            }
        }
        Ok((items, None))
    }
}

/// By what a backup that was begun with is known again.
fn name(head: &BackupHead) -> String {
    MessageId(head.id.into_array()).to_string()
}

/// What only the account has. Numbers of devices are never used twice; links of a profile that has some are
/// newer than those of the backup.
fn take_account(tx: &Transaction<'_>, account: &BackupAccount, now: Millis) -> Result<()> {
    let last = u64::from(account.last_device).max(settings::number(tx, settings::LAST_DEVICE)?);
    settings::set_text(tx, settings::LAST_DEVICE, &last.to_string())?;
    if tx.prepare("SELECT 1 FROM invite")?.exists([])? {
        return Ok(());
    }
    let usable = |expires: u64| expires == 0 || expires > now / 1000;
    for invite in account.invites.iter().filter(|invite| usable(invite.expires)) {
        tx.execute(
            "INSERT OR IGNORE INTO invite (code, uses, expires, created_at, registered)
             VALUES (?1, ?2, ?3, ?4, 1)",
            params![
                invite.code.into_array(),
                int(invite.uses),
                int(invite.expires),
                int(invite.made)
            ],
        )?;
    }
    Ok(())
}
