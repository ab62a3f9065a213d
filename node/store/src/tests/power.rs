//! Crashes: power lost at any sync, and processes killed.

use postroad_core::changes::MailView as _;

use super::*;

/// What must be found after a crash.
struct Expected {
    /// After the last commit that returned.
    before: Recovered,
    /// After the commit that was under way, if there was one.
    during: Option<Recovered>,
    /// Items whose ack was not synced: they may come back.
    loose: BTreeSet<(MailboxId, u64)>,
    /// The last commit that was answered on the strength of a sync.
    synced: u64,
}

impl Expected {
    fn check(&self, found: &Recovered, what: &str) {
        assert!(found.commit >= self.synced, "{what}: {} < {}", found.commit, self.synced);
        let before = self.matches(found, &self.before);
        let during = self.during.as_ref().is_some_and(|during| self.matches(found, during));
        let missing: Vec<_> = names(&self.before).difference(&names(found)).copied().collect();
        let extra: Vec<_> = names(found).difference(&names(&self.before)).copied().collect();
        assert!(before || during, "{what}: missing {missing:?}, extra {extra:?}");
    }

    fn matches(&self, found: &Recovered, wanted: &Recovered) -> bool {
        let (have, want) = (names(found), names(wanted));
        found.state == wanted.state
            && want.is_subset(&have)
            && have.difference(&want).all(|name| self.loose.contains(name))
    }
}

/// One life of a store, from opening to a power loss at some sync.
fn live_and_lose_power(files: &SimFiles, load: &mut Load, expected: &mut Expected, what: &str) {
    let (mut store, found) = open(files);
    expected.check(&found, what);
    assert_eq!(store.stats().damaged, 0, "{what}");
    let mut model = model_of(&store, &found);
    expected.loose.clear();
    expected.synced = found.commit;
    let patience = load.below(60);
    files.cut_power_at_sync(patience);
    let mut commit = found.commit;
    loop {
        expected.before = model.recovered();
        expected.during = None;
        if load.below(4) == 0 && store.maintain(NOW + commit * 10_000).is_err() {
            return;
        }
        commit += 1;
        let changes = load.next(commit);
        model.commit(&changes).unwrap();
        let gone = names(&expected.before);
        let gone: Vec<_> = gone.difference(&names(&model.recovered())).copied().collect();
        if !changes.needs_sync() {
            expected.loose.extend(&gone);
        }
        if store.commit(&changes).is_err() {
            expected.during = Some(model.recovered());
            return;
        }
        if changes.needs_sync() {
            expected.synced = commit;
        }
    }
}

/// A model that starts from what was recovered.
fn model_of(store: &dyn Store, found: &Recovered) -> MemoryStore {
    let mut model = MemoryStore::default();
    model.restore(store, found);
    model
}

#[test]
fn nothing_that_was_synced_is_lost_to_a_power_loss() {
    for seed in 0..60 {
        let files = SimFiles::new();
        let mut load = Load::new(seed, 20_000);
        let mut expected = Expected {
            before: Recovered::default(),
            during: None,
            loose: BTreeSet::new(),
            synced: 0,
        };
        for life in 0..8 {
            let what = format!("seed {seed} life {life}");
            live_and_lose_power(&files, &mut load, &mut expected, &what);
            files.power_loss(seed * 1000 + life);
            // A second loss while the first one is being recovered from.
            if load.below(2) == 0 {
                let patience = load.below(6);
                files.cut_power_at_sync(patience);
                if let Ok((store, found)) = Journal::open(files.clone(), None, small()) {
                    expected.check(&found, &what);
                    drop(store);
                }
                files.power_loss(seed * 1000 + life + 500);
            }
        }
        expected.check(&open(&files).1, &format!("seed {seed} at the end"));
    }
}

#[test]
fn a_killed_process_loses_nothing() {
    for seed in 0..30 {
        let files = SimFiles::new();
        let mut load = Load::new(seed, 8000);
        let mut model = MemoryStore::default();
        let mut commit = 0;
        for life in 0..5 {
            let what = format!("seed {seed} life {life}");
            let (mut store, found) = open(&files);
            assert_recovered(&found, &model.recovered(), &what);
            assert_eq!(found.commit, commit, "{what}");
            for _ in 0..load.below(60) {
                commit += 1;
                let changes = load.next(commit);
                model.commit(&changes).unwrap();
                store.commit(&changes).unwrap();
                if load.below(3) == 0 {
                    store.maintain(NOW + commit * 20_000).unwrap();
                }
            }
            assert_same(&store, &model, &what);
            files.kill();
        }
    }
}

#[test]
fn what_recovery_found_survives_the_next_power_loss() {
    let files = SimFiles::new();
    let (mut store, _) = open(&files);
    store.commit(&put(1, "a", Some(b"1"))).unwrap();
    files.fail_next_sync(1);
    assert!(store.commit(&put(2, "a", Some(b"2"))).is_err());
    // The page cache still shows the commit that the disk never got.
    files.kill();
    let (_, found) = open(&files);
    assert_eq!(found.state, [(Bytes::from("a"), Bytes::from("2"))]);
    for seed in 0..20 {
        files.power_loss(seed);
        assert_eq!(open(&files).1.state, found.state, "seed {seed}");
    }
}

#[test]
fn a_failed_sync_poisons_the_store() {
    let files = SimFiles::new();
    let (mut store, _) = open(&files);
    store.commit(&mail(1, 0, 1, 10)).unwrap();
    files.fail_next_sync(1);
    let fault = store.commit(&mail(2, 0, 2, 10)).unwrap_err().to_string();
    assert!(fault.starts_with("storage fault while writing a commit"), "{fault}");
    let syncs = files.syncs();
    let again = [
        store.commit(&mail(2, 0, 2, 10)).unwrap_err(),
        store.room(1).unwrap_err(),
        store.maintain(NOW).unwrap_err(),
        store.close().unwrap_err(),
    ];
    assert!(again.iter().all(|error| error.to_string() == fault));
    assert!(store.items(&mailbox(0), 0, 1, 1).is_err());
    assert_eq!(files.syncs(), syncs, "never retried");
}
