//! How often something may happen.

use tokio::time::Instant;

/// So much at once, and so much a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) per_second: u32,
}

/// What is left of a [`Rate`].
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: f64::from(rate.burst), at: now }
    }

    /// Takes one, if one is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }

    /// Whether it is as good as new.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left >= f64::from(self.rate.burst)
    }

    fn refill(&mut self, now: Instant) {
        let since = now.duration_since(self.at).as_secs_f64();
        self.left += since * f64::from(self.rate.per_second);
        self.left = self.left.min(f64::from(self.rate.burst));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_taken_comes_back_with_time() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Rate { burst: 3, per_second: 2 }, now);
        assert_eq!([0; 5].map(|_| bucket.take(now)), [true, true, true, false, false]);
        let later = now + Duration::from_secs(1);
        assert_eq!([0; 3].map(|_| bucket.take(later)), [true, true, false]);
        let much_later = now + Duration::from_secs(60);
        assert!(bucket.is_full(much_later));
        assert_eq!([0; 4].map(|_| bucket.take(much_later)), [true, true, true, false]);
    }
}
