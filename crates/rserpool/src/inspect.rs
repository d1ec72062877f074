//! A short look at a running machine from elsewhere: what its task runs between two inputs.

use std::sync::Arc;

use rserpool_proto::machine::Machine;
use rserpool_proto::time::Time;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::Stopped;
use crate::associations::Associations;
use crate::driver::Request;

/// What a look sees.
pub(crate) struct Look<'a, M> {
    /// The machine.
    pub(crate) machine: &'a M,
    /// Its associations.
    pub(crate) associations: &'a Associations,
    /// What the machine takes for now.
    pub(crate) now: Time,
}

/// What a look does.
pub(crate) type Inspection<M> = Box<dyn FnOnce(&Look<'_, M>) + Send>;

/// Looks that wait for a machine at once; who wants one more waits before it is queued.
const LOOKS_MAX: usize = 8;

/// The way to look at a machine. It does not keep the machine running.
pub(crate) struct Inspector<M: Machine> {
    requests: mpsc::WeakUnboundedSender<Request<M>>,
    waiting: Arc<Semaphore>,
}

impl<M: Machine> Clone for Inspector<M> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone(), waiting: Arc::clone(&self.waiting) }
    }
}

impl<M: Machine + 'static> Inspector<M> {
    pub(crate) fn new(requests: mpsc::WeakUnboundedSender<Request<M>>) -> Self {
        Self { requests, waiting: Arc::new(Semaphore::new(LOOKS_MAX)) }
    }

    /// What `look` sees. Nothing else happens meanwhile, so it should be short.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub(crate) async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Look<'_, M>) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let stopped = |_| Stopped;
        let permit = Arc::clone(&self.waiting).acquire_owned().await.map_err(|_| Stopped)?;
        let (answer, asked) = oneshot::channel();
        let look = move |seen: &Look<'_, M>| {
            // Whoever asked may be gone: then it need not be done either.
            if !answer.is_closed() {
                let _ = answer.send(look(seen));
            }
            drop(permit);
        };
        let requests = self.requests.upgrade().ok_or(Stopped)?;
        requests.send(Request::Look(Box::new(look))).map_err(|_| Stopped)?;
        drop(requests);
        asked.await.map_err(stopped)
    }
}
