//! The job service: commands that the operator allows by name, for each job its own process.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rserpool::server::{Event, LoadReport, Service, Session};
use rserpool::wire::param::Load;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::field::display;
use tracing::{debug, info, warn};

use guard::Guard;
use job::{Server, Step};
use packet::Refusal;
use places::{Place, Places};
use process::{Environment, Limits, Process, ProcessEvent};

pub(crate) mod guard;
pub mod job;
pub mod packet;
mod places;
pub(crate) mod process;

/// The service.
#[derive(Debug)]
pub(crate) struct Exec {
    /// The commands that may be run, by name.
    commands: BTreeMap<String, String>,
    limits: Limits,
    /// Octets that a command may say.
    output_max: u64,
    /// What commands see of the server's environment.
    environment: Environment,
    places: Places,
    guard: Arc<Guard>,
}

impl Service for Exec {
    async fn serve(self: Arc<Self>, session: Session) {
        let mut job = Running { server: Server::new(self.output_max), queued: None, process: None };
        let aborted = job.run(&self, session).await;
        if let Err(session) = aborted {
            let client = session.client_address().map(display);
            warn!(client, "the client breaks the rules of the protocol: its session is ended");
            session.abort();
        }
    }

    fn load_report(&self, _sessions: usize, _sessions_max: usize) -> LoadReport {
        LoadReport::new(Load::from_fraction(self.places.load()))
    }
}

/// A client that takes nothing for so long is cut off, and its command ended.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How long a job may wait for a place before its client is told to look elsewhere: short jobs come
/// one after the other then.
const QUEUE_MAX: Duration = Duration::from_millis(250);

/// A session with its command.
struct Running {
    server: Server,
    /// A command that waits for a place, and until when.
    queued: Option<(String, Instant)>,
    /// With its place among those that run at once.
    process: Option<(Process, Place)>,
}

impl Exec {
    /// One that runs these commands, `jobs_max` at once, and fewer of one source.
    pub(crate) fn new(
        commands: BTreeMap<String, String>,
        limits: Limits,
        output_max: u64,
        (jobs_max, per_source_max): (usize, Option<usize>),
        environment: Environment,
        guard: Guard,
    ) -> Self {
        let (places, guard) = (Places::new(jobs_max, per_source_max), Arc::new(guard));
        Self { commands, limits, output_max, environment, places, guard }
    }
}

impl Running {
    /// Serves the session to its end. The error is one whose client breaks the rules.
    async fn run(&mut self, exec: &Exec, mut session: Session) -> Result<(), Session> {
        let source = session.client();
        loop {
            let room = self.server.room();
            let steps = tokio::select! {
                event = session.next() => match event {
                    Some(Event::Message { octets, .. }) => self.server.receive(&octets),
                    // A command that runs may end; the limits see to it.
                    Some(Event::Draining) if self.process.is_none() => return Ok(()),
                    Some(_) => Vec::new(),
                    None => return Ok(()),
                },
                (name, place) = place(exec, source, &self.queued) => {
                    self.queued = None;
                    let step = self.start(exec, &name, place, session.client_address());
                    session.load_changed();
                    vec![step]
                }
                happening = next(&mut self.process, room) => match happening {
                    ProcessEvent::Said(stream, octets) => self.server.output(stream, octets),
                    ProcessEvent::Took(count) => self.server.taken(count).into_iter().collect(),
                    ProcessEvent::TimeOver => self.server.time_over(),
                    ProcessEvent::Ended(outcome) => {
                        self.process = None;
                        session.load_changed();
                        self.server.ended(outcome).into_iter().collect()
                    }
                },
            };
            for step in steps {
                match step {
                    Step::Send(packet) => {
                        let octets = packet.encode();
                        match timeout(STALL_MAX, session.send(packet::PPID, &octets)).await {
                            Ok(Ok(())) => {}
                            Ok(Err(_)) => return Ok(()),
                            // It gives credit, and takes nothing.
                            Err(_) => return Err(session),
                        }
                    }
                    Step::Start(name) => self.queued = Some((name, Instant::now() + QUEUE_MAX)),
                    Step::Feed(octets) => self.with_process(|process| process.feed(octets)),
                    Step::CloseInput => self.with_process(Process::close_input),
                    Step::Kill => self.with_process(Process::kill),
                    Step::Abort => return Err(session),
                }
            }
        }
    }

    /// Starts a command in its place, or says why not.
    fn start(
        &mut self,
        exec: &Exec,
        name: &str,
        place: Option<Place>,
        client: Option<SocketAddr>,
    ) -> Step {
        let Some(command) = exec.commands.get(name) else {
            info!(client = client.map(display), name, "a command that nobody allowed");
            return self.server.refuse(Refusal::Unknown, format!("there is no job {name}"));
        };
        let Some(place) = place else {
            return self.server.refuse(Refusal::Busy, "enough jobs run already");
        };
        let Exec { limits, environment, guard, .. } = exec;
        match Process::start(command, self.server.job(), limits, environment, guard) {
            Ok(process) => {
                debug!(client = client.map(display), name, "a command runs");
                self.process = Some((process, place));
                self.server.started()
            }
            Err(error) => {
                warn!(client = client.map(display), name, %error, "a command cannot be started");
                self.server.refuse(Refusal::Broken, format!("cannot start {name}: {error}"))
            }
        }
    }

    fn with_process(&mut self, act: impl FnOnce(&mut Process)) {
        if let Some((process, _)) = &mut self.process {
            act(process);
        }
    }
}

/// A place for the command that waits, or none where it may not wait any longer; for ever without
/// one that waits.
async fn place(
    exec: &Exec,
    source: Option<IpAddr>,
    queued: &Option<(String, Instant)>,
) -> (String, Option<Place>) {
    let Some((name, until)) = queued else {
        return std::future::pending().await;
    };
    // Who asks for what there is not need not wait to hear it.
    let is_known = exec.commands.contains_key(name);
    let until = if is_known { *until } else { Instant::now() };
    let place = timeout_at(until, exec.places.take(source)).await;
    (name.clone(), place.ok().flatten())
}

/// What happens to a command next; for ever without one.
async fn next(process: &mut Option<(Process, Place)>, room: usize) -> ProcessEvent {
    match process {
        Some((process, _)) => process.next(room).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
