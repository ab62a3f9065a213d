//! When to try again: doubling waits with jitter, so that a node that comes back is not met by all
//! of its users in the same second.

use std::time::Duration;

use postroad_proto::error::ErrorCode;
use postroad_proto::ids::Millis;

use crate::entropy;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Waits between attempts.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The wait before the next attempt: between half and all of 1 s, 2 s, 4 s … 60 s.
    pub fn next_wait(&mut self) -> Duration {
        let wait = wait_after(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        wait
    }

    /// It worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// The wait after so many attempts.
pub(crate) fn wait_after(attempts: u32) -> Duration {
    let full = FIRST.saturating_mul(1 << attempts.min(6)).min(LONGEST);
    let [jitter] = entropy::bytes::<1>();
    full / 2 + full / 2 * u32::from(jitter) / 255
}

/// When to try again what a node refused for now: after so many attempts, and not before the node
/// says. But a way to another node, or a busy one's time, may come back at any moment: there the
/// node's word counts for a minute at most.
pub(crate) fn retry_at(now: Millis, attempts: u32, code: ErrorCode, retry_after: u64) -> Millis {
    let asked = match code {
        ErrorCode::Unroutable | ErrorCode::Busy => retry_after.min(LONGEST.as_secs()),
        _ => retry_after,
    };
    let wait = u64::try_from(wait_after(attempts).as_millis()).unwrap_or(u64::MAX);
    now.saturating_add(wait.max(asked.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_never_vanish() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits[19] >= LONGEST / 2 && waits[19] <= LONGEST);
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }

    #[test]
    fn the_nodes_word_counts_except_for_what_may_change_at_any_moment() {
        assert!(retry_at(0, 0, ErrorCode::Unroutable, 3600) <= 60_000);
        assert_eq!(retry_at(0, 0, ErrorCode::Rate, 3600), 3_600_000);
        assert!(retry_at(0, 0, ErrorCode::Quota, 0) >= 500);
    }
}
