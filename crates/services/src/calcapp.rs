//! The calculation service: jobs that take a processor's time, and nothing else. The workload of
//! the published experiments.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rserpool::server::{CookieError, Event, LoadReport, Service, Session};
use rserpool::wire::param::Load;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use calculation::{Calculation, Outgoing};
use processor::Processor;

mod calculation;
pub mod packet;
mod processor;

/// The service.
#[derive(Debug)]
pub(crate) struct CalcApp {
    processor: Mutex<Processor>,
    /// A job has come or gone: all others take another time from now on.
    changed: watch::Sender<()>,
}

impl Service for CalcApp {
    async fn serve(self: Arc<Self>, mut session: Session) {
        let mut calculation = Calculation::default();
        // Whatever ends this, the others get its share.
        while let Ok(true) = self.turn(&mut session, &mut calculation).await {}
        calculation.stop(Instant::now(), &mut self.processor());
        self.tell(&session);
    }

    fn load_report(&self, _sessions: usize, _sessions_max: usize) -> LoadReport {
        LoadReport::new(Load::from_fraction(self.processor().load()))
    }
}

impl CalcApp {
    /// One of `capacity` calculations a second, above 0, for at most `jobs_max` jobs.
    pub(crate) fn new(capacity: f64, jobs_max: usize) -> Self {
        let processor = Mutex::new(Processor::new(Instant::now(), capacity, jobs_max));
        Self { processor, changed: watch::Sender::new(()) }
    }

    /// Waits for the next thing to do, and does it; false where the session is over.
    async fn turn(
        &self,
        session: &mut Session,
        calculation: &mut Calculation,
    ) -> Result<bool, CookieError> {
        let mut changed = self.changed.subscribe();
        let due = calculation.next_timeout(Instant::now(), &self.processor());
        let load = self.processor().load();
        let (outgoing, goes_on) = tokio::select! {
            event = session.next() => match event {
                Some(event) => self.on_event(calculation, event),
                None => return Ok(false),
            },
            () = time_of(due) => {
                (calculation.timeout(Instant::now(), &mut self.processor()), true)
            }
            _ = changed.changed() => (None, true),
        };
        #[expect(clippy::float_cmp, reason = "it changes with the number of jobs only")]
        let has_changed = self.processor().load() != load;
        if has_changed {
            self.tell(session);
        }
        send(session, outgoing).await?;
        Ok(goes_on)
    }

    /// What is to be sent, and whether the session goes on after that.
    fn on_event(&self, calculation: &mut Calculation, event: Event) -> (Option<Outgoing>, bool) {
        let (now, mut processor) = (Instant::now(), self.processor());
        match event {
            Event::Message { octets, .. } => {
                (calculation.receive(now, &octets, &mut processor), true)
            }
            Event::Resumed(state) => (calculation.resume(now, &state, &mut processor), true),
            Event::Draining => (calculation.state(now, &processor), false),
            _ => (None, true),
        }
    }

    fn tell(&self, session: &Session) {
        self.changed.send_replace(());
        session.load_changed();
    }

    fn processor(&self) -> MutexGuard<'_, Processor> {
        self.processor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(session: &Session, outgoing: Option<Outgoing>) -> Result<(), CookieError> {
    match outgoing {
        Some(Outgoing::Message(packet)) => Ok(session.send(packet::PPID, &packet.encode()).await?),
        Some(Outgoing::Cookie(packet)) => session.send_cookie(&packet.cookie()).await,
        None => Ok(()),
    }
}

/// Waits until then; for ever without a time.
async fn time_of(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
