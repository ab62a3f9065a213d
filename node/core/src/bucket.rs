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
        let gained = elapsed.saturating_mul(per_hour) / 3600;
        // What is too little to count goes on counting.
        if gained > 0 || now < self.at {
            self.at = now;
        }
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
    fn asking_often_does_not_stop_the_filling() {
        let mut bucket = Bucket::full(1, 0);
        assert_eq!(bucket.take(30, 1, 0), Ok(()));
        let times = (0..=3600).map(|step| step * 50);
        let taken = times.filter(|now| bucket.take(30, 1, *now).is_ok()).count();
        assert_eq!(taken, 1, "30 an hour are one in two minutes; three minutes went by");
    }

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
