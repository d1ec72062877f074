//! The loop that gives a machine its clock, its associations and its commands.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rserpool_proto::machine::{BATCH_MAX, Input, Machine, Output};
use rserpool_proto::time::Time;
use rserpool_transport::ready::{Ready, Source};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::Stopped;
use crate::associations::{Associations, Outcome};
use crate::deadline::FAR_FUTURE;
use crate::inspect::{Inspection, Inspector, Look};

/// Changes the associations of a machine, and says what the machine is to do.
pub(crate) type Change<M> =
    Box<dyn FnOnce(&M, &mut Associations) -> Option<<M as Machine>::Command> + Send>;

/// What the owner of a running machine may want.
pub(crate) enum Request<M: Machine> {
    /// A command for the machine.
    Command(M::Command),
    /// A command that is made up when its turn comes, so that it can be the newest of many.
    Newest(Box<dyn FnOnce() -> M::Command + Send>),
    /// A command that goes with a change of its associations: both or, where there is no command,
    /// neither.
    Reconfigure(Change<M>),
    /// A look at it; nothing else happens meanwhile, so it should be short.
    Look(Inspection<M>),
    /// Ends it, whoever else has requests.
    End,
}

/// A running machine: its requests go in here. When the last clone is dropped, the machine ends.
pub(crate) struct Requests<M: Machine>(mpsc::UnboundedSender<Request<M>>);

/// The way to a machine that may have ended.
pub(crate) struct WeakRequests<M: Machine>(mpsc::WeakUnboundedSender<Request<M>>);

impl<M: Machine> Clone for WeakRequests<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Machine> WeakRequests<M> {
    pub(crate) fn upgrade(&self) -> Option<Requests<M>> {
        self.0.upgrade().map(Requests)
    }
}

impl<M: Machine> Clone for Requests<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Machine + 'static> Requests<M> {
    /// Requests to a machine that [`run`] is given the other end of.
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Request<M>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Hands in a command; nothing happens where the machine has ended.
    pub(crate) fn command(&self, command: M::Command) {
        let _ = self.0.send(Request::Command(command));
    }

    /// Hands in what `command` says when its turn comes.
    pub(crate) fn newest(&self, command: impl FnOnce() -> M::Command + Send + 'static) {
        let _ = self.0.send(Request::Newest(Box::new(command)));
    }

    /// Has `change` say what the machine is to do, and what the caller is to know.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub(crate) async fn reconfigure<R: Send + 'static>(
        &self,
        change: impl FnOnce(&M, &mut Associations) -> (R, Option<M::Command>) + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, asked) = tokio::sync::oneshot::channel();
        let change: Change<M> = Box::new(move |machine, associations| {
            let (told, command) = change(machine, associations);
            let _ = answer.send(told);
            command
        });
        self.0.send(Request::Reconfigure(change)).map_err(|_| Stopped)?;
        asked.await.map_err(|_| Stopped)
    }

    /// The same without keeping the machine running.
    pub(crate) fn downgrade(&self) -> WeakRequests<M> {
        WeakRequests(self.0.downgrade())
    }

    /// The way to look at the machine without keeping it running.
    pub(crate) fn inspector(&self) -> Inspector<M> {
        Inspector::new(self.0.downgrade())
    }

    /// What `look` sees of the machine.
    pub(crate) async fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&M) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, asked) = tokio::sync::oneshot::channel();
        let look = move |seen: &Look<'_, M>| {
            let _ = answer.send(look(seen.machine));
        };
        self.0.send(Request::Look(Box::new(look))).map_err(|_| Stopped)?;
        asked.await.map_err(|_| Stopped)
    }

    /// Waits until the machine has ended.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    /// Ends the machine, and waits until its associations are closed. Cancelling stops the waiting.
    pub(crate) async fn end(&self) {
        let _ = self.0.send(Request::End);
        self.0.closed().await;
    }
}

/// How many requests of the owner are taken between two batches.
const REQUESTS_MAX: usize = 64;

/// How long the last answers may take to get out when a machine ends.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// How late timers are while more arrives than can be handed in. A machine that waits for answers
/// has to see that it is late: they may be among what has not been read. More than machines
/// tolerate, and little enough that others do not miss this one.
const BACKLOG_PATIENCE: Duration = Duration::from_millis(40);

/// How often it is asked in a row whether more has arrived, before others have their turn.
const ROUNDS_MAX: usize = 4;

/// Drives `machine` until every [`Requests`] is gone. `on_event` must not wait: a slow application
/// must not stop the protocol's timers.
pub(crate) async fn run<M: Machine>(
    machine: M,
    associations: Associations,
    requests: mpsc::UnboundedReceiver<Request<M>>,
    on_event: impl FnMut(M::Event),
) {
    let mut driver = Driver::new(machine, associations, requests, on_event);
    poll_fn(|cx| driver.poll(cx)).await;
    driver.drain();
    let _ = tokio::time::timeout(FAREWELL_MAX, driver.associations.finish()).await;
}

/// How late timers may be after so many inputs at once.
fn patience_after(inputs: usize) -> Duration {
    if inputs >= BATCH_MAX { BACKLOG_PATIENCE } else { Duration::ZERO }
}

/// A machine with its clock, its associations and its owner.
struct Driver<M: Machine, F> {
    machine: M,
    associations: Associations,
    on_event: F,
    origin: Instant,
    /// Read once for each poll: machines see no time before one that they have seen.
    now: Time,
    /// Which of the next two woke the task: otherwise there is no need to look at them.
    ready: Ready,
    requests: (mpsc::UnboundedReceiver<Request<M>>, Source),
    timer: (Pin<Box<Sleep>>, Source),
    /// What the timer waits for.
    armed: Option<Time>,
}

/// The sources of [`Driver::ready`].
const REQUESTS: u64 = 0;
const TIMER: u64 = 1;

impl<M: Machine, F: FnMut(M::Event)> Driver<M, F> {
    fn new(
        machine: M,
        associations: Associations,
        requests: mpsc::UnboundedReceiver<Request<M>>,
        on_event: F,
    ) -> Self {
        let ready = Ready::default();
        let requests = (requests, ready.source(REQUESTS));
        requests.1.queue();
        let timer = (Box::pin(tokio::time::sleep(FAR_FUTURE)), ready.source(TIMER));
        let origin = Instant::now();
        let (now, armed) = (Time::ZERO, None);
        Self { machine, associations, on_event, origin, now, ready, requests, timer, armed }
    }

    /// Does what there is to do. `Ready` when every [`Requests`] is gone.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.read_clock();
        self.ready.register(cx.waker());
        for round in 1..=ROUNDS_MAX {
            self.drain();
            let Self { machine, associations, now, .. } = self;
            let arrived =
                associations.poll_inputs(cx, BATCH_MAX, |input| machine.handle(*now, input));
            // What arrived comes before the timers that wait for it; but however much arrives,
            // timers and the owner have their turn.
            let expired = self.expire(patience_after(arrived));
            if round < ROUNDS_MAX && (arrived > 0 || expired) {
                continue;
            }
            let Some(served) = self.poll_woken() else { return Poll::Ready(()) };
            if arrived == 0 && !expired && served == 0 && self.poll_timer().is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn read_clock(&mut self) {
        self.now = Time::from_origin(self.origin.elapsed());
    }

    /// Hands in the timeout, if it has been time for so long.
    fn expire(&mut self, patience: Duration) -> bool {
        let is_due = self.machine.next_timeout().is_some_and(|at| at + patience <= self.now);
        if is_due {
            self.machine.handle(self.now, Input::Timeout);
        }
        is_due
    }

    /// Looks at what woke the task, and returns how many requests it served; `None` when the owner
    /// is gone.
    fn poll_woken(&mut self) -> Option<usize> {
        let mut served = 0;
        for _ in [REQUESTS, TIMER] {
            match self.ready.pop() {
                Some(REQUESTS) => served += self.poll_requests()?,
                Some(_) => self.armed = None,
                None => break,
            }
        }
        Some(served)
    }

    /// Serves the owner, up to a limit, and returns how many requests it had; `None` when it is
    /// gone, or wants an end.
    fn poll_requests(&mut self) -> Option<usize> {
        let waker = self.requests.1.waker();
        let cx = &mut Context::from_waker(&waker);
        for served in 0..REQUESTS_MAX {
            match self.requests.0.poll_recv(cx) {
                Poll::Ready(request) => self.serve(request?)?,
                Poll::Pending => return Some(served),
            }
        }
        self.requests.1.queue();
        Some(REQUESTS_MAX)
    }

    /// Ready when the machine wants to be called: by now, though maybe not at the time of this poll.
    fn poll_timer(&mut self) -> Poll<()> {
        let at = self.machine.next_timeout().unwrap_or(Time::ZERO + FAR_FUTURE);
        if self.armed == Some(at) {
            return Poll::Pending;
        }
        self.armed = Some(at);
        let (timer, source) = &mut self.timer;
        timer.as_mut().reset(self.origin + at.since_origin().min(FAR_FUTURE));
        let result = timer.as_mut().poll(&mut Context::from_waker(&source.waker()));
        if result.is_ready() {
            // It wakes nobody any more.
            self.armed = None;
        }
        result
    }

    /// `None` at the last one.
    fn serve(&mut self, request: Request<M>) -> Option<()> {
        match request {
            Request::Command(command) => self.command(command),
            Request::Newest(command) => self.command(command()),
            Request::Reconfigure(change) => {
                if let Some(command) = change(&self.machine, &mut self.associations) {
                    self.command(command);
                }
            }
            Request::Look(look) => {
                let Self { machine, associations, now, .. } = self;
                look(&Look { machine, associations, now: *now });
            }
            Request::End => return None,
        }
        Some(())
    }

    fn command(&mut self, command: M::Command) {
        self.machine.handle(self.now, Input::Command(command));
    }

    /// Does everything that the machine wants done. What fails at once is handed in at once, and
    /// may have the machine want more.
    fn drain(&mut self) {
        loop {
            while let Some(output) = self.machine.poll() {
                match output {
                    Output::Connect(peer, target, protocol) => {
                        self.associations.connect(peer, target, protocol);
                    }
                    Output::Send(peer, message) => self.associations.send(&[peer], &message),
                    Output::SendEncoded(peer, protocol, octets) => {
                        self.associations.send_octets(&[peer], protocol, &octets);
                    }
                    Output::GroupCast(peers, message) => self.associations.send(&peers, &message),
                    Output::Close(peer) => self.associations.close(peer),
                    Output::Abort(peer) => self.associations.abort(peer),
                    Output::Announce(message) => self.associations.announce(&message),
                    Output::Event(event) => (self.on_event)(event),
                }
            }
            let Some(outcome) = self.associations.take_outcome() else {
                return;
            };
            self.machine.handle(self.now, outcome.into());
        }
    }
}

impl<C> From<Outcome> for Input<C> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Lost(peer) => Self::Down(peer),
            Outcome::Known(dialed, there) => Self::Known(dialed, there),
            Outcome::Congested(peer) => Self::Congested(peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rserpool_transport::{Endpoints, Options};

    use super::*;

    /// Waits for an answer since the start, and notes when it was told that it is late.
    #[derive(Default)]
    struct Waiting {
        late_at: Option<Time>,
    }

    impl Machine for Waiting {
        type Command = ();
        type Event = ();

        fn handle(&mut self, now: Time, input: Input<()>) {
            if input == Input::Timeout {
                self.late_at = Some(now);
            }
        }

        fn poll(&mut self) -> Option<Output<()>> {
            None
        }

        fn next_timeout(&self) -> Option<Time> {
            self.late_at.is_none().then_some(Time::ZERO)
        }
    }

    fn driver() -> Driver<Waiting, impl FnMut(())> {
        let associations = Associations::new(Endpoints::new(Options::default()), Vec::new());
        let (_, requests) = Requests::channel();
        Driver::new(Waiting::default(), associations, requests, |()| {})
    }

    #[tokio::test(start_paused = true)]
    async fn while_more_arrives_than_is_handed_in_timers_wait_until_they_say_so() {
        let mut driver = driver();
        let mut expire = async |after| {
            tokio::time::advance(after).await;
            driver.read_clock();
            driver.expire(patience_after(BATCH_MAX));
            driver.machine.late_at
        };
        assert_eq!(expire(Duration::ZERO).await, None);
        assert_eq!(expire(BACKLOG_PATIENCE - Duration::from_millis(1)).await, None);
        let late_at = expire(Duration::from_millis(1)).await;
        assert_eq!(late_at, Some(Time::from_origin(BACKLOG_PATIENCE)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_has_fired_is_set_again() {
        let mut driver = driver();
        assert!(driver.poll_timer().is_ready());
        assert!(driver.poll_timer().is_ready());
    }

    #[test]
    fn where_all_that_arrived_is_handed_in_timers_are_in_time() {
        assert_eq!(patience_after(BATCH_MAX - 1), Duration::ZERO);
    }
}
