//! The loop that gives a machine its clock, its associations and its commands.

use std::time::Duration;

use rserpool_proto::machine::{Input, Machine, Output};
use rserpool_proto::time::Time;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::associations::Associations;

/// What the owner of a running machine may want.
pub(crate) enum Request<M: Machine> {
    /// A command for the machine.
    Command(M::Command),
    /// A look at it; nothing else happens meanwhile, so it should be short.
    Inspect(Box<dyn FnOnce(&M) + Send>),
}

/// A running machine: its requests go in here. When the last clone is dropped, the machine ends.
pub(crate) struct Requests<M: Machine>(mpsc::UnboundedSender<Request<M>>);

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

    /// What `look` sees; `None` where the machine has ended.
    pub(crate) async fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&M) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, asked) = tokio::sync::oneshot::channel();
        let look = move |machine: &M| {
            let _ = answer.send(look(machine));
        };
        self.0.send(Request::Inspect(Box::new(look))).ok()?;
        asked.await.ok()
    }
}

/// How many things that happened are handed in before the answers go out: enough that answers to
/// pipelined requests share their way, few enough that timers are not late.
const BATCH_MAX: usize = 256;

/// How long the last answers may take to get out when a machine ends.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Drives `machine` until every [`Requests`] is gone. `on_event` must not wait: a slow application
/// must not stop the protocol's timers.
pub(crate) async fn run<M: Machine>(
    mut machine: M,
    mut associations: Associations,
    mut requests: mpsc::UnboundedReceiver<Request<M>>,
    mut on_event: impl FnMut(M::Event),
) {
    let origin = Instant::now();
    let now = || Time::from_origin(origin.elapsed());
    let timer = tokio::time::sleep_until(origin);
    tokio::pin!(timer);
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        drain(&mut machine, &mut associations, &mut on_event, now);
        let deadline = machine.next_timeout().map(|at| origin + at.since_origin());
        if let Some(deadline) = deadline.filter(|deadline| timer.deadline() != *deadline) {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            // What arrived comes before the timers that wait for it.
            biased;
            () = associations.next(&mut batch, BATCH_MAX) => {
                let now = now();
                batch.drain(..).for_each(|input| machine.handle(now, input));
            }
            request = requests.recv() => match request {
                Some(Request::Command(command)) => machine.handle(now(), Input::Command(command)),
                Some(Request::Inspect(look)) => look(&machine),
                None => break,
            },
            () = &mut timer, if deadline.is_some() => machine.handle(now(), Input::Timeout),
        }
    }
    let _ = tokio::time::timeout(FAREWELL_MAX, associations.flush()).await;
}

/// Does everything that the machine wants done. What fails at once is handed in at once, and may
/// have the machine want more.
fn drain<M: Machine>(
    machine: &mut M,
    associations: &mut Associations,
    on_event: &mut impl FnMut(M::Event),
    now: impl Fn() -> Time,
) {
    loop {
        while let Some(output) = machine.poll() {
            match output {
                Output::Connect(peer, target, protocol) => {
                    associations.connect(peer, target, protocol);
                }
                Output::Send(peer, message) => associations.send(&[peer], &message),
                Output::GroupCast(peers, message) => associations.send(&peers, &message),
                Output::Close(peer) => associations.close(peer),
                Output::Abort(peer) => associations.abort(peer),
                Output::Announce(message) => associations.announce(&message),
                Output::Event(event) => on_event(event),
            }
        }
        let Some(lost) = associations.take_lost() else {
            return;
        };
        machine.handle(now(), Input::Down(lost));
    }
}
