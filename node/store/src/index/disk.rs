//! The index on disk. The one file that names sled.
//!
//! sled may lose or damage anything at a crash and may panic on files it does not like; both end
//! here, as [`Broken`].

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use postroad_core::changes::MailboxId;
use postroad_proto::ids::AccountId;

use super::{Broken, Key, Location};

const KEY_BYTES: usize = 33 + 8;
const VALUE_BYTES: usize = 20;

/// Mailbox key to location.
pub(super) struct DiskIndex {
    tree: sled::Db,
    /// The highest number that it may have of each mailbox. Most mail never gets here, and need not
    /// be looked for: an answer of sled's costs a microsecond or two. Complete once all entries have
    /// been read or written in this run.
    highest: HashMap<MailboxId, u64, foldhash::fast::RandomState>,
}

/// Deletes the index's files; what cannot be deleted will fail to open again and be reported.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "could not delete the index");
    }
}

impl DiskIndex {
    /// Opens the index; one that cannot be opened is deleted and begun anew.
    pub(super) fn open_or_rebuild(path: &Path, cache_bytes: u64) -> Result<Self, Broken> {
        Self::open(path, cache_bytes).or_else(|Broken(reason)| {
            tracing::warn!(reason, "the mailbox index is unusable and is rebuilt from the journal");
            remove(path);
            Self::open(path, cache_bytes)
        })
    }

    fn open(path: &Path, cache_bytes: u64) -> Result<Self, Broken> {
        guard(|| {
            sled::Config::new()
                .path(path)
                .cache_capacity(cache_bytes)
                .flush_every_ms(Some(5_000))
                .open()
        })
        .map(|tree| Self { tree, highest: HashMap::default() })
    }

    /// Whether it may have items of `mailbox` from number `first` on.
    pub(super) fn reaches(&self, mailbox: &MailboxId, first: u64) -> bool {
        self.highest.get(mailbox).is_some_and(|highest| *highest >= first)
    }

    /// Notes that it has an entry.
    pub(super) fn note(&mut self, (mailbox, seq): &Key) {
        let highest = self.highest.entry(*mailbox).or_default();
        *highest = (*highest).max(*seq);
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Location>, Broken> {
        if !self.reaches(&key.0, key.1) {
            return Ok(None);
        }
        match guard(|| self.tree.get(encode_key(key)))? {
            Some(value) => decode_value(&value).map(Some),
            None => Ok(None),
        }
    }

    /// Entries from `first` on, up to and with `last`.
    pub(super) fn range(
        &self,
        first: Key,
        last: Option<Key>,
    ) -> impl Iterator<Item = Result<(Key, Location), Broken>> {
        let first = encode_key(&first);
        let mut entries = match last {
            Some(last) => self.tree.range(first..=encode_key(&last)),
            None => self.tree.range(first..),
        };
        std::iter::from_fn(move || match guard(|| entries.next().transpose()) {
            Ok(Some((key, value))) => {
                Some(decode_key(&key).and_then(|key| Ok((key, decode_value(&value)?))))
            }
            Ok(None) => None,
            Err(broken) => Some(Err(broken)),
        })
    }

    /// Entries behind `cursor`, up to and with `last`.
    pub(super) fn range_after(
        &self,
        cursor: Option<Key>,
        last: Option<Key>,
    ) -> impl Iterator<Item = Result<(Key, Location), Broken>> {
        let lowest = MailboxId { account: AccountId([0; 32]), device: 0 };
        let skip = cursor;
        self.range(cursor.unwrap_or((lowest, 0)), last)
            .filter(move |entry| !matches!(entry, Ok((key, _)) if Some(*key) == skip))
    }

    /// Inserts and, for `None`, removes.
    pub(super) fn apply(&mut self, changes: &[(Key, Option<Location>)]) -> Result<(), Broken> {
        let mut batch = sled::Batch::default();
        for (key, place) in changes {
            match place {
                Some(place) => {
                    self.note(key);
                    batch.insert(&encode_key(key)[..], &encode_value(place)[..]);
                }
                None => batch.remove(&encode_key(key)[..]),
            }
        }
        guard(|| self.tree.apply_batch(batch))
    }

    pub(super) fn flush(&self) -> Result<(), Broken> {
        guard(|| self.tree.flush()).map(|_| ())
    }
}

fn guard<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Broken> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| Broken(error.to_string())),
        Err(_) => Err(Broken("sled panicked".to_owned())),
    }
}

fn encode_key((mailbox, seq): &Key) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..32].copy_from_slice(&mailbox.account.0);
    key[32] = mailbox.device;
    // Big-endian, so that sled's order is that of the numbers.
    key[33..].copy_from_slice(&seq.to_be_bytes());
    key
}

fn decode_key(key: &[u8]) -> Result<Key, Broken> {
    let parts = || {
        let account = AccountId(key.get(..32)?.try_into().ok()?);
        let device = *key.get(32)?;
        let seq = u64::from_be_bytes(key.get(33..)?.try_into().ok()?);
        Some((MailboxId { account, device }, seq))
    };
    parts().ok_or_else(|| Broken("a malformed key".to_owned()))
}

fn encode_value(place: &Location) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    let fields = [place.segment, place.offset, place.length, place.bytes, place.weight];
    for (slot, field) in value.chunks_exact_mut(4).zip(fields) {
        slot.copy_from_slice(&field.to_le_bytes());
    }
    value
}

fn decode_value(value: &[u8]) -> Result<Location, Broken> {
    let mut reader = crate::frame::Reader::new(value);
    let mut parts = || {
        Some(Location {
            segment: reader.u32()?,
            offset: reader.u32()?,
            length: reader.u32()?,
            bytes: reader.u32()?,
            weight: reader.u32()?,
        })
    };
    parts().ok_or_else(|| Broken("a malformed value".to_owned()))
}
