//! Backups as files: whole, cut, damaged, and made while others write.

use std::io::{Cursor, Read, Write};

use postroad_proto::backup::{LINE, START, rest};
use postroad_proto::codec;
use postroad_proto::content::{Text, kind};
use postroad_proto::ids::{AccountId, MessageId};
use postroad_proto::sync::{Copy, Item};

use super::*;
use crate::contacts::{self, NewContact, Phase};
use crate::db::Db;
use crate::devices;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::testing;
use crate::vault::Vault;

const NOW: u64 = 1_800_000_000_000;
const BOB: AccountId = AccountId([0x0b; 32]);

/// An account on a device that has some messages of one contact.
fn account(db: &mut Db, vault: &Vault, messages: u64, bytes: usize) {
    let link = testing::join_link();
    db.write(|tx| {
        let own = Identity::create(tx, vault, &link, None, NOW)?;
        tx.execute("UPDATE identity SET registered = 1", [])?;
        let (account, phase, home) = (BOB, Phase::Ready, &link.node);
        let new = NewContact {
            account,
            name: "bob",
            phase,
            verified: true,
            home,
            handle: "bob@b.example",
        };
        contacts::insert(tx, &own, &new, NOW).map(drop)
    })
    .unwrap();
    comes(db, vault, 1..=messages, bytes);
}

/// Messages of Bob with these numbers.
fn comes(db: &mut Db, vault: &Vault, numbers: impl Iterator<Item = u64>, bytes: usize) {
    let items: Vec<Item> = numbers
        .map(|seq| {
            let text = Text::plain(format!("{seq} {}", "x".repeat(bytes)));
            let copy = Copy {
                with: BOB,
                account: BOB,
                device: 1,
                seq: Some(seq),
                id: MessageId(u128::from(seq).to_be_bytes()),
                kind: kind::TEXT,
                content: codec::encode(&text).unwrap().into(),
                sent_at: NOW,
                received_at: Some(NOW),
                deadline: NOW / 1000 + 1000,
                state: 5,
                reason: String::new(),
                shown: false,
                deleted: false,
                vanish_at: None,
                queued: None,
            };
            Item::new(&copy).unwrap()
        })
        .collect();
    db.write(|tx| devices::take_items(tx, vault, &Identity::load(tx, vault)?, &items, NOW))
        .unwrap();
}

fn lock() -> BackupLock {
    BackupLock::passphrase("five words are not so short").unwrap()
}

fn key() -> BackupKey {
    BackupKey::passphrase("five words are not so short").unwrap()
}

fn made(db: &mut Db, vault: &Vault) -> Vec<u8> {
    let mut bytes = Vec::new();
    let made = db.read(|tx| write(tx, vault, (&mut bytes, &lock()), NOW, |_, _| ())).unwrap();
    assert_eq!(made.bytes, bytes.len() as u64);
    bytes
}

fn backup(messages: u64, bytes: usize) -> Vec<u8> {
    let (mut db, vault) = testing::database();
    account(&mut db, &vault, messages, bytes);
    made(&mut db, &vault)
}

fn verified(bytes: &[u8]) -> Result<BackupSummary, BackupError> {
    Backup::from_reader(Cursor::new(bytes), &key())?.verify(|_, _| ())
}

/// What is encrypted in a backup, and that encrypted again.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    lock::open(Cursor::new(bytes), &key()).unwrap().plain.read_to_end(&mut plain).unwrap();
    plain
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = lock().seal(&mut bytes).unwrap();
    out.write_all(plain).unwrap();
    out.finish().unwrap();
    bytes
}

/// Where records begin in what is encrypted, and where the last one ends.
fn boundaries(plain: &[u8]) -> Vec<usize> {
    let mut all = vec![LINE.len()];
    loop {
        let at = *all.last().unwrap();
        let start: &[u8; START] = plain[at..].first_chunk().unwrap();
        all.push(at + START + rest(start).unwrap());
        if start[4] == 4 {
            return all;
        }
    }
}

#[test]
fn a_whole_backup_says_what_is_in_it_and_looks_like_any_other_from_outside() {
    let bytes = backup(300, 700);
    let summary = verified(&bytes).unwrap();
    assert_eq!((summary.contacts, summary.messages, summary.device), (1, 300, 1));
    assert_eq!((summary.made, summary.has_account_key), (NOW, true));
    assert_eq!(summary.bytes, bytes.len() as u64);
    let plain = plain(&bytes);
    assert!(plain.len() > 3 * 65_536 && plain.len().is_multiple_of(65_536));
    assert_eq!(verified(&sealed(&plain)).unwrap(), summary);
    let (small, smaller) = (backup(3, 10), backup(0, 0));
    assert_eq!(small.len(), smaller.len());
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    let bytes = backup(100, 1500);
    let chunks = bytes.len() % 65_552;
    let around = |at: usize| at.saturating_sub(20)..(at + 20).min(bytes.len());
    let edges = (0..4).flat_map(|n| around(chunks + n * 65_552));
    let sample = (0..bytes.len()).step_by(1009);
    for at in (0..chunks).chain(edges).chain(sample) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        match verified(&flipped) {
            Err(BackupError::Damaged { place, .. }) if place.record > 0 => {
                let (from, to) = (place.from, place.to);
                assert!((from..to).contains(&(at as u64)) || at < chunks, "{at}: {place}");
                assert!(
                    to - from <= 65_552 && (place.record == 1) == (place.records == 0),
                    "{at}: {place}"
                );
            }
            // In the header it is the key that does not fit, or it is none.
            Err(error) if at < chunks => assert!(!error.to_string().is_empty()),
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn the_first_damaged_record_is_named() {
    let bytes = backup(200, 1500);
    let all = boundaries(&plain(&bytes));
    let mut flipped = bytes.clone();
    let second_chunk = bytes.len() % 65_552 + 65_552;
    flipped[second_chunk + 30_000] ^= 4;
    let Err(BackupError::Damaged { place, .. }) = verified(&flipped) else { panic!() };
    let whole = all.iter().filter(|at| **at <= 65_536).count() as u64 - 1;
    assert_eq!((place.record, place.from), (whole + 1, second_chunk as u64));
    // What was damaged before it was encrypted is known to the byte.
    let mut damaged = plain(&bytes);
    damaged[all[40] + 100] ^= 1;
    let Err(BackupError::Damaged { place, .. }) = verified(&sealed(&damaged)) else { panic!() };
    assert_eq!((place.record, place.to - place.from), (41, (all[41] - all[40]) as u64));
}

#[test]
fn a_cut_is_found_wherever_it_is() {
    let bytes = backup(45, 1500);
    let chunks = bytes.len() % 65_552;
    let cuts = (1..bytes.len()).step_by(4001).chain(1..chunks + 20);
    for at in cuts.chain([chunks + 65_552, bytes.len() - 1]) {
        let cut = verified(&bytes[..at]);
        assert!(matches!(cut, Err(BackupError::Cut(_))), "{at}: {cut:?}");
    }
    // A writer that stopped between two records, or left one out.
    let plain = plain(&bytes);
    let all = boundaries(&plain);
    for (number, at) in all[..all.len() - 1].iter().enumerate() {
        let error = verified(&sealed(&plain[..*at])).unwrap_err();
        assert!(matches!(error, BackupError::Cut(place) if place.record == number as u64 + 1));
        if number % 5 > 0 {
            continue;
        }
        let without = [&plain[..*at], &plain[all[number + 1]..]].concat();
        assert!(verified(&sealed(&without)).is_err(), "{number}");
        let zeros = [&plain[..*at], &vec![0; 65_536 - at % 65_536]].concat();
        assert!(verified(&sealed(&zeros)).is_err(), "{number}");
    }
}

#[test]
fn what_follows_the_last_record_is_found() {
    let bytes = backup(3, 10);
    for more in [1, 65_552] {
        let longer = [&bytes[..], &vec![0; more]].concat();
        assert!(matches!(verified(&longer), Err(BackupError::Damaged { .. })), "{more}");
    }
    let plain = plain(&bytes);
    let mut marked = plain.clone();
    *marked.last_mut().unwrap() = 1;
    let longer = [&plain[..], &[0; 65_536]].concat();
    for other in [marked, longer] {
        assert!(matches!(verified(&sealed(&other)), Err(BackupError::Damaged { .. })));
    }
}

#[test]
fn other_files_and_other_keys_are_told_apart() {
    let bytes = backup(3, 10);
    for other in [&b""[..], b"a letter\n", b"age-encryption.org/v2\n--- x\n"] {
        assert!(matches!(verified(other), Err(BackupError::NotABackup(_))), "{other:?}");
    }
    assert!(matches!(verified(&sealed(&[7; 100])), Err(BackupError::NotABackup(_))));
    let mut newer = plain(&bytes);
    newer[LINE.len() - 2] = b'7';
    assert!(matches!(verified(&sealed(&newer)), Err(BackupError::Newer { got: 7 })));
    let wrong = BackupKey::passphrase("five words are not so shirt").unwrap();
    let refused = Backup::from_reader(Cursor::new(&bytes), &wrong);
    assert!(matches!(refused, Err(BackupError::WrongKey { what: "the passphrase", .. })));
    assert!(BackupKey::passphrase("").is_err() && BackupLock::passphrase("").is_err());
}

#[test]
fn a_backup_of_a_key_that_is_not_the_accounts_is_refused() {
    let (mut db, vault) = testing::database();
    account(&mut db, &vault, 0, 0);
    let bytes = made(&mut db, &vault);
    let backup = Backup::from_reader(Cursor::new(&bytes), &key()).unwrap();
    assert!(backup.account().seed.is_some());
    let mut account = backup.account().clone();
    account.seed = Some(postroad_proto::linking::SharedSecret([1; 32]));
    assert!(matches!(read::check(backup.head(), &account), Err(BackupError::Untrusted(_))));
    account.seed = None;
    read::check(backup.head(), &account).unwrap();
    let head = BackupHead { account: BOB, ..backup.head().clone() };
    assert!(matches!(read::check(&head, &account), Err(BackupError::Untrusted(_))));
}

#[test]
fn what_comes_in_while_it_is_made_is_not_in_it_and_not_held_up() {
    let directory = tempfile::tempdir().unwrap();
    let (path, vault) = (directory.path().join("db"), Vault::ephemeral());
    let (mut db, mut agent) = (Db::open(&path, None).unwrap(), Db::open(&path, None).unwrap());
    account(&mut db, &vault, 400, 10);
    let (mut bytes, mut next) = (Vec::new(), 401);
    let on = |_, _| {
        comes(&mut agent, &vault, next..next + 10, 10);
        agent.write(|tx| Ok(tx.execute("DELETE FROM message WHERE row % 7 = 0", [])?)).unwrap();
        next += 10;
    };
    let made = db.read(|tx| write(tx, &vault, (&mut bytes, &lock()), NOW, on)).unwrap();
    assert!(next > 430, "it came in in between: {next}");
    let summary = verified(&bytes).unwrap();
    assert_eq!((summary.messages, made), (400, summary.clone()));
}

#[test]
fn a_profile_without_an_account_has_no_backup() {
    let (mut db, vault) = testing::database();
    let mut bytes = Vec::new();
    let none = db.read(|tx| write(tx, &vault, (&mut bytes, &lock()), NOW, |_, _| ()));
    assert!(matches!(none, Err(Error::NotJoined)) && bytes.is_empty());
}
