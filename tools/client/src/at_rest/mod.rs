//! A profile at rest: what a thief of the disk can read of it.
//!
//! Without a passphrase that is everything. With one the database is encrypted as a whole, and its
//! key and the vault's are wrapped under the passphrase. Between commands both keys are held by the
//! system, see [`keyring`](self::keyring), until nobody has used them for a while.

mod key_file;
#[cfg_attr(not(target_os = "linux"), path = "no_keyring.rs")]
mod keyring;
mod swap;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use self::key_file::Cost;
use self::swap::Step;
use crate::client::Client;
use crate::db::Db;
use crate::error::{Error, Result, StorageError};
use crate::profile::Profile;
use crate::settings;

pub(crate) use self::key_file::{KeyFile, Keys, Wrapped, write};
pub(crate) use self::swap::Files;

/// How long keys are held while nobody uses them, unless the user says otherwise.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// A passphrase; Debug does not show it.
#[derive(PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Fewest characters of a new one.
    pub const MIN_CHARS: usize = 8;

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it is shorter than a new one may be.
    pub fn is_short(&self) -> bool {
        self.0.chars().count() < Self::MIN_CHARS
    }
}

impl From<Zeroizing<String>> for Passphrase {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl From<&str> for Passphrase {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl core::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// How a profile lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtRest {
    /// Whether it takes a passphrase to read it.
    pub is_protected: bool,
    /// Whether its keys are not held between commands now.
    pub is_locked: bool,
    /// How long keys are held while nobody uses them; zero for as long as the system runs.
    pub idle: Duration,
}

/// The lock of a profile: its passphrase, and whether its keys are held between commands.
#[derive(Debug, Clone)]
pub struct Lock {
    directory: PathBuf,
}

impl Lock {
    /// That of the profile in `directory`.
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Whether this system can hold keys between commands.
    pub fn can_hold() -> bool {
        keyring::is_there()
    }

    /// Whether there is a passphrase.
    ///
    /// # Errors
    /// [`StorageError::Key`] for a damaged key, [`StorageError::Io`].
    pub fn is_set(&self) -> Result<bool> {
        Ok(self.wrapped()?.is_some())
    }

    /// Whether there is a passphrase, and the keys are held now.
    ///
    /// # Errors
    /// As [`Self::is_set`].
    pub fn is_open(&self) -> Result<bool> {
        Ok(self.wrapped()?.is_some_and(|wrapped| keyring::find(&wrapped.name()).is_some()))
    }

    /// Sets, changes or removes the passphrase: from `old` to `new`. All of the database is written
    /// anew, which takes about a second for 50 MiB. A kill at any moment leaves the old passphrase or
    /// the new one. Afterwards the keys are not held.
    ///
    /// # Errors
    /// [`StorageError::InUse`] while another process has the profile open,
    /// [`StorageError::WrongPassphrase`], [`StorageError::Full`].
    pub fn set(&self, old: Option<&Passphrase>, new: Option<&Passphrase>) -> Result<()> {
        self.set_until(old, new.map(|new| (new, Cost::USUAL)), Step::All)
    }

    fn set_until(
        &self,
        old: Option<&Passphrase>,
        new: Option<(&Passphrase, Cost)>,
        until: Step,
    ) -> Result<()> {
        let profile = Profile::open_alone(&self.directory)?;
        let file = KeyFile::read(&profile.files().key)?.ok_or(Error::NotJoined)?;
        let (keys, name) = match (&file, old) {
            (KeyFile::Plain(keys), _) => (keys.clone(), None),
            (KeyFile::Wrapped(wrapped), Some(old)) => (wrapped.unwrap(old)?, Some(wrapped.name())),
            (KeyFile::Wrapped(_), None) => return Err(StorageError::Locked.into()),
        };
        let to = if new.is_some() { keys.with_database() } else { keys.without_database() };
        let file = key_file::encode(&to, new)?;
        let db = Db::open(&profile.files().database, keys.database.as_deref())?;
        profile.files().swap(db, &file, to.database.as_deref(), until)?;
        // Those held until now open nothing any more.
        Ok(name.map_or(Ok(()), |name| keyring::forget(&name))?)
    }

    /// Holds the keys between commands, until nobody has used them for as long as the profile says;
    /// that time is returned. Takes about half a second.
    ///
    /// # Errors
    /// [`StorageError::WrongPassphrase`], [`StorageError::NoKeyring`] where the system holds none,
    /// [`Error::Impossible`] without a passphrase.
    pub fn open(&self, passphrase: &Passphrase) -> Result<Duration> {
        let Some(wrapped) = self.wrapped()? else {
            return Err(Error::Impossible("this profile has no passphrase"));
        };
        let keys = wrapped.unwrap(passphrase)?;
        let idle = Client::open_with_keys(&self.directory, &keys)?.idle()?;
        keyring::hold(&wrapped.name(), &keys, idle)?;
        Ok(idle)
    }

    /// Gives held keys their whole time again, and returns it; none when no keys are held.
    ///
    /// # Errors
    /// As [`Self::is_set`], and those of [`Client::open`].
    pub fn renew(&self) -> Result<Option<Duration>> {
        let Some(wrapped) = self.wrapped()? else { return Ok(None) };
        let Some(keys) = keyring::find(&wrapped.name()) else { return Ok(None) };
        let idle = Client::open_with_keys(&self.directory, &keys)?.idle()?;
        keyring::renew(&wrapped.name(), idle);
        Ok(Some(idle))
    }

    /// Forgets the keys now, and tells whoever has the profile open to do so, too: they notice within
    /// a second.
    ///
    /// # Errors
    /// As [`Self::is_set`]; [`StorageError::NoKeyring`] when the system does not let go of them.
    pub fn close(&self) -> Result<()> {
        if let Some(wrapped) = self.wrapped()? {
            keyring::forget(&wrapped.name())?;
            Profile::read_only(&self.directory).say_locked()?;
        }
        Ok(())
    }

    fn wrapped(&self) -> Result<Option<Wrapped>> {
        match KeyFile::read(&Profile::read_only(&self.directory).files().key)? {
            Some(KeyFile::Wrapped(wrapped)) => Ok(Some(wrapped)),
            _ => Ok(None),
        }
    }
}

/// The keys of a profile that is to be opened, with a passphrase if the caller has one. None where it
/// has none yet.
pub(crate) fn keys(
    files: &Files,
    passphrase: Option<&Passphrase>,
) -> Result<Option<Keys>, StorageError> {
    match KeyFile::read(&files.key)? {
        None => Ok(None),
        Some(KeyFile::Plain(keys)) => Ok(Some(keys)),
        Some(KeyFile::Wrapped(wrapped)) => match (keyring::find(&wrapped.name()), passphrase) {
            (Some(keys), _) => Ok(Some(keys)),
            (None, Some(passphrase)) => wrapped.unwrap(passphrase).map(Some),
            (None, None) => Err(StorageError::Locked),
        },
    }
}

impl Client {
    /// How this profile lies on the disk.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn at_rest(&mut self) -> Result<AtRest> {
        let lock = Lock::of(self.profile.directory());
        let is_protected = lock.is_set()?;
        let is_locked = is_protected && !lock.is_open()?;
        Ok(AtRest { is_protected, is_locked, idle: self.idle()? })
    }

    /// How long keys are held while nobody uses them; zero for as long as the system runs.
    fn idle(&mut self) -> Result<Duration> {
        let text = self.db.read(|tx| settings::text(tx, settings::LOCK_AFTER))?;
        Ok(text.and_then(|text| text.parse().ok()).map_or(IDLE, Duration::from_secs))
    }

    /// Says how long keys are to be held while nobody uses them, in whole seconds; zero for as long as
    /// the system runs. Held ones have that time from now on.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn lock_after(&mut self, idle: Duration) -> Result<()> {
        let seconds = idle.as_secs().to_string();
        self.db.write(|tx| settings::set_text(tx, settings::LOCK_AFTER, &seconds))?;
        self.used()
    }

    /// Keys that are held have their whole time again: somebody has just used them.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn used(&mut self) -> Result<()> {
        if self.vault.is_wrapped()
            && let Some(wrapped) = Lock::of(self.profile.directory()).wrapped()?
        {
            keyring::renew(&wrapped.name(), self.idle()?);
        }
        Ok(())
    }
}
