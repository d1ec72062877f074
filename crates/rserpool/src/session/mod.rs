//! A client's connection to a pool: moved to another server when its server fails.

use std::time::Duration;

use rserpool_transport::{
    AssocId, DownReason, Endpoints, Event as TransportEvent, Options, Ppid, SendError,
};
use rserpool_wire::param::{PeId, PoolElement, PoolHandle};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use crate::node::FAR_FUTURE;
use crate::{Error, PoolUser};

mod search;

use search::{Found, Search};

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
        /// The server that has the session now; the same one where there is no other.
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
    pool: Pool,
    state: State,
    /// The server of the moment; while another one is sought, the last one.
    server: PoolElement,
    /// Finds servers, and remembers which ones were tried.
    search: Search,
}

/// The pool, and what it takes to reach it.
struct Pool {
    user: PoolUser,
    handle: PoolHandle,
    config: Config,
    endpoints: Endpoints,
}

#[derive(Clone, Copy)]
enum State {
    Connected { assoc: AssocId, since: Instant },
    Seeking { reason: FailureReason },
}

/// A session that has lived so long has found a server. One that ends earlier has only tried one:
/// who hangs up at once is not called again and again without a pause.
const SETTLED: Duration = Duration::from_secs(1);

/// How long the farewell to a server may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

impl Session {
    /// Connects to a server of the pool.
    ///
    /// # Errors
    ///
    /// Nobody took the session within [`Config::failover_timeout`]; an unknown pool fails at once.
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

    async fn connect_over(mut pool: Pool) -> Result<Self, Error> {
        let mut search = Search::new(&pool.config);
        let Found { assoc, element } = search.run(&mut pool).await?;
        let state = State::Connected { assoc, since: Instant::now() };
        Ok(Self { pool, state, server: element, search })
    }

    /// The server of the moment; while another one is sought, the one that failed.
    pub fn server(&self) -> Option<&PoolElement> {
        Some(&self.server)
    }

    /// Queues octets for the server: over SCTP as one message. They leave with the next call of
    /// [`next`](Self::next). Where the server has failed they are dropped: the failover that
    /// `next` reports says that they are to be sent again.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] where the server takes less than is sent, [`SendError::TooLong`].
    pub fn send(&mut self, octets: &[u8]) -> Result<(), SendError> {
        let State::Connected { assoc, .. } = self.state else {
            return Ok(());
        };
        match self.pool.endpoints.send(assoc, Ppid::default(), octets) {
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
            let event = match self.state {
                State::Connected { .. } => {
                    let event = self.pool.endpoints.next().await;
                    self.on_event(event)
                }
                State::Seeking { reason } => {
                    let found = self.search.run(&mut self.pool).await?;
                    Some(self.take_over(found, reason))
                }
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// Says that the server of the moment has failed, though its association has not: the next call
    /// of [`next`](Self::next) moves on to another one.
    pub fn fail_over(&mut self) {
        if let State::Connected { assoc, .. } = self.state {
            self.pool.endpoints.abort(assoc);
            self.lose(FailureReason::Reported);
        }
    }

    /// Ends the session after what was sent is delivered, as far as the server takes it in a
    /// second.
    ///
    /// # Cancel safety
    ///
    /// Cancelling ends the session at once; what was not delivered by then is lost.
    pub async fn close(self) {
        let Self { pool: Pool { mut endpoints, .. }, state, .. } = self;
        let State::Connected { assoc: current, .. } = state else {
            return;
        };
        endpoints.close(current);
        let is_end = |event: TransportEvent| matches!(event, TransportEvent::Down { assoc, .. } if assoc == current);
        let gone = async { while !is_end(endpoints.next().await) {} };
        let _ = timeout(FAREWELL_MAX, gone).await;
    }

    /// What the application gets to know of something that happened while a server is there.
    fn on_event(&mut self, event: TransportEvent) -> Option<Event> {
        let State::Connected { assoc: current, .. } = self.state else {
            return None;
        };
        match event {
            TransportEvent::Message { assoc, octets, ppid }
                if assoc == current && ppid != Ppid::ASAP =>
            {
                Some(Event::Received(octets))
            }
            TransportEvent::Down { assoc, reason } if assoc == current => {
                debug!(?reason, "server lost");
                let reason = match reason {
                    DownReason::Closed => FailureReason::Closed,
                    _ => FailureReason::Lost,
                };
                self.lose(reason);
                Some(Event::FailoverNeeded { from: self.server.id, reason })
            }
            // Of former servers; the control channel; addresses and paths.
            TransportEvent::Message { .. }
            | TransportEvent::Down { .. }
            | TransportEvent::Up { .. }
            | TransportEvent::Addresses { .. }
            | TransportEvent::Path { .. } => None,
        }
    }

    /// Gives the server up and begins to seek. One that has ended the session in good order is not
    /// reported: it may be well, and hang up on everybody when it has said what it has to say.
    fn lose(&mut self, reason: FailureReason) {
        let State::Connected { since, .. } = self.state else {
            return;
        };
        if reason != FailureReason::Closed {
            self.pool.user.report_unreachable(&self.pool.handle, self.server.id);
        }
        let is_settled = since.elapsed() >= SETTLED;
        self.search.resume(&self.pool, self.server.id, is_settled);
        self.state = State::Seeking { reason };
    }

    fn take_over(&mut self, found: Found, reason: FailureReason) -> Event {
        let Found { assoc, element } = found;
        let (from, to) = (self.server.id, element.id);
        self.server = element;
        self.state = State::Connected { assoc, since: Instant::now() };
        info!(%from, %to, ?reason, "failed over");
        Event::FailedOver { from, to, reason }
    }
}

#[cfg(test)]
mod tests;
