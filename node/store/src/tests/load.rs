//! Compaction under load: the same contents, little space.

use super::*;

#[test]
fn compaction_keeps_what_the_model_has() {
    for seed in 0..6 {
        let files = SimFiles::new();
        let (mut store, _) = open(&files);
        let (mut model, mut load) = (MemoryStore::default(), Load::new(seed, 6000));
        let mut compacted = 0;
        for commit in 1..=1500 {
            let changes = load.next(commit);
            model.commit(&changes).unwrap();
            store.commit(&changes).unwrap();
            // Ten minutes a commit: what is dead is seven days old after a thousand.
            store.maintain(NOW + commit * 600).unwrap();
            if commit % 500 == 0 {
                let what = format!("seed {seed} commit {commit}");
                assert_same(&store, &model, &what);
                compacted += store.stats().compacted;
                drop(store);
                files.kill();
                let (reopened, found) = open(&files);
                assert_recovered(&found, &model.recovered(), &what);
                store = reopened;
                assert_same(&store, &model, &what);
            }
        }
        settle(&mut store, NOW + 1500 * 600);
        assert!(compacted > 4, "seed {seed}: {compacted}");
        assert_same(&store, &model, &format!("seed {seed} at the end"));
    }
}

#[test]
fn space_stays_within_three_times_what_is_live() {
    let options = Options { segment_bytes: 1 << 20, ..Options::default() };
    let files = SimFiles::new();
    let (mut store, _) = Journal::open(files.clone(), None, options).unwrap();
    let mut load = Load::new(1, 0);
    let mut commit = 0;
    let mut seq = 0;
    let mut waiting: Vec<u64> = Vec::new();
    for round in 0..3000 {
        commit += 1;
        seq += 1;
        waiting.push(seq);
        store.commit(&mail(commit, 0, seq, 4000)).unwrap();
        // A backlog that grows to 500 mails and goes in no order.
        while waiting.len() > 500 || (!waiting.is_empty() && load.below(3) == 0) {
            let at = load.below(waiting.len() as u64) as usize;
            let done = waiting.swap_remove(at);
            commit += 1;
            store.commit(&ack(commit, 0, &[(done, done)])).unwrap();
        }
        commit += 1;
        store.commit(&put(commit, &format!("k{}", round % 10), Some(&[0; 500]))).unwrap();
        settle(&mut store, NOW);
        let stats = store.stats();
        let bound = 3 * stats.live_bytes + (2 << 20);
        assert!(stats.disk_bytes <= bound, "round {round}: {stats:?}");
        assert_eq!(stats.disk_bytes, files.used());
    }
    assert!(store.stats().compacted > 10);
}

#[test]
fn dead_mail_leaves_the_disk_after_seven_days() {
    let files = SimFiles::new();
    let (mut store, _) = open(&files);
    let secret = b"a body that must not stay for ever";
    let mut letter = mail(1, 0, 1, 0);
    letter.mail[0].shared = Bytes::from_static(secret);
    letter.mail[0].items.push(item(1, 2));
    store.commit(&letter).unwrap();
    store.commit(&mail(2, 0, 3, 100_000)).unwrap();
    settle(&mut store, NOW);
    store.commit(&ack(3, 0, &[(1, 1)])).unwrap();
    store.commit(&ack(4, 1, &[(2, 2)])).unwrap();
    let on_disk = || {
        let names = files.list_names();
        let holds = |name: &String| {
            files.contents(name).windows(secret.len()).any(|window| window == secret)
        };
        names.iter().any(holds)
    };
    settle(&mut store, NOW + 100);
    assert!(on_disk());
    settle(&mut store, NOW + 8 * 24 * 3600);
    assert!(!on_disk());
    assert_eq!(store.stats().live_items, 1);
}

#[test]
fn deletions_are_forgotten_once_nothing_older_is_left() {
    let files = SimFiles::new();
    let (mut store, _) = open(&files);
    let mut commit = 0;
    for round in 0..4000u64 {
        commit += 1;
        let key = format!("key {}", round / 2);
        let value = (round % 2 == 0).then_some(&[1u8; 400][..]);
        store.commit(&put(commit, &key, value)).unwrap();
        store.maintain(NOW).unwrap();
    }
    settle(&mut store, NOW + 8 * 24 * 3600);
    settle(&mut store, NOW + 16 * 24 * 3600);
    let stats = store.stats();
    assert_eq!(stats.live_keys, 0);
    assert!(stats.segments <= 4 && stats.disk_bytes <= 4 * 256 * 1024, "{stats:?}");
    files.kill();
    let (_, found) = open(&files);
    assert!(found.state.is_empty());
    assert_eq!(found.commit, commit);
}
