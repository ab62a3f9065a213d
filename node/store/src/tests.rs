//! Tests of the stores, and what they share: random commits and a model.

mod contract;
mod damage;
mod format;
mod full;
mod index;
mod load;
mod power;

use std::collections::BTreeSet;

use bytes::Bytes;
use postroad_core::changes::{Ack, Changes, MailboxId, NewItem, NewMail, Recovered, StateChange};
use postroad_proto::ids::{AccountId, ParcelId};

use crate::files::Random;
use crate::{Journal, MemoryStore, Options, SimFiles, Store};

const NOW: u64 = 1_800_000_000;

fn small() -> Options {
    Options { segment_bytes: 256 * 1024, ..Options::default() }
}

fn open(files: &SimFiles) -> (Journal<SimFiles>, Recovered) {
    Journal::open(files.clone(), None, small()).unwrap()
}

fn mailbox(n: u64) -> MailboxId {
    MailboxId { account: AccountId([n as u8 + 1; 32]), device: 1 }
}

/// A body that tells which item it belongs to.
fn body(seq: u64, size: usize) -> Bytes {
    let mut random = Random(seq);
    (0..size).map(|_| random.next() as u8).collect::<Vec<u8>>().into()
}

fn item(to: u64, seq: u64) -> NewItem {
    NewItem {
        mailbox: mailbox(to),
        seq,
        id: ParcelId([seq as u8; 16]),
        expires: NOW + seq,
        own: body(seq ^ 0xff, 20),
    }
}

fn mail(commit: u64, to: u64, seq: u64, size: usize) -> Changes {
    let mail = NewMail { shared: body(seq, size), items: vec![item(to, seq)] };
    Changes { commit, mail: vec![mail], ..Changes::default() }
}

fn ack(commit: u64, to: u64, ranges: &[(u64, u64)]) -> Changes {
    let acks = vec![Ack { mailbox: mailbox(to), ranges: ranges.to_vec() }];
    Changes { commit, acks, ..Changes::default() }
}

fn put(commit: u64, key: &str, value: Option<&[u8]>) -> Changes {
    let change = StateChange {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.map(Bytes::copy_from_slice),
        promised: true,
    };
    Changes { commit, state: vec![change], ..Changes::default() }
}

/// Runs maintenance until it has nothing more to do.
fn settle(store: &mut dyn Store, now: u64) {
    for _ in 0..100_000 {
        if !store.maintain(now).unwrap() {
            return;
        }
    }
    panic!("maintenance does not end");
}

/// Random commits over a few mailboxes and keys, with the numbers they have reached.
struct Load {
    random: Random,
    next_seq: u64,
    size: u64,
}

impl Load {
    fn new(seed: u64, size: u64) -> Self {
        Self { random: Random(seed), next_seq: 1, size }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random.next() % n
    }

    fn mail(&mut self) -> NewMail {
        let size = self.below(self.size) as usize;
        let first = self.next_seq;
        let items = (0..=self.below(3)).map(|at| item(at, first + at)).collect::<Vec<_>>();
        self.next_seq += items.len() as u64;
        NewMail { shared: body(first, size), items }
    }

    fn ack(&mut self) -> Ack {
        let first = self.next_seq.saturating_sub(self.random.next() % 60);
        let width = self.below(40);
        Ack { mailbox: mailbox(self.random.next() % 3), ranges: vec![(first, first + width)] }
    }

    fn state(&mut self) -> StateChange {
        let key = format!("key {}", self.below(40));
        let value = (self.below(4) > 0).then(|| body(self.random.next(), 300));
        StateChange { key: Bytes::from(key), value, promised: true }
    }

    fn next(&mut self, commit: u64) -> Changes {
        let mut changes = Changes { commit, ..Changes::default() };
        let kind = self.below(8);
        if kind < 4 {
            let count = self.below(3) + 1;
            changes.mail = (0..count).map(|_| self.mail()).collect();
        }
        if kind == 0 || kind >= 5 {
            changes.acks = vec![self.ack(), self.ack()];
        }
        if kind == 1 || kind == 4 || kind == 5 {
            let count = self.below(5) + 1;
            changes.state = (0..count).map(|_| self.state()).collect();
        }
        changes
    }
}

/// Names of all items of a store.
fn names(recovered: &Recovered) -> BTreeSet<(MailboxId, u64)> {
    recovered.mail.iter().map(|item| (item.mailbox, item.seq)).collect()
}

/// Every item reads back as the model has it.
fn assert_same(store: &dyn Store, model: &MemoryStore, what: &str) {
    use postroad_core::changes::MailView;
    for to in 0..3 {
        let found = store.items(&mailbox(to), 0, usize::MAX, usize::MAX).unwrap();
        let wanted = model.items(&mailbox(to), 0, usize::MAX, usize::MAX).unwrap();
        let numbers = |items: &[postroad_core::changes::StoredItem]| {
            items.iter().map(|item| item.seq).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&found), numbers(&wanted), "{what}");
        assert!(found == wanted, "{what}: contents differ");
    }
    let (found, wanted) = (store.stats(), model.stats());
    assert_eq!(found.live_items, wanted.live_items, "{what}");
    assert_eq!(found.live_bytes, wanted.live_bytes, "{what}");
    assert_eq!(found.live_keys, wanted.live_keys, "{what}");
}

fn assert_recovered(found: &Recovered, wanted: &Recovered, what: &str) {
    assert_eq!(found.state, wanted.state, "{what}");
    assert_eq!(found.mail, wanted.mail, "{what}");
}
