//! Timer values that are set alone, over those of a profile.

use std::time::Duration;

use rserpool::proto::timing::Timing;
use serde::Deserialize;

use crate::config::set;

/// One field for each value of [`Timing`], under the same name.
macro_rules! overrides {
    ($($field:ident),* $(,)?) => {
        /// Timer values that replace those of the profile. Written as `500ms`, `1s 500ms`, `2min`.
        #[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
        #[serde(deny_unknown_fields, default)]
        pub struct TimingOverrides {
            $(
                #[doc = concat!("See [`Timing::", stringify!($field), "`].")]
                #[serde(with = "humantime_serde")]
                pub $field: Option<Duration>,
            )*
            /// See [`Timing::path_retransmits_max`].
            pub path_retransmits_max: Option<u32>,
            /// See [`Timing::association_retransmits_max`].
            pub association_retransmits_max: Option<u32>,
        }

        impl TimingOverrides {
            /// The profile's values with these in their place.
            pub fn over(&self, profile: Timing) -> Timing {
                let mut timing = profile;
                $(set(&mut timing.$field, self.$field);)*
                set(&mut timing.path_retransmits_max, self.path_retransmits_max);
                let retransmits = self.association_retransmits_max;
                set(&mut timing.association_retransmits_max, retransmits);
                timing
            }

        }

        /// Every duration with its name.
        pub(crate) fn named(timing: &Timing) -> impl Iterator<Item = (&'static str, Duration)> {
            [$((stringify!($field), timing.$field)),*].into_iter()
        }
    };
}

overrides!(
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
);
