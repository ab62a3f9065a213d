//! Figures for the operator.

use serde::Serialize;

/// How far the index is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexState {
    /// There is none: memory answers everything.
    #[default]
    None,
    /// Not opened yet, or being brought in line with the journal: memory answers everything.
    Reconciling,
    /// In line: it answers what memory has dropped.
    Ready,
}

/// A snapshot of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StoreStats {
    /// Segments on the disk.
    pub segments: u64,
    /// Bytes allocated on the disk, the reserve included, the index not.
    pub disk_bytes: u64,
    /// Mailbox items held.
    pub live_items: u64,
    /// Bytes of their contents; what items share is counted for each of them.
    pub live_bytes: u64,
    /// Keys held.
    pub live_keys: u64,
    /// The last commit.
    pub commit: u64,
    /// Commits made since the store was opened.
    pub commits: u64,
    /// Syncs done since the store was opened.
    pub syncs: u64,
    /// Damaged records met since the store was opened.
    pub damaged: u64,
    /// Segments rewritten or removed since the store was opened.
    pub compacted: u64,
    /// How far the index is.
    pub index: IndexState,
    /// True while no room for new custody can be had.
    pub full: bool,
    /// True while the reserve is in place.
    pub reserve: bool,
}
