//! Datagrams that are not to be answered: two servers that answer each other would never stop, and
//! whoever forges a source has others answered.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use rserpool_transport::AssocId;
use tokio::time::Instant;

/// Who sends datagrams, and how many of them.
#[derive(Debug)]
pub(super) struct Datagrams {
    /// The own port: servers of one kind often have the same.
    port: u16,
    clients: BTreeMap<AssocId, SocketAddr>,
    buckets: BTreeMap<IpAddr, Bucket>,
    /// Sources whose buckets are full again are forgotten then.
    swept: Instant,
}

/// How many datagrams a source may send at once.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Datagrams a second that one source may send in the long run.
pub(crate) const RATE: f64 = 10_000.0;
/// And so many at once.
const BURST: f64 = 10_000.0;
/// How often full buckets are looked for.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(1);
/// Ports at which services answer whatever comes (RFC 862 to 867): echo, discard, daytime, quote of
/// the day, character generator.
const ANSWERING: [u16; 5] = [7, 9, 13, 17, 19];

impl Datagrams {
    pub(super) fn new(port: u16, now: Instant) -> Self {
        Self { port, clients: BTreeMap::new(), buckets: BTreeMap::new(), swept: now }
    }

    pub(super) fn begin(&mut self, assoc: AssocId, source: IpAddr, port: u16) {
        self.clients.insert(assoc, SocketAddr::new(source, port));
    }

    pub(super) fn end(&mut self, assoc: AssocId) {
        self.clients.remove(&assoc);
    }

    /// Whether a datagram of this client is answered; what is none of UDP is. `serves` knows
    /// whether an element serves at an address.
    pub(super) fn takes(
        &mut self,
        assoc: AssocId,
        now: Instant,
        serves: impl FnOnce(SocketAddr) -> bool,
    ) -> bool {
        let Some(&client) = self.clients.get(&assoc) else { return true };
        let port = client.port();
        if port == 0 || port == self.port || ANSWERING.contains(&port) || serves(client) {
            return false;
        }
        if now - self.swept >= SWEEP {
            self.swept = now;
            self.buckets.retain(|_, bucket| bucket.at(now).tokens < BURST);
        }
        let bucket = self.buckets.entry(client.ip()).or_insert(Bucket { tokens: BURST, at: now });
        *bucket = bucket.at(now);
        let takes = bucket.tokens >= 1.0;
        if takes {
            bucket.tokens -= 1.0;
        }
        takes
    }
}

impl Bucket {
    fn at(self, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        Self { tokens: (self.tokens + passed * RATE).min(BURST), at: now }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn client(port: u16) -> (Datagrams, AssocId) {
        let mut datagrams = Datagrams::new(7000, Instant::now());
        datagrams.begin(AssocId(1), [10, 0, 0, 1].into(), port);
        (datagrams, AssocId(1))
    }

    #[test]
    fn what_answers_by_itself_is_not_answered() {
        let now = Instant::now();
        for (port, takes) in [(7, false), (19, false), (7000, false), (0, false), (7001, true)] {
            let (mut datagrams, assoc) = client(port);
            assert_eq!(datagrams.takes(assoc, now, |_| false), takes, "{port}");
            assert!(!datagrams.takes(assoc, now, |_| true), "{port}");
        }
        // Sessions of other transports are none of this.
        assert!(client(7).0.takes(AssocId(9), now, |_| true));
    }

    #[test]
    fn a_source_has_a_rate_whatever_ports_it_uses() {
        let now = Instant::now();
        let (mut datagrams, _) = client(1);
        let mut taken = 0;
        for number in 0..20_000_u16 {
            let assoc = AssocId(number.into());
            datagrams.begin(assoc, [10, 0, 0, 1].into(), 20_000 + number);
            taken += usize::from(datagrams.takes(assoc, now, |_| false));
        }
        assert_eq!(taken, 10_000);
        datagrams.begin(AssocId(0), [10, 0, 0, 2].into(), 20_000);
        assert!(datagrams.takes(AssocId(0), now, |_| false));
        let later = now + Duration::from_secs(2);
        assert!(datagrams.takes(AssocId(1), later, |_| false));
        // Who says nothing any more is forgotten.
        assert_eq!(datagrams.buckets.len(), 1);
    }
}
