/// The published limit on requests of one pool user: the rate is what the last sixteen attempts, the
/// refused ones too, make of it. Two of them 1.9 s apart are 2/1.9 a second.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    /// Most attempts a second; `None` is no limit.
    rate_max: Option<f64>,
    /// Seconds, a ring.
    attempts: [f64; ATTEMPTS],
    count: usize,
}

const ATTEMPTS: usize = 16;

impl Limiter {
    /// No attempts yet.
    pub(super) fn new(rate_max: Option<f64>) -> Self {
        Self { rate_max, attempts: [0.0; ATTEMPTS], count: 0 }
    }

    /// Counts an attempt; false where it is to be ignored.
    pub(super) fn admits(&mut self, now: f64) -> bool {
        let Some(rate_max) = self.rate_max else { return true };
        self.attempts[self.count % ATTEMPTS] = now;
        self.count += 1;
        let (kept, oldest) = match self.count {
            1 => return true,
            count if count <= ATTEMPTS => (count, 0),
            count => (ATTEMPTS, count % ATTEMPTS),
        };
        let span = now - self.attempts[oldest];
        #[expect(clippy::cast_precision_loss, reason = "at most sixteen")]
        let attempts = kept as f64;
        attempts <= rate_max * span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_attempts_must_be_two_seconds_apart() {
        let mut limiter = Limiter::new(Some(1.0));
        assert!(limiter.admits(10.0));
        assert!(limiter.admits(12.0));
        let mut limiter = Limiter::new(Some(1.0));
        assert!(limiter.admits(10.0));
        assert!(!limiter.admits(11.9));
    }

    #[test]
    fn who_is_slow_is_always_admitted_and_who_is_fast_never_again() {
        let mut limiter = Limiter::new(Some(1.0));
        assert!((0..100).all(|n| limiter.admits(f64::from(n) * 2.0)));
        let mut limiter = Limiter::new(Some(1.0));
        let admitted = (0..1000).filter(|&n| limiter.admits(f64::from(n) * 0.1)).count();
        assert_eq!(admitted, 1);
    }
}
