//! What operators do with single elements of a running registrar.

use rserpool_proto::registrar::{Command, Evicted, Hold, NotHeld, Registrar};
use rserpool_wire::param::{PeId, PoolHandle};

use crate::Stopped;
use crate::driver::WeakRequests;

/// The way to act on a registrar while it runs, from any thread. It does not keep the registrar
/// running. What is done is this registrar's alone: to have an element nowhere listed, or out for
/// good, each registrar of the scope has to be told.
///
/// Cancelling any of these stops the waiting, not the act. None of them panics.
#[derive(Clone)]
pub struct Acts {
    pub(super) requests: WeakRequests<Registrar>,
}

impl Acts {
    /// Does not list an element for a while ("drain"): it stays registered and supervised, and is
    /// told to no user. The last of its pool only where it is `by_force`.
    ///
    /// # Errors
    ///
    /// [`Stopped`]; inside, why nothing has changed.
    pub async fn hold(
        &self,
        (handle, id): (PoolHandle, PeId),
        hold: Hold,
        by_force: bool,
    ) -> Result<Result<(), NotHeld>, Stopped> {
        let act = move |registrar: &Registrar| {
            let allowed = registrar.may_hold(&handle, id, by_force);
            (allowed, allowed.is_ok().then_some(Command::Hold { handle, id, hold }))
        };
        self.act(act).await
    }

    /// Lists it again; nothing happens where it is not held.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn release(&self, handle: PoolHandle, id: PeId) -> Result<(), Stopped> {
        self.act(move |_| ((), Some(Command::Release { handle, id }))).await
    }

    /// Takes an element out, where this registrar is its home, and refuses its registrations for as
    /// long as `ban` lasts.
    ///
    /// # Errors
    ///
    /// [`Stopped`]; inside, why nothing has changed.
    pub async fn evict(
        &self,
        (handle, id): (PoolHandle, PeId),
        ban: Hold,
    ) -> Result<Result<Evicted, NotHeld>, Stopped> {
        let act = move |registrar: &Registrar| {
            let outcome = registrar.may_evict(&handle, id);
            (outcome, outcome.is_ok().then_some(Command::Evict { handle, id, ban }))
        };
        self.act(act).await
    }

    /// Looks at it and commands it in one step.
    async fn act<R: Send + 'static>(
        &self,
        act: impl FnOnce(&Registrar) -> (R, Option<Command>) + Send + 'static,
    ) -> Result<R, Stopped> {
        let requests = self.requests.upgrade().ok_or(Stopped)?;
        requests.reconfigure(move |registrar, _| act(registrar)).await
    }
}
