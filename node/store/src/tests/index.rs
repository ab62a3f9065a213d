//! The index on disk: whatever happens to it, the journal answers.

use std::fs;
use std::path::Path;

use postroad_core::changes::MailView as _;

use super::*;
use crate::{IndexState, RealFiles};

fn open_real(dir: &Path) -> (Journal<RealFiles>, Recovered) {
    let files = RealFiles::new(dir.join("journal")).unwrap();
    Journal::open(files, Some(dir.join("index")), small()).unwrap()
}

/// A random load with the index in use throughout; returns the model.
fn run(dir: &Path, close: bool) -> MemoryStore {
    let (mut store, _) = open_real(dir);
    assert_eq!(store.stats().index, IndexState::Reconciling);
    settle(&mut store, NOW);
    assert_eq!(store.stats().index, IndexState::Ready);
    let (mut model, mut load) = (MemoryStore::default(), Load::new(3, 2000));
    for commit in 1..=300 {
        let changes = load.next(commit);
        model.commit(&changes).unwrap();
        store.commit(&changes).unwrap();
        store.maintain(NOW + commit * 600).unwrap();
    }
    assert_same(&store, &model, "before");
    if close {
        store.close().unwrap();
        assert_same(&store, &model, "written behind");
    }
    model
}

fn assert_reopens(dir: &Path, model: &MemoryStore) {
    let (mut store, found) = open_real(dir);
    assert_recovered(&found, &model.recovered(), "reopened");
    assert_same(&store, model, "before the index is ready");
    settle(&mut store, NOW);
    assert_eq!(store.stats().index, IndexState::Ready);
    assert_same(&store, model, "with the index");
    // Everything comes from the index on disk now.
    let mut model = model.clone();
    let mut load = Load::new(4, 500);
    load.next_seq = 100_000;
    for commit in found.commit + 1..found.commit + 100 {
        let mut changes = load.next(commit);
        changes.acks.extend(ack(commit, commit % 3, &[(commit, commit + 40)]).acks);
        model.commit(&changes).unwrap();
        store.commit(&changes).unwrap();
    }
    settle(&mut store, NOW + 9 * 24 * 3600);
    assert_same(&store, &model, "after acks and compaction");
}

#[test]
fn the_index_agrees_after_a_stop_and_after_a_crash() {
    for close in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let model = run(dir.path(), close);
        assert_reopens(dir.path(), &model);
    }
}

#[test]
fn a_deleted_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let model = run(dir.path(), true);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_reopens(dir.path(), &model);
}

#[test]
fn a_corrupted_index_is_rebuilt() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let model = run(dir.path(), true);
        let mut random = Random(seed);
        for name in ["db", "conf"] {
            let path = dir.path().join("index").join(name);
            let Ok(mut bytes) = fs::read(&path) else { continue };
            for byte in &mut bytes {
                if random.next().is_multiple_of(50) {
                    *byte ^= random.next() as u8;
                }
            }
            fs::write(&path, bytes).unwrap();
        }
        assert_reopens(dir.path(), &model);
    }
}

#[test]
fn an_index_that_cannot_be_had_is_done_without() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index"), b"a file, not a folder").unwrap();
    let (mut store, _) = open_real(dir.path());
    for commit in 1..=20 {
        store.commit(&mail(commit, 0, commit, 100)).unwrap();
        store.maintain(NOW).unwrap();
    }
    assert_eq!(store.items(&mailbox(0), 0, 100, usize::MAX).unwrap().len(), 20);
    assert_eq!(store.stats().index, IndexState::None);
}
