//! Opening a profile, whatever its key lies under.

use std::path::Path;

use super::Client;
use crate::at_rest::{self, Keys, Passphrase};
use crate::db::Db;
use crate::error::{Result, StorageError};
use crate::profile::Profile;
use crate::vault::Vault;

impl Client {
    /// Opens the profile in `directory`, or makes an empty one. One with a passphrase opens while its
    /// keys are held, see [`crate::Lock::open`].
    ///
    /// # Errors
    /// [`Error::Storage`]; [`StorageError::Locked`] when it takes the passphrase.
    pub fn open(directory: &Path) -> Result<Self> {
        Self::open_any(directory, None)
    }

    /// Opens the profile in `directory` with its passphrase, which costs about half a second, unless
    /// its keys are held.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`StorageError::WrongPassphrase`].
    pub fn open_with(directory: &Path, passphrase: &Passphrase) -> Result<Self> {
        Self::open_any(directory, Some(passphrase))
    }

    fn open_any(directory: &Path, passphrase: Option<&Passphrase>) -> Result<Self> {
        let profile = Profile::open(directory)?;
        let files = profile.files();
        let found = at_rest::keys(&files, passphrase);
        let (keys, why) = match found {
            Ok(Some(keys)) => (Some(keys), None),
            Ok(None) => (None, Some(StorageError::Key(files.key.clone()))),
            // A kill between creating and writing it leaves a short file.
            Err(error @ StorageError::Key(_)) => (None, Some(error)),
            Err(error) => return Err(error.into()),
        };
        let opened = Db::open(&files.database, keys.as_ref().and_then(|k| k.database.as_deref()));
        let Some(why) = why else {
            let vault = Vault::new(keys.unwrap_or_else(Keys::plain));
            return Ok(Self::new(profile, opened?, vault, false));
        };
        // A key is made only while there is nothing to lose.
        let mut db = match opened {
            Err(StorageError::Corrupt(_)) => return Err(why.into()),
            opened => opened?,
        };
        let is_empty = db.read(|tx| {
            let sql = "SELECT NOT EXISTS (SELECT 1 FROM identity)";
            Ok(tx.query_row(sql, [], |row| row.get::<_, bool>(0))?)
        })?;
        if !is_empty {
            return Err(why.into());
        }
        let keys = Keys::plain();
        at_rest::write(&files.key, keys.vault.as_slice())?;
        Ok(Self::new(profile, db, Vault::new(keys), false))
    }

    /// Opens the profile in `directory` for reading alone, where nothing can be written: there is
    /// no turn to wait for and no connection then. A passphrase counts as in [`Self::open_with`].
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn open_read_only(directory: &Path, passphrase: Option<&Passphrase>) -> Result<Self> {
        let profile = Profile::read_only(directory);
        let files = profile.files();
        let keys = at_rest::keys(&files, passphrase)?;
        let keys = keys.ok_or_else(|| StorageError::Key(files.key.clone()))?;
        let db = Db::open_read_only(&files.database, keys.database.as_deref())?;
        Ok(Self::new(profile, db, Vault::new(keys), true))
    }

    /// The same profile once more, for another thread: it takes no passphrase.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn another(&self) -> Result<Self> {
        Self::open_with_keys(self.profile.directory(), self.vault.keys())
    }

    pub(crate) fn open_with_keys(directory: &Path, keys: &Keys) -> Result<Self> {
        let profile = Profile::open(directory)?;
        let db = Db::open(&profile.files().database, keys.database.as_deref())?;
        Ok(Self::new(profile, db, Vault::new(keys.clone()), false))
    }

    /// Whether the profile was locked since it was opened. What is held in memory is to be dropped
    /// then, this client with it.
    pub fn was_locked(&self) -> bool {
        self.vault.is_wrapped() && self.profile.was_locked()
    }
}
