//! Incoming associations of each source, so that one source leaves room for the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::endpoint::Options;

/// One in so many of those that there may be is for other sources.
const RESERVED_SHARE: usize = 4;

/// How many incoming associations each source has.
#[derive(Debug)]
pub(crate) struct Sources {
    /// What was asked for.
    limit: Option<usize>,
    counts: HashMap<Source, usize>,
}

/// Whom a limit per source counts for: an IPv4 address, also where it is written in IPv6, or a /64
/// network of IPv6 addresses, all of which one host may use.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Source(IpAddr);

impl Source {
    /// The source of what came from this address.
    pub fn of(address: IpAddr) -> Self {
        const NETWORK: u128 = !(u64::MAX as u128);
        Self(match address.to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => Ipv6Addr::from(ip.to_bits() & NETWORK).into(),
            ip => ip,
        })
    }
}

impl Sources {
    /// No source has any.
    pub(crate) fn new(options: &Options) -> Self {
        Self { limit: options.associations_per_source_max, counts: HashMap::new() }
    }

    /// Whether a source may have one more, where there may be `max` in all.
    pub(crate) fn may_come(&self, source: Source, max: usize) -> bool {
        let limit = per_source(max, self.limit);
        self.counts.get(&source).copied().unwrap_or_default() < limit
    }

    /// A source has one more.
    pub(crate) fn came(&mut self, source: Source) {
        *self.counts.entry(source).or_default() += 1;
    }

    /// A source has one less.
    pub(crate) fn left(&mut self, source: Source) {
        if let Some(count) = self.counts.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&source);
            }
        }
    }
}

/// How many one source may have, where there may be `max` in all.
pub(crate) fn per_source(max: usize, limit: Option<usize>) -> usize {
    (max - max / RESERVED_SHARE).min(limit.unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(of("::1"), of("::2"));
    }

    #[test]
    fn one_source_leaves_room_for_others() {
        let mut sources = Sources::new(&Options::default());
        let (one, two) = (of("192.0.2.1"), of("192.0.2.2"));
        for _ in 0..6 {
            assert!(sources.may_come(one, 8));
            sources.came(one);
        }
        assert!(!sources.may_come(one, 8));
        assert!(sources.may_come(two, 8));
        sources.left(one);
        assert!(sources.may_come(one, 8));
        for _ in 0..5 {
            sources.left(one);
        }
        assert_eq!(sources.counts.len(), 0);
        assert!(sources.may_come(one, 1));
    }

    #[test]
    fn a_limit_that_is_set_counts() {
        let limit = Some(1);
        let options = Options { associations_per_source_max: limit, ..Options::default() };
        let mut sources = Sources::new(&options);
        sources.came(of("192.0.2.1"));
        assert!(!sources.may_come(of("192.0.2.1"), 100));
        assert!(sources.may_come(of("192.0.2.2"), 100));
    }
}
