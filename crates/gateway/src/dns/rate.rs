//! How often each source is answered over UDP: where it says it is may be somebody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use rserpool::transport::Source;
use tokio::time::Instant;

/// Sources that are counted; more count together.
const SOURCES_MAX: usize = 16_384;
const WINDOW: Duration = Duration::from_secs(1);

/// Answers within the second that runs.
#[derive(Debug)]
pub(super) struct Rates {
    most: u32,
    since: Instant,
    counts: HashMap<Source, u32>,
    /// Of those that have no count of their own.
    others: u32,
}

impl Rates {
    pub(super) fn new(most: u32, now: Instant) -> Self {
        Self { most, since: now, counts: HashMap::new(), others: 0 }
    }

    /// Whether a source may have one more answer.
    pub(super) fn may_have(&mut self, address: IpAddr, now: Instant) -> bool {
        if address.to_canonical().is_loopback() {
            return true;
        }
        if now - self.since >= WINDOW {
            (self.since, self.others) = (now, 0);
            self.counts.clear();
        }
        let is_full = self.counts.len() >= SOURCES_MAX;
        let count = match self.counts.get_mut(&Source::of(address)) {
            Some(count) => count,
            None if is_full => &mut self.others,
            None => self.counts.entry(Source::of(address)).or_default(),
        };
        *count = count.saturating_add(1);
        *count <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_second() {
        let now = Instant::now();
        let mut rates = Rates::new(2, now);
        let mut may = |text: &str, now| rates.may_have(text.parse().unwrap(), now);
        for _ in 0..2 {
            assert!(may("192.0.2.1", now));
        }
        assert!(!may("192.0.2.1", now) && !may("::ffff:192.0.2.1", now));
        assert!(may("2001:db8::1", now) && may("2001:db8::2", now) && !may("2001:db8::3", now));
        assert!(may("192.0.2.1", now + WINDOW));
        for _ in 0..9 {
            assert!(may("127.0.0.1", now) && may("::ffff:127.0.0.1", now));
        }
    }

    #[test]
    fn more_sources_than_can_be_counted_count_together() {
        let now = Instant::now();
        let mut rates = Rates::new(2, now);
        for number in 0..u32::try_from(SOURCES_MAX).unwrap() {
            assert!(rates.may_have(std::net::Ipv4Addr::from(0x0a00_0000 + number).into(), now));
        }
        let answered = (0..100_u8).filter(|it| rates.may_have([192, 0, 2, *it].into(), now));
        assert_eq!(answered.count(), 2);
        assert_eq!(rates.counts.len(), SOURCES_MAX);
    }
}
