//! The search for a server that takes a session.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use rserpool_wire::param::{PeId, PoolElement};

use super::config::Config;
use super::event::{Loss, Output, Problem};
use crate::machine::Peer;
use crate::time::Time;
use crate::user::{Answer, ResolveError};

/// The search for a server that accepts.
///
/// ```text
///                      a candidate
///   +----------+ -------------------> +---------+
///   | choosing |                      | Dialing | ----> found
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
#[derive(Debug)]
pub(super) struct Search {
    step: Step,
    /// When it ends without success.
    deadline: Time,
    /// The next pause.
    backoff: Duration,
    /// Elements whose turn has not come.
    candidates: VecDeque<PoolElement>,
    /// Elements that had their turn: they get another one only where there is nobody else.
    tried: BTreeSet<PeId>,
    /// Elements that had their turn in searches before this one that found nobody: they come last. A
    /// pool may be full of elements that somebody else has entered, and that accept nobody.
    avoided: BTreeSet<PeId>,
    /// Why nobody has been found so far.
    problem: Problem,
    /// No server had the session yet.
    is_first: bool,
    /// Dials of this search.
    dials: u32,
    /// Names associations and questions.
    names: u64,
}

#[derive(Debug)]
enum Step {
    /// Not begun, or over.
    Idle,
    Resolving {
        question: u64,
        until: Time,
    },
    Dialing {
        peer: Peer,
        element: PoolElement,
    },
    Resting {
        until: Time,
    },
}

/// The first pause before a pool is resolved again; doubled up to [`BACKOFF_MAX`].
pub(super) const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long registrars may take where there are candidates that an earlier answer named.
pub(super) const RESOLUTION_MAX: Duration = Duration::from_millis(250);

/// What a search works with.
pub(super) struct Means<'a> {
    pub(super) now: Time,
    pub(super) config: &'a Config,
    pub(super) outputs: &'a mut VecDeque<Output>,
}

/// The search is over: nobody takes the session.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct GaveUp(pub(super) Problem);

impl Search {
    pub(super) fn new() -> Self {
        Self {
            step: Step::Idle,
            deadline: Time::ZERO,
            backoff: BACKOFF,
            candidates: VecDeque::new(),
            tried: BTreeSet::new(),
            avoided: BTreeSet::new(),
            problem: Problem::NoRegistrar,
            is_first: true,
            dials: 0,
            names: 0,
        }
    }

    /// Begins. Of what was learned before only those count that accepted nobody.
    pub(super) fn begin(&mut self, means: &mut Means<'_>) {
        let (is_first, names) = (self.is_first, self.names);
        let mut avoided = mem::take(&mut self.avoided);
        avoided.append(&mut self.tried);
        *self = Self { is_first, names, avoided, ..Self::new() };
        self.allow(means);
        self.resolve(means);
    }

    /// From now on it may take as long as a search may. One that only finds servers that hang up at
    /// once is not over meanwhile.
    pub(super) fn allow(&mut self, means: &Means<'_>) {
        self.deadline = means.now + means.config.failover_timeout;
        self.dials = 0;
    }

    /// The server that was found has lost the session. If it had it for a while, this is a new
    /// search; else the old one goes on, with what it has learned. `card` are the elements that the
    /// lost server named.
    pub(super) fn resume(
        &mut self,
        means: &mut Means<'_>,
        lost: PeId,
        is_settled: bool,
        card: &[PoolElement],
    ) -> Result<(), GaveUp> {
        self.is_first = false;
        self.problem = Problem::NoRegistrar;
        if is_settled {
            self.backoff = BACKOFF;
            self.tried.clear();
        }
        self.tried.insert(lost);
        for element in card.iter().rev().filter(|element| element.id != lost) {
            self.candidates.retain(|other| other.id != element.id);
            self.candidates.push_front(element.clone());
        }
        if is_settled && card.is_empty() {
            // The candidates are what it had to go by then: they are for want of an answer.
            self.resolve(means);
            return Ok(());
        }
        self.choose(means)
    }

    /// Ends it, whatever is under way.
    pub(super) fn stop(&mut self, outputs: &mut VecDeque<Output>) {
        if let Step::Dialing { peer, .. } = mem::replace(&mut self.step, Step::Idle) {
            outputs.push_back(Output::Abort(peer));
        }
    }

    /// Turns to the next candidate, or asks for others.
    fn choose(&mut self, means: &mut Means<'_>) -> Result<(), GaveUp> {
        while let Some(element) = self.candidates.pop_front() {
            if self.tried.contains(&element.id) {
                continue;
            }
            if means.config.dials_max.is_some_and(|max| self.dials >= max.get()) {
                return Err(self.give_up(means.outputs));
            }
            self.tried.insert(element.id);
            self.dials += 1;
            self.names += 1;
            let peer = Peer::dialed(self.names);
            means.outputs.push_back(Output::Connect(peer, Box::new(element.clone())));
            self.step = Step::Dialing { peer, element };
            return Ok(());
        }
        self.resolve(means);
        Ok(())
    }

    fn resolve(&mut self, means: &mut Means<'_>) {
        self.names += 1;
        let question = self.names;
        means.outputs.push_back(Output::Resolve(question));
        let until = match self.candidates.is_empty() {
            true => self.deadline,
            false => self.deadline.min(means.now + RESOLUTION_MAX),
        };
        self.step = Step::Resolving { question, until };
    }

    /// A question about the pool is answered.
    pub(super) fn answered(
        &mut self,
        means: &mut Means<'_>,
        question: u64,
        answer: Result<Answer, ResolveError>,
    ) -> Result<(), GaveUp> {
        if !matches!(self.step, Step::Resolving { question: open, .. } if open == question) {
            return Ok(());
        }
        match answer {
            Ok(answer) => {
                self.candidates = self.in_order(&answer);
                if self.problem != Problem::CannotDial {
                    self.problem = Problem::NoElement;
                }
                if self.candidates.iter().all(|element| self.tried.contains(&element.id)) {
                    // They get another turn, as they are after the pause.
                    self.candidates.clear();
                    self.tried.clear();
                    self.rest(means.now);
                    return Ok(());
                }
            }
            Err(ResolveError::UnknownPool) if self.is_first && !means.config.waits_for_pool => {
                self.problem = Problem::Resolve(ResolveError::UnknownPool);
                return Err(self.give_up(means.outputs));
            }
            Err(error) => {
                if !matches!(error, ResolveError::NoRegistrar | ResolveError::Timeout) {
                    self.candidates.clear();
                }
                self.problem = Problem::Resolve(error);
                if self.candidates.is_empty() {
                    self.rest(means.now);
                    return Ok(());
                }
            }
        }
        self.choose(means)
    }

    /// The elements of an answer, those that are avoided last. Where there are no others nobody is.
    fn in_order(&mut self, answer: &Answer) -> VecDeque<PoolElement> {
        let is_avoided = |element: &&PoolElement| self.avoided.contains(&element.id);
        let (last, first): (Vec<_>, Vec<_>) = answer.in_order().partition(is_avoided);
        self.avoided = match first.is_empty() {
            true => BTreeSet::new(),
            false => last.iter().map(|element| element.id).collect(),
        };
        first.into_iter().chain(last).cloned().collect()
    }

    fn rest(&mut self, now: Time) {
        self.step = Step::Resting { until: self.deadline.min(now + self.backoff) };
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    /// An association is up: the server, if that is the one that was dialed.
    pub(super) fn up(&mut self, peer: Peer) -> Option<PoolElement> {
        if !matches!(self.step, Step::Dialing { peer: dialed, .. } if dialed == peer) {
            return None;
        }
        self.avoided.clear();
        match mem::replace(&mut self.step, Step::Idle) {
            Step::Dialing { element, .. } => Some(element),
            Step::Idle | Step::Resolving { .. } | Step::Resting { .. } => None,
        }
    }

    /// A server that was dialed does not accept.
    pub(super) fn down(
        &mut self,
        means: &mut Means<'_>,
        peer: Peer,
        loss: Loss,
    ) -> Result<(), GaveUp> {
        let element = match &self.step {
            Step::Dialing { peer: dialed, element } if *dialed == peer => element.id,
            _ => return Ok(()),
        };
        self.step = Step::Idle;
        match loss {
            Loss::Lost | Loss::Closed => {
                means.outputs.push_back(Output::Report(element));
                self.problem = Problem::NoElement;
            }
            // What this host cannot dial may be well: it is passed over, and not reported.
            Loss::System => {}
            Loss::CannotDial => self.problem = Problem::CannotDial,
        }
        self.choose(means)
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        match self.step {
            Step::Idle => None,
            Step::Resolving { until, .. } | Step::Resting { until } => Some(until),
            Step::Dialing { .. } => Some(self.deadline),
        }
    }

    pub(super) fn timeout(&mut self, means: &mut Means<'_>) -> Result<(), GaveUp> {
        if self.next_timeout().is_none_or(|due| due > means.now) {
            return Ok(());
        }
        if means.now >= self.deadline {
            return Err(self.give_up(means.outputs));
        }
        self.choose(means)
    }

    fn give_up(&mut self, outputs: &mut VecDeque<Output>) -> GaveUp {
        self.stop(outputs);
        GaveUp(self.problem.clone())
    }
}
