//! Times that applications give, as clocks can tell them.

use std::time::Duration;

use tokio::time::Instant;

/// Effectively infinite, and still a time that a clock can tell: 30 years.
pub(crate) const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The end of something that begins now, however long it may take.
pub(crate) fn deadline(after: Duration) -> Instant {
    Instant::now() + after.min(FAR_FUTURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_duration_without_an_end() {
        assert!(deadline(Duration::MAX) > Instant::now());
    }
}
