//! A client of pools, for programs without async.

use std::time::Duration;

use rserpool_transport::Address;
use rserpool_wire::param::{PeId, PoolHandle};

use super::Runtime;
use crate::user::{Answer, Config, Stats};
use crate::{Attempt, ResolveError, StartError, Stopped};

/// A client of pools; see [`crate::PoolUser`].
#[derive(Clone, Debug)]
pub struct PoolUser {
    pub(super) user: crate::PoolUser,
    pub(super) runtime: Runtime,
}

impl PoolUser {
    /// Starts a client, on a thread of its own, and returns at once.
    ///
    /// # Errors
    ///
    /// As [`crate::PoolUser::start`], and [`StartError::NoThread`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_in(&Runtime::start()?, config)
    }

    /// Starts a client on this thread.
    ///
    /// # Errors
    ///
    /// As [`crate::PoolUser::start`].
    pub fn start_in(runtime: &Runtime, config: Config) -> Result<Self, StartError> {
        let user = runtime.within(|| crate::PoolUser::start(config))?;
        Ok(Self { user, runtime: runtime.clone() })
    }

    /// The elements of a pool; see [`crate::PoolUser::resolve`]. Its timers bound how long that
    /// takes.
    ///
    /// # Errors
    ///
    /// [`ResolveError`].
    pub fn resolve(&self, handle: &PoolHandle, items: Option<u32>) -> Result<Answer, ResolveError> {
        self.resolve_cached(handle, items, None)
    }

    /// The same, where an answer may come from the cache; see [`crate::PoolUser::resolve_cached`].
    ///
    /// # Errors
    ///
    /// [`ResolveError`].
    pub fn resolve_cached(
        &self,
        handle: &PoolHandle,
        items: Option<u32>,
        max_age: Option<Duration>,
    ) -> Result<Answer, ResolveError> {
        let answer = self.user.ask(handle, items, max_age);
        self.runtime.wait(answer).unwrap_or(Err(ResolveError::Stopped))
    }

    /// See [`crate::PoolUser::report_unreachable`].
    pub fn report_unreachable(&self, handle: &PoolHandle, id: PeId) {
        self.user.report_unreachable(handle, id);
    }

    /// See [`crate::PoolUser::subscribe`].
    pub fn subscribe(&self, handle: &PoolHandle) {
        self.user.subscribe(handle);
    }

    /// See [`crate::PoolUser::unsubscribe`].
    pub fn unsubscribe(&self, handle: &PoolHandle) {
        self.user.unsubscribe(handle);
    }

    /// See [`crate::PoolUser::attempts`].
    pub fn attempts(&self) -> Vec<(Address, Attempt)> {
        self.user.attempts()
    }

    /// What it counted since it was started.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub fn stats(&self) -> Result<Stats, Stopped> {
        let user = self.user.clone();
        self.runtime.wait(async move { user.stats().await }).unwrap_or(Err(Stopped))
    }

    /// Ends it for all clones; see [`crate::PoolUser::stop`].
    pub fn stop(self) {
        let Self { user, runtime } = self;
        let _ = runtime.wait(user.stop());
    }

    /// Ends it for all clones, after requests under way were answered; see
    /// [`crate::PoolUser::drain`].
    pub fn drain(self, grace: Duration) {
        let Self { user, runtime } = self;
        let _ = runtime.wait(user.drain(grace));
    }
}
