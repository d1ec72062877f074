//! The task of a session: it runs the machine, its transport and its clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rserpool_proto::machine::Peer;
use rserpool_proto::session::client::{
    self as machine, Client, FailureReason, Input, Loss, Output,
};
use rserpool_proto::time::Time;
use rserpool_proto::user::Answer;
use rserpool_transport::tls::Role;
use rserpool_transport::{
    AssocId, DownReason, Endpoints, Error as TransportError, Event as TransportEvent, Framing,
    Identity, Ppid, Remote, SendError,
};
use rserpool_wire::param::{PoolElement, Transport, TransportUse};
use rserpool_wire::{Message, Protocol};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::channel::{Command, Ends, MESSAGE_COST, Notice, Reached, Shared};
use super::waiting::Waiting;
use super::{Event, Pool};
use crate::associations::remote_of;
use crate::user::Resolving;
use crate::{ResolveError, SessionError};

/// A session and what it takes to keep it.
pub(super) struct Driver {
    pool: Pool,
    client: Client,
    origin: Instant,
    /// The association of the moment: dialed, or up.
    assoc: Option<(Peer, AssocId)>,
    /// Who is at the other end of it.
    identity: Option<Identity>,
    /// What is asked of the registrars.
    resolving: Option<(u64, Resolving)>,
    /// Why this host could not dial.
    refusal: Option<TransportError>,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    notices: mpsc::UnboundedSender<Result<Notice, SessionError>>,
    /// Servers that have had the session.
    generation: u64,
    /// What the transport has not taken yet, and what each counts for.
    outbox: VecDeque<(Vec<u8>, u32)>,
    /// When to try again where the transport takes nothing and does not say when it will.
    retry: Option<Instant>,
    /// The transport will say when it takes more.
    is_congested: bool,
    /// Nothing is read of the server, for want of an application that takes it.
    is_paused: bool,
    waiting: Waiting,
    /// The session ends; whoever waits for that, and the association that is still to end.
    closing: Option<(oneshot::Sender<bool>, AssocId)>,
}

/// So many commands are carried out before the transport has its turn.
const COMMANDS_MAX: usize = 64;
/// So many changes of the server may wait to be taken.
const MOVES_MAX: usize = 8;
/// When to try again with a server that takes less than is sent, where nothing else says so.
const RETRY: Duration = Duration::from_millis(5);

impl Driver {
    pub(super) fn new(pool: Pool, ends: Ends) -> Self {
        let Ends { shared, commands, notices } = ends;
        Self {
            client: Client::new(pool.config.machine(pool.handle.clone())),
            pool,
            origin: Instant::now(),
            assoc: None,
            identity: None,
            resolving: None,
            refusal: None,
            shared,
            commands,
            notices,
            generation: 0,
            outbox: VecDeque::new(),
            retry: None,
            is_congested: false,
            is_paused: false,
            waiting: Waiting::default(),
            closing: None,
        }
    }

    /// Runs until the handle is gone, or the session is closed.
    pub(super) async fn run(mut self) {
        self.hand_in(Input::Seek);
        loop {
            self.drain();
            self.tell_status();
            let goes_on = if self.shared.moves.load(Ordering::Relaxed) >= MOVES_MAX {
                // Nobody looks: servers may come and go without this session.
                tokio::select! {
                    () = self.shared.taken.notified() => true,
                    command = self.commands.recv() => self.on_command(command),
                }
            } else {
                self.wait().await
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Waits for one thing, and hands it in. False where there is nothing more to do.
    async fn wait(&mut self) -> bool {
        // Nobody is judged for silence by one that does not listen, or is about to leave.
        let watches = !self.is_paused && self.closing.is_none();
        let timer = self.client.next_timeout().filter(|_| watches);
        let timer = timer.map(|due| self.origin + due.since_origin());
        // What has arrived comes first: it may be what a timer waits for.
        tokio::select! {
            biased;
            event = self.pool.endpoints.next() => return self.arrived(event),
            command = self.commands.recv() => return self.on_commands(command),
            () = self.shared.taken.notified(), if self.is_paused => self.read_on(),
            (question, answer) = answer(&mut self.resolving) => {
                self.resolving = None;
                match answer {
                    Err(ResolveError::Stopped) => self.tell(Err(SessionError::Stopped)),
                    answer => self.hand_in(Input::Answer(question, answer)),
                }
            }
            () = until(self.retry) => self.flush(),
            () = until(timer) => self.hand_in(Input::Timeout),
            () = until(self.waiting.due()) => self.waiting.look(&self.pool),
        }
        true
    }

    fn hand_in(&mut self, input: Input) {
        let now = Time::from_origin(self.origin.elapsed());
        self.client.handle(now, input);
    }

    fn on_commands(&mut self, first: Option<Command>) -> bool {
        let mut goes_on = self.on_command(first);
        for _ in 1..COMMANDS_MAX {
            let Ok(command) = self.commands.try_recv() else { break };
            goes_on &= self.on_command(Some(command));
        }
        self.flush();
        goes_on
    }

    /// Carries out a command; false at the last one.
    fn on_command(&mut self, command: Option<Command>) -> bool {
        match command {
            None => return false,
            Some(Command::Send { generation, octets, cost }) => {
                if generation == self.generation && self.connected().is_some() {
                    self.outbox.push_back((octets, cost));
                } else {
                    // It is lost with its server.
                    self.shared.room.add_permits(cost as usize);
                }
            }
            Some(Command::Leave { generation, reason }) if generation == self.generation => {
                self.hand_in(match reason {
                    FailureReason::Left => Input::MoveOn,
                    _ => Input::FailOver,
                });
                self.drain();
            }
            Some(Command::Leave { .. }) => {}
            Some(Command::Seek) => self.hand_in(Input::Seek),
            Some(Command::Close(done)) => return self.close(done),
        }
        true
    }

    /// Ends the session once what was sent is with the transport; false where there is none.
    fn close(&mut self, done: oneshot::Sender<bool>) -> bool {
        let Some(assoc) = self.connected() else {
            let _ = done.send(false);
            return false;
        };
        self.closing = Some((done, assoc));
        self.is_paused = false;
        self.pool.endpoints.resume_reading(assoc);
        self.flush();
        true
    }

    /// What happened at the transport. False where that is the end of a session that is closed.
    fn arrived(&mut self, event: TransportEvent) -> bool {
        let Some((peer, assoc)) = self.assoc.filter(|(_, assoc)| *assoc == event.assoc()) else {
            return true;
        };
        match event {
            TransportEvent::Up { info, .. } => {
                self.identity = info.identity;
                self.hand_in(Input::Up(peer));
            }
            TransportEvent::Down { reason, .. } => return self.on_down(peer, reason),
            TransportEvent::Message { ppid: Ppid::ASAP, octets, .. } => {
                let decoded = Message::decode(Protocol::Asap, &octets);
                self.hand_in(match decoded.map(|decoded| decoded.message) {
                    Ok(Message::Asap(message)) => Input::Control(peer, message),
                    Ok(Message::Enrp(_)) | Err(_) => Input::Malformed(peer),
                });
            }
            TransportEvent::Message { octets, .. } => self.on_data(peer, assoc, octets),
            TransportEvent::Congested { .. } => (self.is_congested, self.retry) = (true, None),
            TransportEvent::Drained { .. } => {
                self.is_congested = false;
                self.flush();
            }
            TransportEvent::Addresses { .. } | TransportEvent::Path { .. } => {}
        }
        true
    }

    fn on_down(&mut self, peer: Peer, reason: DownReason) -> bool {
        match reason {
            DownReason::Identity(_) | DownReason::NotTls | DownReason::Untrusted => {
                warn!(%reason, "a server is not trusted, or does not trust this client");
            }
            _ => debug!(%reason, "server lost"),
        }
        self.assoc = None;
        if let Some((done, _)) = self.closing.take() {
            let _ = done.send(reason == DownReason::Closed && self.outbox.is_empty());
            return false;
        }
        self.hand_in(Input::Down(
            peer,
            match reason {
                DownReason::Closed => Loss::Closed,
                DownReason::System => Loss::System,
                _ => Loss::Lost,
            },
        ));
        true
    }

    /// Octets for the application, which may not take any.
    fn on_data(&mut self, peer: Peer, assoc: AssocId, octets: Vec<u8>) {
        if self.closing.is_some() {
            return;
        }
        self.hand_in(Input::Data(peer));
        let cost = MESSAGE_COST + octets.len();
        let unread = self.shared.unread.load(Ordering::Relaxed) + cost;
        if unread > self.pool.config.unread_limit {
            debug!(unread, "the server sends more than is taken");
            if !self.is_udp() {
                self.pool.endpoints.abort(assoc);
                self.assoc = None;
                self.hand_in(Input::Down(peer, Loss::Lost));
            }
            return;
        }
        self.shared.unread.fetch_add(cost, Ordering::Relaxed);
        self.tell(Ok(Notice::Event(Event::Received(octets))));
        if unread > self.pool.config.unread_max && !self.is_paused {
            self.is_paused = self.pool.endpoints.pause_reading(assoc);
        }
    }

    /// The application has taken something.
    fn read_on(&mut self) {
        if self.shared.unread.load(Ordering::Relaxed) > self.pool.config.unread_max / 2 {
            return;
        }
        self.is_paused = false;
        if let Some((peer, assoc)) = self.assoc {
            self.pool.endpoints.resume_reading(assoc);
            // It could not be heard meanwhile.
            self.hand_in(Input::Data(peer));
        }
    }

    /// Hands to the transport what it takes.
    fn flush(&mut self) {
        self.retry = None;
        let Some(assoc) = self.connected() else { return };
        // Checklist 40.
        let ppid = self.pool.config.ppid.of_data();
        while let Some((octets, cost)) = self.outbox.pop_front() {
            match self.pool.endpoints.send(assoc, ppid, &octets) {
                Err(SendError::Full) => {
                    self.outbox.push_front((octets, cost));
                    self.retry = (!self.is_congested).then(|| Instant::now() + RETRY);
                    return;
                }
                // Gone: its end is on the way.
                Ok(()) | Err(SendError::Gone) => {}
                Err(error) => self.tell(Err(SessionError::NotSent {
                    octets: octets.len(),
                    reason: error.to_string(),
                })),
            }
            self.shared.room.add_permits(cost as usize);
        }
        if self.closing.is_some() {
            self.pool.endpoints.close(assoc);
        }
    }

    /// Does everything that the machine wants done.
    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Resolve(question) => {
                    let Pool { user, handle, config, .. } = &self.pool;
                    let answer = user.ask(handle, Some(config.items), None);
                    self.resolving = Some((question, answer));
                }
                Output::Connect(peer, element) => self.dial(peer, *element),
                Output::Control(peer, message) => {
                    if let Some((_, assoc)) = self.assoc.filter(|(known, _)| *known == peer) {
                        // A server that takes nothing more will be silent, or lost.
                        let octets = Message::from(message).encode();
                        let _ = self.pool.endpoints.send(assoc, Ppid::ASAP, &octets);
                    }
                }
                Output::Abort(peer) => {
                    if let Some((_, assoc)) = self.assoc.take_if(|(known, _)| *known == peer) {
                        self.pool.endpoints.abort(assoc);
                    }
                }
                Output::Report(id) => self.pool.user.report_unreachable(&self.pool.handle, id),
                Output::Event(event) => self.on_event(event),
            }
        }
        if self.client.server().is_none() {
            self.forget_outbox();
        }
    }

    /// What was on its way is lost with its server.
    fn forget_outbox(&mut self) {
        (self.is_paused, self.is_congested, self.retry) = (false, false, None);
        for (_, cost) in self.outbox.drain(..) {
            self.shared.room.add_permits(cost as usize);
        }
    }

    fn dial(&mut self, peer: Peer, element: PoolElement) {
        let Some((mut remote, framing)) = dialable(&element.user_transport, &self.pool.endpoints)
        else {
            debug!(element = %element.id, "is reached in a way that sessions do not know");
            return self.hand_in(Input::Down(peer, Loss::System));
        };
        remote.expected.role = Some(Role::Server);
        remote.expected.pool = Some(self.pool.handle.as_bytes().to_vec());
        match self.pool.endpoints.connect(&remote, framing) {
            Ok(assoc) => self.assoc = Some((peer, assoc)),
            Err(error) => {
                debug!(%error, element = %element.id, "cannot be dialed");
                self.refusal = Some(error);
                self.hand_in(Input::Down(peer, Loss::CannotDial));
            }
        }
    }

    fn on_event(&mut self, event: machine::Event) {
        let notice = match event {
            machine::Event::Connected { .. } => self.begun(Notice::Connected),
            machine::Event::FailoverNeeded { from, reason } => {
                self.waiting.begin();
                Ok(Notice::Event(Event::FailoverNeeded { from, reason }))
            }
            machine::Event::FailedOver { from, to, reason, resumed } => {
                self.waiting.end(Some(to));
                info!(%from, %to, %reason, resumed, "failed over");
                let event = Event::FailedOver { from, to, reason, resumed };
                self.begun(|server| Notice::Moved(event, server))
            }
            machine::Event::CookieRefused { by } => {
                info!(%by, "the cookie is refused: the session begins anew");
                return;
            }
            machine::Event::CookieStored { octets } => {
                debug!(octets, "cookie stored");
                return;
            }
            machine::Event::GaveUp(problem) => {
                self.waiting.end(None);
                Err(self.error(problem))
            }
        };
        self.tell(notice);
    }

    /// Another server has the session.
    fn begun(&mut self, notice: impl FnOnce(Reached) -> Notice) -> Result<Notice, SessionError> {
        let Some((_, server)) = self.client.server() else {
            return Err(SessionError::NoElement);
        };
        let (element, identity) = (server.clone(), self.identity.clone());
        let notice = notice(Reached { element, identity });
        self.forget_outbox();
        self.generation += 1;
        self.shared.moves.fetch_add(1, Ordering::Relaxed);
        Ok(notice)
    }

    fn tell(&mut self, notice: Result<Notice, SessionError>) {
        // Before the application sees it, what it may do then is known.
        self.tell_status();
        let _ = self.notices.send(notice);
    }

    fn tell_status(&self) {
        let mut status = self.shared.status();
        // That the application has left this server is not known here yet.
        let is_left = status.generation == self.generation && !status.is_connected;
        status.is_connected = self.connected().is_some() && !is_left;
        status.generation = self.generation;
        status.is_idle = self.client.is_idle();
        status.has_cookie = self.client.cookie().is_some();
        status.stats = self.client.stats();
    }

    fn error(&mut self, problem: machine::Problem) -> SessionError {
        match (problem, self.refusal.take()) {
            (machine::Problem::NoRegistrar, _) => ResolveError::NoRegistrar.into(),
            (machine::Problem::Resolve(error), _) => error.into(),
            (machine::Problem::CannotDial, Some(refusal)) => {
                SessionError::CannotDial(refusal.into())
            }
            (machine::Problem::NoElement | machine::Problem::CannotDial, _) => {
                SessionError::NoElement
            }
        }
    }

    /// The association to the server of the moment.
    fn connected(&self) -> Option<AssocId> {
        let (peer, _) = self.client.server()?;
        self.assoc.filter(|(known, _)| *known == peer).map(|(_, assoc)| assoc)
    }

    fn is_udp(&self) -> bool {
        let server = self.client.server();
        server.is_some_and(|(_, server)| matches!(server.user_transport, Transport::Udp { .. }))
    }
}

/// Waits for an answer, as long as it takes; without a question there is none. Cancel safe.
async fn answer(resolving: &mut Option<(u64, Resolving)>) -> (u64, Result<Answer, ResolveError>) {
    match resolving {
        Some((question, answer)) => (*question, answer.await),
        None => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// How to dial a server, where sessions can.
fn dialable(transport: &Transport, endpoints: &Endpoints) -> Option<(Remote, Framing)> {
    let framing = match transport {
        Transport::Tcp { transport_use: TransportUse::DataPlusControl, .. } => Framing::Record,
        _ => Framing::Stream,
    };
    Some((remote_of(transport, endpoints)?, framing))
}
