//! Token buckets: so many an hour, some of them saved up.

/// How full a bucket is. A new one is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// In thousandths.
    level: u64,
    /// Milliseconds since the Unix epoch.
    at: u64,
}

impl Bucket {
    pub(crate) fn full(burst: u64, now: u64) -> Self {
        Self { level: burst * 1000, at: now }
    }

    /// Takes one out, or says how many seconds to wait for it. A clock that steps back gives nothing,
    /// and the filling goes on from there.
    pub(crate) fn take(&mut self, per_hour: u64, burst: u64, now: u64) -> Result<(), u64> {
        let elapsed = now.saturating_sub(self.at);
        self.at = now;
        let gained = elapsed.saturating_mul(per_hour) / 3600;
        self.level = self.level.saturating_add(gained).min(burst * 1000);
        if self.level < 1000 {
            return Err(((1000 - self.level) * 3600 / per_hour.max(1)).div_ceil(1000).max(1));
        }
        self.level -= 1000;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::full(3, 0);
        for _ in 0..3 {
            assert_eq!(bucket.take(3600, 3, 0), Ok(()));
        }
        assert_eq!(bucket.take(3600, 3, 0), Err(1));
        assert_eq!(bucket.take(3600, 3, 1000), Ok(()));
        assert_eq!(bucket.take(3600, 3, 500), Err(1), "a clock that steps back gives nothing");
    }
}
