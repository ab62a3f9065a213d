//! A profile: a directory that belongs to one account, and the lock by which commands take turns.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StorageError;

/// How often a lock that another process holds is tried again.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Names of the files.
const DATABASE: &str = "pouch.db";
const KEY: &str = "key";
const LOCK: &str = "lock";

/// The directory.
#[derive(Debug)]
pub(crate) struct Profile {
    directory: PathBuf,
    lock: File,
}

impl Profile {
    /// Opens the directory, or makes it for its owner alone.
    pub(crate) fn open(directory: &Path) -> Result<Self, StorageError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StorageError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io(directory))?;
        let path = directory.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io(&path))?;
        Ok(Self { directory: directory.to_owned(), lock })
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.join(KEY)
    }

    /// Waits for its turn. `on_wait` is called once when another process has it.
    pub(crate) async fn lock(&self, on_wait: impl FnOnce()) -> Result<(), StorageError> {
        let mut on_wait = Some(on_wait);
        loop {
            match self.lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => {
                    if let Some(on_wait) = on_wait.take() {
                        on_wait();
                    }
                    tokio::time::sleep(LOCK_POLL).await;
                }
                Err(TryLockError::Error(source)) => {
                    return Err(StorageError::Io { path: self.directory.join(LOCK), source });
                }
            }
        }
    }

    /// The next process may have its turn.
    pub(crate) fn unlock(&self) -> Result<(), StorageError> {
        let path = self.directory.join(LOCK);
        self.lock.unlock().map_err(|source| StorageError::Io { path, source })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
}
