//! A client's connection to a pool: moved to another server when its server fails.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rserpool_proto::user::ResolveError;
use rserpool_transport::{
    AssocId, DownReason, Endpoints, Event as TransportEvent, Framing, Options, Ppid, Remote,
    Scheme, SendError,
};
use rserpool_wire::param::{PeId, PoolElement, PoolHandle, Transport, TransportUse};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info};

use crate::{Error, PoolUser};

/// How long a session tries.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long one server may take to accept. Default: 1 s.
    pub connect_timeout: Duration,
    /// How long the session looks for a server that accepts before it gives up. Default: 30 s.
    pub failover_timeout: Duration,
    /// How many elements a resolution asks for: those after the first are turned to when it does
    /// not accept. Default: 3.
    pub items: u32,
    /// Transport values. Default: the `fast` profile.
    pub transport: Options,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            failover_timeout: Duration::from_secs(30),
            items: 3,
            transport: Options::default(),
        }
    }
}

/// What happens in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Octets from the server: over SCTP a message, over TCP whatever was there.
    Received(Vec<u8>),
    /// The server failed; another one is sought with the next call.
    FailoverNeeded {
        /// The server that failed.
        from: PeId,
        /// How the failure showed.
        reason: FailureReason,
    },
    /// The server failed, and another one has the session. What was sent and not answered is to be
    /// sent again.
    FailedOver {
        /// The server that failed.
        from: PeId,
        /// The server that has the session now.
        to: PeId,
        /// How the failure showed.
        reason: FailureReason,
    },
}

/// How the failure of a server showed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FailureReason {
    /// Its association ended.
    Lost,
    /// It ended the session in good order, perhaps after all that it had to say; it is not reported
    /// as unreachable. Over TCP a process that was killed does so, too.
    Closed,
    /// The application said so: [`Session::fail_over`].
    Reported,
}

/// A connection to whichever server of a pool is right, as its policy says.
pub struct Session {
    user: PoolUser,
    handle: PoolHandle,
    config: Config,
    endpoints: Endpoints,
    state: State,
    /// The server of the moment; while another one is sought, the last one.
    server: Option<PoolElement>,
    /// Candidates of the last resolution that were not tried.
    candidates: VecDeque<PoolElement>,
}

enum State {
    Connected(AssocId),
    Seeking(Search),
}

/// The search for a server that accepts.
struct Search {
    /// How the server before it failed; `None` at the beginning of the session.
    reason: Option<FailureReason>,
    deadline: Instant,
    backoff: Duration,
    /// Servers that failed in this search: turned to only where there is no other.
    failed: BTreeSet<PeId>,
    /// The one that is being tried.
    dialing: Option<AssocId>,
}

/// The first wait before a resolution is repeated; doubled up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

impl Session {
    /// Connects to a server of the pool.
    ///
    /// # Errors
    ///
    /// [`Error::NoElement`] or [`Error::Resolve`] where none accepts within
    /// [`Config::failover_timeout`]; an unknown pool fails at once.
    pub async fn connect(
        user: PoolUser,
        handle: PoolHandle,
        config: Config,
    ) -> Result<Self, Error> {
        let options =
            Options { connect_timeout: config.connect_timeout, ..config.transport.clone() };
        let mut session = Self {
            user,
            handle,
            endpoints: Endpoints::new(options),
            state: State::Seeking(Search::new(&config, None)),
            server: None,
            candidates: VecDeque::new(),
            config,
        };
        session.seek().await?;
        Ok(session)
    }

    /// The server of the moment; while another one is sought, the one that failed.
    pub fn server(&self) -> Option<&PoolElement> {
        self.server.as_ref()
    }

    /// Queues octets for the server: over SCTP as one message. They leave with the next call of
    /// [`next`](Self::next). Where the server has failed they are dropped: the failover that
    /// `next` reports says that they are to be sent again.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] where the server takes less than is sent, [`SendError::TooLong`].
    pub fn send(&mut self, octets: &[u8]) -> Result<(), SendError> {
        let State::Connected(assoc) = self.state else {
            return Ok(());
        };
        match self.endpoints.send(assoc, Ppid::default(), octets) {
            Err(SendError::Gone) => Ok(()),
            sent => sent,
        }
    }

    /// Waits for what happens next. Where the server fails, it reports it, resolves again, and
    /// connects to another one.
    ///
    /// # Errors
    ///
    /// [`Error::NoElement`], [`Error::Resolve`]: nobody took the session in time. Calling again
    /// tries again.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            let State::Connected(current) = self.state else {
                if let Some(event) = self.seek().await? {
                    return Ok(event);
                }
                continue;
            };
            match self.endpoints.next().await {
                TransportEvent::Message { assoc, octets, ppid }
                    if assoc == current && ppid != Ppid::ASAP =>
                {
                    return Ok(Event::Received(octets));
                }
                TransportEvent::Down { assoc, reason } if assoc == current => {
                    debug!(?reason, "server lost");
                    let reason = match reason {
                        DownReason::Closed => FailureReason::Closed,
                        _ => FailureReason::Lost,
                    };
                    if let Some(from) = self.lose(reason) {
                        return Ok(Event::FailoverNeeded { from, reason });
                    }
                }
                // Of former servers; the control channel; addresses and paths.
                TransportEvent::Message { .. }
                | TransportEvent::Down { .. }
                | TransportEvent::Up { .. }
                | TransportEvent::Addresses { .. }
                | TransportEvent::Path { .. } => {}
            }
        }
    }

    /// Says that the server of the moment has failed, though its association has not: the next call
    /// of [`next`](Self::next) moves on to another one.
    pub fn fail_over(&mut self) {
        if let State::Connected(assoc) = self.state {
            self.endpoints.abort(assoc);
            self.lose(FailureReason::Reported);
        }
    }

    /// Ends the session after what was sent is delivered, as far as the server takes it in a
    /// second.
    pub async fn close(mut self) {
        let State::Connected(current) = self.state else {
            return;
        };
        self.endpoints.close(current);
        let is_end = |event: TransportEvent| matches!(event, TransportEvent::Down { assoc, .. } if assoc == current);
        let gone = async { while !is_end(self.endpoints.next().await) {} };
        let _ = timeout(Duration::from_secs(1), gone).await;
    }

    /// Gives the server up and begins to seek; which server it was. One that has ended the session in
    /// good order is not reported.
    fn lose(&mut self, reason: FailureReason) -> Option<PeId> {
        let mut search = Search::new(&self.config, Some(reason));
        let from = self.server.as_ref().map(|server| server.id);
        search.failed.extend(from);
        self.state = State::Seeking(search);
        if let Some(from) = from
            && reason != FailureReason::Closed
        {
            self.user.report_unreachable(&self.handle, from);
        }
        from
    }

    /// Seeks a server until one accepts. All that is known stands in the state: who cancels this
    /// and calls it again goes on where it was. The first server of a session is no event.
    async fn seek(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let State::Seeking(search) = &mut self.state else {
                return Ok(None);
            };
            if let Some(abandoned) = search.dialing.take() {
                self.endpoints.abort(abandoned);
            }
            match self.candidates.pop_front() {
                Some(element) if search.failed.contains(&element.id) => {}
                Some(element) => {
                    if let Some(event) = self.try_one(element).await {
                        return Ok(Some(event));
                    }
                }
                None => self.find_candidates().await?,
            }
        }
    }

    /// Resolves the pool; waits a little where that brings nobody new.
    async fn find_candidates(&mut self) -> Result<(), Error> {
        let resolved = self.user.resolve(&self.handle, Some(self.config.items)).await;
        let State::Seeking(search) = &mut self.state else {
            return Ok(());
        };
        let problem = match resolved {
            Ok(answer) => {
                self.candidates = answer.in_order().cloned().collect();
                if self.candidates.iter().any(|element| !search.failed.contains(&element.id)) {
                    return Ok(());
                }
                // All of them failed once: perhaps they are back.
                search.failed.clear();
                Error::NoElement
            }
            Err(error @ Error::Resolve(ResolveError::UnknownPool)) if search.reason.is_none() => {
                return Err(error);
            }
            Err(error) => error,
        };
        let wait = search.backoff;
        search.backoff = (wait * 2).min(BACKOFF_MAX);
        if Instant::now() + wait > search.deadline {
            // Whoever calls again gets the whole time again.
            *search = Search::new(&self.config, search.reason);
            return Err(problem);
        }
        sleep(wait).await;
        Ok(())
    }

    /// Gives this server the session if it accepts; the event where another one had it before.
    async fn try_one(&mut self, element: PoolElement) -> Option<Event> {
        let accepted = self.dial(&element).await;
        let State::Seeking(search) = &mut self.state else {
            return None;
        };
        let Some(assoc) = accepted else {
            search.failed.insert(element.id);
            self.user.report_unreachable(&self.handle, element.id);
            return None;
        };
        let to = element.id;
        let before = self.server.replace(element);
        let reason = search.reason;
        self.state = State::Connected(assoc);
        let (from, reason) = (before?.id, reason?);
        info!(%from, %to, ?reason, "failed over");
        Some(Event::FailedOver { from, to, reason })
    }

    /// The association to a server, if it accepts.
    async fn dial(&mut self, element: &PoolElement) -> Option<AssocId> {
        let (remote, framing) = dialable(&element.user_transport)?;
        let State::Seeking(search) = &mut self.state else {
            return None;
        };
        let assoc = match self.endpoints.connect(&remote, framing) {
            Ok(assoc) => assoc,
            Err(error) => {
                debug!(%error, element = %element.id, "cannot connect");
                return None;
            }
        };
        search.dialing = Some(assoc);
        let deadline = Instant::now() + self.config.connect_timeout;
        let accepted = loop {
            match timeout_at(deadline, self.endpoints.next()).await {
                Ok(TransportEvent::Up { assoc: up, .. }) if up == assoc => break true,
                Ok(TransportEvent::Down { assoc: down, reason }) if down == assoc => {
                    debug!(element = %element.id, ?reason, "does not accept");
                    break false;
                }
                Ok(_) => {}
                Err(_) => {
                    self.endpoints.abort(assoc);
                    break false;
                }
            }
        };
        search.dialing = None;
        accepted.then_some(assoc)
    }
}

impl Search {
    fn new(config: &Config, reason: Option<FailureReason>) -> Self {
        Self {
            reason,
            deadline: Instant::now() + config.failover_timeout,
            backoff: BACKOFF,
            failed: BTreeSet::new(),
            dialing: None,
        }
    }
}

/// How to dial a server, where this library can.
fn dialable(transport: &Transport) -> Option<(Remote, Framing)> {
    let (scheme, framing) = match transport {
        Transport::Sctp(_) => (Scheme::Sctp, Framing::Stream),
        Transport::Tcp { transport_use: TransportUse::DataOnly, .. } => {
            (Scheme::Tcp, Framing::Stream)
        }
        Transport::Tcp { transport_use: TransportUse::DataPlusControl, .. } => {
            (Scheme::Tcp, Framing::Record)
        }
        _ => return None,
    };
    let addresses = transport.addresses().to_vec();
    let port = transport.port()?;
    Some((Remote { scheme, addresses, port, encapsulation: None }, framing))
}
