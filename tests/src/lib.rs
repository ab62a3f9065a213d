//! Real processes for the stories in `tests/`: nodes that can be killed, people who type.
//!
//! A test that cannot set itself up panics: that is what tests do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cut;
pub mod link;
pub mod network;
pub mod node;
pub mod peer;
pub mod person;
pub mod programs;
pub mod raw;
pub mod tmpfs;

pub use network::Network;
pub use node::Node;
pub use peer::Peer;
pub use person::{Person, Ran};

use std::time::{Duration, Instant};

/// Longest wait for a condition: generous, for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `condition`, looking again every few milliseconds.
///
/// # Panics
/// When it does not come true in time; `what` says what was waited for.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_at_most(PATIENCE, what, condition)
}

/// [`wait_for`] with another patience.
///
/// # Panics
/// When it does not come true in time.
pub fn wait_at_most<T>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "waited {patience:?} in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
