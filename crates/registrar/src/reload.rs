//! Reading the configuration again while a registrar runs.

use rserpool::Registrar;
use rserpool::transport::Tls;
use tracing::{error, warn};

use crate::{Config, ConfigError};

/// Where the configuration comes from when it is to be read again; `None` where it comes from the
/// command line alone.
pub type Source = Option<Box<dyn Fn() -> anyhow::Result<Config> + Send + Sync>>;

/// What SIGHUP is for.
pub(crate) struct Reload<'a> {
    pub(crate) registrar: &'a Registrar,
    pub(crate) started: &'a Config,
    pub(crate) keys: Option<Tls>,
    pub(crate) source: Source,
}

impl Reload<'_> {
    /// Reads everything again and has the registrar go by it. What came of it is in the log: who
    /// sends the signal wants to know, at every level.
    pub(crate) async fn run(&self) {
        match (&self.source, &self.keys) {
            (Some(source), _) => self.configuration(source()).await,
            (None, Some(keys)) => self.keys_and_rules(keys),
            (None, None) => {
                warn!("SIGHUP is ignored: there is no configuration file to read again (--config)");
            }
        }
    }

    /// Reads the keys and the rules of the command line again, both or neither.
    fn keys_and_rules(&self, keys: &Tls) {
        let access = match self.started.access() {
            Ok(access) => access,
            Err(error) => return warn!(%error, "the old keys stay, and the old rules"),
        };
        match keys.reload() {
            Ok(()) => {
                if let Some(access) = access {
                    self.registrar.set_rules(access.rules);
                }
                tell_of_keys();
            }
            Err(error) => warn!(%error, "the old keys stay"),
        }
    }

    /// A configuration that makes no sense changes nothing.
    async fn configuration(&self, config: anyhow::Result<Config>) {
        let read = config.and_then(|config| Ok((config.to_library()?, config)));
        let (library, config) = match read {
            Ok(read) => read,
            Err(error) if matches!(error.downcast_ref(), Some(ConfigError::Keys(_))) => {
                let error = format!("{error:#}");
                error!(error, "the configuration is not changed, and the old keys stay");
                return;
            }
            Err(error) => {
                let error = format!("{error:#}");
                error!(error, "the configuration is not changed");
                return;
            }
        };
        let has_keys = library.tls.is_some() && self.keys.is_some();
        let rules = library.protocol.access.as_deref().cloned();
        // What has changed the registrar says itself.
        let mut needs_restart = match self.registrar.reconfigure(library).await {
            Ok(done) => done.needs_restart,
            Err(error) => {
                error!(%error, "the configuration is not changed");
                return;
            }
        };
        self.registrar.set_rules(rules);
        if has_keys {
            tell_of_keys();
        }
        if config.admin != self.started.admin {
            needs_restart.push("admin");
        }
        if !needs_restart.is_empty() {
            let settings = needs_restart.join(" ");
            warn!(settings, "these settings change when this registrar is restarted");
        }
    }
}

fn tell_of_keys() {
    warn!("keys read again: who is not trusted any more is gone");
}
