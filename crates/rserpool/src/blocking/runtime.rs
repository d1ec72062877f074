//! The thread on which objects of the blocking API run.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::StartError;

/// A thread on which objects of this module run. Clones are the same thread; it ends with the last
/// of them and of the objects that were started in it.
#[derive(Clone)]
pub struct Runtime(Arc<Thread>);

struct Thread {
    handle: Handle,
    /// Dropped at the end.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// [`StartError::NoThread`]; nothing runs then.
    pub fn start() -> Result<Self, StartError> {
        let refused = |error: std::io::Error| StartError::NoThread(error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // Nothing is ever sent: what is waited for is that the other end is dropped.
            let _ = runtime.block_on(ended);
            // What its tasks hold is dropped; a look-up of a name that still goes on is not waited
            // for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("rserpool".into()).spawn(run).map_err(refused)?;
        Ok(Self(Arc::new(Thread { handle, end: Some(end), thread: Some(thread) })))
    }

    /// What `start` starts there.
    pub(super) fn within<T>(&self, start: impl FnOnce() -> T) -> T {
        let _entered = self.0.handle.enter();
        start()
    }

    /// Waits for what a future comes to there; `None` where it panics.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (sender, outcome) = mpsc::sync_channel(1);
        self.0.handle.spawn(async move {
            let _ = sender.send(future.await);
        });
        outcome.recv().ok()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // A look-up of a name is such a call, and may take as long as its resolver likes.
    #[test]
    fn the_end_does_not_wait_for_calls_that_block() {
        /// Far more than any end takes.
        const TIMEOUT: Duration = Duration::from_secs(30);
        let runtime = Runtime::start().unwrap();
        let (begins, has_begun) = mpsc::channel();
        let (answer, answered) = mpsc::channel::<()>();
        runtime.within(|| {
            tokio::task::spawn_blocking(move || {
                let _ = begins.send(());
                let _ = answered.recv();
            })
        });
        has_begun.recv_timeout(TIMEOUT).unwrap();
        let (ends, has_ended) = mpsc::channel();
        thread::spawn(move || {
            drop(runtime);
            let _ = ends.send(());
        });
        assert_eq!(has_ended.recv_timeout(TIMEOUT), Ok(()));
        drop(answer);
    }
}
