//! Transport options that go with the timers of the protocol, and what an application may limit.

use std::time::Duration;

use rserpool_proto::timing::Timing;
use rserpool_transport::{Options, Rto};

use crate::setters::setters;

/// What the associations of a registrar may take at most. `None` is the default of each.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TransportLimits {
    /// Associations at once; on TCP no more than the process has descriptors for. Default: 100 000.
    pub associations_max: Option<usize>,
    /// Incoming associations at once of one IPv4 address, or /64 network of IPv6 addresses; three
    /// quarters of those that there may be in any case. Default: no other limit.
    pub associations_per_source_max: Option<usize>,
    /// Octets that may wait in all queues together, to be sent or for the rest of a message. Beyond it
    /// the greatest queues end. Default: 64 MiB.
    pub queue_budget: Option<usize>,
    /// How long a peer may take nothing of what waits for it. Default: 30 s.
    pub stall_timeout: Option<Duration>,
    /// How long a peer may leave a message unfinished on a byte stream. Default: 30 s.
    pub message_timeout: Option<Duration>,
    /// How long the end of an association may take without progress. Default: 5 s.
    pub close_timeout: Option<Duration>,
}

impl TransportLimits {
    setters! {
        associations_max: into Option<usize>;
        associations_per_source_max: into Option<usize>;
        queue_budget: into Option<usize>;
        stall_timeout: into Option<Duration>;
        message_timeout: into Option<Duration>;
        close_timeout: into Option<Duration>;
    }

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

/// A dial may take as long as a round of a hunt; after that the next registrar has its turn.
fn connect_timeout(timing: &Timing) -> Duration {
    timing.hunt_timeout.max(Duration::from_millis(200))
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
}
