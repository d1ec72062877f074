//! Reading the configuration again while a registrar runs.

use std::fmt;

use anyhow::Context as _;
use rserpool::Registrar;
use rserpool::transport::Tls;
use tracing::{error, warn};

use crate::admin::Admin;
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
    pub(crate) admin: Option<&'a Admin>,
}

/// What came of reading a configuration again.
#[derive(Debug, Default)]
pub(crate) struct Reloaded {
    /// Settings that have changed, by their names in the file.
    pub(crate) changed: Vec<&'static str>,
    /// Settings that change when the registrar is restarted.
    pub(crate) needs_restart: Vec<&'static str>,
    /// The files of keys were read again.
    has_keys: bool,
}

/// Nothing has changed.
#[derive(Debug)]
pub(crate) enum NotReloaded {
    /// Nothing of it comes from a file.
    NoFile,
    /// What is in the files makes no sense.
    Wrong(anyhow::Error),
}

impl fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("there is no configuration file to read again (--config)"),
            Self::Wrong(error) => write!(f, "{error:#}"),
        }
    }
}

impl Reload<'_> {
    /// Reads everything again and has the registrar go by it. What came of it is in the log: who
    /// sends the signal wants to know, at every level.
    pub(crate) async fn run(&self) -> Result<Reloaded, NotReloaded> {
        let done = self.read_again().await;
        match &done {
            Ok(done) => {
                if done.has_keys {
                    warn!("keys read again: who is not trusted any more is gone");
                }
                if done.changed.contains(&TOKENS) {
                    warn!("tokens read again: {TOKENS} has changed");
                }
                if !done.needs_restart.is_empty() {
                    let settings = done.needs_restart.join(" ");
                    warn!(settings, "these settings change when this registrar is restarted");
                }
            }
            Err(NotReloaded::NoFile) => warn!("SIGHUP is ignored: {}", NotReloaded::NoFile),
            Err(NotReloaded::Wrong(cause)) => {
                let error = format!("{cause:#}");
                match cause.downcast_ref() {
                    Some(ConfigError::Keys(_)) => {
                        error!(error, "the configuration is not changed, and the old keys stay");
                    }
                    Some(ConfigError::Access(_)) => {
                        error!(error, "the configuration is not changed, and the old rules stay");
                    }
                    _ => error!(error, "the configuration is not changed"),
                }
            }
        }
        done
    }

    /// What makes no sense changes nothing; all else changes at once.
    async fn read_again(&self) -> Result<Reloaded, NotReloaded> {
        let config = match &self.source {
            Some(source) => source().map_err(NotReloaded::Wrong)?,
            // Options of the command line name files, too.
            None if self.started.has_files() => self.started.clone(),
            None => return Err(NotReloaded::NoFile),
        };
        let wrong = |error: ConfigError| NotReloaded::Wrong(error.into());
        let library = config.to_library().map_err(wrong)?;
        let tokens = config.admin.load_tokens().context("admin.tokens");
        let tokens = tokens.map_err(NotReloaded::Wrong)?;
        let has_keys = library.tls.is_some() && self.keys.is_some();
        // What has changed the registrar says itself.
        let done = self.registrar.reconfigure(library).await;
        let done = done.map_err(|error| NotReloaded::Wrong(error.into()))?;
        let (mut changed, mut needs_restart) = (done.changed, done.needs_restart);
        if self.admin.is_some_and(|admin| admin.replace_tokens(tokens)) {
            changed.push(TOKENS);
        }
        if !config.admin.is_same_but_tokens(&self.started.admin) {
            needs_restart.push("admin");
        }
        Ok(Reloaded { changed, needs_restart, has_keys })
    }
}

/// The setting that names the tokens of operators.
const TOKENS: &str = "admin.tokens";
