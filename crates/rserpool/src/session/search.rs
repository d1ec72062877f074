//! The search for a server that takes a session.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use rserpool_proto::user::{Answer, ResolveError};
use rserpool_transport::{AssocId, DownReason, Endpoints, Event, Framing, Remote};
use rserpool_wire::param::{PeId, PoolElement, Transport, TransportUse};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use super::{Config, Pool};
use crate::Error;
use crate::associations::remote_of;
use crate::node::deadline;
use crate::user::Resolving;

/// The search for a server that accepts.
///
/// ```text
///                      a candidate
///   +----------+ -------------------> +---------+
///   | Choosing |                      | Dialing | ----> found
///   +----------+ <------------------- +---------+
///     |   ^  ^       not this one
///     |   |  |
///     |   |  +-----------------------------+
///     |   | elements                       | back-off
///     v   |                                |
///   +-----------+    nobody new, or   +---------+
///   | Resolving | ------------------> | Resting |
///   +-----------+     no answer       +---------+
/// ```
///
/// Everything that is under way stands in the step, so that [`run`](Self::run) can be cancelled and
/// called again at any time.
pub(super) struct Search {
    step: Step,
    /// When it ends without success.
    deadline: Instant,
    /// The next pause.
    backoff: Duration,
    /// Elements of the last resolution whose turn has not come.
    candidates: VecDeque<PoolElement>,
    /// Elements that had their turn: they get another one only where there is nobody else.
    tried: BTreeSet<PeId>,
    /// Why nobody has been found so far.
    problem: Error,
    /// No server had the session yet.
    is_first: bool,
}

enum Step {
    Choosing,
    Resolving { answer: Resolving, until: Instant },
    Dialing { assoc: AssocId, element: PoolElement },
    Resting { until: Instant },
}

/// A server that has accepted.
pub(super) struct Found {
    pub(super) assoc: AssocId,
    pub(super) element: PoolElement,
}

/// The first pause before a pool is resolved again; doubled up to [`BACKOFF_MAX`].
pub(super) const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long registrars may take where there are candidates that an earlier answer named.
const RESOLUTION_MAX: Duration = Duration::from_millis(250);

impl Search {
    /// The search for the first server of a session.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            step: Step::Choosing,
            deadline: deadline(config.failover_timeout),
            backoff: BACKOFF,
            candidates: VecDeque::new(),
            tried: BTreeSet::new(),
            problem: Error::NoRegistrar,
            is_first: true,
        }
    }

    /// Goes on where the last call was cancelled, until a server accepts or the time is over.
    pub(super) async fn run(&mut self, pool: &mut Pool) -> Result<Found, Error> {
        loop {
            if Instant::now() >= self.deadline {
                return Err(self.give_up(pool));
            }
            match &mut self.step {
                Step::Choosing => self.choose(pool),
                Step::Resolving { answer, until } => match timeout_at(*until, answer).await {
                    Ok(answer) => self.resolved(answer)?,
                    Err(_) => self.step = Step::Choosing,
                },
                Step::Dialing { assoc, .. } => {
                    let outcome = outcome(&mut pool.endpoints, *assoc);
                    if let Ok(outcome) = timeout_at(self.deadline, outcome).await
                        && let Some(found) = self.dialed(pool, outcome)
                    {
                        return Ok(found);
                    }
                }
                Step::Resting { until } => {
                    sleep_until(*until).await;
                    self.step = Step::Choosing;
                }
            }
        }
    }

    /// The server that was found has lost the session. If it had it for a while, this is a new
    /// search; else the old one goes on, with what it has learned.
    pub(super) fn resume(&mut self, pool: &Pool, lost: PeId, is_settled: bool) {
        self.is_first = false;
        self.deadline = deadline(pool.config.failover_timeout);
        self.problem = Error::NoRegistrar;
        if is_settled {
            self.backoff = BACKOFF;
            self.tried.clear();
            // The candidates are what it had to go by then: they are for want of an answer.
            self.resolve(pool);
        }
        self.tried.insert(lost);
    }

    /// Turns to the next candidate, or asks for others.
    fn choose(&mut self, pool: &mut Pool) {
        let Some(element) = self.candidates.pop_front() else {
            return self.resolve(pool);
        };
        if !self.tried.insert(element.id) {
            return;
        }
        // What this host cannot dial may be well: it is passed over, and not reported.
        let Some((remote, framing)) = dialable(&element.user_transport) else {
            debug!(element = %element.id, "is reached in a way that sessions do not know");
            return;
        };
        match pool.endpoints.connect(&remote, framing) {
            Ok(assoc) => self.step = Step::Dialing { assoc, element },
            Err(error) => {
                debug!(%error, element = %element.id, "cannot be dialed");
                self.problem = error.into();
            }
        }
    }

    fn resolve(&mut self, pool: &Pool) {
        let answer = pool.user.ask(&pool.handle, Some(pool.config.items), None);
        let until = match self.candidates.is_empty() {
            true => self.deadline,
            false => self.deadline.min(deadline(RESOLUTION_MAX)),
        };
        self.step = Step::Resolving { answer, until };
    }

    fn resolved(&mut self, answer: Result<Answer, Error>) -> Result<(), Error> {
        self.step = Step::Choosing;
        match answer {
            Ok(answer) => {
                self.candidates = answer.in_order().cloned().collect();
                if !matches!(self.problem, Error::Transport(_)) {
                    self.problem = Error::NoElement;
                }
                if self.candidates.iter().all(|element| self.tried.contains(&element.id)) {
                    // They get another turn, as they are after the pause.
                    self.candidates.clear();
                    self.tried.clear();
                    self.rest();
                }
            }
            Err(error @ Error::Stopped) => return Err(error),
            Err(error @ Error::Resolve(ResolveError::UnknownPool)) if self.is_first => {
                return Err(error);
            }
            Err(error) => {
                debug!(%error, "cannot resolve");
                if !error.is_no_registrar() {
                    self.candidates.clear();
                }
                self.problem = error;
                if self.candidates.is_empty() {
                    self.rest();
                }
            }
        }
        Ok(())
    }

    fn rest(&mut self) {
        self.step = Step::Resting { until: self.deadline.min(deadline(self.backoff)) };
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    /// The server that was dialed has accepted, or has not.
    fn dialed(&mut self, pool: &Pool, outcome: Result<(), DownReason>) -> Option<Found> {
        let Step::Dialing { assoc, element } = mem::replace(&mut self.step, Step::Choosing) else {
            return None;
        };
        let Err(reason) = outcome else {
            return Some(Found { assoc, element });
        };
        debug!(element = %element.id, ?reason, "does not accept");
        // Where it is this host that refuses, nothing is known of the server.
        if reason != DownReason::System {
            pool.user.report_unreachable(&pool.handle, element.id);
            self.problem = Error::NoElement;
        }
        None
    }

    /// Ends without success. Who calls again gets the whole time again.
    fn give_up(&mut self, pool: &mut Pool) -> Error {
        if let Step::Dialing { assoc, .. } = self.step {
            pool.endpoints.abort(assoc);
        }
        let is_first = self.is_first;
        mem::replace(self, Self { is_first, ..Self::new(&pool.config) }).problem
    }
}

/// Waits for the end of a dial; the transport bounds it. Cancel safe.
async fn outcome(endpoints: &mut Endpoints, assoc: AssocId) -> Result<(), DownReason> {
    loop {
        match endpoints.next().await {
            Event::Up { assoc: up, .. } if up == assoc => return Ok(()),
            Event::Down { assoc: down, reason } if down == assoc => return Err(reason),
            // Of former servers.
            _ => {}
        }
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
