//! A profile: a directory that belongs to one account, and the lock by which commands take turns.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StorageError;

/// How often a lock that another process holds is tried again.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Names of the files.
const DATABASE: &str = "pouch.db";
const KEY: &str = "key";
const LOCK: &str = "lock";
const CONNECTION: &str = "connection";

/// The directory.
#[derive(Debug)]
pub(crate) struct Profile {
    directory: PathBuf,
    /// Held by the command whose turn it is. Absent when the profile cannot be written.
    lock: Option<File>,
    /// Held by the process that has the connection, as long as it has it.
    connection: Option<File>,
    /// Files that others than their owner could read until now.
    repaired: Vec<PathBuf>,
}

impl Profile {
    /// Opens the directory, or makes it for its owner alone.
    pub(crate) fn open(directory: &Path) -> Result<Self, StorageError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| StorageError::io(directory, source))?;
        let file = |name: &str| {
            let path = directory.join(name);
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            options.open(&path).map_err(|source| StorageError::io(&path, source))
        };
        let (lock, connection) = (Some(file(LOCK)?), Some(file(CONNECTION)?));
        let mut profile = Self { lock, connection, ..Self::read_only(directory) };
        if profile.key().exists() && !profile.database().exists() {
            return Err(StorageError::Missing(profile.database()));
        }
        profile.repair()?;
        Ok(profile)
    }

    /// Key and database are their owner's alone, whatever a backup or a copy made of them.
    fn repair(&mut self) -> Result<(), StorageError> {
        for path in [self.key(), self.database()] {
            let Ok(found) = std::fs::metadata(&path) else { continue };
            if found.permissions().mode() & 0o077 != 0 {
                std::fs::set_permissions(&path, Permissions::from_mode(0o600))
                    .map_err(|source| StorageError::io(&path, source))?;
                self.repaired.push(path);
            }
        }
        Ok(())
    }

    /// Files that others could read until they were repaired just now.
    pub(crate) fn repaired(&self) -> &[PathBuf] {
        &self.repaired
    }

    /// A profile that is only looked at.
    pub(crate) fn read_only(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), lock: None, connection: None, repaired: Vec::new() }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.join(KEY)
    }

    /// Waits for its turn. `on_wait` is called once when another process has it.
    pub(crate) async fn lock(&self, on_wait: impl FnOnce()) -> Result<(), StorageError> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let mut on_wait = Some(on_wait);
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => {
                    if let Some(on_wait) = on_wait.take() {
                        on_wait();
                    }
                    tokio::time::sleep(LOCK_POLL).await;
                }
                Err(TryLockError::Error(source)) => {
                    return Err(StorageError::io(&self.directory.join(LOCK), source));
                }
            }
        }
    }

    /// The next process may have its turn.
    pub(crate) fn unlock(&self) -> Result<(), StorageError> {
        unlock(self.lock.as_ref(), &self.directory.join(LOCK))
    }

    /// Takes the right to connect. False while another process has the connection.
    pub(crate) fn own_connection(&self) -> Result<bool, StorageError> {
        let Some(file) = &self.connection else { return Ok(true) };
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => {
                Err(StorageError::io(&self.directory.join(CONNECTION), source))
            }
        }
    }

    /// Another process may connect.
    pub(crate) fn disown_connection(&self) -> Result<(), StorageError> {
        unlock(self.connection.as_ref(), &self.directory.join(CONNECTION))
    }
}

fn unlock(file: Option<&File>, path: &Path) -> Result<(), StorageError> {
    let Some(file) = file else { return Ok(()) };
    file.unlock().map_err(|source| StorageError::io(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_their_owners_alone_and_a_key_without_its_database_is_no_new_profile() {
        let directory = tempfile::tempdir().unwrap();
        let profile = Profile::open(directory.path()).unwrap();
        std::fs::write(profile.key(), [7; 32]).unwrap();
        assert!(matches!(Profile::open(directory.path()), Err(StorageError::Missing(_))));
        std::fs::write(profile.database(), b"").unwrap();
        std::fs::set_permissions(profile.key(), Permissions::from_mode(0o644)).unwrap();
        std::fs::set_permissions(profile.database(), Permissions::from_mode(0o600)).unwrap();
        let opened = Profile::open(directory.path()).unwrap();
        assert_eq!(opened.repaired(), [profile.key()]);
        let mode = std::fs::metadata(profile.key()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Profile::open(directory.path()).unwrap().repaired().is_empty());
    }

    #[tokio::test]
    async fn turns_are_taken_one_after_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        let (one, two) = (Profile::open(&path).unwrap(), Profile::open(&path).unwrap());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        one.lock(|| panic!("nobody has it")).await.unwrap();
        let mut waited = false;
        tokio::join!(
            async {
                two.lock(|| waited = true).await.unwrap();
            },
            async {
                tokio::task::yield_now().await;
                one.unlock().unwrap();
            }
        );
        assert!(waited);
    }

    #[test]
    fn one_process_at_a_time_has_the_connection() {
        let directory = tempfile::tempdir().unwrap();
        let one = Profile::open(directory.path()).unwrap();
        let two = Profile::open(directory.path()).unwrap();
        assert!(one.own_connection().unwrap());
        assert!(one.own_connection().unwrap(), "again is nothing new");
        assert!(!two.own_connection().unwrap());
        one.disown_connection().unwrap();
        assert!(two.own_connection().unwrap());
        drop(two);
        assert!(one.own_connection().unwrap(), "a process that ended has nothing");
    }
}
