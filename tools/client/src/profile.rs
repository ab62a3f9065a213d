//! A profile: a directory that belongs to one account, and the lock by which commands take turns.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::at_rest::{self, Files};
use crate::entropy;
use crate::error::StorageError;

/// How often a lock that another process holds is tried again.
const LOCK_POLL: Duration = Duration::from_millis(20);
/// How long a change of the passphrase may keep others from the profile, and how long one waits for
/// commands that are about to end.
const CHANGE: Duration = Duration::from_secs(60);
const ENDING: Duration = Duration::from_secs(2);

/// Names of the files.
const DATABASE: &str = "pouch.db";
const KEY: &str = "key";
const LOCK: &str = "lock";
const CONNECTION: &str = "connection";
const USE: &str = "use";
const LOCKED: &str = "locked";

/// The directory.
#[derive(Debug)]
pub(crate) struct Profile {
    directory: PathBuf,
    /// Held by the command whose turn it is. Absent when the profile cannot be written.
    lock: Option<File>,
    /// Held by the process that has the connection, as long as it has it.
    connection: Option<File>,
    /// Shared by all processes that have the profile open; one that changes the passphrase has it
    /// alone. Absent when the profile cannot be written.
    in_use: Option<File>,
    /// What was last said of locking when this was opened.
    locked: Vec<u8>,
    /// Files that others than their owner could read until now.
    repaired: Vec<PathBuf>,
}

impl Profile {
    /// Opens the directory, or makes it for its owner alone.
    pub(crate) fn open(directory: &Path) -> Result<Self, StorageError> {
        let profile = Self::make(directory)?;
        profile.share(File::try_lock_shared, CHANGE, StorageError::Busy)?;
        while profile.files().is_cut_off() {
            // Whoever was at it was killed: nobody changes anything while we share it.
            profile.release()?;
            profile.share(File::try_lock, CHANGE, StorageError::Busy)?;
            profile.files().mend()?;
            profile.release()?;
            profile.share(File::try_lock_shared, CHANGE, StorageError::Busy)?;
        }
        profile.checked()
    }

    /// Opens the directory for a change of the passphrase, while nobody else has it open.
    pub(crate) fn open_alone(directory: &Path) -> Result<Self, StorageError> {
        let profile = Self::make(directory)?;
        profile.share(File::try_lock, ENDING, StorageError::InUse)?;
        profile.files().mend()?;
        profile.checked()
    }

    fn make(directory: &Path) -> Result<Self, StorageError> {
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
        let in_use = Some(file(USE)?);
        Ok(Self { lock, connection, in_use, ..Self::read_only(directory) })
    }

    fn checked(mut self) -> Result<Self, StorageError> {
        if self.key().exists() && !self.database().exists() {
            return Err(StorageError::Missing(self.database()));
        }
        self.repair()?;
        Ok(self)
    }

    /// Takes the profile in use, for at most `within`.
    fn share(
        &self,
        take: impl Fn(&File) -> Result<(), TryLockError>,
        within: Duration,
        late: StorageError,
    ) -> Result<(), StorageError> {
        let Some(in_use) = &self.in_use else { return Ok(()) };
        let until = Instant::now() + within;
        loop {
            match take(in_use) {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() > until => return Err(late),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::Error(source)) => {
                    return Err(StorageError::io(&self.directory.join(USE), source));
                }
            }
        }
    }

    fn release(&self) -> Result<(), StorageError> {
        unlock(self.in_use.as_ref(), &self.directory.join(USE))
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
        Self {
            directory: directory.to_owned(),
            lock: None,
            connection: None,
            in_use: None,
            locked: std::fs::read(directory.join(LOCKED)).unwrap_or_default(),
            repaired: Vec::new(),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The files that make up a profile's state.
    pub(crate) fn files(&self) -> Files {
        Files { key: self.key(), database: self.database() }
    }

    /// Tells all who have the profile open that it was locked.
    pub(crate) fn say_locked(&self) -> Result<(), StorageError> {
        // Other bytes each time; what they are means nothing.
        at_rest::write(&self.directory.join(LOCKED), &entropy::bytes::<16>())
    }

    /// Whether the profile was locked since it was opened.
    pub(crate) fn was_locked(&self) -> bool {
        let now = std::fs::read(self.directory.join(LOCKED));
        // A file that is just being written is not yet another one.
        now.is_ok_and(|now| now.len() == 16 && now != self.locked)
    }

    fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    fn key(&self) -> PathBuf {
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
    fn who_changes_the_passphrase_has_the_profile_alone() {
        let directory = tempfile::tempdir().unwrap();
        let one = Profile::open(directory.path()).unwrap();
        let two = Profile::open(directory.path()).unwrap();
        drop(one);
        let refused = Profile::open_alone(directory.path());
        assert!(matches!(refused, Err(StorageError::InUse)), "{refused:?}");
        assert!(!two.was_locked());
        two.say_locked().unwrap();
        assert!(two.was_locked());
        assert!(!Profile::open(directory.path()).unwrap().was_locked(), "that was before");
        drop(two);
        let alone = Profile::open_alone(directory.path()).unwrap();
        let (told, waits) = std::sync::mpsc::sync_channel(1);
        let path = directory.path().to_owned();
        let other = std::thread::spawn(move || {
            Profile::open(&path).unwrap();
            told.send(()).unwrap();
        });
        assert!(waits.recv_timeout(Duration::from_millis(100)).is_err());
        drop(alone);
        waits.recv().unwrap();
        other.join().unwrap();
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
