//! What all three roles need: transport options from protocol timing, seeds, groups.

use std::time::Duration;

use rand::TryRng as _;
use rand::rngs::SysRng;
use rserpool_proto::timing::Timing;
use rserpool_transport::{Options, Rto};
use tokio::time::Instant;

/// What associations of a node may take at most. An option that is absent has the default of
/// [`Options`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TransportLimits {
    /// See [`Options::associations_max`].
    pub associations_max: Option<usize>,
    /// See [`Options::associations_per_source_max`].
    pub associations_per_source_max: Option<usize>,
    /// See [`Options::queue_budget`], in octets.
    pub queue_budget: Option<usize>,
    /// See [`Options::stall_timeout`].
    pub stall_timeout: Option<Duration>,
    /// See [`Options::message_timeout`].
    pub message_timeout: Option<Duration>,
    /// See [`Options::close_timeout`].
    pub close_timeout: Option<Duration>,
}

impl TransportLimits {
    /// These options with these limits.
    pub(crate) fn over(self, options: Options) -> Options {
        Options {
            associations_max: self.associations_max.unwrap_or(options.associations_max),
            associations_per_source_max: self
                .associations_per_source_max
                .or(options.associations_per_source_max),
            queue_budget: self.queue_budget.unwrap_or(options.queue_budget),
            stall_timeout: self.stall_timeout.unwrap_or(options.stall_timeout),
            message_timeout: self.message_timeout.unwrap_or(options.message_timeout),
            close_timeout: self.close_timeout.unwrap_or(options.close_timeout),
            ..options
        }
    }
}

/// How long a peer of a session may take nothing of what waits for it.
const SESSION_STALL_TIMEOUT: Duration = Duration::from_secs(300);

/// The transport options that go with a timer profile.
pub fn transport_options(timing: &Timing) -> Options {
    Options {
        rto: Rto { initial: timing.rto_initial, min: timing.rto_min, max: timing.rto_max },
        heartbeat: timing.heartbeat_interval,
        path_retransmits_max: timing.path_retransmits_max,
        association_retransmits_max: timing.association_retransmits_max,
        connect_timeout: connect_timeout(timing),
        ..Options::default()
    }
}

/// The transport options of sessions: a service may think for a while before it takes more, and one
/// who reads what it sends may too.
pub fn session_options(timing: &Timing) -> Options {
    Options { stall_timeout: SESSION_STALL_TIMEOUT, ..transport_options(timing) }
}

/// A dial may take as long as a round of a hunt; after that the next registrar has its turn.
fn connect_timeout(timing: &Timing) -> Duration {
    timing.hunt_timeout.max(Duration::from_millis(200))
}

/// The seed of a machine: what it was given, else something nobody can guess.
pub(crate) fn seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| {
        // Without the system's generator the address of a fresh allocation and the time are what
        // is left; identifiers must differ, not be secret.
        SysRng.try_next_u64().unwrap_or_else(|_| {
            use std::hash::{BuildHasher as _, RandomState};
            RandomState::new().hash_one(std::process::id())
        })
    })
}

/// Octets that nobody can guess, or where the system has none, its error.
pub(crate) fn secret() -> Result<[u8; 32], rand::rngs::SysError> {
    let mut octets = [0; 32];
    SysRng.try_fill_bytes(&mut octets)?;
    Ok(octets)
}

/// As good as never, and still a time that a clock can tell: 30 years.
pub(crate) const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The end of something that begins now, however long it may take.
pub(crate) fn deadline(after: Duration) -> Instant {
    Instant::now() + after.min(FAR_FUTURE)
}

#[cfg(test)]
mod tests {
    use rserpool_proto::timing::Profile;

    use super::*;

    #[test]
    fn the_fast_profile_is_the_default_of_the_transport() {
        let (ours, theirs) = (transport_options(&Timing::of(Profile::Fast)), Options::default());
        assert_eq!(ours.rto, theirs.rto);
        assert_eq!(ours.heartbeat, theirs.heartbeat);
        assert_eq!(ours.path_retransmits_max, theirs.path_retransmits_max);
        assert_eq!(ours.association_retransmits_max, theirs.association_retransmits_max);
    }

    #[test]
    fn limits_that_are_absent_are_those_of_the_transport() {
        let defaults = Options::default();
        let none = TransportLimits::default().over(Options::default());
        assert_eq!(format!("{none:?}"), format!("{defaults:?}"));
        let limits = TransportLimits { queue_budget: Some(7), ..TransportLimits::default() };
        assert_eq!(limits.over(Options::default()).queue_budget, 7);
    }

    #[test]
    fn there_is_no_duration_without_an_end() {
        assert!(deadline(Duration::MAX) > Instant::now());
    }
}
