//! A journal in a directory of its own, and mail for it: what the benches of the store and the
//! count of instructions share.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod unsynced;

use std::collections::BTreeMap;

use bytes::Bytes;
use postroad_core::changes::{Ack, Changes, MailboxId, NewItem, NewMail};
use postroad_proto::ids::{AccountId, ParcelId};
use postroad_store::{Files, Journal, Options, Store as _};
use tempfile::TempDir;

pub(crate) use unsynced::Unsynced;

/// Mailboxes that mail goes to, in turn.
pub(crate) const MAILBOXES: u64 = 1000;
/// Bytes that an envelope's items share, and those that are an item's own: a body of 256 bytes and a
/// header, with what the core adds to them.
const SHARED: usize = 400;
const OWN: usize = 260;
const NOW: u64 = 1_800_000_000;

/// A journal and what is to be written next.
pub(crate) struct Shelf<F: Files> {
    pub(crate) journal: Journal<F>,
    commit: u64,
    /// Messages made so far.
    made: u64,
    /// The first that is still there.
    kept: u64,
    /// Removed last.
    _dir: TempDir,
}

impl<F: Files> Shelf<F> {
    /// An empty journal in `dir`, with an index on disk or without one.
    pub(crate) fn new(dir: TempDir, files: F, on_disk: bool) -> Self {
        let index = on_disk.then(|| dir.path().join("index"));
        let (journal, _) = Journal::open(files, index, Options::default()).unwrap();
        Self { journal, commit: 0, made: 0, kept: 0, _dir: dir }
    }

    /// A commit of `count` more envelopes, each to one mailbox.
    pub(crate) fn mail(&mut self, count: u64) -> Changes {
        let first = self.made;
        self.made += count;
        let mail = (first..self.made).map(|number| {
            let (mailbox, seq) = place(number);
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            let mut shared = vec![0xb0; SHARED];
            shared[..8].copy_from_slice(&number.to_be_bytes());
            let own = Bytes::from(vec![0x5a; OWN]);
            let item = NewItem { mailbox, seq, id: ParcelId(id), expires: NOW + 86_400, own };
            NewMail { shared: shared.into(), items: vec![item] }
        });
        let mail = mail.collect();
        Changes { commit: self.next_commit(), mail, ..Changes::default() }
    }

    /// A commit of the acks of the oldest `count` that are there.
    pub(crate) fn acks(&mut self, count: u64) -> Changes {
        let first = self.kept;
        self.kept = (first + count).min(self.made);
        let mut ranges: BTreeMap<MailboxId, (u64, u64)> = BTreeMap::new();
        for number in first..self.kept {
            let (mailbox, seq) = place(number);
            ranges.entry(mailbox).or_insert((seq, seq)).1 = seq;
        }
        let ack = |(mailbox, range)| Ack { mailbox, ranges: vec![range] };
        let acks = ranges.into_iter().map(ack).collect();
        Changes { commit: self.next_commit(), acks, ..Changes::default() }
    }

    fn next_commit(&mut self) -> u64 {
        self.commit += 1;
        self.commit
    }

    pub(crate) fn commit(&mut self, changes: &Changes) {
        self.journal.commit(changes).unwrap();
    }

    /// All the background work there is.
    pub(crate) fn settle(&mut self) {
        while self.journal.maintain(NOW).unwrap() {}
    }
}

/// Where the message with this number lies.
pub(crate) fn place(number: u64) -> (MailboxId, u64) {
    let mut account = [7; 32];
    // Accounts are keys: they are not in order.
    account[..8].copy_from_slice(&(number % MAILBOXES).wrapping_mul(ODD).to_be_bytes());
    let mailbox = MailboxId { account: AccountId(account), device: 1 };
    (mailbox, number / MAILBOXES + 1)
}

/// Numbers times this are spread evenly.
pub(crate) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
