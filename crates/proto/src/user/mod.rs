//! A pool user: asks registrars for the elements of pools, and remembers.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_wire::param::PoolHandle;
use rserpool_wire::registry::AsapType;
use rserpool_wire::{Asap, Message, Protocol};

use crate::hunt::Hunt;
use crate::machine::{Input, Link, Machine, Malformed, Output, Peer};
use crate::stats::UserStats;
use crate::time::Time;
use crate::timers::{Kind, Timers};

mod cache;
mod config;
mod home;
mod report;
mod resolve;
mod selection;
mod subscription;

pub use config::{
    Answer, Command, Config, Event, Request, RequestId, Resolution, ResolveError, Source,
};

use cache::Cache;
use home::Home;
use report::Reports;
use resolve::Questions;
use subscription::Subscription;

/// The handle resolutions of one pool user (RFC 5352 §3.3 to §3.5, §3.7).
///
/// ```text
///          something to ask              up
///   +------+ ------------> +---------+ -----> +-------+
///   | Idle |               | Hunting |        | Homed |
///   +------+ <------------ +---------+ <----- +-------+
///    ^    ^ nothing to ask   ^         Down,   |   ^
///    |    |                  |     something   |   | an answer, or
///    |    |                  |       to ask    |   | another one is up
///    |    |                  | Down            v   |
///    |    |                  +-------------- +----------+
///    |    +--------------------------------- | Doubting |
///    |      nothing to ask                   +----------+
///    +-- Homed: Down, nothing to ask            T1: hunts while it asks again
/// ```
///
/// Many questions may be under way on one association. ASAP has no request identifiers, but a
/// registrar answers in order, so an answer belongs to the oldest question about its pool. Where an
/// answer is lost, those behind it are given to the question before theirs: they tell of the same
/// pool. Questions are kept until they are answered and asked again at the next home, without the
/// application noticing.
#[derive(Debug)]
pub struct PoolUser {
    config: Config,
    rng: StdRng,
    state: State,
    hunt: Hunt,
    home: Option<Home>,
    questions: Questions,
    cache: Cache,
    subscriptions: BTreeMap<PoolHandle, Subscription>,
    reports: Reports,
    /// The application knows that there is no registrar.
    alone: bool,
    timers: Timers<2>,
    outputs: VecDeque<Output<Event>>,
    stats: UserStats,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// No registrar, and none needed.
    Idle,
    /// Looks for a home.
    Hunting,
    /// Asks its home.
    Homed { home: Peer },
    /// Asks its home, which has not answered in time, and looks for another.
    Doubting { home: Peer },
}

impl State {
    fn home(self) -> Option<Peer> {
        match self {
            Self::Idle | Self::Hunting => None,
            Self::Homed { home } | Self::Doubting { home } => Some(home),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Subscriptions that the home does not keep are asked for again.
    Resubscription,
    /// A home that has to tell of changes, and tells of none, is asked.
    HomeCheck,
}

impl Kind for Timer {
    const ALL: &'static [Self] = &[Self::Resubscription, Self::HomeCheck];

    fn row(self) -> usize {
        self as usize
    }
}

impl PoolUser {
    /// A user that has asked nothing yet. The same seed makes the same choices.
    pub fn new(mut config: Config, seed: u64) -> Self {
        config.timing = config.timing.within_bounds();
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            hunt: Hunt::new(config.registrars, &config.timing, rng.random()),
            cache: Cache::new(config.cache_pools_max),
            reports: Reports::new(config.timing.keep_alive_interval),
            config,
            rng,
            state: State::Idle,
            home: None,
            questions: Questions::default(),
            subscriptions: BTreeMap::new(),
            alone: false,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            stats: UserStats::default(),
        }
    }

    /// The ends of the association to the registrar that is asked, while there is one.
    pub fn home(&self) -> Option<&Link> {
        self.home.as_ref().map(|home| &home.link)
    }

    /// What was counted.
    pub fn stats(&self) -> UserStats {
        UserStats { hunt: self.hunt.stats(), ..self.stats }
    }

    fn stop(&mut self) {
        self.hunt.stop(&mut self.outputs);
        self.subscriptions.clear();
        self.reports.clear();
        self.timers = Timers::default();
        let home = self.state.home();
        self.state = State::Idle;
        self.fail_everything();
        self.home = None;
        self.outputs.extend(home.map(Output::Close));
    }

    fn message(&mut self, now: Time, peer: Peer, message: Message) {
        let home = self.state.home();
        match message {
            Message::Asap(Asap::HandleResolutionResponse(response)) if home == Some(peer) => {
                self.answered(now, peer, response);
                self.rest_if_idle();
            }
            Message::Asap(Asap::Error(causes)) if home == Some(peer) => {
                self.refused(peer, causes);
                self.rest_if_idle();
            }
            // From a home that was, or nothing that a user asks for or is asked for.
            Message::Asap(_) | Message::Enrp(_) => self.stats.unexpected += 1,
        }
    }

    /// RFC 5354 §3, §4: what was not understood is reported where its type asks for that, but an
    /// error is never answered by an error.
    fn malformed(&mut self, peer: Peer, malformed: Malformed) {
        self.stats.malformed += 1;
        let is_error = malformed.message_type == Some(AsapType::ERROR.0);
        if malformed.protocol == Protocol::Asap
            && !malformed.causes.is_empty()
            && !is_error
            && self.state.home() == Some(peer)
        {
            self.outputs.push_back(Output::Send(peer, Asap::Error(malformed.causes).into()));
        }
    }

    fn timeout(&mut self, now: Time) {
        self.repeat_questions(now);
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Resubscription => self.renew_subscriptions(now),
                Timer::HomeCheck => self.check_home(now),
            }
        }
        if self.hunt.timeout(now, &mut self.outputs) {
            // RFC 5352 §3.5 asks for no more than an attempt to report.
            self.reports.clear();
            if self.state == State::Hunting && !self.alone {
                self.alone = true;
                self.outputs.push_back(Output::Event(Event::NoRegistrar));
            }
        }
        self.rest_if_idle();
    }
}

impl Machine for PoolUser {
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, now: Time, input: Input<Command>) {
        match input {
            Input::Timeout => self.timeout(now),
            Input::Command(Command::Resolve(request)) => self.resolve(now, request),
            Input::Command(Command::ReportUnreachable { handle, id }) => {
                self.report_unreachable(now, handle, id);
            }
            Input::Command(Command::Subscribe(handle)) => self.subscribe(now, handle),
            Input::Command(Command::Unsubscribe(handle)) => self.unsubscribe(&handle),
            Input::Command(Command::Stop) => self.stop(),
            Input::Up(peer, link) => self.up(now, peer, link),
            // A user has one association to each registrar.
            Input::Down(peer) | Input::Known(peer, _) => self.down(now, peer),
            Input::Addresses(peer, remote) => {
                if self.state.home() == Some(peer)
                    && let Some(home) = &mut self.home
                {
                    home.link.remote = remote;
                }
            }
            Input::OwnAddresses(peer, local) => {
                if self.state.home() == Some(peer)
                    && let Some(home) = &mut self.home
                {
                    home.link.local = local;
                }
            }
            Input::Congested(_) | Input::Drained(_) => {}
            Input::Message(peer, message) => self.message(now, peer, message),
            Input::Malformed(peer, malformed) => self.malformed(peer, malformed),
            Input::Announce(source, Message::Asap(Asap::Announce(announce))) => {
                self.hunt.announced(now, source, &announce, &mut self.outputs);
            }
            Input::Announce(..) => self.stats.unexpected += 1,
        }
    }

    fn poll(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        [self.timers.next(), self.hunt.next_timeout(), self.questions.next_due()]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests;
