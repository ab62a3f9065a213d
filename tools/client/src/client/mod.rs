//! The client: a profile and, while there is one, its connection.

mod compose;
mod devices;
mod doctor;
mod drafts;
mod follow;
mod handles;
mod invites;
mod mail;
mod open;
mod people;
mod safety;
mod signs;
mod status;

use std::path::PathBuf;

use postroad_proto::link::{ContactLink, JoinLink, NodeLink};
use postroad_proto::record::Handle;
use postroad_proto::token::InviteCode;
use rusqlite::{OptionalExtension, Transaction, params};

pub use compose::Sent;
pub use devices::DeviceView;
pub use doctor::{Check, STEPS, Verdict};
pub(crate) use drafts::set_draft;
pub use invites::InviteView;
#[cfg(test)]
pub(crate) use mail::waiting as waits_for;
pub use mail::{WaitsFor, Why};
pub use people::ContactView;
pub use safety::Safety;
pub(crate) use status::switch;
pub use status::{LastContact, Problem, Recovery, Settings, SettingsChange, Status};

use crate::clock;
use crate::connection::Backoff;
use crate::db::{Db, blob, int};
use crate::entropy;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::profile::Profile;
use crate::sync::{Online, Synced};
use crate::vault::Vault;

/// An account on this machine.
pub struct Client {
    pub(crate) profile: Profile,
    pub(crate) db: Db,
    pub(crate) vault: Vault,
    pub(crate) online: Option<Online>,
    pub(crate) backoff: Backoff,
    pub(crate) follow: follow::Follow,
    is_read_only: bool,
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client")
            .field("profile", &self.profile)
            .field("online", &self.online.is_some())
            .finish_non_exhaustive()
    }
}

/// Who this is.
#[derive(Debug, Clone)]
pub struct Whoami {
    /// The account, and this device of it as `account/number`.
    pub account: postroad_proto::ids::AccountId,
    /// See [`Self::account`].
    pub device: String,
    /// `handle@node`.
    pub handle: Option<String>,
    /// The home.
    pub node: NodeLink,
    /// The contact link that anybody may add until it is revoked.
    pub link: ContactLink,
}

impl Client {
    fn new(profile: Profile, db: Db, vault: Vault, is_read_only: bool) -> Self {
        let (backoff, follow) = (Backoff::default(), follow::Follow::default());
        Self { profile, db, vault, online: None, backoff, follow, is_read_only }
    }

    /// Whether this profile can only be looked at.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Secret files that others could read until they were repaired just now.
    pub fn repaired(&self) -> &[PathBuf] {
        self.profile.repaired()
    }

    /// Waits for this process's turn with the profile. `on_wait` is called once if that takes time.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn lock(&mut self, on_wait: impl FnOnce()) -> Result<()> {
        Ok(self.profile.lock(on_wait).await?)
    }

    /// Lets the next process have its turn.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn unlock(&self) -> Result<()> {
        Ok(self.profile.unlock()?)
    }

    pub(crate) fn identity(&mut self) -> Result<Identity> {
        let vault = &self.vault;
        self.db.read(|tx| Identity::load(tx, vault))
    }

    /// Whether the profile has an account that is registered at its home.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn is_joined(&mut self) -> Result<bool> {
        let vault = &self.vault;
        self.db.read(|tx| Ok(Identity::find(tx, vault)?.is_some_and(|own| own.registered)))
    }

    /// Makes an account and registers it where `link` says. May be repeated after any failure: the
    /// keys are kept from the first attempt, and the node knows a repeat.
    ///
    /// # Errors
    /// [`Error::AlreadyJoined`], [`Error::Refused`], [`Error::Connection`].
    pub async fn join(&mut self, link: &JoinLink, handle: Option<&Handle>) -> Result<Whoami> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            match Identity::find(tx, vault)? {
                Some(own) if own.registered => {
                    return Err(Error::AlreadyJoined { account: own.account.to_string() });
                }
                Some(own) => own.retarget(tx, vault, link, handle, now)?,
                None => Identity::create(tx, vault, link, handle, now)?,
            };
            standing_invite(tx, now)?;
            Ok(())
        })?;
        match self.sync().await? {
            Synced::Online | Synced::Shared => self.whoami(),
            Synced::Offline(error) => Err(error.into()),
        }
    }

    /// Who this is.
    ///
    /// # Errors
    /// [`Error::NotJoined`].
    pub fn whoami(&mut self) -> Result<Whoami> {
        let now = clock::now();
        let own = self.identity()?;
        if !own.registered {
            return Err(Error::NotJoined);
        }
        let code = match self.db.read(held_invite)? {
            Some(code) => code,
            None => self.db.write(|tx| standing_invite(tx, now))?,
        };
        Ok(Whoami {
            account: own.account,
            device: format!("{}/{}", own.account, own.device),
            handle: own.full_handle(),
            node: own.home.clone(),
            link: contact_link(&own, code),
        })
    }
}

/// The link by which others add `own` as a contact.
pub(crate) fn contact_link(own: &Identity, code: InviteCode) -> ContactLink {
    ContactLink {
        account: own.account,
        home: own.home.clone(),
        backups: Vec::new(),
        lookup_key: None,
        code,
        handle: own.full_handle().unwrap_or_default(),
    }
}

/// The invite in the account's own link: for any number of uses, until it is revoked; then there
/// is a new one.
fn standing_invite(tx: &Transaction<'_>, now: u64) -> Result<InviteCode> {
    match held_invite(tx)? {
        Some(code) => Ok(code),
        None => new_invite(tx, 0, 0, now),
    }
}

/// The code of the account's own link.
pub(crate) fn held_invite(tx: &Transaction<'_>) -> Result<Option<InviteCode>> {
    let held: Option<[u8; 16]> = tx
        .query_row(
            "SELECT code FROM invite WHERE uses = 0 AND expires = 0 AND revoked = 0
             ORDER BY created_at LIMIT 1",
            [],
            |row| blob(row, "code"),
        )
        .optional()?;
    Ok(held.map(InviteCode))
}

/// Another device of the account has this code in the account's own link.
pub(crate) fn keep_invite(tx: &Transaction<'_>, code: [u8; 16], now: u64) -> Result<()> {
    tx.execute(
        "INSERT OR IGNORE INTO invite (code, uses, expires, created_at, registered)
         VALUES (?1, 0, 0, ?2, 1)",
        params![code, int(now)],
    )?;
    Ok(())
}

/// Makes an invite; the home learns of it with the next sync.
pub(crate) fn new_invite(
    tx: &Transaction<'_>,
    uses: u64,
    expires: u64,
    now: u64,
) -> Result<InviteCode> {
    let code = InviteCode(entropy::bytes());
    tx.execute(
        "INSERT INTO invite (code, uses, expires, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![code.0, int(uses), int(expires), int(now)],
    )?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::names::Names;
    use crate::state::State;

    fn is_send<T: Send>(future: T) -> T {
        future
    }

    #[tokio::test]
    async fn many_clients_may_run_on_one_runtime() {
        let directory = tempfile::tempdir().unwrap();
        let mut client = Client::open(directory.path()).unwrap();
        is_send(client.lock(|| ())).await.unwrap();
        assert!(matches!(is_send(client.sync()).await, Err(Error::NotJoined)));
        drop(is_send(client.step(Duration::ZERO)));
        drop(is_send(client.wait_for(1, State::Read, Duration::ZERO)));
        drop(is_send(client.add_handle("a@b", None, &Names::default())));
    }

    #[tokio::test]
    async fn one_process_has_the_connection_and_does_the_work_of_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let mut owner = Client::open(directory.path()).unwrap();
        let mut other = Client::open(directory.path()).unwrap();
        assert!(!other.is_shared().unwrap());
        assert!(owner.own_connection().unwrap());
        assert!(other.is_shared().unwrap());
        let (synced, ()) = tokio::join!(other.sync(), async {
            let asked = loop {
                tokio::task::yield_now().await;
                if let Some(asked) = owner.asked_sync().unwrap() {
                    break asked;
                }
            };
            owner.answer_sync(asked).unwrap();
        });
        assert!(matches!(synced, Ok(Synced::Shared)), "{synced:?}");
        // Once it has given the connection up, the next one tries for itself.
        owner.disconnect();
        assert!(matches!(other.sync().await, Err(Error::NotJoined)));
    }

    #[tokio::test]
    async fn a_join_that_finds_nobody_can_be_repeated_with_the_same_keys() {
        let directory = tempfile::tempdir().unwrap();
        let link = crate::testing::join_link();
        let mut accounts = Vec::new();
        for handle in ["alice", "alicia"] {
            let mut client = Client::open(directory.path()).unwrap();
            let handle = handle.parse().unwrap();
            let failed = client.join(&link, Some(&handle)).await;
            assert!(matches!(failed, Err(Error::Connection(_))), "{failed:?}");
            assert!(!client.is_joined().unwrap());
            assert!(matches!(client.whoami(), Err(Error::NotJoined)));
            let own = client.identity().unwrap();
            assert_eq!(own.handle_wanted, Some(handle));
            accounts.push(own.account);
        }
        assert_eq!(accounts[0], accounts[1]);
    }
}
