//! What every store does, whatever it is made of.

use super::*;
use crate::{MAX_COMMIT_BYTES, RealFiles, Room, StoreError};

fn every_store(test: impl Fn(&mut dyn Store)) {
    test(&mut MemoryStore::default());
    let files = SimFiles::new();
    test(&mut open(&files).0);
    let dir = tempfile::tempdir().unwrap();
    let real = RealFiles::new(dir.path().join("journal")).unwrap();
    let index = Some(dir.path().join("index"));
    let (mut journal, _) = Journal::open(real, index, small()).unwrap();
    settle(&mut journal, NOW);
    test(&mut journal);
}

#[test]
fn commits_come_in_turn() {
    every_store(|store| {
        let wrong = |result| matches!(result, Err(StoreError::WrongCommit { expected: 1, got: 2 }));
        assert!(wrong(store.commit(&put(2, "a", Some(b"b")))));
        store.commit(&put(1, "a", Some(b"b"))).unwrap();
        assert!(matches!(
            store.commit(&put(1, "a", Some(b"b"))),
            Err(StoreError::WrongCommit { expected: 2, got: 1 })
        ));
        assert_eq!(store.stats().commit, 1);
    });
}

#[test]
fn mail_reads_back_in_order_and_within_limits() {
    every_store(|store| {
        for seq in 1..=10 {
            store.commit(&mail(seq, 0, seq, 100)).unwrap();
        }
        store.commit(&mail(11, 1, 1, 100)).unwrap();
        let items = store.items(&mailbox(0), 3, 4, usize::MAX).unwrap();
        assert_eq!(items.iter().map(|item| item.seq).collect::<Vec<_>>(), [4, 5, 6, 7]);
        assert_eq!(items[0].shared, body(4, 100));
        assert_eq!(items[0].own, item(0, 4).own);
        assert_eq!(items[0].expires, NOW + 4);
        assert_eq!(store.items(&mailbox(0), 0, 10, 240).unwrap().len(), 2);
        assert_eq!(store.items(&mailbox(0), 0, 10, 1).unwrap().len(), 1, "always one");
        assert!(store.items(&mailbox(0), 10, 10, 1000).unwrap().is_empty());
        assert!(store.items(&mailbox(0), u64::MAX, 10, 1000).unwrap().is_empty());
        assert_eq!(store.item(&mailbox(0), 4).unwrap().map(|item| item.seq), Some(4));
        assert!(store.item(&mailbox(0), 10_000).unwrap().is_none());
        assert!(store.item(&mailbox(0), 0).unwrap().is_none());
        assert!(store.items(&mailbox(2), 0, 10, 1000).unwrap().is_empty());
    });
}

#[test]
fn acks_remove_what_they_name_and_nothing_later() {
    every_store(|store| {
        for seq in 1..=6 {
            store.commit(&mail(seq, 0, seq, 10)).unwrap();
        }
        store.commit(&ack(7, 0, &[(2, 3), (5, u64::MAX)])).unwrap();
        store.commit(&mail(8, 0, 7, 10)).unwrap();
        let left = store.items(&mailbox(0), 0, 10, 1000).unwrap();
        assert_eq!(left.iter().map(|item| item.seq).collect::<Vec<_>>(), [1, 4, 7]);
        let mut both = mail(9, 0, 8, 10);
        both.acks = ack(9, 0, &[(8, 8), (9, 3)]).acks;
        store.commit(&both).unwrap();
        assert_eq!(store.stats().live_items, 3, "acks come after the mail of their commit");
    });
}

#[test]
fn limits_hold_and_leave_the_store_as_it_was() {
    every_store(|store| {
        let large = mail(1, 0, 1, MAX_COMMIT_BYTES);
        assert!(matches!(store.commit(&large), Err(StoreError::TooLarge { .. })));
        let key = put(1, &"k".repeat(129), Some(b"v"));
        assert!(matches!(store.commit(&key), Err(StoreError::TooLarge { limit: 128, .. })));
        let value = put(1, "k", Some(&vec![0; 64 * 1024 + 1]));
        assert!(matches!(store.commit(&value), Err(StoreError::TooLarge { limit: 65536, .. })));
        let mut empty = mail(1, 0, 1, 10);
        empty.mail[0].items.clear();
        assert!(matches!(store.commit(&empty), Err(StoreError::Invalid(_))));
        assert_eq!(store.room(1 << 20).unwrap(), Room::Open);
        store.commit(&mail(1, 0, 1, MAX_COMMIT_BYTES - 1000)).unwrap();
        store.commit(&put(2, &"k".repeat(128), Some(&[7; 64 * 1024]))).unwrap();
        assert_eq!(store.items(&mailbox(0), 0, 1, 1).unwrap().len(), 1);
    });
}

#[test]
fn random_commits_agree_with_the_model() {
    every_store(|store| {
        let mut model = MemoryStore::default();
        let mut load = Load::new(7, 4000);
        for commit in 1..=400 {
            let changes = load.next(commit);
            model.commit(&changes).unwrap();
            store.commit(&changes).unwrap();
            if commit % 50 == 0 {
                settle(store, NOW + commit);
                assert_same(store, &model, "commit");
            }
        }
        store.close().unwrap();
        assert_same(store, &model, "closed");
    });
}

#[test]
fn only_acks_do_not_sync() {
    let files = SimFiles::new();
    let (mut store, _) = open(&files);
    store.commit(&mail(1, 0, 1, 10)).unwrap();
    let before = files.syncs();
    store.commit(&ack(2, 0, &[(1, 1)])).unwrap();
    assert_eq!(files.syncs(), before);
    let mut mixed = mail(3, 0, 2, 10);
    mixed.state = put(3, "k", Some(b"v")).state;
    store.commit(&mixed).unwrap();
    assert_eq!(files.syncs(), before + 1, "one sync, whatever the commit touches");
}

#[test]
fn the_second_lock_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lock = crate::DirLock::acquire(dir.path()).unwrap();
    match crate::DirLock::acquire(dir.path()) {
        Err(StoreError::Locked { pid }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    drop(lock);
    crate::DirLock::acquire(dir.path()).unwrap();
}
