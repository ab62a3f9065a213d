//! A full disk: new mail is refused, everything else goes on.

use postroad_core::changes::MailView as _;

use super::*;
use crate::{Room, StoreError};

/// Fills the disk with mail of 4 KiB until it is refused; returns the last commit.
fn fill(store: &mut dyn Store, mut commit: u64) -> u64 {
    loop {
        let changes = mail(commit + 1, 0, commit + 1, 4096);
        if store.room(crate::encoded_size(&changes)).unwrap() == Room::Full {
            return commit;
        }
        commit += 1;
        store.commit(&changes).unwrap();
        store.maintain(NOW).unwrap();
    }
}

#[test]
fn a_full_disk_refuses_mail_takes_acks_and_recovers_by_itself() {
    let files = SimFiles::new();
    files.set_capacity(Some(4 << 20));
    let (mut store, _) = open(&files);
    let stored = fill(&mut store, 0);
    assert!(stored > 600, "only {stored} mails fit");
    assert!(store.stats().full);
    settle(&mut store, NOW);
    // State and acks go on, far past what was left in the segments.
    let mut commit = stored;
    for _ in 0..40 {
        commit += 1;
        store.commit(&put(commit, "key", Some(&[1; 10_000]))).unwrap();
        settle(&mut store, NOW);
    }
    assert_eq!(store.room(4096).unwrap(), Room::Full);
    commit += 1;
    store.commit(&ack(commit, 0, &[(1, stored / 2)])).unwrap();
    settle(&mut store, NOW);
    assert_eq!(store.room(4096).unwrap(), Room::Open);
    settle(&mut store, NOW);
    let stats = store.stats();
    assert!(!stats.full && stats.reserve, "{stats:?}");
    assert!(files.used() <= 4 << 20);
    commit += 1;
    store.commit(&mail(commit, 0, commit, 4096)).unwrap();
    files.kill();
    let (store, found) = open(&files);
    assert_eq!(found.mail.len() as u64, stored - stored / 2 + 1);
    let last = store.items(&mailbox(0), commit - 1, 1, 0).unwrap();
    assert_eq!(last[0].shared, body(commit, 4096));
}

#[test]
fn a_store_opens_on_a_full_disk() {
    let files = SimFiles::new();
    files.set_capacity(Some(2 << 20));
    let (mut store, _) = open(&files);
    let stored = fill(&mut store, 0);
    for life in 0..10 {
        files.kill();
        files.set_capacity(Some(files.used()));
        let (mut store, found) = open(&files);
        assert_eq!(found.mail.len() as u64, stored - life, "life {life}");
        store.commit(&ack(found.commit + 1, 0, &[(life + 1, life + 1)])).unwrap();
        store.commit(&put(found.commit + 2, "life", Some(&[life as u8]))).unwrap();
        settle(&mut store, NOW);
        store.close().unwrap();
    }
}

#[test]
fn segments_shrink_to_what_the_disk_has() {
    let files = SimFiles::new();
    files.set_capacity(Some(3 << 20));
    let (mut store, _) = Journal::open(files.clone(), None, Options::default()).unwrap();
    assert_eq!(store.room(4096).unwrap(), Room::Open);
    assert!(fill(&mut store, 0) > 250);
}

#[test]
fn a_commit_that_fits_nowhere_changes_nothing() {
    let files = SimFiles::new();
    files.set_capacity(Some(1 << 20));
    let (mut store, _) = open(&files);
    let large = mail(1, 0, 1, 2 << 20);
    assert_eq!(store.room(crate::encoded_size(&large)).unwrap(), Room::Full);
    assert!(matches!(store.commit(&large), Err(StoreError::Full)));
    store.commit(&mail(1, 0, 1, 100)).unwrap();
    files.set_capacity(None);
    assert_eq!(store.room(2 << 20).unwrap(), Room::Open);
    store.commit(&mail(2, 0, 2, 2 << 20)).unwrap();
    assert_eq!(store.stats().live_items, 2);
}
