//! Reading mail back.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use postroad_core::changes::{MailView, MailboxId, ReadError, StoredItem};

use super::Journal;
use crate::contents::Span;
use crate::files::{Files, JournalFile};
use crate::frame::{Found, frame_at};
use crate::index::{Broken, Location};
use crate::record::{self, Record};

/// Index entries fetched at a time.
const CHUNK: usize = 256;
/// Damaged records told apart; any further are not counted.
const MAX_UNREADABLE: usize = 4096;

/// Which records could not be read.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    known: HashSet<(u32, u32)>,
    count: u64,
    /// The index failed: the next step of maintenance rebuilds it.
    pub(super) index: Option<String>,
}

impl<F: Files> Journal<F> {
    pub(super) fn unreadable_count(&self) -> u64 {
        self.unreadable().count
    }

    pub(super) fn unreadable(&self) -> std::sync::MutexGuard<'_, Unreadable> {
        lock(&self.unreadable)
    }

    /// True when it was not noted before.
    pub(super) fn note_unreadable(&self, number: u32, offset: u32) -> bool {
        let mut unreadable = self.unreadable();
        let is_new =
            unreadable.known.len() < MAX_UNREADABLE && unreadable.known.insert((number, offset));
        if is_new {
            unreadable.count += 1;
            tracing::warn!(segment = number, offset, "a damaged record is left out");
        }
        is_new
    }

    /// The bytes of one frame, unchecked.
    pub(super) fn read_frame(&self, number: u32, span: Span) -> std::io::Result<Vec<u8>> {
        let Some(segment) = self.segments.get(&number) else {
            return Ok(Vec::new());
        };
        let end = u64::from(span.offset) + u64::from(span.length);
        if end > segment.disk {
            return Ok(Vec::new());
        }
        let mut frame = vec![0; span.length as usize];
        segment.file.read_at(&mut frame, span.offset.into())?;
        Ok(frame)
    }

    /// The record in a frame, when it is intact.
    pub(super) fn parse<'a>(&self, number: u32, span: Span, frame: &'a [u8]) -> Option<Record<'a>> {
        let salt = self.segments.get(&number)?.header.salt;
        match frame_at(salt, span.offset, frame) {
            Found::Frame(payload, _) => record::decode(payload),
            Found::Damaged(_) | Found::Nothing => None,
        }
    }

    fn note_broken(&self, broken: Broken) -> ReadError {
        self.unreadable().index = Some(broken.0.clone());
        ReadError(broken.0)
    }

    fn read_item(
        &self,
        mailbox: &MailboxId,
        seq: u64,
        place: &Location,
    ) -> Result<Option<StoredItem>, ReadError> {
        if let Some(item) = self.cache.get(&(*mailbox, seq)) {
            return Ok(Some(item.clone()));
        }
        let span = Span { offset: place.offset, length: place.length };
        let frame = match self.read_frame(place.segment, span) {
            Ok(frame) => frame,
            // Once: it may be the whole disk, and then nothing behind it is to be handed out.
            Err(error) if self.note_unreadable(place.segment, place.offset) => {
                return Err(ReadError(format!("reading mail failed: {error}")));
            }
            // A sector that cannot be read is a damaged record like any other.
            Err(_) => Vec::new(),
        };
        let found = match self.parse(place.segment, span, &frame) {
            Some(Record::Mail { shared, items, .. }) => items
                .iter()
                .find(|item| item.mailbox == *mailbox && item.seq == seq)
                .map(|item| StoredItem {
                    seq,
                    id: item.id,
                    expires: item.expires,
                    shared: Bytes::copy_from_slice(shared),
                    own: Bytes::copy_from_slice(item.own),
                }),
            _ => None,
        };
        if found.is_none() {
            self.note_unreadable(place.segment, place.offset);
        }
        Ok(found)
    }
}

impl<F: Files> MailView for Journal<F> {
    fn items(
        &self,
        mailbox: &MailboxId,
        after: u64,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredItem>, ReadError> {
        self.check_fault().map_err(|fault| ReadError(fault.to_string()))?;
        let (mut items, mut bytes, mut from) = (Vec::new(), 0, after.checked_add(1));
        while let Some(first) = from.filter(|_| items.len() < max_items) {
            let limit = CHUNK.min(max_items - items.len());
            let chunk = self.mail.range(mailbox, first, u64::MAX, limit);
            let chunk = chunk.map_err(|broken| self.note_broken(broken))?;
            from = chunk.last().and_then(|(seq, _)| seq.checked_add(1));
            for (seq, place) in chunk {
                let larger = bytes + place.bytes as usize;
                if items.len() >= max_items || (larger > max_bytes && !items.is_empty()) {
                    return Ok(items);
                }
                if let Some(item) = self.read_item(mailbox, seq, &place)? {
                    bytes = larger;
                    items.push(item);
                }
            }
        }
        Ok(items)
    }

    fn item(&self, mailbox: &MailboxId, seq: u64) -> Result<Option<StoredItem>, ReadError> {
        self.check_fault().map_err(|fault| ReadError(fault.to_string()))?;
        let place = self.mail.get(&(*mailbox, seq)).map_err(|broken| self.note_broken(broken))?;
        match place {
            Some(place) => self.read_item(mailbox, seq, &place),
            None => Ok(None),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
