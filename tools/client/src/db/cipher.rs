//! The database encrypted as a whole, by SQLCipher: each page under a key of its own, with a code that
//! shows damage.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::{Db, diagnose, make};
use crate::error::StorageError;

/// What is to come first on a connection. Without a key the file is plain.
pub(super) fn set_key(connection: &Connection, key: Option<&[u8; 32]>) -> Result<(), StorageError> {
    if let Some(key) = key {
        // Its errors come as errors; standard error is the caller's.
        connection.query_row("PRAGMA cipher_log_level = NONE", [], |_| Ok(())).optional()?;
        connection.pragma_update(None, "key", raw(key).as_str())?;
    }
    Ok(())
}

/// A key as SQLCipher takes one that needs no stretching.
fn raw(key: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * key.len() + 3));
    text.push_str("x'");
    for byte in key {
        // Writing to a string does not fail, and there is room for all of it.
        let _ = write!(*text, "{byte:02x}");
    }
    text.push('\'');
    text
}

impl Db {
    /// Writes all of it to a new file, under another key or plain, and does not return before that is on
    /// the disk.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when another process has this one open.
    pub(crate) fn copy_to(
        &self,
        target: &Path,
        key: Option<&[u8; 32]>,
    ) -> Result<(), StorageError> {
        self.gather()?;
        make(target)?;
        self.export(target, key).map_err(|error| diagnose(target, error.into()))?;
        let synced = std::fs::File::open(target).and_then(|file| file.sync_all());
        synced.map_err(|source| StorageError::io(target, source))?;
        // What cannot be opened must not take the place of what can.
        Self::open_read_only(target, key).map(drop)
    }

    /// Brings all into the one file. SQLite does that for whoever has the database alone.
    fn gather(&self) -> Result<(), StorageError> {
        self.connection.busy_timeout(std::time::Duration::ZERO)?;
        let sql = "PRAGMA journal_mode = delete";
        match self.connection.query_row(sql, [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "delete" => Ok(()),
            Ok(_) => Err(StorageError::InUse),
            Err(error) => match StorageError::from(error) {
                StorageError::Busy => Err(StorageError::InUse),
                other => Err(diagnose(&self.path, other)),
            },
        }
    }

    fn export(&self, target: &Path, key: Option<&[u8; 32]>) -> rusqlite::Result<()> {
        // As bytes: a path need not be text.
        let path = target.as_os_str().as_bytes();
        let key = key.map(raw);
        let key = key.as_ref().map_or("", |key| key.as_str());
        self.connection.execute("ATTACH DATABASE ?1 AS copy KEY ?2", params![path, key])?;
        // Rows come table by table, not in the order in which they refer to each other.
        self.connection.pragma_update(None, "foreign_keys", "off")?;
        self.connection.query_row("SELECT sqlcipher_export('copy')", [], |_| Ok(()))?;
        let version: i64 = self.connection.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        self.connection.pragma_update(Some("copy"), "user_version", version)?;
        self.connection.execute_batch("DETACH DATABASE copy")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = "what nobody else is to read";
    const KEY: [u8; 32] = [7; 32];

    fn filled(path: &Path) -> Db {
        let mut db = Db::open(path, None).unwrap();
        db.write(|tx| {
            tx.execute_batch(&format!(
                "INSERT INTO contact (account, chat, name, phase, home, created_at)
                     VALUES (x'0a', x'0c', 'bob', 3, 'postroad:node#x', 1);
                 INSERT INTO message (id, chat, outgoing, account, device, kind, content, text,
                     sent_at, deadline, state)
                     VALUES (x'01', x'0c', 1, x'0b', 1, 1, x'', '{TEXT}', 1, 9, 2);
                 DELETE FROM message;
                 INSERT INTO message (id, chat, outgoing, account, device, kind, content, text,
                     sent_at, deadline, state)
                     VALUES (x'02', x'0c', 1, x'0b', 1, 1, x'', '{TEXT}', 1, 9, 2);
                 INSERT INTO outbox (message, contact) VALUES (2, x'0a');"
            ))?;
            Ok(())
        })
        .unwrap();
        db
    }

    /// The schema, all rows of all tables that are not the index's, and how far rows were counted.
    fn all(db: &mut Db) -> Vec<String> {
        db.read(|tx| {
            let mut query = tx.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
            let schema = query.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
            })?;
            let schema: Vec<_> = schema.collect::<rusqlite::Result<_>>()?;
            let mut all = Vec::new();
            for (name, sql) in schema {
                let is_table = sql.as_ref().is_some_and(|sql| sql.starts_with("CREATE TABLE"));
                if is_table && !name.starts_with("message_text") {
                    let mut rows = tx.prepare(&format!("SELECT * FROM \"{name}\""))?;
                    let columns = rows.column_count();
                    let rows = rows.query_map([], |row| {
                        (0..columns).map(|n| Ok(format!("{:?}", row.get_ref(n)?))).collect()
                    })?;
                    let rows: Vec<Vec<String>> = rows.collect::<rusqlite::Result<_>>()?;
                    all.push(format!("{name} {rows:?}"));
                }
                all.push(format!("{name} {sql:?}"));
            }
            let found = "SELECT count(*) FROM message_text WHERE message_text MATCH 'nobody'";
            all.push(tx.query_row(found, [], |row| row.get::<_, i64>(0))?.to_string());
            Ok(all)
        })
        .unwrap()
    }

    #[test]
    fn a_copy_under_a_key_has_all_and_shows_nothing_and_so_has_the_way_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut plain = filled(&path("plain"));
        let before = all(&mut plain);
        plain.copy_to(&path("sealed"), Some(&KEY)).unwrap();
        let bytes = fs::read(path("sealed")).unwrap();
        for part in [&b"SQLite format 3"[..], TEXT.as_bytes(), b"bob", b"nobody"] {
            assert!(!bytes.windows(part.len()).any(|window| window == part));
        }
        assert!(matches!(Db::open(&path("sealed"), None), Err(StorageError::Corrupt(_))));
        assert!(matches!(Db::open(&path("sealed"), Some(&[8; 32])), Err(StorageError::Corrupt(_))));
        let mut sealed = Db::open(&path("sealed"), Some(&KEY)).unwrap();
        assert_eq!(all(&mut sealed), before);
        assert_eq!(all(&mut Db::open_read_only(&path("sealed"), Some(&KEY)).unwrap()), before);
        // The next row gets no number that was used before.
        sealed
            .write(|tx| {
                tx.execute("DELETE FROM message", [])?;
                let next = "INSERT INTO message (id, chat, outgoing, account, device, kind,
                    content, sent_at, deadline, state)
                    VALUES (x'03', x'0c', 1, x'0b', 1, 1, x'', 1, 9, 2) RETURNING row";
                assert_eq!(tx.query_row(next, [], |row| row.get::<_, i64>(0))?, 3);
                Ok(())
            })
            .unwrap();
        let after = all(&mut sealed);
        sealed.copy_to(&path("back"), None).unwrap();
        assert_eq!(all(&mut Db::open(&path("back"), None).unwrap()), after);
    }

    #[test]
    fn a_database_that_somebody_else_has_open_is_not_copied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let (one, mut two) = (filled(&path), Db::open(&path, None).unwrap());
        all(&mut two);
        let target = directory.path().join("copy");
        let refused = one.copy_to(&target, Some(&KEY));
        assert!(matches!(refused, Err(StorageError::InUse)), "{refused:?}");
        drop(two);
        one.copy_to(&target, Some(&KEY)).unwrap();
    }

    #[test]
    fn damage_to_a_page_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        filled(&path).copy_to(&directory.path().join("sealed"), Some(&KEY)).unwrap();
        let path = directory.path().join("sealed");
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Db::open(&path, Some(&KEY)), Err(StorageError::Corrupt(_))));
    }
}
