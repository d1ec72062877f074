//! Changing the configuration of a running registrar.

use std::collections::BTreeSet;

use rserpool_proto::registrar as machine;
use rserpool_proto::registrar::{CONFIGURED_MAX, Command};
use rserpool_proto::timing::Timing;

use super::{Config, Registrar, limit_connections};
use crate::associations::Associations;
use crate::transport_options::transport_options;
use crate::{ReconfigureError, Stopped};

/// What came of [`Registrar::reconfigure`]. Settings have the names of `registrar.toml`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Reconfigured {
    /// Settings that have changed: they count from their next use on. A lower limit keeps who is
    /// there; peers that are new have been dialed, and those that are gone are no longer dialed.
    pub changed: Vec<&'static str>,
    /// Settings that differ from those that the registrar was started with, and take a restart.
    /// Nothing else is held back for them.
    pub needs_restart: Vec<&'static str>,
}

impl Registrar {
    /// Goes by another configuration from now on, as far as that can change while it runs: all of
    /// it at once, or nothing. Rules ([`access`](field@crate::registrar::ProtocolConfig::access)) are part of it; a
    /// configuration without any leaves those that hold, for [`set_rules`](Self::set_rules) opens a scope.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    ///
    /// - [`ReconfigureError::TooManyPeers`]: there were more than 4096 different peers.
    /// - [`ReconfigureError::Stopped`].
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting and nothing else: the change is made all the same.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// # Examples
    ///
    /// ```
    /// # use rserpool::{Registrar, RegistrarConfig};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rserpool::Error> {
    /// let mut config = RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?]);
    /// let registrar = Registrar::start(config.clone())?;
    /// config.protocol.bad_reports_max = 5;
    /// let done = registrar.reconfigure(config).await?;
    /// assert_eq!(done.changed, ["bad_reports_max"]);
    /// assert!(done.needs_restart.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reconfigure(&self, config: Config) -> Result<Reconfigured, ReconfigureError> {
        let needs_restart = fixed_differences(&self.started, &config);
        let Config { peers, mut protocol, transport, tls, .. } = config;
        let started = &self.started.protocol.timing;
        protocol.timing = with_transport_timers_of(protocol.timing, started);
        let options = transport.over(transport_options(&protocol.timing));
        limit_connections(&mut protocol, &options);
        let keys = self.started.tls.clone().zip(tls);
        let change = move |registrar: &machine::Registrar, associations: &mut Associations| {
            let Some(numbers) = associations.configure(&peers, CONFIGURED_MAX) else {
                let error = ReconfigureError::TooManyPeers { max: CONFIGURED_MAX };
                return (Err(error), None);
            };
            if let Some((keys, new)) = &keys {
                keys.replace_by(new);
            }
            let mut needs_restart = needs_restart;
            if protocol.access.is_none() && registrar.reloadable().access.is_some() {
                needs_restart.push("access");
            }
            let mut new = protocol.reloadable();
            new.peers = BTreeSet::from_iter(numbers);
            let changed = registrar.differences(&new);
            let command = Command::Reconfigure(Box::new(new));
            (Ok(Reconfigured { changed, needs_restart }), Some(command))
        };
        match self.requests.reconfigure(change).await {
            Ok(done) => done,
            Err(Stopped) => Err(ReconfigureError::Stopped),
        }
    }
}

/// These timers, but those of the transport, which its endpoints have from the start.
fn with_transport_timers_of(mut timing: Timing, started: &Timing) -> Timing {
    timing.hunt_timeout = started.hunt_timeout;
    timing.rto_initial = started.rto_initial;
    timing.rto_min = started.rto_min;
    timing.rto_max = started.rto_max;
    timing.heartbeat_interval = started.heartbeat_interval;
    timing.path_retransmits_max = started.path_retransmits_max;
    timing.association_retransmits_max = started.association_retransmits_max;
    timing
}

/// The settings that differ and cannot change while a registrar runs.
fn fixed_differences(old: &Config, new: &Config) -> Vec<&'static str> {
    let (was, is) = (&old.protocol, &new.protocol);
    let (timing, other) = (&was.timing, &is.timing);
    let (limits, others) = (&old.transport, &new.transport);
    let quotas = (&was.quotas, &is.quotas);
    [
        ("asap", old.asap != new.asap),
        ("enrp", old.enrp != new.enrp || was.enrp != is.enrp),
        ("announce.groups", old.announce != new.announce || was.announced != is.announced),
        ("announce.enrp_groups", old.discover != new.discover || was.discover != is.discover),
        ("id", was.id != is.id),
        ("dialect", was.dialect != is.dialect),
        ("tls", old.tls.is_some() != new.tls.is_some()),
        ("tls.plaintext_ok", old.plaintext_ok != new.plaintext_ok),
        ("strict_rfc_keepalive", was.strict_rfc_keepalive != is.strict_rfc_keepalive),
        ("enrp_tcp", was.enrp_tcp != is.enrp_tcp),
        ("timing.hunt_timeout", timing.hunt_timeout != other.hunt_timeout),
        ("timing.rto_initial", timing.rto_initial != other.rto_initial),
        ("timing.rto_min", timing.rto_min != other.rto_min),
        ("timing.rto_max", timing.rto_max != other.rto_max),
        ("timing.heartbeat_interval", timing.heartbeat_interval != other.heartbeat_interval),
        ("timing.path_retransmits_max", timing.path_retransmits_max != other.path_retransmits_max),
        (
            "timing.association_retransmits_max",
            timing.association_retransmits_max != other.association_retransmits_max,
        ),
        ("limits.connections_per_source", {
            quotas.0.connections_per_source != quotas.1.connections_per_source
        }),
        ("limits.associations_per_source", {
            limits.associations_per_source_max != others.associations_per_source_max
        }),
        ("limits.associations", limits.associations_max != others.associations_max),
        ("limits.queued_octets", limits.queue_budget != others.queue_budget),
        ("limits.stall_timeout", limits.stall_timeout != others.stall_timeout),
        ("limits.message_timeout", limits.message_timeout != others.message_timeout),
        ("limits.close_timeout", limits.close_timeout != others.close_timeout),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
