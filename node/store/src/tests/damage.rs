//! Flipped bits and torn writes: what they cost, and what they must not.

use postroad_core::changes::MailView as _;

use super::*;
use crate::verify;

/// Twenty mails and twenty keys, marked durable and then killed.
fn filled(options: &Options, close: bool) -> SimFiles {
    let files = SimFiles::new();
    let (mut store, _) = Journal::open(files.clone(), None, options.clone()).unwrap();
    for commit in 1..=20 {
        store.commit(&mail(commit, 0, commit, 1000)).unwrap();
    }
    for commit in 21..=40 {
        store.commit(&put(commit, &format!("key {commit}"), Some(&body(commit, 500)))).unwrap();
    }
    if close {
        store.close().unwrap();
    } else {
        settle(&mut store, NOW);
    }
    files.kill();
    files
}

fn data_end(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64
}

/// What one flipped bit in the segment `name` costs, anywhere in it.
fn flip_everywhere(name: &str, sealed: bool, seeds: u64) {
    for seed in 0..seeds {
        let files = filled(&small(), seed % 2 == 0);
        if sealed {
            drop(open(&files));
            files.kill();
        }
        let mut random = Random(seed);
        let at = random.next() % data_end(&files.contents(name));
        files.flip_bit(name, at, random.next() as u8);
        let what = format!("seed {seed}, bit flipped at {at}");
        let (store, found) = open(&files);
        assert!(found.mail.len() >= 19, "{what}: {} mails left", found.mail.len());
        assert!(found.state.len() >= 19, "{what}: {} keys left", found.state.len());
        assert_eq!(found.commit, 40, "{what}");
        let readable = (1..=20)
            .filter(|seq| {
                let items = store.items(&mailbox(0), seq - 1, 1, 0).unwrap();
                items
                    .first()
                    .is_some_and(|item| item.seq == *seq && item.shared == body(*seq, 1000))
            })
            .count();
        assert!(readable >= 19, "{what}: {readable} mails readable");
        if readable + found.state.len() < 40 {
            assert_eq!(store.stats().damaged, 1, "{what}");
        }
    }
}

#[test]
fn a_flipped_bit_in_a_tail_costs_one_record() {
    flip_everywhere("mail-00000002.seg", false, 150);
    flip_everywhere("state-00000001.seg", false, 100);
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_costs_one_record() {
    flip_everywhere("mail-00000002.seg", true, 150);
    flip_everywhere("state-00000001.seg", true, 100);
}

#[test]
fn compaction_leaves_damage_behind() {
    let files = filled(&small(), true);
    drop(open(&files));
    files.kill();
    files.flip_bit("mail-00000002.seg", 5_500, 3);
    let (mut store, found) = open(&files);
    let acked: Vec<(u64, u64)> = (1..=12).map(|seq| (seq, seq)).collect();
    store.commit(&ack(found.commit + 1, 0, &acked[5..])).unwrap();
    settle(&mut store, NOW);
    settle(&mut store, NOW + 8 * 24 * 3600);
    let left = store.items(&mailbox(0), 0, 100, usize::MAX).unwrap().len();
    assert_eq!((left, store.stats().live_items, store.stats().damaged), (12, 12, 1));
    assert!(!files.list_names().contains(&"mail-00000002.seg".to_owned()));
    files.kill();
    assert_eq!(open(&files).1.mail.len(), 12);
}

#[test]
fn verify_names_what_is_damaged_and_changes_nothing() {
    let files = filled(&small(), true);
    drop(open(&files));
    files.kill();
    let report = verify(&files).unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(report.segments.iter().filter(|segment| segment.sealed).count(), 2);
    files.flip_bit("mail-00000002.seg", 5_500, 3);
    let before = files.contents("mail-00000002.seg");
    let report = verify(&files).unwrap();
    assert!(!report.ok);
    assert_eq!(report.damaged, 1);
    assert_eq!(files.contents("mail-00000002.seg"), before);
}

#[test]
fn a_frame_inside_a_body_is_not_taken_for_one() {
    let files = SimFiles::new();
    let (mut store, _) = open(&files);
    // Every frame of another journal, smuggled in as a body.
    let other = SimFiles::new();
    let (mut victim, _) = open(&other);
    other.flip_bit("mail-00000002.seg", 0, 0);
    victim.commit(&put(1, "stolen", Some(b"value"))).unwrap();
    let mut smuggled = mail(1, 0, 1, 0);
    smuggled.mail[0].shared = Bytes::from(vec![other.contents("state-00000001.seg"); 8].concat());
    store.commit(&smuggled).unwrap();
    store.commit(&mail(2, 0, 2, 10)).unwrap();
    files.kill();
    // The length of the frame around it is lost, so that its inside is searched.
    files.flip_bit("mail-00000002.seg", 128, 1);
    let (_, found) = open(&files);
    assert!(found.state.is_empty());
    assert_eq!(found.mail.len(), 1);
}

#[test]
fn a_newer_format_is_refused() {
    let files = filled(&small(), true);
    let mut header = files.contents("mail-00000002.seg");
    header[8] = 9;
    let crc = crc32c::crc32c(&header[..60]).to_le_bytes();
    header[60..64].copy_from_slice(&crc);
    use crate::{Files as _, JournalFile as _};
    files.open("mail-00000002.seg").unwrap().write_at(&header[..64], 0).unwrap();
    match Journal::open(files, None, small()) {
        Err(crate::StoreError::VersionTooNew { found: 9, supported: 1, name }) => {
            assert_eq!(name, "mail-00000002.seg");
        }
        other => panic!("{:?}", other.err()),
    }
}
