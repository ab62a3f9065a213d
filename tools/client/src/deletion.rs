//! The end of an account, by its own word: at the home, to contacts, on its devices.
//! `proto/spec/client.md`, `AccountDelete`.

use std::time::Duration;

use postroad_proto::codec;
use postroad_proto::content::{Farewell, kind};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::AccountDelete;
use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::limits::CLOCK_ALLOWANCE_SECONDS;
use postroad_proto::record::Deletion;
use postroad_proto::signed::{Signable, Signed};
use postroad_proto::sync::{Item, OwnDeletion};
use rusqlite::{OptionalExtension, Transaction};

use crate::client::Client;
use crate::clock;
use crate::contacts::{self, Phase};
use crate::devices::{self, Due};
use crate::error::{ConnectionError, Error, Result};
use crate::identity::{self, Identity};
use crate::outbox;
use crate::settings;
use crate::sync::{Synced, Waits, refused};
use crate::vault::Vault;

/// How often the home may hold a later word than ours.
const TRIES: usize = 2;
/// How far this device's clock and the home's may be apart, milliseconds.
const CLOCKS_APART: u64 = 3_600_000;

impl Client {
    /// Has the account deleted by its home after so long, or at once: contacts are told, and once the home
    /// has deleted it, each device that knows of this deletes what it has. Until then everything goes on,
    /// and [`Self::keep_account`] calls it off. When it is to be, as the home counts time.
    ///
    /// # Errors
    /// [`Error::NotRoot`] without the account's key, [`Error::Connection`] when the home is away,
    /// [`Error::Refused`] when it is further ahead than the home takes.
    pub async fn delete_account(&mut self, after: Duration) -> Result<Millis> {
        self.reach_home().await?;
        if after.is_zero() {
            return self.end_now().await;
        }
        let said = self.say_end(|at| at.saturating_add(after.as_secs())).await?;
        self.spread(&said.0)?;
        self.work(Waits::ForOthers).await?;
        Ok(said.1.delete_at.saturating_mul(1000))
    }

    async fn end_now(&mut self) -> Result<Millis> {
        // The home hangs up, and takes nothing more: what is to be told is told before.
        let (statement, _) = self.sign_end(|at| at, 0)?;
        self.spread(&statement)?;
        self.work(Waits::ForHome).await?;
        let (_, said) = self.say_end(|at| at).await?;
        self.disconnect();
        match self.sync().await {
            Err(Error::Deleted) => Ok(said.delete_at.saturating_mul(1000)),
            Err(error) => Err(error),
            Ok(_) => Err(ConnectionError::Protocol("it has the account yet".into()).into()),
        }
    }

    /// The account is not to be deleted after all.
    ///
    /// # Errors
    /// As [`Self::delete_account`].
    pub async fn keep_account(&mut self) -> Result<()> {
        self.reach_home().await?;
        let own = self.identity()?;
        if self.db.read(|tx| Ok(end(tx)?.is_none() && !is_said(tx, &own)?))? {
            return Ok(());
        }
        let (statement, _) = self.say_end(|_| 0).await?;
        self.spread(&statement)?;
        self.work(Waits::ForOthers).await
    }

    async fn reach_home(&mut self) -> Result<()> {
        if !self.identity()?.is_root() {
            return Err(Error::NotRoot);
        }
        self.take_over().await?;
        match self.sync().await? {
            Synced::Online => Ok(()),
            Synced::Shared => Err(ConnectionError::Silent.into()),
            Synced::Offline(error) => Err(error.into()),
        }
    }

    /// Says it to the home, above whatever was said before. It is stored beforehand: the home's answer may be
    /// lost.
    async fn say_end(
        &mut self,
        delete_at: impl Fn(u64) -> u64,
    ) -> Result<(Signed<Deletion>, Deletion)> {
        let before = self.db.read(statement)?;
        let mut above = 0;
        for _ in 0..TRIES {
            let said = self.sign_end(&delete_at, above)?;
            self.db.write(|tx| replace(tx, Some(&said.0)))?;
            match self.put_deletion(&said.0).await {
                Ok(None) => return Ok(said),
                Ok(Some(held)) => above = held.at,
                Err(error @ Error::Refused { .. }) => {
                    self.db.write(|tx| replace(tx, before.as_ref()))?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(ConnectionError::Protocol("it holds one later word after the other".into()).into())
    }

    /// Gives the home a statement; the one that it holds, if that is later.
    async fn put_deletion(&mut self, statement: &Signed<Deletion>) -> Result<Option<Deletion>> {
        let own = self.identity()?;
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let statement = statement.clone();
        let done = online.request(|request| AccountDelete { request, statement }.into()).await?;
        match done.code {
            None => Ok(None),
            Some(ErrorCode::Conflict) => {
                let result = done.result.as_deref().unwrap_or_default();
                let held: Signed<Deletion> = codec::decode(result, Deletion::LIMIT + 128)?;
                let held = held.open(&own.network)?;
                match (held.account, held.node) == (own.account, own.home.node) {
                    true => Ok(Some(held)),
                    false => Err(Error::untrusted("the account's last word", "it is another's")),
                }
            }
            Some(_) => Err(refused("to delete the account", &done)),
        }
    }

    /// A home that was set back has lost what was said last: it is said again.
    pub(crate) async fn say_end_again(&mut self) -> Result<()> {
        let vault = &self.vault;
        let now = clock::now() / 1000;
        let lost = self.db.read(|tx| {
            let own = Identity::load(tx, vault)?;
            let Some(said) = held(tx, &own)? else { return Ok(None) };
            let is_known =
                end(tx)? == Some(said.delete_at.saturating_mul(1000)).filter(|at| *at > 0);
            let is_over = said.delete_at != 0 && said.delete_at <= now;
            Ok(if is_known || is_over { None } else { statement(tx)? })
        })?;
        let Some(lost) = lost else { return Ok(()) };
        match self.put_deletion(&lost).await {
            // A later word is another device's, which tells of it.
            Ok(_) | Err(Error::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn sign_end(
        &mut self,
        delete_at: impl Fn(u64) -> u64,
        above: u64,
    ) -> Result<(Signed<Deletion>, Deletion)> {
        let Some(online) = self.online.as_ref() else { return Err(ConnectionError::Closed.into()) };
        let ahead = online.ahead();
        // A home that is far behind could have it end at once.
        if ahead.unsigned_abs() > CLOCKS_APART {
            let text =
                "this device's clock and the node's are more than an hour apart: set them right";
            return Err(Error::NotNow(text));
        }
        // By the home's clock, which goes by it.
        let now = clock::now().saturating_add_signed(-ahead) / 1000;
        let own = self.identity()?;
        let at = now.max(above.saturating_add(1));
        own.sign_deletion(at, delete_at(at))
    }

    /// Contacts and the other devices are told of what the home has taken.
    fn spread(&mut self, statement: &Signed<Deletion>) -> Result<()> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            store(tx, &own, statement)?;
            devices::note(tx, Due::Deletion, 0, now)?;
            say_farewell(tx, vault, &own, statement, now)
        })
    }

    /// Deletes all that the profile has of an account that has come to its end, if that is so: the home says
    /// that there is none, and the account said that there would be none by now.
    pub(crate) fn end_if_due(&mut self) -> Result<()> {
        let vault = &self.vault;
        let now = clock::now();
        let is_due = self.db.read(|tx| {
            let Some(own) = Identity::find(tx, vault)? else { return Ok(false) };
            let said = held(tx, &own)?.map_or(0, |said| said.delete_at);
            Ok(said != 0 && said <= now / 1000 + CLOCK_ALLOWANCE_SECONDS)
        })?;
        if !is_due {
            return Ok(());
        }
        self.disconnect();
        self.db.empty()?;
        Err(Error::Deleted)
    }
}

fn say_farewell(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    statement: &Signed<Deletion>,
    now: Millis,
) -> Result<()> {
    let content = codec::encode(&Farewell { statement: statement.clone() })?;
    for contact in contacts::all(tx)? {
        if contact.phase == Phase::Ready && !contact.blocked {
            outbox::queue(tx, vault, own, &contact, kind::FAREWELL, &content, now)?;
        }
    }
    Ok(())
}

/// Whether a farewell is the word of the account that sends it.
pub(crate) fn is_of(own: &Identity, sender: &AccountId, content: &[u8]) -> bool {
    let said: Result<Farewell, _> = codec::decode(content, content.len());
    let said = said.ok().and_then(|farewell| farewell.statement.open(&own.network).ok());
    said.is_some_and(|said| said.account == *sender)
}

/// When the sender's account ends, as a farewell that was checked says; none if it does not.
pub(crate) fn ends_at(content: &[u8]) -> Option<Millis> {
    let farewell: Farewell = codec::decode(content, content.len()).ok()?;
    let said: Deletion = codec::decode(&farewell.statement.payload, Deletion::LIMIT).ok()?;
    Some(said.delete_at.saturating_mul(1000)).filter(|at| *at > 0)
}

/// The account's last word, as it is stored.
fn statement(tx: &Transaction<'_>) -> Result<Option<Signed<Deletion>>> {
    let found = tx
        .prepare_cached("SELECT statement FROM deletion")?
        .query_row([], |row| Ok(identity::signed(row, "statement")))
        .optional()?;
    Ok(found.transpose()?.flatten())
}

/// The account's last word to its present home: of another one it says nothing about this.
fn held(tx: &Transaction<'_>, own: &Identity) -> Result<Option<Deletion>> {
    let said = statement(tx)?.map(|signed| signed.open(&own.network)).transpose()?;
    Ok(said.filter(|said| said.node == own.home.node))
}

/// Whether the account has said that it is to be deleted where it is.
pub(crate) fn is_said(tx: &Transaction<'_>, own: &Identity) -> Result<bool> {
    Ok(held(tx, own)?.is_some_and(|said| said.delete_at != 0))
}

fn store(tx: &Transaction<'_>, own: &Identity, statement: &Signed<Deletion>) -> Result<()> {
    let said = statement.open(&own.network)?;
    if said.account != own.account {
        return Err(Error::untrusted("a word about the account's end", "it is another account's"));
    }
    if said.node != own.home.node || held(tx, own)?.is_some_and(|held| held.at > said.at) {
        return Ok(());
    }
    replace(tx, Some(statement))?;
    note_end(tx, Some(said.delete_at).filter(|at| *at != 0))
}

/// Stores a statement, or none.
fn replace(tx: &Transaction<'_>, new: Option<&Signed<Deletion>>) -> Result<()> {
    tx.execute("DELETE FROM deletion", [])?;
    if let Some(new) = new {
        tx.execute("INSERT INTO deletion VALUES (1, ?1)", [codec::encode(new)?])?;
    }
    Ok(())
}

/// The last word, as the other devices are told.
pub(crate) fn item(tx: &Transaction<'_>) -> Result<Option<Item>> {
    let told = statement(tx)?.map(|statement| Item::new(&OwnDeletion { statement }));
    Ok(told.transpose()?)
}

/// Another device has said it.
pub(crate) fn told(tx: &Transaction<'_>, own: &Identity, said: &OwnDeletion) -> Result<()> {
    store(tx, own, &said.statement)
}

/// The home greets this device, and says when it is to delete the account, in seconds, or that it is not to. What
/// was to be by now and is not has come to nothing: nothing is to be deleted here for it some day.
pub(crate) fn greeted(
    tx: &Transaction<'_>,
    own: &Identity,
    delete_at: Option<u64>,
    now: Millis,
) -> Result<()> {
    let is_past = |said: Deletion| {
        said.delete_at != 0 && said.delete_at + CLOCK_ALLOWANCE_SECONDS < now / 1000
    };
    if delete_at.is_none() && held(tx, own)?.is_some_and(is_past) {
        replace(tx, None)?;
    }
    note_end(tx, delete_at)
}

fn note_end(tx: &Transaction<'_>, at: Option<u64>) -> Result<()> {
    let text = at.unwrap_or(0).to_string();
    if settings::number(tx, settings::ENDS_AT)?.to_string() != text {
        settings::set_text(tx, settings::ENDS_AT, &text)?;
    }
    Ok(())
}

/// When the home is going to delete the account.
pub(crate) fn end(tx: &Transaction<'_>) -> Result<Option<Millis>> {
    Ok(Some(settings::number(tx, settings::ENDS_AT)?.saturating_mul(1000)).filter(|at| *at > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::testing;

    fn account(db: &mut Db, vault: &Vault) -> Identity {
        let link = testing::join_link();
        db.write(|tx| Identity::create(tx, vault, &link, None, 1_000_000)).unwrap()
    }

    #[test]
    fn the_accounts_own_later_word_to_this_home_counts() {
        let (mut db, vault) = testing::database();
        let own = account(&mut db, &vault);
        let elsewhere =
            testing::join_link_of(&postroad_proto::SigningKey::from_bytes(&[8; 32]), "b");
        let moved = db.read(|tx| Identity::load(tx, &vault)).unwrap().at(elsewhere.node, 0, 0);
        let mut ends = |statement: &Signed<Deletion>| {
            let stored = db.write(|tx| store(tx, &own, statement));
            (stored.is_ok(), db.read(end).unwrap())
        };
        let said = |at, delete_at| own.sign_deletion(at, delete_at).unwrap().0;
        assert_eq!(ends(&said(1000, 5000)), (true, Some(5_000_000)));
        assert_eq!(ends(&said(900, 0)), (true, Some(5_000_000)), "it was said before");
        let (mut other, other_vault) = testing::database();
        let stranger = account(&mut other, &other_vault);
        let (word, _) = stranger.sign_deletion(2000, 2000).unwrap();
        assert_eq!(ends(&word), (false, Some(5_000_000)));
        let (word, _) = moved.sign_deletion(3000, 3000).unwrap();
        assert_eq!(ends(&word), (true, Some(5_000_000)), "it says nothing to this home");
        assert_eq!(ends(&said(1001, 0)), (true, None));

        let content = |statement| codec::encode(&Farewell { statement }).unwrap();
        let good = content(said(1000, 5000));
        assert!(is_of(&own, &own.account, &good) && ends_at(&good) == Some(5_000_000));
        assert!(!is_of(&own, &stranger.account, &good));
        let mut forged = said(1000, 5000);
        forged.signature[0] ^= 1;
        assert!(!is_of(&own, &own.account, &content(forged)));
        assert!(!is_of(&own, &own.account, b"garbage") && ends_at(b"garbage").is_none());
    }

    #[test]
    fn an_emptied_database_has_nothing_and_is_good_for_another_account() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let vault = Vault::ephemeral();
        let mut db = Db::open(&path, None).unwrap();
        account(&mut db, &vault);
        db.write(|tx| {
            settings::set_text(tx, "secret", "a needle in a haystack")?;
            Ok(())
        })
        .unwrap();
        db.empty().unwrap();
        assert!(db.read(|tx| Identity::find(tx, &vault)).unwrap().is_none());
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"needle"));
        }
        account(&mut db, &vault);
    }
}
