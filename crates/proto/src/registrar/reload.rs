//! What of a configuration can change while a registrar runs.
//!
//! All of it is applied by one command, between two inputs. A value counts from its next use on:
//! timers that run end when they would have, and a lower limit keeps who is there.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::access::Rules;
use super::{AddressScope, Config, Deadline, Event, Quotas, Registrar, State};
use crate::handlespace::{self, Limits};
use crate::machine::Output;
use crate::time::Time;
use crate::timing::Timing;

/// Numbers of configured registrars end here. A number is given to one address for good, so this
/// also bounds how many different ones a registrar hears of while it runs.
pub const CONFIGURED_MAX: usize = 4096;

/// Appends the names of the fields that differ. The pattern has no `..`, so that a new field is
/// either named here or said not to count.
macro_rules! compare {
    ($type:path, $old:expr, $new:expr, $found:ident,
     { $($field:ident: $name:literal,)* } $(but { $($other:ident),* $(,)? })?) => {{
        let ($type { $($field,)* $($($other: _,)*)? }, new) = ($old, $new);
        $(if *$field != new.$field { $found.push($name); })*
    }};
}

/// Settings of one value each, with their names in configuration files.
macro_rules! reloadable {
    ($($field:ident: $type:ty = $name:literal,)*) => {
        /// What of a [`Config`] can change while a registrar runs.
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct Reloadable {
            /// Which of the registrars that the driver knows by number are dialed, below
            /// [`CONFIGURED_MAX`]. One that is no longer among them keeps its associations.
            pub peers: BTreeSet<usize>,
            /// See [`Config::timing`].
            pub timing: Timing,
            /// See [`Config::handlespace`].
            pub handlespace: handlespace::Config,
            /// See [`Config::quotas`].
            pub quotas: Quotas,
            /// See [`Config::access`]. None leaves those that hold: a scope is opened by
            /// [`Command::Rules`](super::Command::Rules), not by a line that is missing.
            pub access: Option<Arc<Rules>>,
            $(
                #[doc = concat!("See [`Config::", stringify!($field), "`].")]
                pub $field: $type,
            )*
        }

        impl Config {
            /// What of it can change while a registrar runs.
            pub fn reloadable(&self) -> Reloadable {
                Reloadable {
                    peers: (0..self.peers).collect(),
                    timing: self.timing,
                    handlespace: self.handlespace,
                    quotas: self.quotas,
                    access: self.access.clone(),
                    $($field: self.$field,)*
                }
            }

            /// The same with these values.
            fn with(mut self, new: &Reloadable) -> Self {
                self.peers = new.peers.len();
                self.timing = new.timing;
                self.handlespace = new.handlespace;
                self.quotas = new.quotas;
                self.access = new.access.clone().or(self.access);
                $(self.$field = new.$field;)*
                self
            }
        }

        impl Reloadable {
            fn compare(&self, new: &Self, found: &mut Vec<&'static str>) {
                compare!(Self, self, new, found, { peers: "peers", access: "access", $($field: $name,)* }
                    but { timing, handlespace, quotas });
            }
        }
    };
}

reloadable! {
    tcp_registration: bool = "tcp_registration",
    address_scope: AddressScope = "address_scope",
    allow_advertised: bool = "allow_advertised",
    bad_reports_max: u32 = "bad_reports_max",
    supervision_rate_max: NonZeroU32 = "supervision_rate_max",
    subscriptions_max: usize = "limits.subscriptions",
    push_interval: Duration = "push_interval",
    idle_timeout: Duration = "idle_timeout",
    peers_max: usize = "limits.peers",
    peers_per_source_max: usize = "limits.peers_per_source",
    start_timeout: Duration = "start_timeout",
    takeover_suggestion: bool = "takeover_suggestion",
    suggestion_pause: Duration = "suggestion_pause",
    suggestion_rate_max: NonZeroU32 = "suggestion_rate_max",
    follow_suggestions: bool = "follow_suggestions",
    adoption_grace: Duration = "adoption_grace",
    adoption_rate_max: NonZeroU32 = "adoption_rate_max",
    leave_timeout: Duration = "leave_timeout",
    downloads_max: usize = "downloads_max",
    observer_downloads_max: usize = "limits.observers",
}

impl Reloadable {
    /// The settings that differ, by their names in configuration files.
    pub fn differences(&self, new: &Self) -> Vec<&'static str> {
        let mut found = Vec::new();
        self.compare(new, &mut found);
        compare_timing(&self.timing, &new.timing, &mut found);
        compare_handlespace(&self.handlespace, &new.handlespace, &mut found);
        compare_quotas(&self.quotas, &new.quotas, &mut found);
        found
    }
}

fn compare_timing(old: &Timing, new: &Timing, found: &mut Vec<&'static str>) {
    compare!(Timing, old, new, found, {
        keep_alive_interval: "timing.keep_alive_interval",
        keep_alive_timeout_floor: "timing.keep_alive_timeout_floor",
        keep_alive_timeout_cap: "timing.keep_alive_timeout_cap",
        presence_interval: "timing.presence_interval",
        peer_silence_max: "timing.peer_silence_max",
        response_timeout: "timing.response_timeout",
        takeover_timeout: "timing.takeover_timeout",
        request_timeout: "timing.request_timeout",
        registration_timeout: "timing.registration_timeout",
        deregistration_timeout: "timing.deregistration_timeout",
        hunt_timeout: "timing.hunt_timeout",
        announce_interval: "timing.announce_interval",
        announce_lifetime: "timing.announce_lifetime",
        backoff_max: "timing.backoff_max",
        rto_initial: "timing.rto_initial",
        rto_min: "timing.rto_min",
        rto_max: "timing.rto_max",
        heartbeat_interval: "timing.heartbeat_interval",
        path_retransmits_max: "timing.path_retransmits_max",
        association_retransmits_max: "timing.association_retransmits_max",
    });
}

fn compare_handlespace(
    old: &handlespace::Config,
    new: &handlespace::Config,
    found: &mut Vec<&'static str>,
) {
    compare!(handlespace::Config, old, new, found, {
        items_default: "items_default",
        items_max: "items_max",
        max_increment: "max_increment",
    } but { limits });
    compare!(Limits, &old.limits, &new.limits, found, {
        pools_max: "limits.pools",
        elements_per_pool_max: "limits.elements_per_pool",
        elements_max: "limits.elements",
        addresses_per_transport_max: "limits.addresses_per_transport",
        handle_octets_max: "limits.handle_octets",
        opaque_octets_max: "limits.opaque_octets",
    });
}

fn compare_quotas(old: &Quotas, new: &Quotas, found: &mut Vec<&'static str>) {
    compare!(Quotas, old, new, found, {
        pools_per_association: "limits.pools_per_association",
        pools_per_source: "limits.pools_per_source",
        elements_per_association: "limits.elements_per_association",
        elements_per_source: "limits.elements_per_source",
        associations_per_source: "limits.associations_per_source",
        subscriptions_per_source: "limits.subscriptions_per_source",
        subscriptions: "limits.subscriptions_in_all",
        held_octets_per_association: "limits.held_octets_per_association",
        held_octets_per_source: "limits.held_octets_per_source",
        held_octets: "limits.held_octets",
    } but {
        // The driver's: it follows from how many descriptors there are.
        connections_per_source,
    });
}

impl Registrar {
    /// What it goes by just now, of that which can change.
    pub fn reloadable(&self) -> Reloadable {
        let peers = self.configured_numbers().collect();
        Reloadable { peers, ..self.config.reloadable() }
    }

    /// The settings that [`Command::Reconfigure`](super::Command) with these values would change, by
    /// their names in configuration files.
    pub fn differences(&self, new: &Reloadable) -> Vec<&'static str> {
        self.reloadable().differences(&self.bounded(new))
    }

    /// What this registrar makes of these values.
    fn bounded(&self, new: &Reloadable) -> Reloadable {
        let config = self.config.clone().with(new).within_bounds();
        let peers = new.peers.range(..CONFIGURED_MAX).copied().collect();
        Reloadable { peers, ..config.reloadable() }
    }

    pub(super) fn reconfigure(&mut self, now: Time, new: &Reloadable) {
        let new = self.bounded(new);
        let changed = self.reloadable().differences(&new);
        // Whoever has something that other rules do not allow goes by these rules.
        let rules = self.config.access.clone();
        self.config = Config { access: rules, ..self.config.clone().with(&new) };
        self.handlespace.reconfigure(new.handlespace);
        self.keep_alive_rate.tokens.set_rate(new.supervision_rate_max);
        self.adopting.set_rate(new.adoption_rate_max);
        self.suggesting.set_rate(new.suggestion_rate_max);
        let is_serving = self.state == State::Serving;
        if !new.takeover_suggestion {
            self.deadlines.disarm(Deadline::Suggestion);
        } else if is_serving && self.deadlines.deadline(Deadline::Suggestion).is_none() {
            self.arm_suggestions(now);
        }
        self.configure_peers(now, &new.peers);
        if new.access != self.config.access {
            self.change_rules(now, new.access);
        }
        self.outputs.push_back(Output::Event(Event::Reconfigured { changed }));
    }
}
