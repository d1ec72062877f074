//! A registrar in this process, for programs without async.

use std::sync::Arc;
use std::time::Duration;

use rserpool_transport::Address;
use rserpool_wire::param::RegistrarId;

use super::Runtime;
use crate::registrar::{Config, PoolSnapshot, Reconfigured, State, Stats};
use crate::{ReconfigureError, StartError, Stopped};

/// A running registrar; see [`crate::Registrar`].
#[derive(Debug)]
pub struct Registrar {
    registrar: Arc<crate::Registrar>,
    runtime: Runtime,
}

impl Registrar {
    /// Opens the endpoints and runs a registrar on them, on a thread of its own.
    ///
    /// # Errors
    ///
    /// As [`crate::Registrar::start`], and [`StartError::NoThread`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_in(&Runtime::start()?, config)
    }

    /// Opens the endpoints and runs a registrar on them, on this thread.
    ///
    /// # Errors
    ///
    /// As [`crate::Registrar::start`].
    pub fn start_in(runtime: &Runtime, config: Config) -> Result<Self, StartError> {
        let registrar = runtime.within(|| crate::Registrar::start(config))?;
        Ok(Self { registrar: Arc::new(registrar), runtime: runtime.clone() })
    }

    /// Its identifier.
    pub fn id(&self) -> RegistrarId {
        self.registrar.id()
    }

    /// Where elements and users reach it, with the real ports.
    pub fn urls(&self) -> &[Address] {
        self.registrar.urls()
    }

    /// Where other registrars reach it, with the real ports.
    pub fn enrp_urls(&self) -> &[Address] {
        self.registrar.enrp_urls()
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.registrar.state()
    }

    /// Waits until it serves; see [`crate::Registrar::serving`].
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub fn serving(&self) -> Result<(), Stopped> {
        let registrar = Arc::clone(&self.registrar);
        self.runtime.wait(async move { registrar.serving().await }).unwrap_or(Err(Stopped))
    }

    /// All pools, in the order of their handles.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub fn pools(&self) -> Result<Vec<PoolSnapshot>, Stopped> {
        let registrar = Arc::clone(&self.registrar);
        self.runtime.wait(async move { registrar.pools().await }).unwrap_or(Err(Stopped))
    }

    /// What it counted since it was started.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub fn stats(&self) -> Result<Stats, Stopped> {
        let registrar = Arc::clone(&self.registrar);
        self.runtime.wait(async move { registrar.stats().await }).unwrap_or(Err(Stopped))
    }

    /// Goes by another configuration from now on; see [`crate::Registrar::reconfigure`].
    ///
    /// # Errors
    ///
    /// [`ReconfigureError`]; nothing has changed then.
    pub fn reconfigure(&self, config: Config) -> Result<Reconfigured, ReconfigureError> {
        let registrar = Arc::clone(&self.registrar);
        let reconfigure = async move { registrar.reconfigure(config).await };
        self.runtime.wait(reconfigure).unwrap_or(Err(ReconfigureError::Stopped))
    }

    /// Hands its elements over, and ends; see [`crate::Registrar::stop`].
    pub fn stop(self) {
        let Self { registrar, runtime } = self;
        let _ = runtime.wait(async move {
            if let Some(registrar) = Arc::into_inner(registrar) {
                registrar.stop().await;
            }
        });
    }

    /// The same for at most `grace`; see [`crate::Registrar::drain`].
    pub fn drain(self, grace: Duration) {
        let Self { registrar, runtime } = self;
        let _ = runtime.wait(async move {
            if let Some(registrar) = Arc::into_inner(registrar) {
                registrar.drain(grace).await;
            }
        });
    }
}
