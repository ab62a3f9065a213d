//! A profile's key and database in place of others, so that a kill at any moment leaves the old ones
//! or the new ones and never half of each.
//!
//! The order: the new key is written beside the old one; all of the database is written, under that
//! key, beside the old one; the new key takes the old one's place; the new database does. The third
//! step decides. A new key that is still beside the old one says that it was not reached, and all that
//! is new goes; a new database without a new key beside it says that it was, and takes its place.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::key_file::{self, sync_directory_of};
use crate::db::{Db, beside};
use crate::error::StorageError;

/// What a file that is not in its place yet ends with.
const NEW: &str = ".new";
/// What SQLite may leave beside a database.
const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The two files of a profile.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) key: PathBuf,
    pub(crate) database: PathBuf,
}

/// After which step the tests end a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key,
    Database,
    Decided,
    All,
}

impl Files {
    fn new_key(&self) -> PathBuf {
        beside(&self.key, NEW)
    }

    fn new_database(&self) -> PathBuf {
        beside(&self.database, NEW)
    }

    /// Whether a swap was cut off. Only whoever has the profile alone may mend that: for all others
    /// it may be at work.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.new_key().exists() || self.new_database().exists()
    }

    /// Finishes or undoes a swap that was cut off. The caller has the profile alone.
    pub(crate) fn mend(&self) -> Result<(), StorageError> {
        if !self.new_key().exists() {
            return if self.new_database().exists() { self.finish() } else { Ok(()) };
        }
        // The key goes last, since it says that the rest is to go.
        remove(&self.new_database())?;
        for side in SIDES {
            remove(&beside(&self.new_database(), side))?;
        }
        sync(&self.database)?;
        remove(&self.new_key())?;
        sync(&self.key)
    }

    /// Puts a new key file in the old one's place, and the database under `to` in place of `db`. The
    /// caller has the profile alone, and nothing is cut off.
    pub(super) fn swap(
        &self,
        db: Db,
        key: &[u8],
        to: Option<&[u8; 32]>,
        until: Step,
    ) -> Result<(), StorageError> {
        key_file::write(&self.new_key(), key)?;
        if until == Step::Key {
            return Ok(());
        }
        let copied = db.copy_to(&self.new_database(), to);
        drop(db);
        if let Err(error) = copied {
            // The first error says more than one about what is left over.
            let _ = self.mend();
            return Err(error);
        }
        sync(&self.database)?;
        if until == Step::Database {
            return Ok(());
        }
        replace(&self.new_key(), &self.key)?;
        if until == Step::Decided {
            return Ok(());
        }
        self.finish()
    }

    fn finish(&self) -> Result<(), StorageError> {
        // They belong to the old one, which nobody has open.
        for side in SIDES {
            remove(&beside(&self.database, side))?;
        }
        replace(&self.new_database(), &self.database)
    }
}

/// Puts a file in another one's place, and writes zeros over what was there, as far as that works: a
/// disk that writes in place then has it no more.
fn replace(new: &Path, old: &Path) -> Result<(), StorageError> {
    let io = |source| StorageError::io(old, source);
    let before = OpenOptions::new().write(true).open(old);
    fs::rename(new, old).map_err(io)?;
    sync_directory_of(old).map_err(io)?;
    let _ = before.and_then(blank);
    Ok(())
}

fn blank(mut file: File) -> std::io::Result<()> {
    let found = file.metadata()?;
    // Somebody's copy by a hard link is theirs.
    if found.nlink() > 0 {
        return Ok(());
    }
    std::io::copy(&mut std::io::repeat(0).take(found.len()), &mut file)?;
    file.sync_all()
}

fn remove(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StorageError::io(path, error)),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), StorageError> {
    sync_directory_of(path).map_err(|source| StorageError::io(path, source))
}
