//! Backups beside devices that are there.

use std::io::Cursor;

use super::*;
use crate::backup::{self, Backup, BackupError, BackupKey, BackupLock, BackupSummary, Import};
use crate::error::Error;
use crate::settings;

impl Person {
    fn backup(&mut self) -> Vec<u8> {
        let lock = BackupLock::passphrase("not much of a passphrase").unwrap();
        let (vault, mut bytes) = (&self.vault, Vec::new());
        let made = self.db.read(|tx| backup::write(tx, vault, (&mut bytes, &lock), NOW, |_, _| ()));
        made.unwrap();
        bytes
    }

    /// Takes a backup, or so many steps of it.
    fn restores(&mut self, backup: &[u8], steps: usize) -> Result<()> {
        let mut backup = opened(backup);
        backup.verify(|_, _| ())?;
        let mut import = Import::begin(&mut self.db, &self.vault, &mut backup, NOW)?;
        for _ in 0..steps {
            if !import.step(&mut self.db, &self.vault, &mut backup, NOW)? {
                break;
            }
        }
        Ok(())
    }

    /// All rows of the tables that a user sees something of.
    fn rows(&mut self) -> Vec<String> {
        let tables = ["message", "contact", "entry", "received", "lost", "invite", "setting"];
        let dump = |table: &&str| {
            let mut query = format!("SELECT * FROM {table}");
            if *table == "contact" {
                // It is tried again when it is written to next.
                query =
                    "SELECT account, name, phase, token, timer, blocked FROM contact".to_owned();
            }
            self.db
                .read(|tx| {
                    let mut query = tx.prepare(&query)?;
                    let columns = query.column_count();
                    let rows = query.query_map([], |row| {
                        let values = (0..columns).map(|at| row.get(at));
                        let values: rusqlite::Result<Vec<rusqlite::types::Value>> =
                            values.collect();
                        Ok(format!("{table} {:?}", values?))
                    })?;
                    Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?)
                })
                .unwrap()
        };
        tables.iter().flat_map(dump).collect()
    }
}

fn opened(bytes: &[u8]) -> Backup<Cursor<Vec<u8>>> {
    let key = BackupKey::passphrase("not much of a passphrase").unwrap();
    Backup::from_reader(Cursor::new(bytes.to_vec()), &key).unwrap()
}

fn summary(bytes: &[u8]) -> BackupSummary {
    opened(bytes).verify(|_, _| ()).unwrap()
}

/// Another device of somebody's account that has nothing but its place.
fn empty_device(town: &mut Town, old: usize) -> usize {
    let newcomer = Newcomer::generate();
    let grant = town.at(old).admits(&newcomer);
    town.devices.push(newcomer_adopted(newcomer, &grant));
    town.devices.len() - 1
}

#[test]
fn a_backup_brings_all_to_a_new_device_which_then_writes_with_sessions_of_its_own() {
    let mut town = town();
    town.settle();
    let backup = town.at(0).backup();
    let found = summary(&backup);
    assert_eq!((found.contacts, found.messages, found.has_account_key), (1, 2, true));
    let second = empty_device(&mut town, 0);
    town.at(second).restores(&backup, usize::MAX).unwrap();
    assert_eq!(town.texts(second), town.texts(0));
    assert_eq!(town.at(second).names(), ["bob"]);
    assert!(town.at(second).problems().is_empty());
    let count = |person: &mut Person, sql: &str| -> i64 {
        person.db.read(|tx| Ok(tx.query_row(sql, [], |row| row.get(0))?)).unwrap()
    };
    assert_eq!(count(town.at(second), "SELECT count(*) FROM session"), 0, "no ratchet came along");
    assert_eq!(count(town.at(second), "SELECT count(*) FROM own_chain"), 0);
    town.at(second).tokens_registered();
    town.settle();
    town.at(second).writes("bob", "from what was restored").unwrap();
    town.settle();
    town.at(1).writes("alice", "welcome back").unwrap();
    town.settle();
    assert_eq!(town.texts(second).len(), 4);
    assert_eq!(town.texts(second), town.texts(0));
    // A linked device has not got the account's key, and its backup says so.
    let found = summary(&town.at(second).backup());
    assert_eq!((found.messages, found.device, found.has_account_key), (4, 2, false));
}

#[test]
fn an_old_backup_beside_newer_devices_changes_nothing_that_is_there() {
    let mut town = town();
    let old = town.at(0).backup();
    town.at(0).renames("bob", "robert", NOW + 1);
    let (row, _) = town.at(0).writes("robert", "since then").unwrap();
    let second = town.link(0);
    town.settle();
    for place in [0, second] {
        let before = town.at(place).rows();
        town.at(place).restores(&old, usize::MAX).unwrap();
        let after = town.at(place).rows();
        let is_new = |row: &&String| !before.contains(row);
        let new: Vec<&String> = after.iter().filter(is_new).collect();
        let is_note = |row: &&String| row.starts_with("setting");
        assert!(new.iter().all(is_note) && new.len() <= 2, "{place}: {new:?}");
        town.at(place).restores(&old, usize::MAX).unwrap();
        assert_eq!(town.at(place).rows(), after, "{place}: twice is once");
        assert_eq!(town.at(place).names(), ["robert"]);
    }
    assert_eq!(town.at(0).state(row), State::Delivered);
    // And both go on with the sessions that they have.
    town.at(1).writes("alice", "still here").unwrap();
    town.at(second).writes("robert", "me too").unwrap();
    town.settle();
    assert_eq!(town.texts(0).len(), 5);
    assert_eq!(town.texts(0), town.texts(second));
    assert!(town.at(0).problems().is_empty() && town.at(1).problems().is_empty());
}

#[test]
fn a_restore_that_was_cut_off_goes_on_where_it_was() {
    let mut town = town();
    let long = "long ".repeat(1000);
    for number in 0..120 {
        town.at(0).writes("bob", &format!("{number} {long}")).unwrap();
    }
    town.settle();
    let backup = town.at(0).backup();
    let second = empty_device(&mut town, 0);
    town.at(second).restores(&backup, 1).unwrap();
    let marker = |person: &mut Person| {
        person.db.read(|tx| settings::text(tx, settings::RESTORING)).unwrap().unwrap_or_default()
    };
    let half = town.at(second).texts_here();
    assert!(half > 0 && half < 122, "{half}");
    // Another backup in between begins at its own beginning.
    let first = marker(town.at(second));
    let taken: u64 = first.split_once(' ').unwrap().1.parse().unwrap();
    assert!(taken > 3);
    town.at(second).restores(&backup, usize::MAX).unwrap();
    assert_eq!((town.at(second).texts_here(), marker(town.at(second))), (122, String::new()));
    assert_eq!(town.texts(second), town.texts(0));
}

impl Person {
    fn texts_here(&mut self) -> usize {
        self.db.read(|tx| messages::list(tx, &Query::default())).unwrap().len()
    }
}

#[test]
fn a_backup_of_somebody_else_is_refused() {
    let mut town = town();
    let backup = town.at(0).backup();
    let before = town.at(1).rows();
    let refused = town.at(1).restores(&backup, usize::MAX);
    assert!(matches!(refused, Err(Error::Backup(BackupError::OtherAccount { .. }))), "{refused:?}");
    assert_eq!(town.at(1).rows(), before);
}

#[test]
fn links_come_with_a_backup_only_where_there_are_none() {
    let mut town = town();
    let link = |code: u8, expires: u64| {
        format!(
            "INSERT INTO invite (code, uses, expires, created_at) VALUES (x'{}', 0, {expires}, 1)",
            format!("{code:02x}").repeat(16)
        )
    };
    town.at(0).execute(&link(1, 0));
    town.at(0).execute(&link(2, 5));
    let backup = town.at(0).backup();
    let second = empty_device(&mut town, 0);
    let count = |person: &mut Person| -> i64 {
        let sql = "SELECT count(*) FROM invite WHERE registered = 1";
        person.db.read(|tx| Ok(tx.query_row(sql, [], |row| row.get(0))?)).unwrap()
    };
    town.at(second).restores(&backup, usize::MAX).unwrap();
    assert_eq!(count(town.at(second)), 1);
    town.at(0).execute("DELETE FROM invite");
    town.at(0).execute(&link(3, 0));
    town.at(0).restores(&backup, usize::MAX).unwrap();
    assert_eq!(count(town.at(0)), 0);
}
