//! The local database: one SQLite file per profile, in WAL mode, synced in full with every commit.
//! Encrypted as a whole where the profile has a passphrase.
//!
//! All state lives here. An operation is one transaction that reads what it needs and writes all it
//! changes, so that several processes may use a profile and a kill between any two steps leaves a
//! consistent whole.

mod cipher;
mod column;
mod upgrade;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub(crate) use column::{blob, bool_of, int, unsigned};

use self::upgrade::SCHEMA_VERSION;
use crate::error::{Error, Result, StorageError};

/// How long a transaction of another process may hold us up.
const BUSY: Duration = Duration::from_secs(10);

/// Bytes written to see whether there is room.
const PROBE: usize = 64 * 1024;

/// The open database.
pub(crate) struct Db {
    connection: Connection,
    path: PathBuf,
    /// Transactions of this handle that have written.
    writes: u64,
}

impl Db {
    /// Opens or makes the file; one that is encrypted, under its key.
    pub(crate) fn open(path: &Path, key: Option<&[u8; 32]>) -> Result<Self, StorageError> {
        make(path)?;
        let mut db = Connection::open(path)
            .map(|connection| Self { connection, path: path.to_owned(), writes: 0 })
            .map_err(|error| diagnose(path, error.into()))?;
        db.prepare(key).map_err(|error| diagnose(path, error))?;
        Ok(db)
    }

    /// Opens the file for reading alone, where nothing can be written.
    pub(crate) fn open_read_only(
        path: &Path,
        key: Option<&[u8; 32]>,
    ) -> Result<Self, StorageError> {
        let plain = Self::open_with(path, key, OpenFlags::SQLITE_OPEN_READ_ONLY, "");
        // Without a write-ahead log the file is all there is, and needs no file beside it.
        let has_log = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
        match plain {
            Err(_) if !has_log => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                Self::open_with(path, key, flags, "?immutable=1")
            }
            other => other,
        }
    }

    fn open_with(
        path: &Path,
        key: Option<&[u8; 32]>,
        flags: OpenFlags,
        how: &str,
    ) -> Result<Self, StorageError> {
        let named = |error: rusqlite::Error| diagnose(path, error.into());
        let connection = if how.is_empty() {
            Connection::open_with_flags(path, flags)
        } else {
            Connection::open_with_flags(format!("file:{}{how}", percent(path)), flags)
        };
        let connection = connection.map_err(named)?;
        cipher::set_key(&connection, key).map_err(|error| diagnose(path, error))?;
        connection.busy_timeout(BUSY).map_err(named)?;
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
        match version.map_err(named)? {
            SCHEMA_VERSION => Ok(Self { connection, path: path.to_owned(), writes: 0 }),
            // It would have to be made, or brought to this version.
            older if older < SCHEMA_VERSION => Err(StorageError::ReadOnly(path.to_owned())),
            got => Err(StorageError::Newer { got, known: SCHEMA_VERSION }),
        }
    }

    /// One that is gone with its handle.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        let mut db = Self { connection, path: PathBuf::from(":memory:"), writes: 0 };
        db.prepare(None).unwrap();
        db
    }

    fn prepare(&mut self, key: Option<&[u8; 32]>) -> Result<(), StorageError> {
        cipher::set_key(&self.connection, key)?;
        self.connection.busy_timeout(BUSY)?;
        self.connection.pragma_update(None, "journal_mode", "wal")?;
        self.connection.pragma_update(None, "synchronous", "full")?;
        self.connection.pragma_update(None, "foreign_keys", "on")?;
        self.connection.pragma_update(None, "secure_delete", "on")?;
        self.connection.pragma_update(None, "temp_store", "memory")?;
        self.connection.set_prepared_statement_cache_capacity(128);
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if upgrade::upgrade(&tx)? {
            tx.commit()?;
        }
        Ok(())
    }

    /// Runs `work` in one transaction that is durable when this returns, or has not happened.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        self.writes += 1;
        let path = &self.path;
        let run = || -> Result<T> {
            let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        };
        run().map_err(|error| named(path, error))
    }

    /// Takes everything out of it, so that nothing can be read from the file either.
    pub(crate) fn empty(&mut self) -> Result<()> {
        self.write(|tx| {
            tx.pragma_update(None, "defer_foreign_keys", true)?;
            let mut query = tx.prepare(
                "SELECT name FROM pragma_table_list
                 WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'",
            )?;
            let tables = query.query_map([], |row| row.get(0))?;
            for table in tables.collect::<rusqlite::Result<Vec<String>>>()? {
                tx.execute_batch(&format!("DELETE FROM \"{table}\""))?;
            }
            Ok(tx.execute_batch("DELETE FROM sqlite_sequence")?)
        })?;
        let run = || -> Result<()> {
            self.connection.execute_batch("VACUUM")?;
            Ok(self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
        };
        run().map_err(|error| named(&self.path, error))
    }

    /// Runs `work` on one unchanging view.
    pub(crate) fn read<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let path = &self.path;
        let run = || -> Result<T> { work(&self.connection.transaction()?) };
        run().map_err(|error| named(path, error))
    }

    /// Two numbers, of which the first changes when somebody else has written, and the second when
    /// this handle has.
    pub(crate) fn version(&mut self) -> Result<(i64, u64)> {
        let others = self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        Ok((others, self.writes))
    }
}

/// Runs one part of a transaction so that its failure undoes this part only. What the database
/// itself reports still ends the whole.
pub(crate) fn part<T>(
    tx: &Transaction<'_>,
    work: impl FnOnce() -> Result<T>,
) -> Result<Result<T, Error>> {
    tx.execute_batch("SAVEPOINT part")?;
    match work() {
        Err(error @ Error::Storage(_)) => Err(error),
        Err(error) => {
            tx.execute_batch("ROLLBACK TO part; RELEASE part")?;
            Ok(Err(error))
        }
        Ok(value) => {
            tx.execute_batch("RELEASE part")?;
            Ok(Ok(value))
        }
    }
}

/// Puts the file's name into errors that only know that there is one, and finds out whether an I/O
/// error means a full disk or one that cannot be written: SQLite does not always say.
fn diagnose(path: &Path, error: StorageError) -> StorageError {
    match error {
        StorageError::Corrupt(_) => StorageError::Corrupt(path.to_owned()),
        StorageError::ReadOnly(_) => StorageError::ReadOnly(path.to_owned()),
        StorageError::Sqlite(error) if is_io(&error) => match probe(path) {
            Err(source) => match StorageError::io(path, source) {
                known @ (StorageError::Full | StorageError::ReadOnly(_)) => known,
                _ => StorageError::Sqlite(error),
            },
            Ok(()) => StorageError::Sqlite(error),
        },
        other => other,
    }
}

fn is_io(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::ErrorCode;
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen))
}

/// Writes as much as a transaction may need, beside the database, and takes it away again.
fn probe(path: &Path) -> std::io::Result<()> {
    let probe = beside(path, "-probe");
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(&probe);
    let written = file.and_then(|mut file| {
        file.write_all(&[1; PROBE])?;
        file.sync_all()
    });
    let _ = std::fs::remove_file(&probe);
    written
}

/// Makes the file, if it is not there, for its owner alone: SQLite gives its side files the rights of
/// the main one.
fn make(path: &Path) -> Result<(), StorageError> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map(drop).map_err(|source| StorageError::io(path, source))
}

/// A file beside another one.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A path as a URI has it.
fn percent(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => text.push_str(&format!("%{byte:02x}")),
            0x21..=0x7e => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text
}

fn named(path: &Path, error: Error) -> Error {
    match error {
        Error::Storage(error) => Error::Storage(diagnose(path, error)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn count(db: &mut Db) -> i64 {
        db.read(|tx| Ok(tx.query_row("SELECT count(*) FROM problem", [], |row| row.get(0))?))
            .unwrap()
    }

    fn note(tx: &Transaction<'_>) -> Result<()> {
        tx.execute("INSERT INTO problem (at, code, message) VALUES (1, 'x', 'y')", [])?;
        Ok(())
    }

    #[test]
    fn what_was_not_committed_has_not_happened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let mut db = Db::open(&path, None).unwrap();
        db.write(note).unwrap();
        let failed: Result<()> = db.write(|tx| {
            note(tx)?;
            Err(Error::NotJoined)
        });
        assert!(matches!(failed, Err(Error::NotJoined)));
        drop(db);
        let mut db = Db::open(&path, None).unwrap();
        assert_eq!(count(&mut db), 1);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_part_that_fails_undoes_itself_alone() {
        let mut db = Db::in_memory();
        let failed = db.write(|tx| {
            note(tx)?;
            part(tx, || {
                note(tx)?;
                Err::<(), _>(Error::Yourself)
            })
        });
        assert!(matches!(failed, Ok(Err(Error::Yourself))));
        assert_eq!(count(&mut db), 1);
    }

    #[test]
    fn io_errors_are_named_by_their_cause() {
        use std::io;
        let path = Path::new("profile/pouch.db");
        for (kind, is_full) in [
            (io::ErrorKind::StorageFull, true),
            (io::ErrorKind::QuotaExceeded, true),
            (io::ErrorKind::ReadOnlyFilesystem, false),
            (io::ErrorKind::PermissionDenied, false),
        ] {
            let error = StorageError::io(path, kind.into());
            let text = error.to_string();
            match is_full {
                true => assert!(matches!(error, StorageError::Full), "{text}"),
                false => assert!(matches!(error, StorageError::ReadOnly(_)), "{text}"),
            }
        }
        let failed = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        // Where not even the directory is there, nothing can be said but what SQLite said.
        let shm = failed(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        assert!(is_io(&shm) && is_io(&failed(rusqlite::ffi::SQLITE_CANTOPEN)));
        assert!(matches!(diagnose(path, shm.into()), StorageError::Sqlite(_)));
        let full = failed(rusqlite::ffi::SQLITE_FULL);
        assert!(matches!(diagnose(path, full.into()), StorageError::Full));
        let read_only = failed(rusqlite::ffi::SQLITE_READONLY_DBMOVED);
        assert!(matches!(diagnose(path, read_only.into()), StorageError::ReadOnly(p) if p == path));
    }

    #[test]
    fn what_cannot_be_written_can_still_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a?b #c%.db");
        let mut db = Db::open(&path, None).unwrap();
        db.write(note).unwrap();
        drop(db);
        for flags in ["", "?immutable=1"] {
            let open = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            let mut db = Db::open_with(&path, None, open, flags).unwrap();
            assert_eq!(count(&mut db), 1);
            let refused = db.write(note);
            assert!(
                matches!(&refused, Err(Error::Storage(StorageError::ReadOnly(p))) if *p == path),
                "{refused:?}"
            );
        }
        assert_eq!(count(&mut Db::open_read_only(&path, None).unwrap()), 1);
    }

    #[test]
    fn damage_a_newer_version_and_a_full_disk_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        std::fs::write(&path, vec![7; 8192]).unwrap();
        assert!(matches!(Db::open(&path, None), Err(StorageError::Corrupt(p)) if p == path));

        let path = directory.path().join("newer");
        let db = Db::open(&path, None).unwrap();
        db.connection.pragma_update(None, "user_version", 99).unwrap();
        drop(db);
        assert!(matches!(Db::open(&path, None), Err(StorageError::Newer { got: 99, .. })));

        let mut db = Db::open(&directory.path().join("full"), None).unwrap();
        let pages: i64 =
            db.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        db.connection.pragma_update(None, "max_page_count", pages + 1).unwrap();
        let full = db.write(|tx| {
            let long = "z".repeat(100_000);
            tx.execute("INSERT INTO problem (at, code, message) VALUES (1, 'x', ?1)", [long])?;
            Ok(())
        });
        assert!(matches!(full, Err(Error::Storage(StorageError::Full))));
        assert_eq!(count(&mut db), 0);
    }
}
