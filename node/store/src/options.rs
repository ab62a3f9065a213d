//! What can be configured, and the limits of the format.

use serde::{Deserialize, Serialize};

/// The largest commit, in encoded bytes. It bounds memory at recovery and fits every reserve of
/// the default size.
pub const MAX_COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// The longest state key, in bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// The longest state value, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// No segment is allocated smaller than this.
pub(crate) const MIN_SEGMENT_BYTES: u64 = 256 * 1024;

/// No segment is larger: offsets within one are 32 bits, and a scan holds one in memory.
pub(crate) const MAX_SEGMENT_BYTES: u64 = 1024 * 1024 * 1024;

/// How a journal uses its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Size of one mail segment in bytes. Default 64 MiB; at least 256 KiB, at most 1 GiB. State
    /// segments are a quarter of it and the reserve an eighth, neither below 256 KiB.
    pub segment_bytes: u64,
    /// Memory that the index may use as its cache, in bytes. Default 16 MiB.
    pub index_cache_bytes: u64,
    /// How long anything deleted may stay on the disk before its segment is rewritten, in
    /// seconds. Default 604800 (7 days).
    pub dead_after_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            index_cache_bytes: 16 * 1024 * 1024,
            dead_after_seconds: 7 * 24 * 3600,
        }
    }
}

impl Options {
    /// The same with every value within its limits.
    pub(crate) fn clamped(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES);
        self.index_cache_bytes = self.index_cache_bytes.max(1024 * 1024);
        self
    }

    /// Size of a state segment.
    pub(crate) fn state_bytes(&self) -> u64 {
        (self.segment_bytes / 4).max(MIN_SEGMENT_BYTES)
    }

    /// Size of the reserve.
    pub(crate) fn reserve_bytes(&self) -> u64 {
        (self.segment_bytes / 8).max(MIN_SEGMENT_BYTES)
    }
}
