//! Records: what a frame's payload holds. Little-endian, first byte the kind.
//!
//! ```text
//! mailbox  account [32] · device u8
//! 1 mail   commit u64 · items u32 · shared length u32
//!          · items × (mailbox · seq u64 · parcel [16] · expires u64 · own length u32)
//!          · shared · own parts in the order of the items
//! 2 ack    commit u64 · time u64 · mailbox · ranges u32 · ranges × (first u64 · last u64)
//! 3 state  commit u64 · 1 put or 0 deleted u8 · key length u16 · key · value
//! 4 end    commit u64 · flags u8 (1 synced, 2 copies) · start u32 · records u32 · time u64
//! 5 mark   commit u64
//! 6 footer see `footer.rs`
//! ```
//!
//! The records of one commit form a group that an `end` closes: `start` is the offset of the
//! group's first frame. A `mark` says that all before it in its segment, and every commit up to
//! its own that asked for a sync, is durable.

use bytes::Bytes;
use postroad_core::changes::{Changes, MailboxId};
use postroad_proto::ids::{AccountId, ParcelId};

use crate::error::StoreError;
use crate::frame::{Reader, framed};
use crate::options::{MAX_COMMIT_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};

const MAIL: u8 = 1;
const ACK: u8 = 2;
const STATE: u8 = 3;
const END: u8 = 4;
const MARK: u8 = 5;
pub(crate) const FOOTER: u8 = 6;

const MAIL_FIXED: usize = 1 + 8 + 4 + 4;
const ITEM_FIXED: usize = 33 + 8 + 16 + 8 + 4;
const ACK_FIXED: usize = 1 + 8 + 8 + 33 + 4;
const STATE_FIXED: usize = 1 + 8 + 1 + 2;
const END_FIXED: usize = 1 + 8 + 1 + 4 + 4 + 8;
const MARK_FIXED: usize = 1 + 8;

/// What the end of a group takes, framed.
pub(crate) const END_BYTES: usize = END_FIXED + 12 + 7;
/// What a mark takes, framed.
pub(crate) const MARK_BYTES: usize = MARK_FIXED + 12 + 7;

/// One item of a mail record, borrowed from wherever it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) mailbox: MailboxId,
    pub(crate) seq: u64,
    pub(crate) id: ParcelId,
    pub(crate) expires: u64,
    pub(crate) own: &'a [u8],
}

/// The end of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) commit: u64,
    /// It was synced before anything was written after it.
    pub(crate) synced: bool,
    /// It holds what compaction copied, under the records' own commits.
    pub(crate) copies: bool,
    pub(crate) start: u32,
    pub(crate) records: u32,
    pub(crate) time: u64,
}

/// A decoded payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Mail { commit: u64, shared: &'a [u8], items: Vec<Item<'a>> },
    Ack { commit: u64, time: u64, mailbox: MailboxId, ranges: Vec<(u64, u64)> },
    State { commit: u64, key: &'a [u8], value: Option<&'a [u8]> },
    End(End),
    Mark { commit: u64 },
    Footer,
}

pub(crate) fn put_mailbox(out: &mut Vec<u8>, mailbox: &MailboxId) {
    out.extend_from_slice(&mailbox.account.0);
    out.push(mailbox.device);
}

pub(crate) fn read_mailbox(reader: &mut Reader<'_>) -> Option<MailboxId> {
    Some(MailboxId { account: AccountId(reader.array()?), device: reader.u8()? })
}

pub(crate) fn put_mail<'a>(
    out: &mut Vec<u8>,
    commit: u64,
    shared: &[u8],
    items: impl ExactSizeIterator<Item = Item<'a>> + Clone,
) {
    out.push(MAIL);
    out.extend_from_slice(&commit.to_le_bytes());
    out.extend_from_slice(&(items.len() as u32).to_le_bytes());
    out.extend_from_slice(&(shared.len() as u32).to_le_bytes());
    for item in items.clone() {
        put_mailbox(out, &item.mailbox);
        out.extend_from_slice(&item.seq.to_le_bytes());
        out.extend_from_slice(&item.id.0);
        out.extend_from_slice(&item.expires.to_le_bytes());
        out.extend_from_slice(&(item.own.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(shared);
    for item in items {
        out.extend_from_slice(item.own);
    }
}

pub(crate) fn put_ack(
    out: &mut Vec<u8>,
    commit: u64,
    time: u64,
    mailbox: &MailboxId,
    ranges: &[(u64, u64)],
) {
    out.push(ACK);
    out.extend_from_slice(&commit.to_le_bytes());
    out.extend_from_slice(&time.to_le_bytes());
    put_mailbox(out, mailbox);
    out.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
    for (first, last) in ranges {
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
    }
}

pub(crate) fn put_state(out: &mut Vec<u8>, commit: u64, key: &[u8], value: Option<&[u8]>) {
    out.push(STATE);
    out.extend_from_slice(&commit.to_le_bytes());
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value.unwrap_or_default());
}

pub(crate) fn put_end(out: &mut Vec<u8>, end: &End) {
    out.push(END);
    out.extend_from_slice(&end.commit.to_le_bytes());
    out.push(u8::from(end.synced) | u8::from(end.copies) << 1);
    out.extend_from_slice(&end.start.to_le_bytes());
    out.extend_from_slice(&end.records.to_le_bytes());
    out.extend_from_slice(&end.time.to_le_bytes());
}

pub(crate) fn put_mark(out: &mut Vec<u8>, commit: u64) {
    out.push(MARK);
    out.extend_from_slice(&commit.to_le_bytes());
}

/// Reads a payload whose checksum was right. `None` when it is of no known kind or shape.
pub(crate) fn decode(payload: &[u8]) -> Option<Record<'_>> {
    let mut reader = Reader::new(payload);
    let kind = reader.u8()?;
    if kind == FOOTER {
        return Some(Record::Footer);
    }
    let commit = reader.u64()?;
    match kind {
        MAIL => decode_mail(commit, reader),
        ACK => {
            let time = reader.u64()?;
            let mailbox = read_mailbox(&mut reader)?;
            let count = reader.u32()?;
            let mut ranges = Vec::new();
            for _ in 0..count {
                ranges.push((reader.u64()?, reader.u64()?));
            }
            Some(Record::Ack { commit, time, mailbox, ranges })
        }
        STATE => {
            let put = reader.u8()? == 1;
            let length = reader.u16()?;
            let key = reader.bytes(length.into())?;
            Some(Record::State { commit, key, value: put.then_some(reader.rest()) })
        }
        END => {
            let flags = reader.u8()?;
            Some(Record::End(End {
                commit,
                synced: flags & 1 != 0,
                copies: flags & 2 != 0,
                start: reader.u32()?,
                records: reader.u32()?,
                time: reader.u64()?,
            }))
        }
        MARK => Some(Record::Mark { commit }),
        _ => None,
    }
}

fn decode_mail(commit: u64, mut reader: Reader<'_>) -> Option<Record<'_>> {
    let count = reader.u32()?;
    let shared_length = reader.u32()?;
    let mut items = Vec::new();
    let mut own_lengths = Vec::new();
    for _ in 0..count {
        items.push(Item {
            mailbox: read_mailbox(&mut reader)?,
            seq: reader.u64()?,
            id: ParcelId(reader.array()?),
            expires: reader.u64()?,
            own: &[],
        });
        own_lengths.push(reader.u32()?);
    }
    let shared = reader.bytes(shared_length as usize)?;
    for (item, length) in items.iter_mut().zip(own_lengths) {
        item.own = reader.bytes(length as usize)?;
    }
    Some(Record::Mail { commit, shared, items })
}

/// The bytes that `changes` takes in a segment at most.
pub fn encoded_size(changes: &Changes) -> usize {
    let mail: usize = changes
        .mail
        .iter()
        .map(|mail| {
            let items: usize = mail.items.iter().map(|item| ITEM_FIXED + item.own.len()).sum();
            framed(MAIL_FIXED + mail.shared.len() + items)
        })
        .sum();
    let acks: usize = changes.acks.iter().map(|ack| framed(ack_size(ack.ranges.len()))).sum();
    let state: usize = changes
        .state
        .iter()
        .map(|change| {
            let value = change.value.as_ref().map_or(0, Bytes::len);
            framed(STATE_FIXED + change.key.len() + value)
        })
        .sum();
    mail + acks + state + END_BYTES
}

/// The payload bytes of an ack.
pub(crate) fn ack_size(ranges: usize) -> usize {
    ACK_FIXED + 16 * ranges
}

/// Checks everything that a commit must satisfy before a byte of it is written.
pub(crate) fn check(changes: &Changes, last: u64) -> Result<(), StoreError> {
    let expected = last + 1;
    if changes.commit != expected {
        return Err(StoreError::WrongCommit { expected, got: changes.commit });
    }
    let within = |what, got, limit| {
        if got > limit { Err(StoreError::TooLarge { what, got, limit }) } else { Ok(()) }
    };
    within("a commit", encoded_size(changes), MAX_COMMIT_BYTES)?;
    for change in &changes.state {
        within("a key", change.key.len(), MAX_KEY_BYTES)?;
        within("a value", change.value.as_ref().map_or(0, Bytes::len), MAX_VALUE_BYTES)?;
    }
    if changes.mail.iter().any(|mail| mail.items.is_empty()) {
        return Err(StoreError::Invalid("mail without items"));
    }
    Ok(())
}
