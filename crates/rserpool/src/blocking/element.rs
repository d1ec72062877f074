//! A server's membership in a pool, for programs without async.

use std::sync::Arc;
use std::time::Duration;

use rserpool_transport::Address;
use rserpool_wire::param::{Load, PeId, Policy, Transport};
use tokio::time::timeout;

use super::Runtime;
use crate::deadline::FAR_FUTURE;
use crate::element::{Config, Home, State, Stats};
use crate::{Attempt, DeregisterError, RegisterError, StartError, Stopped};

/// A server's membership in a pool; see [`crate::PoolElement`].
#[derive(Debug)]
pub struct PoolElement {
    element: Arc<crate::PoolElement>,
    runtime: Runtime,
}

impl PoolElement {
    /// Starts to join the pool, on a thread of its own, and returns at once.
    ///
    /// # Errors
    ///
    /// As [`crate::PoolElement::start`], and [`StartError::NoThread`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_in(&Runtime::start()?, config)
    }

    /// Starts to join the pool on this thread.
    ///
    /// # Errors
    ///
    /// As [`crate::PoolElement::start`].
    pub fn start_in(runtime: &Runtime, config: Config) -> Result<Self, StartError> {
        let element = runtime.within(|| crate::PoolElement::start(config))?;
        Ok(Self { element: Arc::new(element), runtime: runtime.clone() })
    }

    /// Waits until the element is in the pool, however long that takes; see
    /// [`crate::PoolElement::registered`].
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    pub fn registered(&self) -> Result<Home, RegisterError> {
        let element = Arc::clone(&self.element);
        let registered = self.runtime.wait(async move { element.registered().await });
        registered.unwrap_or(Err(RegisterError::Stopped))
    }

    /// The same for at most so long; `None` where it is not in the pool by then. It tries on.
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    pub fn registered_within(&self, time: Duration) -> Result<Option<Home>, RegisterError> {
        let element = Arc::clone(&self.element);
        let registered = async move {
            timeout(time.min(FAR_FUTURE), element.registered()).await.ok().transpose()
        };
        self.runtime.wait(registered).unwrap_or(Err(RegisterError::Stopped))
    }

    /// See [`crate::PoolElement::id`].
    pub fn id(&self) -> PeId {
        self.element.id()
    }

    /// See [`crate::PoolElement::state`].
    pub fn state(&self) -> State {
        self.element.state()
    }

    /// See [`crate::PoolElement::attempts`].
    pub fn attempts(&self) -> Vec<(Address, Attempt)> {
        self.element.attempts()
    }

    /// See [`crate::PoolElement::set_load`].
    pub fn set_load(&self, load: Load) {
        self.element.set_load(load);
    }

    /// See [`crate::PoolElement::set_policy`].
    pub fn set_policy(&self, policy: Policy) {
        self.element.set_policy(policy);
    }

    /// See [`crate::PoolElement::set_transport`].
    pub fn set_transport(&self, transport: Transport) {
        self.element.set_transport(transport);
    }

    /// What it counted since it was started.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub fn stats(&self) -> Result<Stats, Stopped> {
        let element = Arc::clone(&self.element);
        self.runtime.wait(async move { element.stats().await }).unwrap_or(Err(Stopped))
    }

    /// Leaves the pool; see [`crate::PoolElement::deregister`].
    ///
    /// # Errors
    ///
    /// [`DeregisterError`].
    pub fn deregister(&self) -> Result<(), DeregisterError> {
        let element = Arc::clone(&self.element);
        let left = self.runtime.wait(async move { element.deregister().await });
        left.unwrap_or(Err(DeregisterError::Stopped))
    }

    /// Leaves the pool for at most `grace`, and ends; see [`crate::PoolElement::drain`].
    ///
    /// # Errors
    ///
    /// [`DeregisterError::Refused`].
    pub fn drain(self, grace: Duration) -> Result<(), DeregisterError> {
        let Self { element, runtime } = self;
        let left = async move {
            match Arc::into_inner(element) {
                Some(element) => element.drain(grace).await,
                // Another call still has it: the last of them ends it.
                None => Ok(()),
            }
        };
        runtime.wait(left).unwrap_or(Ok(()))
    }

    /// Leaves the pool, and ends; see [`crate::PoolElement::stop`].
    pub fn stop(self) {
        let _ = self.drain(crate::element::FAREWELL_MAX);
    }
}
