//! A short look at a running machine from elsewhere: what its task runs between two inputs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rserpool_proto::machine::Machine;
use rserpool_proto::time::Time;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

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

/// While the thread of a machine is busy, a look is followed by a pause of so many times what it
/// took: all who look together take 2 % of the thread.
const PAUSES: u32 = 49;

/// The way to look at a machine. It does not keep the machine running. One looks at a time; others
/// wait before their looks are queued.
pub(crate) struct Inspector<M: Machine> {
    requests: mpsc::WeakUnboundedSender<Request<M>>,
    budget: Arc<Mutex<Budget>>,
    taken: Arc<Taken>,
}

/// When the next look may be.
struct Budget {
    /// When the last look ended, and what the thread had taken of a processor by then.
    last: (Instant, Duration),
    /// Not before then.
    next: Instant,
}

/// What all looks took.
#[derive(Default)]
struct Taken {
    looks: AtomicU64,
    nanos: AtomicU64,
}

impl<M: Machine> Clone for Inspector<M> {
    fn clone(&self) -> Self {
        let Self { requests, budget, taken } = self;
        let (budget, taken) = (Arc::clone(budget), Arc::clone(taken));
        Self { requests: requests.clone(), budget, taken }
    }
}

impl<M: Machine + 'static> Inspector<M> {
    pub(crate) fn new(requests: mpsc::WeakUnboundedSender<Request<M>>) -> Self {
        let now = Instant::now();
        let budget = Budget { last: (now, Duration::ZERO), next: now };
        Self { requests, budget: Arc::new(Mutex::new(budget)), taken: Arc::default() }
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
        let mut budget = Arc::clone(&self.budget).lock_owned().await;
        sleep_until(budget.next).await;
        let (answer, asked) = oneshot::channel();
        let taken = Arc::clone(&self.taken);
        let look = move |seen: &Look<'_, M>| {
            // Whoever asked may be gone: then it need not be done either.
            if answer.is_closed() {
                return;
            }
            let begun = Instant::now();
            let seen = look(seen);
            let took = begun.elapsed();
            taken.looks.fetch_add(1, Ordering::Relaxed);
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            taken.nanos.fetch_add(nanos, Ordering::Relaxed);
            budget.note(begun + took, took, thread_cpu_time());
            // Before the answer: who has it may want the next look.
            drop(budget);
            let _ = answer.send(seen);
        };
        let requests = self.requests.upgrade().ok_or(Stopped)?;
        requests.send(Request::Look(Box::new(look))).map_err(|_| Stopped)?;
        drop(requests);
        asked.await.map_err(|_| Stopped)
    }

    /// How many looks there were, and what all of them took.
    pub(crate) fn taken(&self) -> (u64, Duration) {
        let nanos = self.taken.nanos.load(Ordering::Relaxed);
        (self.taken.looks.load(Ordering::Relaxed), Duration::from_nanos(nanos))
    }
}

impl Budget {
    /// A look ended now that took so long.
    fn note(&mut self, now: Instant, took: Duration, cpu: Duration) {
        let (then, before) = std::mem::replace(&mut self.last, (now, cpu));
        let is_busy = cpu.saturating_sub(before) * 2 > now - then;
        self.next = if is_busy { now + took * PAUSES } else { now };
    }
}

/// What this thread has taken of a processor.
pub(crate) fn thread_cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = Duration::from_secs(u64::try_from(spent.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(spent.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_at_a_busy_machine_pauses_and_at_an_idle_one_does_not() {
        let start = Instant::now();
        let mut budget = Budget { last: (start, Duration::ZERO), next: start };
        let ms = Duration::from_millis;
        budget.note(start + ms(100), ms(1), ms(60));
        assert_eq!(budget.next - start, ms(100 + 49));
        budget.note(start + ms(200), ms(1), ms(61));
        assert_eq!(budget.next - start, ms(200));
    }
}
