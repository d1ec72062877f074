//! Every timer value of the protocols, in profiles.

use std::time::Duration;

/// A set of timer values that go together.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Profile {
    /// A silent element is found within some 75 ms: for one rack, and for tests.
    Minimal,
    /// A silent element or registrar is found within 1.5 s: for a LAN. The default.
    #[default]
    Fast,
    /// For networks with round trips of up to half a second.
    Wan,
    /// The values of rsplib; goes with its dialect.
    Rsplib,
    /// The values of RFC 5352 §7 and RFC 5353 §4.
    Rfc,
}

impl Profile {
    /// All profiles, quickest first.
    pub const ALL: &'static [Self] =
        &[Self::Minimal, Self::Fast, Self::Wan, Self::Rsplib, Self::Rfc];

    /// The name, as on the command line.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Fast => "fast",
            Self::Wan => "wan",
            Self::Rsplib => "rsplib",
            Self::Rfc => "rfc",
        }
    }
}

/// How long the machines wait, and how often they ask. Each value can be set alone. A machine takes
/// one below [`LEAST`](Self::LEAST) or above [`MOST`](Self::MOST) for that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Timing {
    /// How often a registrar asks each of its elements whether it lives. Stretched where there are
    /// many elements. No RFC name.
    pub keep_alive_interval: Duration,
    /// How long an element has to answer before it is asked once more, and a third of
    /// [`keep_alive_timeout_cap`](Self::keep_alive_timeout_cap) where its answers are slow. No RFC
    /// name.
    pub keep_alive_timeout_floor: Duration,
    /// How long an element may be silent besides [`keep_alive_interval`](Self::keep_alive_interval)
    /// before it is taken out: longer than the transport needs to repair what it lost. No RFC name.
    pub keep_alive_timeout_cap: Duration,
    /// PEER-HEARTBEAT-CYCLE (RFC 5353 §4.1): how often a registrar tells its peers that it lives.
    pub presence_interval: Duration,
    /// MAX-TIME-LAST-HEARD (RFC 5353 §4.1): silence after which a peer is asked whether it lives.
    pub peer_silence_max: Duration,
    /// MAX-TIME-NO-RESPONSE (RFC 5353 §4.1): how long a peer may take to answer.
    pub response_timeout: Duration,
    /// How long to wait for the acknowledgements of a takeover. No RFC name.
    pub takeover_timeout: Duration,
    /// T1-ENRPrequest (RFC 5352 §7.1): how long a handle resolution may take.
    pub request_timeout: Duration,
    /// T2-registration (RFC 5352 §7.1).
    pub registration_timeout: Duration,
    /// T3-deregistration (RFC 5352 §7.1).
    pub deregistration_timeout: Duration,
    /// T5-Serverhunt (RFC 5352 §7.1): how long one round of a hunt takes at first.
    pub hunt_timeout: Duration,
    /// T6-Serverannounce (RFC 5352 §7.1): how often registrars announce themselves.
    pub announce_interval: Duration,
    /// T7-ENRPoutdate (RFC 5352 §7.1): how long an announced registrar is believed.
    pub announce_lifetime: Duration,
    /// RETRAN-MAX (RFC 5352 §7.3): the longest that a doubled timer gets. So long at most servers and
    /// users take to come back after all registrars were gone.
    pub backoff_max: Duration,
    /// SCTP: RTO.Initial.
    pub rto_initial: Duration,
    /// SCTP: RTO.Min.
    pub rto_min: Duration,
    /// SCTP: RTO.Max.
    pub rto_max: Duration,
    /// SCTP: heartbeat interval of an idle path.
    pub heartbeat_interval: Duration,
    /// SCTP: Path.Max.Retrans.
    pub path_retransmits_max: u32,
    /// SCTP: Association.Max.Retrans.
    pub association_retransmits_max: u32,
}

/// A duration that can be waited for again and again, and added up.
pub(crate) fn within_bounds(span: Duration) -> Duration {
    span.clamp(Timing::LEAST, Timing::MOST)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Timing {
    /// The least that a machine waits: with less it would do nothing else.
    pub const LEAST: Duration = ms(1);
    /// The most that a machine waits: effectively for ever (30 years), and still a time that clocks
    /// and sums of it can tell.
    pub const MOST: Duration = Duration::from_secs(30 * 365 * 86_400);
    /// How many durations there are.
    pub const DURATIONS: usize = 18;

    /// All durations, in the order of the fields.
    pub const fn durations_mut(&mut self) -> [&mut Duration; Self::DURATIONS] {
        let Self {
            keep_alive_interval,
            keep_alive_timeout_floor,
            keep_alive_timeout_cap,
            presence_interval,
            peer_silence_max,
            response_timeout,
            takeover_timeout,
            request_timeout,
            registration_timeout,
            deregistration_timeout,
            hunt_timeout,
            announce_interval,
            announce_lifetime,
            backoff_max,
            rto_initial,
            rto_min,
            rto_max,
            heartbeat_interval,
            path_retransmits_max: _,
            association_retransmits_max: _,
        } = self;
        [
            keep_alive_interval,
            keep_alive_timeout_floor,
            keep_alive_timeout_cap,
            presence_interval,
            peer_silence_max,
            response_timeout,
            takeover_timeout,
            request_timeout,
            registration_timeout,
            deregistration_timeout,
            hunt_timeout,
            announce_interval,
            announce_lifetime,
            backoff_max,
            rto_initial,
            rto_min,
            rto_max,
            heartbeat_interval,
        ]
    }

    /// What a machine makes of these values: none beyond the bounds, and no floor above its cap.
    pub fn within_bounds(mut self) -> Self {
        for span in self.durations_mut() {
            *span = within_bounds(*span);
        }
        self.keep_alive_timeout_cap =
            self.keep_alive_timeout_cap.max(self.keep_alive_timeout_floor);
        self
    }

    /// The values of a profile.
    pub const fn of(profile: Profile) -> Self {
        match profile {
            Profile::Minimal => Self::MINIMAL,
            Profile::Fast => Self::FAST,
            Profile::Wan => Self::WAN,
            Profile::Rsplib => Self::RSPLIB,
            Profile::Rfc => Self::RFC,
        }
    }

    const MINIMAL: Self = Self {
        keep_alive_interval: ms(25),
        keep_alive_timeout_floor: ms(15),
        keep_alive_timeout_cap: ms(45),
        presence_interval: ms(40),
        peer_silence_max: ms(100),
        response_timeout: ms(50),
        takeover_timeout: ms(50),
        request_timeout: ms(100),
        registration_timeout: ms(100),
        deregistration_timeout: ms(100),
        hunt_timeout: ms(100),
        announce_interval: ms(100),
        announce_lifetime: ms(500),
        backoff_max: ms(200),
        rto_initial: ms(50),
        rto_min: ms(20),
        rto_max: ms(100),
        heartbeat_interval: ms(100),
        path_retransmits_max: 1,
        association_retransmits_max: 3,
    };

    const FAST: Self = Self {
        keep_alive_interval: ms(500),
        keep_alive_timeout_floor: ms(200),
        keep_alive_timeout_cap: ms(900),
        presence_interval: ms(400),
        peer_silence_max: ms(1_000),
        response_timeout: ms(300),
        takeover_timeout: ms(300),
        request_timeout: ms(1_000),
        registration_timeout: ms(1_000),
        deregistration_timeout: ms(1_000),
        hunt_timeout: ms(1_000),
        announce_interval: ms(1_000),
        announce_lifetime: ms(5_000),
        backoff_max: ms(2_000),
        rto_initial: ms(250),
        rto_min: ms(100),
        rto_max: ms(1_000),
        heartbeat_interval: ms(1_000),
        path_retransmits_max: 2,
        association_retransmits_max: 4,
    };

    const WAN: Self = Self {
        keep_alive_interval: ms(2_000),
        keep_alive_timeout_floor: ms(1_000),
        keep_alive_timeout_cap: ms(3_000),
        presence_interval: ms(2_000),
        peer_silence_max: ms(5_000),
        response_timeout: ms(3_000),
        takeover_timeout: ms(3_000),
        request_timeout: ms(5_000),
        registration_timeout: ms(5_000),
        deregistration_timeout: ms(5_000),
        hunt_timeout: ms(5_000),
        announce_interval: ms(1_000),
        announce_lifetime: ms(5_000),
        backoff_max: ms(10_000),
        rto_initial: ms(1_000),
        rto_min: ms(500),
        rto_max: ms(5_000),
        heartbeat_interval: ms(5_000),
        path_retransmits_max: 4,
        association_retransmits_max: 8,
    };

    const RSPLIB: Self = Self {
        keep_alive_interval: ms(5_000),
        keep_alive_timeout_floor: ms(5_000),
        keep_alive_timeout_cap: ms(5_000),
        presence_interval: ms(2_444),
        peer_silence_max: ms(5_000),
        response_timeout: ms(5_000),
        takeover_timeout: ms(5_000),
        request_timeout: ms(3_000),
        registration_timeout: ms(3_000),
        deregistration_timeout: ms(3_000),
        hunt_timeout: ms(7_500),
        announce_interval: ms(1_000),
        announce_lifetime: ms(5_000),
        backoff_max: ms(15_000),
        rto_initial: ms(2_000),
        rto_min: ms(1_000),
        rto_max: ms(5_000),
        heartbeat_interval: ms(15_000),
        path_retransmits_max: 3,
        association_retransmits_max: 8,
    };

    const RFC: Self = Self {
        keep_alive_interval: ms(5_000),
        keep_alive_timeout_floor: ms(5_000),
        keep_alive_timeout_cap: ms(5_000),
        presence_interval: ms(30_000),
        peer_silence_max: ms(61_000),
        response_timeout: ms(5_000),
        takeover_timeout: ms(5_000),
        request_timeout: ms(15_000),
        registration_timeout: ms(30_000),
        deregistration_timeout: ms(30_000),
        hunt_timeout: ms(10_000),
        announce_interval: ms(1_000),
        announce_lifetime: ms(5_000),
        backoff_max: ms(60_000),
        rto_initial: ms(3_000),
        rto_min: ms(1_000),
        rto_max: ms(60_000),
        heartbeat_interval: ms(30_000),
        path_retransmits_max: 5,
        association_retransmits_max: 10,
    };
}

impl Default for Timing {
    fn default() -> Self {
        Self::of(Profile::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_profile_is_beyond_the_bounds() {
        for &profile in Profile::ALL {
            assert_eq!(Timing::of(profile).within_bounds(), Timing::of(profile), "{profile:?}");
        }
    }

    /// Least RTO of TCP as kernels have it, whatever the profile says.
    const TCP_RTO_MIN: Duration = ms(200);

    /// Two of a row are lost, and repeated after a timer that doubles: the wait is longer than that.
    /// In one rack nothing gets lost.
    #[test]
    fn a_packet_that_is_lost_and_sent_again_is_no_silence() {
        for profile in [Profile::Fast, Profile::Wan, Profile::Rsplib, Profile::Rfc] {
            let timing = Timing::of(profile);
            for rto in [timing.rto_min, TCP_RTO_MIN] {
                assert!(timing.keep_alive_timeout_cap > rto * 3, "{profile:?}");
            }
            assert!(timing.keep_alive_timeout_floor <= timing.keep_alive_timeout_cap);
        }
    }
}
