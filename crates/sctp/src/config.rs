//! Settings of an endpoint, and the numbers that nobody has to set.

use std::time::Duration;

/// DATA is taken so many TSNs ahead of the first that is missing.
pub(crate) const AHEAD_MAX: u32 = 4096;

/// Fragments of one message.
pub(crate) const FRAGMENTS_MAX: usize = 4096;

/// Octets that count for a fragment that waits, besides its own.
pub(crate) const FRAGMENT_OVERHEAD: usize = 64;

/// How long a gap stays open, and how long a message may take from its first fragment to its last.
/// Senders repeat what is missing several times within that, or have given up.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(60);

/// Chunks that wait to answer what a peer sent, for one association.
pub(crate) const REPLIES_MAX: usize = 16;

/// Longer times are as good as for ever, and can be added to others.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a window can be, with room for sums.
const OCTETS_MAX: usize = 1 << 30;

/// Settings of an [`Endpoint`](crate::Endpoint) and of all its associations. The names of RFC 9260
/// §16 stand in brackets, its values are the defaults unless said otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Retransmission timeout before anything was measured (RTO.Initial): 1 s.
    pub rto_initial: Duration,
    /// The least retransmission timeout (RTO.Min): 1 s.
    pub rto_min: Duration,
    /// The greatest (RTO.Max): 60 s.
    pub rto_max: Duration,
    /// So many retransmissions and heartbeats in a row that no path answers, and one more ends the
    /// association (Association.Max.Retrans): 10.
    pub association_retransmits_max: u32,
    /// So many that one path does not answer, and one more make it unreachable (Path.Max.Retrans): 5.
    pub path_retransmits_max: u32,
    /// So many that one path does not answer, and one more make it potentially failed: what is sent
    /// goes to another one, if there is one (PFMR, RFC 7829 §3): 0.
    pub potentially_failed_retransmits: u32,
    /// So many repetitions of an INIT or COOKIE ECHO, for each address of the peer
    /// (Max.Init.Retransmits): 8.
    pub init_retransmits_max: u32,
    /// How long one address of a peer is tried before the next has its turn, too: 250 ms.
    pub head_start: Duration,
    /// A path on which nothing was sent for so long is asked whether it is there (HB.interval): 30 s.
    pub heartbeat_interval: Duration,
    /// How long a SACK may wait (SACK.Delay): 200 ms, or half of `rto_min` where that is less; 500 ms
    /// at most.
    pub sack_delay: Duration,
    /// How long a cookie is good (Valid.Cookie.Life): 60 s.
    pub cookie_life: Duration,
    /// Streams that messages are taken from; costs a peer that uses them all some octets each: 16.
    pub streams_in: u16,
    /// Streams that messages can be sent on, if the peer takes as many: 16.
    pub streams_out: u16,
    /// The largest packet to an IPv4 address, without what encapsulates it: 1472 octets, what of
    /// Ethernet is left without IP and UDP.
    pub mtu_v4: usize,
    /// The same for IPv6: 1452 octets.
    pub mtu_v6: usize,
    /// The longest message that is sent or taken: 262 144 octets.
    pub message_max: usize,
    /// What is kept of messages that are not whole, or that wait for others, before the window is
    /// closed: 262 144 octets, and in any case twice `message_max`.
    pub receive_window: usize,
    /// What may wait to be sent and to be acknowledged: 1 048 576 octets.
    pub send_queue_max: usize,
    /// Addresses of one peer that are used: 8.
    pub addresses_max: usize,
    /// Packets that may leave at once, besides what a SACK has made room for (Max.Burst): 4.
    pub burst_max: usize,
    /// Associations of the endpoint: 100 000.
    pub associations_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_secs(1),
            rto_max: Duration::from_secs(60),
            association_retransmits_max: 10,
            path_retransmits_max: 5,
            potentially_failed_retransmits: 0,
            init_retransmits_max: 8,
            head_start: Duration::from_millis(250),
            heartbeat_interval: Duration::from_secs(30),
            sack_delay: Duration::from_millis(200),
            cookie_life: Duration::from_secs(60),
            streams_in: 16,
            streams_out: 16,
            mtu_v4: 1472,
            mtu_v6: 1452,
            message_max: 256 << 10,
            receive_window: 256 << 10,
            send_queue_max: 1 << 20,
            addresses_max: 8,
            burst_max: 4,
            associations_max: 100_000,
        }
    }
}

impl Config {
    /// The settings as they are used: bounds in the right order, and none that lets a timer run in
    /// circles.
    pub(crate) fn bounded(mut self) -> Self {
        let tick = Duration::from_millis(1);
        for time in [
            &mut self.rto_initial,
            &mut self.rto_min,
            &mut self.rto_max,
            &mut self.head_start,
            &mut self.heartbeat_interval,
            &mut self.cookie_life,
        ] {
            *time = (*time).min(NEVER);
        }
        self.message_max = self.message_max.clamp(1, OCTETS_MAX / 2);
        self.rto_min = self.rto_min.max(tick);
        self.rto_max = self.rto_max.max(self.rto_min);
        self.rto_initial = self.rto_initial.clamp(tick, self.rto_max);
        self.head_start = self.head_start.max(tick);
        self.heartbeat_interval = self.heartbeat_interval.max(tick);
        // RFC 9260 §6.2: half a second at most.
        self.sack_delay = self.sack_delay.min(self.rto_min / 2).min(Duration::from_millis(500));
        self.mtu_v4 = self.mtu_v4.clamp(512, 65_000) & !3;
        self.mtu_v6 = self.mtu_v6.clamp(512, 65_000) & !3;
        self.receive_window = self.receive_window.clamp(2 * self.message_max, OCTETS_MAX);
        self.streams_in = self.streams_in.max(1);
        self.streams_out = self.streams_out.max(1);
        self.addresses_max = self.addresses_max.clamp(1, 16);
        self.burst_max = self.burst_max.max(1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_settings_are_bounded() {
        let least = Config {
            rto_initial: Duration::ZERO,
            rto_min: Duration::ZERO,
            rto_max: Duration::ZERO,
            heartbeat_interval: Duration::ZERO,
            head_start: Duration::ZERO,
            mtu_v4: 0,
            mtu_v6: 1,
            message_max: 0,
            receive_window: 0,
            streams_in: 0,
            streams_out: 0,
            addresses_max: 0,
            burst_max: 0,
            ..Config::default()
        };
        let least = least.bounded();
        assert!(least.rto_min > Duration::ZERO && least.rto_max >= least.rto_initial);
        assert!(least.mtu_v4 == 512 && least.receive_window >= 2 && least.addresses_max == 1);
        let most = Config {
            rto_initial: Duration::MAX,
            rto_min: Duration::MAX,
            rto_max: Duration::MAX,
            heartbeat_interval: Duration::MAX,
            head_start: Duration::MAX,
            cookie_life: Duration::MAX,
            sack_delay: Duration::MAX,
            mtu_v4: usize::MAX,
            message_max: usize::MAX,
            receive_window: usize::MAX,
            addresses_max: usize::MAX,
            ..Config::default()
        };
        let most = most.bounded();
        assert!(most.rto_max + most.heartbeat_interval < Duration::MAX);
        assert!(u32::try_from(most.receive_window).is_ok() && most.mtu_v4 < 1 << 16);
        assert_eq!(most.clone().bounded(), most);
    }
}
