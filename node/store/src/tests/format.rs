//! The layouts: what is written reads back, and nothing read makes anything panic.

use super::*;
use crate::contents::{AckSet, Contents, ItemRef, Span, StateRef};
use crate::footer;
use crate::frame::{FORMAT_VERSION, Family, Header, HeaderFound, parse_file_name};
use crate::record::{self, Item, Record};
use crate::scan::scan;

fn sorted(mut contents: Contents) -> Contents {
    contents.items.sort_by_key(|item| (item.mailbox, item.seq, item.expires));
    contents.ack_ranges = 0;
    contents
}

#[test]
fn footers_read_back_whatever_the_numbers() {
    let mut contents = Contents { last_commit: 9, first_time: NOW, ..Contents::default() };
    let extremes = [0, 1, 5_000_000_000, u64::MAX - 1, u64::MAX];
    for (at, seq) in extremes.into_iter().enumerate() {
        contents.records.push(Span { offset: 128 + at as u32 * 8, length: 8 });
        for expires in [extremes[at], extremes[4 - at]] {
            let id = ParcelId([at as u8; 16]);
            let record = at as u32;
            let mailbox = mailbox(expires % 3);
            contents.note_item(ItemRef { mailbox, seq, id, expires, record, bytes: 77 });
        }
    }
    contents.note_ack(&mailbox(1), NOW, &[(0, 4), (6, u64::MAX)]);
    let span = Span { offset: 4096, length: 64 };
    contents.state.push(StateRef { hash: [3; 16], commit: 8, span, tombstone: true });
    let bytes = footer::encode(&contents, 5, 4096);
    let trailer = &bytes[bytes.len() - footer::TRAILER_BYTES..];
    let place = footer::decode_trailer(trailer, 5).unwrap();
    assert_eq!((place.offset, footer::decode_trailer(trailer, 6)), (4096, None));
    let frame = &bytes[..place.length as usize];
    let decoded = footer::decode(frame, 5, 4096).unwrap();
    assert_eq!(sorted(decoded), sorted(contents));
}

#[test]
fn a_mail_record_has_the_documented_layout() {
    let mut out = Vec::new();
    let given = item(0, 7);
    let own = &given.own[..2];
    let (mailbox, seq, id, expires) = (given.mailbox, 7, given.id, 258);
    let items = [Item { mailbox, seq, id, expires, own }];
    record::put_mail(&mut out, 3, b"body", items.into_iter());
    let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        "01",
        "0300000000000000",
        "01000000",
        "04000000",
        &"01".repeat(32),
        "01",
        "0700000000000000",
        &"07".repeat(16),
        "0201000000000000",
        "02000000",
        "626f6479",
        &format!("{:02x}{:02x}", own[0], own[1]),
    ];
    assert_eq!(hex, expected.concat());
    let Some(Record::Mail { commit: 3, shared: b"body", items }) = record::decode(&out) else {
        panic!("not a mail record");
    };
    assert_eq!(items[0].own, own);
}

#[test]
fn headers_survive_damage_to_one_copy() {
    let header = Header { family: Family::State, number: 12, commit: 34, salt: 56 };
    let bytes = header.encode();
    for at in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert_eq!(Header::decode(&damaged), HeaderFound::Valid(header), "bit {at}");
    }
    assert_eq!(Header::decode(&[0; 128]), HeaderFound::Blank);
    assert_eq!(Header::decode(&[7; 128]), HeaderFound::Damaged);
    assert_eq!(FORMAT_VERSION, 1);
    assert_eq!(parse_file_name("state-00000012.seg"), Some((Family::State, 12)));
    assert_eq!(parse_file_name("state-12.seg"), None);
    assert_eq!(parse_file_name("mail-00000012.seg.old"), None);
}

#[test]
fn damaged_bytes_never_panic() {
    for seed in 0..300 {
        let files = SimFiles::new();
        let mut load = Load::new(seed, 200);
        let (mut store, _) = open(&files);
        for commit in 1..=10 {
            store.commit(&load.next(commit)).unwrap();
        }
        let mut bytes = files.contents("mail-00000002.seg");
        for _ in 0..=load.below(20) {
            let at = load.below(bytes.len() as u64) as usize;
            bytes[at] = load.random.next() as u8;
            record::decode(&bytes[at..]);
            footer::decode(&bytes[at..], 0, 0);
        }
        if let HeaderFound::Valid(header) = Header::decode(&bytes[..128]) {
            let found = scan(&bytes, header.salt, header.commit);
            for proven in [0, 5, u64::MAX] {
                found.resolve(&bytes, proven);
            }
        }
    }
}

#[test]
fn acked_ranges_merge() {
    let mut set = AckSet::default();
    for (first, last) in [(5, 6), (9, 9), (1, 2), (7, 8), (3, 1), (20, u64::MAX), (0, 0)] {
        set.add(first, last);
    }
    assert_eq!(set.ranges, [(0, 2), (5, 9), (20, u64::MAX)]);
    set.add(2, 30);
    assert_eq!(set.ranges, [(0, u64::MAX)]);
}
