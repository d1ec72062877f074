//! Times that people give, as clocks can tell them.

use std::time::Duration;

use tokio::time::Instant;

/// Effectively infinite, and still a time that a clock can tell: 30 years.
pub(crate) const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 86_400);

/// When something ends that begins at `start`, however long it may take.
pub(crate) fn after(start: Instant, duration: Duration) -> Instant {
    start + duration.min(FAR_FUTURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_duration_without_an_end() {
        let now = Instant::now();
        assert!(after(now, Duration::MAX) > now);
        assert_eq!(after(now, Duration::ZERO), now);
    }
}
