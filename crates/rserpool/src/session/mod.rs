//! A client's connection to a pool: moved to another server when its server fails.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_proto::machine::Peer;
use rserpool_proto::session::client::{self as machine, Client, Input, Loss, Output};
use rserpool_proto::stats::SessionStats;
use rserpool_proto::time::Time;
use rserpool_transport::{
    AssocId, DownReason, Endpoints, Error as TransportError, Event as TransportEvent, Framing,
    Options, Ppid, Remote, SendError,
};
use rserpool_wire::asap::BusinessCard;
use rserpool_wire::param::{PeId, PoolElement, PoolHandle, Transport, TransportUse};
use rserpool_wire::{Message, Protocol};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info};

use crate::associations::remote_of;
use crate::node::FAR_FUTURE;
use crate::user::Resolving;
use crate::{Error, PoolUser};

pub use rserpool_proto::session::KeepAlive;
pub use rserpool_proto::session::client::{FailureReason, Order};

/// How long a session tries, and how it watches its server.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long one server may take to accept. Default: 1 s.
    pub connect_timeout: Duration,
    /// How long the session looks for a server that accepts before it gives up. Default: 30 s. One
    /// that hangs up within a second, without a word, has not accepted: it may be full.
    pub failover_timeout: Duration,
    /// How many servers it dials before it gives up. Default: as many as there is time for.
    pub dials_max: Option<NonZeroU32>,
    /// Waits, within [`failover_timeout`](Self::failover_timeout), for a pool that does not exist
    /// yet. Default: false, an unknown pool fails at once.
    pub waits_for_pool: bool,
    /// How many elements a resolution asks for: those after the first are turned to when it does
    /// not accept. Default: 3.
    pub items: u32,
    /// Keep-alives to a server with a control channel, so that a frozen one is noticed. Default:
    /// every 500 ms, it fails after 1.5 s. `None`: only the end of its association counts.
    pub keep_alive: Option<KeepAlive>,
    /// Where to turn to first when the server fails. Default: its business card, if it sent one.
    pub order: Order,
    /// Where this client is found itself, if it is a pool element, too: sent to each server with a
    /// control channel (RFC 5352 §3.6). Default: none.
    pub card: Option<BusinessCard>,
    /// The payload protocol identifier of what is sent. Default: 0.
    pub ppid: Ppid,
    /// Transport values. Default: the `fast` profile.
    pub transport: Options,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            failover_timeout: machine::Config::FAILOVER_TIMEOUT,
            dials_max: None,
            waits_for_pool: false,
            items: 3,
            keep_alive: Some(KeepAlive::default()),
            order: Order::default(),
            card: None,
            ppid: Ppid::default(),
            transport: Options::default(),
        }
    }
}

impl Config {
    fn machine(&self, handle: PoolHandle) -> machine::Config {
        machine::Config {
            failover_timeout: self.failover_timeout.min(FAR_FUTURE),
            dials_max: self.dials_max,
            waits_for_pool: self.waits_for_pool,
            keep_alive: self.keep_alive,
            order: self.order,
            card: self.card.clone(),
            ..machine::Config::new(handle)
        }
    }
}

/// What happens in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Octets from the server: over SCTP and framed TCP a message, over UDP a datagram, over plain
    /// TCP whatever was there.
    Received(Vec<u8>),
    /// The server failed; another one is sought with the next call. Not told where the application
    /// said so itself.
    FailoverNeeded {
        /// The server that failed.
        from: PeId,
        /// How the failure showed.
        reason: FailureReason,
    },
    /// Another server has the session. What was sent and not answered is to be sent again.
    FailedOver {
        /// The server that failed.
        from: PeId,
        /// The server that has the session now; the same one where there is no other.
        to: PeId,
        /// How the failure showed.
        reason: FailureReason,
        /// The newest cookie went before, so that the server knows what the last one told in it.
        /// Without one the session begins anew.
        resumed: bool,
    },
}

/// A connection to whichever server of a pool is right, as its policy says.
///
/// Where servers have a control channel it carries the session's state: the newest cookie of a
/// server goes to the next one before anything else.
pub struct Session {
    pool: Pool,
    client: Client,
    origin: Instant,
    /// The association of the moment: dialed, or up.
    assoc: Option<(Peer, AssocId)>,
    /// What is asked of the registrars.
    resolving: Option<(u64, Resolving)>,
    /// The server of the moment; while another one is sought, the last one.
    server: Option<PoolElement>,
    /// Why this host could not dial.
    refusal: Option<TransportError>,
    /// What the application is still to be told.
    told: VecDeque<Result<Told, Error>>,
}

enum Told {
    Connected,
    Event(Event),
}

/// The pool, and what it takes to reach it.
struct Pool {
    user: PoolUser,
    handle: PoolHandle,
    config: Config,
    endpoints: Endpoints,
}

/// How long the farewell to a server may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

impl Session {
    /// Connects to a server of the pool.
    ///
    /// # Errors
    ///
    /// Nobody took the session within [`Config::failover_timeout`] and [`Config::dials_max`]; an
    /// unknown pool fails at once, unless [`Config::waits_for_pool`].
    ///
    /// - [`Error::NoElement`]: none that was tried accepts.
    /// - [`Error::Resolve`], [`Error::NoRegistrar`]: nobody says which elements there are.
    /// - [`Error::Transport`]: this host cannot dial what there is.
    /// - [`Error::Stopped`]: the runtime of `user` has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancelling gives the session up.
    pub async fn connect(
        user: PoolUser,
        handle: PoolHandle,
        config: Config,
    ) -> Result<Self, Error> {
        let options = Options {
            connect_timeout: config.connect_timeout.min(FAR_FUTURE),
            ..config.transport.clone()
        };
        let endpoints = Endpoints::new(options);
        Self::connect_over(Pool { user, handle, config, endpoints }).await
    }

    async fn connect_over(pool: Pool) -> Result<Self, Error> {
        let mut session = Self::new(pool);
        loop {
            if let Told::Connected = session.told().await? {
                return Ok(session);
            }
        }
    }

    fn new(pool: Pool) -> Self {
        Self {
            client: Client::new(pool.config.machine(pool.handle.clone())),
            pool,
            origin: Instant::now(),
            assoc: None,
            resolving: None,
            server: None,
            refusal: None,
            told: VecDeque::new(),
        }
    }

    /// The server of the moment; while another one is sought, the last one.
    pub fn server(&self) -> Option<&PoolElement> {
        self.server.as_ref()
    }

    /// True where the last server has handed over a state that the next one will get.
    pub fn has_cookie(&self) -> bool {
        self.client.cookie().is_some()
    }

    /// What was counted.
    pub fn stats(&self) -> SessionStats {
        self.client.stats()
    }

    /// Queues octets for the server: over SCTP as one message. They leave with the next call of
    /// [`next`](Self::next). Where the server has failed they are dropped: the failover that
    /// `next` reports says that they are to be sent again.
    ///
    /// # Errors
    ///
    /// - [`SendError::Full`]: the server takes less than is sent, and nothing of it was queued. There
    ///   is room again when [`next`](Self::next) has run for a while, be it some milliseconds.
    /// - [`SendError::TooLong`]: over [`Options::message_max`].
    pub fn send(&mut self, octets: &[u8]) -> Result<(), SendError> {
        // A failover that nobody was told of yet is one, too.
        let Some(assoc) = self.connected() else { return Ok(()) };
        // Checklist 40.
        match self.pool.endpoints.send(assoc, self.pool.config.ppid.of_data(), octets) {
            Err(SendError::Gone) => Ok(()),
            sent => sent,
        }
    }

    /// Waits for what happens next. Where the server fails, it reports it, resolves again, and
    /// connects to another one. A server that ended the session in good order is not reported, but
    /// another one comes first.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`Error::Resolve`] for a pool that is gone: nobody took
    /// the session in time. Calling again tries again, for as long.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing and delays nothing: what is under way goes on with the next call.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Told::Event(event) = self.told().await? {
                return Ok(event);
            }
        }
    }

    /// Says that the server of the moment has failed, though its association has not: the next call
    /// of [`next`](Self::next) moves on to another one.
    pub fn fail_over(&mut self) {
        self.client.handle(self.now(), Input::FailOver);
        self.drain();
    }

    /// Wants another server, though the one of the moment has not failed: it may not have what is
    /// asked for. The next call of [`next`](Self::next) moves on; nobody is reported. Where there is
    /// no other server, the same one has the session again after a pause.
    pub fn move_on(&mut self) {
        self.client.handle(self.now(), Input::MoveOn);
        self.drain();
    }

    /// Ends the session after what was sent is delivered, as far as the server takes it in a
    /// second.
    ///
    /// # Cancel safety
    ///
    /// Cancelling ends the session at once; what was not delivered by then is lost.
    pub async fn close(mut self) {
        let Some(current) = self.connected() else { return };
        let endpoints = &mut self.pool.endpoints;
        endpoints.close(current);
        let is_end = |event: TransportEvent| matches!(event, TransportEvent::Down { assoc, .. } if assoc == current);
        let gone = async { while !is_end(endpoints.next().await) {} };
        let _ = timeout(FAREWELL_MAX, gone).await;
    }

    /// The association to the server of the moment.
    fn connected(&self) -> Option<AssocId> {
        let (peer, _) = self.client.server()?;
        self.assoc.filter(|(known, _)| *known == peer).map(|(_, assoc)| assoc)
    }

    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    /// Waits for something to tell the application.
    async fn told(&mut self) -> Result<Told, Error> {
        loop {
            self.drain();
            if let Some(told) = self.told.pop_front() {
                return told;
            }
            if self.client.is_idle() {
                self.client.handle(self.now(), Input::Seek);
                continue;
            }
            self.wait().await;
        }
    }

    /// Waits for one thing, and hands it in.
    async fn wait(&mut self) {
        let timer = self.client.next_timeout().map(|due| self.origin + due.since_origin());
        // What has arrived comes first: it may be what a timer waits for.
        let input = tokio::select! {
            biased;
            event = self.pool.endpoints.next() => self.arrived(event),
            (question, answer) = answer(&mut self.resolving) => {
                self.resolving = None;
                match answer {
                    Ok(answer) => Some(Input::Answer(question, Ok(answer))),
                    Err(Error::Resolve(error)) => Some(Input::Answer(question, Err(error))),
                    Err(error) => {
                        self.told.push_back(Err(error));
                        None
                    }
                }
            }
            () = until(timer) => Some(Input::Timeout),
        };
        if let Some(input) = input {
            self.client.handle(self.now(), input);
        }
    }

    /// What the machine gets to know of something that happened at the transport.
    fn arrived(&mut self, event: TransportEvent) -> Option<Input> {
        let (peer, _) = self.assoc.filter(|(_, assoc)| *assoc == event.assoc())?;
        match event {
            TransportEvent::Up { .. } => Some(Input::Up(peer)),
            TransportEvent::Down { reason, .. } => {
                debug!(?reason, "server lost");
                self.assoc = None;
                Some(Input::Down(
                    peer,
                    match reason {
                        DownReason::Closed => Loss::Closed,
                        DownReason::System => Loss::System,
                        _ => Loss::Lost,
                    },
                ))
            }
            TransportEvent::Message { ppid: Ppid::ASAP, octets, .. } => {
                match Message::decode(Protocol::Asap, &octets).map(|decoded| decoded.message) {
                    Ok(Message::Asap(message)) => Some(Input::Control(peer, message)),
                    Ok(Message::Enrp(_)) | Err(_) => Some(Input::Malformed(peer)),
                }
            }
            TransportEvent::Message { octets, .. } => {
                self.told.push_back(Ok(Told::Event(Event::Received(octets))));
                Some(Input::Data(peer))
            }
            TransportEvent::Addresses { .. } | TransportEvent::Path { .. } => None,
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
                Output::Event(event) => self.tell(event),
            }
        }
    }

    fn dial(&mut self, peer: Peer, element: PoolElement) {
        let Some((remote, framing)) = dialable(&element.user_transport) else {
            debug!(element = %element.id, "is reached in a way that sessions do not know");
            return self.client.handle(self.now(), Input::Down(peer, Loss::System));
        };
        match self.pool.endpoints.connect(&remote, framing) {
            Ok(assoc) => self.assoc = Some((peer, assoc)),
            Err(error) => {
                debug!(%error, element = %element.id, "cannot be dialed");
                self.refusal = Some(error);
                self.client.handle(self.now(), Input::Down(peer, Loss::CannotDial));
            }
        }
    }

    fn tell(&mut self, event: machine::Event) {
        let told = match event {
            machine::Event::Connected { .. } => Ok(Told::Connected),
            machine::Event::FailoverNeeded { from, reason } => {
                Ok(Told::Event(Event::FailoverNeeded { from, reason }))
            }
            machine::Event::FailedOver { from, to, reason, resumed } => {
                info!(%from, %to, ?reason, resumed, "failed over");
                Ok(Told::Event(Event::FailedOver { from, to, reason, resumed }))
            }
            machine::Event::CookieStored { .. } => return,
            machine::Event::GaveUp(problem) => Err(self.error(problem)),
        };
        if let Some((_, server)) = self.client.server() {
            self.server = Some(server.clone());
        }
        self.told.push_back(told);
    }

    fn error(&mut self, problem: machine::Problem) -> Error {
        match (problem, self.refusal.take()) {
            (machine::Problem::NoRegistrar, _) => Error::NoRegistrar,
            (machine::Problem::Resolve(error), _) => Error::Resolve(error),
            (machine::Problem::CannotDial, Some(refusal)) => Error::Transport(refusal),
            (machine::Problem::NoElement | machine::Problem::CannotDial, _) => Error::NoElement,
        }
    }
}

/// Waits for an answer, as long as it takes; without a question there is none. Cancel safe.
async fn answer(
    resolving: &mut Option<(u64, Resolving)>,
) -> (u64, Result<rserpool_proto::user::Answer, Error>) {
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
fn dialable(transport: &Transport) -> Option<(Remote, Framing)> {
    let framing = match transport {
        Transport::Tcp { transport_use: TransportUse::DataPlusControl, .. } => Framing::Record,
        _ => Framing::Stream,
    };
    Some((remote_of(transport)?, framing))
}

#[cfg(test)]
mod tests;
