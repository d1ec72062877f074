//! Paths: the addresses of a peer, and what is known of the way to each (RFC 9260 §6.3, §8, RFC 7829).

use std::net::IpAddr;
use std::time::Duration;

use crate::config::Config;
use crate::congestion::Congestion;
use crate::event::Way;

/// The clock's granularity (RFC 9260 §6.3.1 C3).
const TICK: Duration = Duration::from_millis(1);

/// How well a path does.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Health {
    Active,
    /// It has missed an answer (RFC 7829).
    PotentiallyFailed,
    /// It has missed too many.
    Unreachable,
}

/// A HEARTBEAT that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    /// What its answer has to say.
    pub(crate) nonce: u64,
    sent: Duration,
    /// When it counts as lost.
    pub(crate) deadline: Duration,
}

/// One address of the peer.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// Its name in the association; used again after it is gone and nothing is left of it.
    pub(crate) id: u8,
    pub(crate) way: Way,
    /// It has answered: only then anything but HEARTBEATs goes there (RFC 9260 §5.4).
    pub(crate) confirmed: bool,
    /// Answers that are missing in a row.
    pub(crate) errors: u32,
    /// When the last one was missed: only what was sent later shows that it is reached.
    pub(crate) missed_at: Option<Duration>,
    /// The peer has left it for another one, and it is being asked whether it is there: meanwhile it
    /// counts as one that misses an answer.
    pub(crate) doubted: bool,
    pub(crate) congestion: Congestion,
    pub(crate) rto: Duration,
    smoothed: Option<Duration>,
    variation: Duration,
    /// T3-rtx: when something that is on its way counts as lost.
    pub(crate) t3: Option<Duration>,
    pub(crate) heartbeat: Option<Heartbeat>,
    /// When the next HEARTBEAT is due.
    pub(crate) next_heartbeat: Duration,
    /// When DATA was sent there last, or it was found.
    pub(crate) used: Duration,
    /// DATA was sent there since the last HEARTBEAT.
    pub(crate) was_used: bool,
    /// A round trip is being measured with this TSN.
    pub(crate) measured: bool,
}

impl Path {
    /// Notes a round trip (RFC 9260 §6.3.1).
    pub(crate) fn measure(&mut self, time: Duration, config: &Config) {
        let smoothed = match self.smoothed {
            None => {
                self.variation = time / 2;
                time
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(time)) / 4;
                (smoothed * 7 + time) / 8
            }
        };
        self.smoothed = Some(smoothed);
        let rto = smoothed + (self.variation * 4).max(TICK);
        self.rto = rto.clamp(config.rto_min, config.rto_max);
    }

    /// How well it does.
    pub(crate) fn health(&self, config: &Config) -> Health {
        if self.errors > config.path_retransmits_max {
            Health::Unreachable
        } else if self.errors > config.potentially_failed_retransmits {
            Health::PotentiallyFailed
        } else {
            Health::Active
        }
    }

    /// Doubles the RTO (RFC 9260 §6.3.3 E2).
    pub(crate) fn back_off(&mut self, config: &Config) {
        self.rto = (self.rto * 2).min(config.rto_max);
    }

    /// A HEARTBEAT leaves.
    pub(crate) fn beat(&mut self, nonce: u64, now: Duration) {
        self.was_used = false;
        self.heartbeat = Some(Heartbeat { nonce, sent: now, deadline: now + self.rto });
    }

    /// The HEARTBEAT was answered: it says so, and how long that took.
    pub(crate) fn answered(&mut self, now: Duration, config: &Config) {
        self.doubted = false;
        if let Some(heartbeat) = self.heartbeat.take() {
            self.measure(now.saturating_sub(heartbeat.sent), config);
        }
    }

    /// Arms the timer for the next HEARTBEAT: `jitter` of 256 parts spread the RTO by a half (RFC
    /// 9260 §8.3); a path that has failed potentially is asked each RTO (RFC 7829 §3).
    pub(crate) fn schedule(&mut self, now: Duration, jitter: u8, config: &Config) {
        let spread = self.rto / 2 + self.rto * u32::from(jitter) / 256;
        self.next_heartbeat = now
            + match self.health(config) {
                // The RTO has passed already, waiting for the answer.
                Health::PotentiallyFailed => Duration::ZERO,
                Health::Active if !self.confirmed && self.errors > 0 => Duration::ZERO,
                Health::Active | Health::Unreachable => config.heartbeat_interval + spread,
            };
    }
}

/// All addresses of a peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    list: Vec<Path>,
    /// The one that is used while it does well.
    pub(crate) primary: u8,
    /// The one that is used.
    pub(crate) current: u8,
}

impl Paths {
    /// Adds one; its name, or `None` where it is known or there are too many.
    pub(crate) fn add(&mut self, way: Way, now: Duration, config: &Config) -> Option<u8> {
        if self.list.len() >= config.addresses_max || self.find(way.remote.ip()).is_some() {
            return None;
        }
        let id = (0..=u8::MAX).find(|id| self.get(*id).is_none())?;
        let mtu = if way.remote.is_ipv4() { config.mtu_v4 } else { config.mtu_v6 };
        self.list.reserve_exact(1);
        self.list.push(Path {
            id,
            way,
            confirmed: false,
            errors: 0,
            missed_at: None,
            doubted: false,
            congestion: Congestion::new(mtu),
            rto: config.rto_initial,
            smoothed: None,
            variation: Duration::ZERO,
            t3: None,
            heartbeat: None,
            next_heartbeat: now,
            used: now,
            was_used: false,
            measured: false,
        });
        Some(id)
    }

    /// Removes one.
    pub(crate) fn remove(&mut self, id: u8) -> Option<Path> {
        let at = self.list.iter().position(|path| path.id == id)?;
        Some(self.list.remove(at))
    }

    pub(crate) fn get(&self, id: u8) -> Option<&Path> {
        self.list.iter().find(|path| path.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: u8) -> Option<&mut Path> {
        self.list.iter_mut().find(|path| path.id == id)
    }

    /// The one to this address.
    pub(crate) fn find(&self, remote: IpAddr) -> Option<&Path> {
        self.list.iter().find(|path| path.way.remote.ip() == remote)
    }

    pub(crate) fn find_mut(&mut self, remote: IpAddr) -> Option<&mut Path> {
        self.list.iter_mut().find(|path| path.way.remote.ip() == remote)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Path> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Path> {
        self.list.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The one that is used.
    pub(crate) fn current(&self) -> Option<&Path> {
        self.get(self.current)
    }

    /// The one to use: the primary one while it is active, else the first that is, else the one that
    /// misses the fewest answers (RFC 7829 §3). One that is not confirmed is never used.
    pub(crate) fn best(&self, config: &Config) -> Option<u8> {
        let rank = |path: &&Path| {
            let health = match path.health(config) {
                Health::Active if path.doubted => Health::PotentiallyFailed,
                health => health,
            };
            let errors = if health == Health::Active { 0 } else { path.errors };
            (health, errors, path.id != self.primary, path.id)
        };
        self.list.iter().filter(|path| path.confirmed).min_by_key(rank).map(|path| path.id)
    }

    /// Another one than `not`, for a repetition: the best of the others that are confirmed.
    pub(crate) fn other(&self, not: u8, config: &Config) -> Option<u8> {
        let others = self.list.iter().filter(|path| path.confirmed && path.id != not);
        others.min_by_key(|path| (path.health(config), path.errors)).map(|path| path.id)
    }

    /// The largest packet that fits all of them.
    pub(crate) fn mtu(&self, config: &Config) -> usize {
        let is_v4 = self.list.iter().all(|path| path.way.remote.is_ipv4());
        if is_v4 { config.mtu_v4 } else { config.mtu_v6.min(config.mtu_v4) }
    }

    /// The peer's addresses, the one that is used first.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> =
            self.list.iter().map(|path| path.way.remote.ip()).collect();
        if let Some(at) = self.list.iter().position(|path| path.id == self.current) {
            addresses.swap(0, at);
        }
        addresses
    }
}

/// The own address to send to `remote` from: of its family, with the longest prefix in common
/// (RFC 6724 §5, rule 8); the first of those. `None` where the system is to choose.
pub(crate) fn source(own: &[IpAddr], remote: IpAddr) -> Option<IpAddr> {
    let common = |own: &IpAddr| match (own, remote) {
        (IpAddr::V4(own), IpAddr::V4(remote)) => (own.to_bits() ^ remote.to_bits()).leading_zeros(),
        (IpAddr::V6(own), IpAddr::V6(remote)) => (own.to_bits() ^ remote.to_bits()).leading_zeros(),
        _ => 0,
    };
    let same = own.iter().filter(|own| own.is_ipv4() == remote.is_ipv4());
    same.rev().max_by_key(|own| common(own)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn config() -> Config {
        Config { rto_min: Duration::from_millis(100), ..Config::default() }.bounded()
    }

    fn way(last: u8) -> Way {
        Way { local: None, remote: SocketAddr::from(([10, 0, last, 1], 0)) }
    }

    fn paths(count: u8) -> Paths {
        let mut paths = Paths::default();
        for last in 0..count {
            let id = paths.add(way(last), Duration::ZERO, &config()).unwrap();
            paths.get_mut(id).unwrap().confirmed = true;
        }
        paths
    }

    #[test]
    fn the_timeout_follows_the_round_trips() {
        let mut paths = paths(1);
        let path = paths.get_mut(0).unwrap();
        assert_eq!(path.rto, Duration::from_secs(1));
        path.measure(Duration::from_millis(80), &config());
        assert_eq!(path.rto, Duration::from_millis(80 + 160));
        path.measure(Duration::from_millis(80), &config());
        assert_eq!(path.rto, Duration::from_millis(80 + 120));
        for _ in 0..50 {
            path.measure(Duration::from_millis(1), &config());
        }
        assert_eq!(path.rto, Duration::from_millis(100));
        path.back_off(&config());
        assert_eq!(path.rto, Duration::from_millis(200));
    }

    #[test]
    fn the_primary_path_is_used_while_it_is_active_and_then_another() {
        let mut paths = paths(3);
        paths.primary = 1;
        assert_eq!(paths.best(&config()), Some(1));
        paths.get_mut(1).unwrap().errors = 1;
        assert_eq!(paths.best(&config()), Some(0));
        paths.get_mut(0).unwrap().confirmed = false;
        assert_eq!(paths.best(&config()), Some(2));
        paths.get_mut(2).unwrap().errors = 3;
        assert_eq!(paths.best(&config()), Some(1), "the fewest errors");
        paths.get_mut(1).unwrap().confirmed = false;
        paths.get_mut(2).unwrap().confirmed = false;
        assert_eq!(paths.best(&config()), None);
    }

    #[test]
    fn there_are_not_more_paths_than_may_be() {
        let mut paths = paths(8);
        assert_eq!(paths.add(way(9), Duration::ZERO, &config()), None);
        paths.remove(3);
        assert_eq!(paths.add(way(2), Duration::ZERO, &config()), None, "known");
        assert_eq!(paths.add(way(9), Duration::ZERO, &config()), Some(3));
    }

    #[test]
    fn the_source_is_in_the_same_network_if_it_can() {
        let own: Vec<IpAddr> =
            ["10.0.1.1", "10.0.2.1", "2001:db8::1"].map(|a| a.parse().unwrap()).to_vec();
        let of = |remote: &str| source(&own, remote.parse().unwrap()).map(|own| own.to_string());
        assert_eq!(of("10.0.2.9").as_deref(), Some("10.0.2.1"));
        assert_eq!(of("10.0.1.9").as_deref(), Some("10.0.1.1"));
        assert_eq!(of("192.0.2.1").as_deref(), Some("10.0.1.1"));
        assert_eq!(of("2001:db8::2").as_deref(), Some("2001:db8::1"));
        assert_eq!(source(&own[..2], "2001:db8::2".parse().unwrap()), None);
    }
}
