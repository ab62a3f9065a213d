//! Where a posthouse keeps what it promised to keep: an append-only journal, and a sled index
//! that can always be rebuilt from it.
//!
//! - [`Store`] is the contract; [`Journal`] keeps it on a disk, [`MemoryStore`] in memory.
//! - [`Files`] is the file layer below the journal: [`RealFiles`], or `SimFiles` with faults.
//! - **Invariant:** sled takes no part in durability and none in starting up. It is named in
//!   one file only.
//! - **Invariant:** a failed write or sync is never retried; it poisons the store.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cache;
mod contents;
mod error;
mod files;
mod footer;
mod frame;
mod index;
mod journal;
mod lock;
mod memory;
mod options;
mod record;
mod scan;
mod stats;
#[cfg(test)]
mod tests;
mod verify;

use postroad_core::changes::{Changes, MailView};

pub use error::StoreError;
pub use files::{Files, JournalFile, RealFile, RealFiles};
#[cfg(any(test, feature = "sim"))]
pub use files::{SimFile, SimFiles};
pub use journal::Journal;
pub use lock::DirLock;
pub use memory::MemoryStore;
pub use options::{MAX_COMMIT_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, Options};
pub use record::encoded_size;
pub use stats::{IndexState, StoreStats};
pub use verify::{SegmentReport, VerifyReport, verify};

/// Whether new custody can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is preallocated room for it.
    Open,
    /// The disk is full: refuse new mail with `NO_SPACE`. Acks and state changes still go.
    Full,
}

/// A store of mail in custody and of state by key.
pub trait Store: MailView + Send {
    /// Makes `changes` durable as one. When it returns `Ok` and [`Changes::needs_sync`], the
    /// sync has succeeded. [`Changes::commit`] must be one more than the last. Within a commit
    /// acks come after mail. Commits of acks alone do not sync.
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError>;

    /// Whether `bytes` more ([`encoded_size`] of all that awaits its commit) can be taken into
    /// custody. Allocates when the room at hand is short; while the disk is full asking again
    /// is cheap.
    fn room(&mut self, bytes: usize) -> Result<Room, StoreError>;

    /// One bounded step of background work: sealing, compaction, the index. `now` is in seconds
    /// since the Unix epoch. True when there is more to do at once.
    fn maintain(&mut self, now: u64) -> Result<bool, StoreError>;

    /// Figures for the operator.
    fn stats(&self) -> StoreStats;

    /// Syncs everything, acks too, and flushes the index: for an orderly shutdown.
    fn close(&mut self) -> Result<(), StoreError>;
}
