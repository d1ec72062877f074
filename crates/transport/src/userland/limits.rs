//! What strangers may take of an endpoint: INITs in a second, and octets of messages that are not
//! whole. Both count by network, so that one that takes its share leaves theirs to the others.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

/// INITs in a second that are answered, of one network and of all; as many at once where it was
/// quiet before. What is over that is dropped as if it had been lost, and peers repeat it.
const INITS_OF_ONE: u32 = 10_000;
const INITS_OF_ALL: u32 = 20_000;

/// Networks that are told apart; others share with one of them.
const NETWORKS: usize = 1024;

/// Octets that fragments may take, of one network and of all.
pub(super) const FRAGMENTS_OF_ONE: usize = 16 << 20;
const FRAGMENTS_OF_ALL: usize = 64 << 20;

/// Where a packet comes from, as far as it is one party: who has one address of it may well have the
/// others.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Network {
    /// IPv4: 24 bits.
    V4([u8; 3]),
    /// IPv6: 56 bits, what a site gets.
    V6([u8; 7]),
}

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g])
            }
        }
    }
}

/// A token bucket: the time up to which what it gave is paid for.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(Duration);

impl Bucket {
    /// False where there is none left at `now` of `rate` a second, at most a second's worth at once.
    fn has(self, now: Duration) -> bool {
        self.0 < now + Duration::from_secs(1)
    }

    fn take(&mut self, rate: u32, now: Duration) {
        self.0 = self.0.max(now) + Duration::from_secs(1) / rate;
    }
}

/// How many INITs are answered.
#[derive(Debug, Default)]
pub(super) struct Inits {
    /// Nobody can choose networks that share a bucket with another one's.
    places: RandomState,
    all: Bucket,
    /// None before the first INIT: most endpoints only dial.
    networks: Vec<Bucket>,
}

impl Inits {
    /// True where an INIT from this network is to be answered.
    pub(super) fn take(&mut self, network: Network, now: Duration) -> bool {
        if self.networks.is_empty() {
            self.networks = vec![Bucket::default(); NETWORKS];
        }
        let place = self.places.hash_one(network) % NETWORKS as u64;
        let Some(own) = usize::try_from(place).ok().and_then(|at| self.networks.get_mut(at)) else {
            return false;
        };
        let has = own.has(now) && self.all.has(now);
        if has {
            own.take(INITS_OF_ONE, now);
            self.all.take(INITS_OF_ALL, now);
        }
        has
    }
}

/// How much of messages that are not whole is kept, by network.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    all: usize,
    networks: HashMap<Network, usize>,
}

impl Fragments {
    /// Octets that this network may still take. Where all of them have taken what there is, each has
    /// its share of as much again: those with little go on, those with much do not. Messages of one
    /// packet in order need no room.
    pub(super) fn room(&self, network: Network) -> usize {
        let own = self.networks.get(&network).copied().unwrap_or_default();
        let left = FRAGMENTS_OF_ALL.saturating_sub(self.all);
        let known = self.networks.len() + usize::from(own == 0);
        let share = (FRAGMENTS_OF_ALL / known.max(1)).saturating_sub(own);
        let again = (2 * FRAGMENTS_OF_ALL).saturating_sub(self.all);
        FRAGMENTS_OF_ONE.saturating_sub(own).min(left.max(share)).min(again)
    }

    /// Octets that all networks have taken.
    pub(super) fn all(&self) -> usize {
        self.all
    }

    /// An association of this network keeps `now` instead of `before`.
    pub(super) fn change(&mut self, network: Network, before: usize, now: usize) {
        if before == now {
            return;
        }
        self.all = self.all + now - before;
        let own = self.networks.entry(network).or_default();
        *own = *own + now - before;
        if *own == 0 {
            self.networks.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u8) -> Network {
        Network::of([10, 0, number, 1].into())
    }

    #[test]
    fn networks_are_what_one_party_has() {
        let same =
            |a: &str, b: &str| Network::of(a.parse().unwrap()) == Network::of(b.parse().unwrap());
        assert!(same("10.1.2.3", "10.1.2.250"));
        assert!(same("10.1.2.3", "::ffff:10.1.2.4"));
        assert!(!same("10.1.2.3", "10.1.3.3"));
        assert!(same("2001:db8:0:1100::1", "2001:db8:0:11ff:9::1"));
        assert!(!same("2001:db8:0:1100::1", "2001:db8:0:1200::1"));
    }

    #[test]
    fn one_network_takes_its_share_of_the_inits_and_others_have_theirs() {
        let mut inits = Inits::default();
        let second = Duration::from_secs(1);
        let taken = |inits: &mut Inits, from, now| {
            (0..3 * INITS_OF_ALL).filter(|_| inits.take(network(from), now)).count()
        };
        assert_eq!(taken(&mut inits, 1, second), INITS_OF_ONE as usize);
        // What is left is for another one, wherever its bucket is.
        let other = (2..).find(|n| taken(&mut inits, *n, second) > 0);
        assert!(other.is_some());
        assert_eq!(taken(&mut inits, 99, second), 0, "all are spent");
        assert_eq!(taken(&mut inits, 1, 2 * second), INITS_OF_ONE as usize);
    }

    #[test]
    fn who_keeps_little_has_room_when_all_is_taken() {
        let mut fragments = Fragments::default();
        for number in 0..4 {
            assert!(fragments.room(network(number)) >= 1 << 20);
            fragments.change(network(number), 0, FRAGMENTS_OF_ONE);
            assert_eq!(fragments.room(network(number)), 0);
        }
        // All is taken by four. The fifth has a share all the same.
        let share = FRAGMENTS_OF_ALL / 5;
        assert_eq!(fragments.room(network(5)), share);
        fragments.change(network(5), 0, share);
        assert_eq!(fragments.room(network(5)), 0);
        // However many come, there is never twice as much.
        for number in 6..=255 {
            let room = fragments.room(network(number));
            fragments.change(network(number), 0, room);
        }
        assert!(fragments.all <= 2 * FRAGMENTS_OF_ALL, "{}", fragments.all);

        for (network, kept) in fragments.networks.clone() {
            fragments.change(network, kept, 0);
        }
        assert_eq!((fragments.all, fragments.networks.len()), (0, 0));
    }
}
