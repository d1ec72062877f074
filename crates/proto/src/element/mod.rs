//! A pool element: registers, stays registered, and moves to another registrar when its own dies.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_wire::param::{PeId, Policy, PolicyField, RegistrarId, Transport};
use rserpool_wire::registry::AsapType;
use rserpool_wire::{Asap, Message, Protocol};

use crate::hunt::Hunt;
use crate::machine::{Input, Machine, Malformed, Output, Peer};
use crate::stats::ElementStats;
use crate::time::Time;
use crate::timers::{Kind, Timers};

mod association;
mod config;
mod refusal;
mod registration;
mod supervision;

pub use config::{Command, Config, Event, Home};

use association::Association;

/// The registration of one pool element (RFC 5352 §3.1, §3.2, §3.5).
///
/// ```text
///            Register               up                      accepted
///   +------+ ---------> +---------+ ----> +-------------+ ----------> +------------+
///   | Idle |            | Hunting |       | Registering |             | Registered |
///   +------+            +---------+ <---- +-------------+ <---------- +------------+
///      ^                   ^    ^  T2, Down                expired      |  |  |  ^
///      |                   |    +---------------------------------------+  |  |  |
///      |                   |                     Down                      |  |  |
///      |                   | T2, Down      +---------------+  T4, silence, |  |  |
///      |                   +-------------- | Reregistering | <-------------+  |  |
///      |                                   +---------------+  new values      |  |
///      |                                           |         accepted         |  |
///      |                                           +--------------------------|--+
///      | answered       +---------------+             Deregister              |
///      +--------------- | Deregistering | <-----------------------------------+
///                       +---------------+
/// ```
///
/// A rejection leads to `Idle`, a refusal by one of several registrars to `Hunting`. `Deregister` while registering and a lost home while deregistering
/// lead where they do from `Registered`, with the other goal.
/// A registrar that claims the element (KEEP_ALIVE with the H bit) becomes its home in every state
/// but `Idle`; the element then registers, or deregisters, there. While a first registration at
/// another one is under way, that one has a moment to answer: if it does, it is the home.
///
/// What an element serves is not touched by any of this: users stay with it while it looks for
/// another home.
#[derive(Debug)]
pub struct PoolElement {
    config: Config,
    id: PeId,
    rng: StdRng,
    state: State,
    hunt: Hunt,
    /// What is up, oldest first: the home, former homes, and registrars that came to the element.
    associations: Vec<Association>,
    /// What the home was told of the element when it registered last.
    told: Advertised,
    /// A registrar has entered this identifier, and none has said since that it is out.
    entered: bool,
    /// What a registrar accepted last.
    established: Option<Advertised>,
    /// Registrars that have refused it since one accepted it, one for each target.
    refusals: Vec<Home>,
    /// How often in a row another element had its identifier.
    draws: u32,
    /// When a registrar said last that it is out.
    expired: Option<Time>,
    /// How often in a row it was out right after it had been accepted.
    evictions: u32,
    /// Who claims it while it registers at another registrar.
    held_claim: Option<(Peer, RegistrarId)>,
    /// Requests to registrars since one was answered.
    attempts: u32,
    /// The application knows that there is no registrar.
    alone: bool,
    timers: Timers<7>,
    outputs: VecDeque<Output<Event>>,
    stats: ElementStats,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Not in the pool, and not meant to be.
    Idle,
    /// Looks for a home.
    Hunting { goal: Goal },
    /// A registration is under way; may be in the pool from before, at another home.
    Registering { home: Peer },
    /// In the pool.
    Registered { home: Peer },
    /// In the pool; its renewal is under way.
    Reregistering { home: Peer },
    /// In the pool; a deregistration is under way.
    Deregistering { home: Peer },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goal {
    Register,
    Deregister,
}

impl State {
    fn home(self) -> Option<Peer> {
        match self {
            Self::Idle | Self::Hunting { .. } => None,
            Self::Registering { home }
            | Self::Registered { home }
            | Self::Reregistering { home }
            | Self::Deregistering { home } => Some(home),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    /// T2-registration.
    Registration,
    /// T3-deregistration.
    Deregistration,
    /// T4-reregistration.
    Reregistration,
    /// The home has not been heard of for too long.
    Silence,
    /// Former homes have had time to learn of the new one.
    Linger,
    /// Whoever has its identifier has had time to go.
    Retry,
    /// A registrar that was asked first has had time to answer.
    Claim,
}

impl Kind for Timer {
    const ALL: &'static [Self] = &[
        Self::Registration,
        Self::Deregistration,
        Self::Reregistration,
        Self::Silence,
        Self::Linger,
        Self::Retry,
        Self::Claim,
    ];

    fn row(self) -> usize {
        self as usize
    }
}

/// What of an element may change while it is registered.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Advertised {
    user_transport: Transport,
    policy: Policy,
    /// It serves at other addresses since then.
    has_moved: bool,
}

impl PoolElement {
    /// Associations at once; the oldest that is not the home makes room, so that whoever holds many
    /// cannot keep a registrar out that takes the element over.
    pub const ASSOCIATIONS_MAX: usize = 16;

    /// An element that is in no pool yet. The same seed makes the same choices.
    pub fn new(mut config: Config, seed: u64) -> Self {
        config.timing = config.timing.within_bounds();
        let mut rng = StdRng::seed_from_u64(seed);
        let hunt = Hunt::new(config.registrars, &config.timing, rng.random());
        let drawn = draw_id(&mut rng);
        let id = config.id.filter(|id| id.0 != 0).unwrap_or(drawn);
        let told = Advertised {
            user_transport: config.user_transport.clone(),
            policy: config.policy.clone(),
            has_moved: false,
        };
        Self {
            config,
            id,
            rng,
            state: State::Idle,
            hunt,
            associations: Vec::new(),
            told,
            entered: false,
            established: None,
            refusals: Vec::new(),
            draws: 0,
            expired: None,
            evictions: 0,
            held_claim: None,
            attempts: 0,
            alone: false,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            stats: ElementStats::default(),
        }
    }

    /// Its identifier in the pool. A drawn one changes where another element has it.
    pub fn id(&self) -> PeId {
        self.id
    }

    /// The registrar that looks after it, while there is one.
    pub fn home(&self) -> Option<&Home> {
        self.association(self.state.home()?).map(|association| &association.home)
    }

    /// What was counted.
    pub fn stats(&self) -> ElementStats {
        ElementStats { hunt: self.hunt.stats(), ..self.stats }
    }

    fn set(&mut self, now: Time, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        if let State::Registered { home } = self.state
            && self.has_news()
        {
            self.register(now, home);
        }
    }

    fn stop(&mut self) {
        self.hunt.stop(&mut self.outputs);
        self.close_all();
        self.rest();
    }

    /// Nothing is wanted any more.
    fn rest(&mut self) {
        self.state = State::Idle;
        self.entered = false;
        self.attempts = 0;
        self.alone = false;
        self.established = None;
        self.refusals.clear();
        self.draws = 0;
        self.evictions = 0;
        self.held_claim = None;
        self.timers = Timers::default();
    }

    /// RFC 5354 §3, §4: what was not understood is reported where its type asks for that, but an
    /// error is never answered by an error.
    fn malformed(&mut self, peer: Peer, malformed: Malformed) {
        self.stats.malformed += 1;
        let is_error = malformed.message_type == Some(AsapType::ERROR.0);
        if malformed.protocol == Protocol::Asap
            && !malformed.causes.is_empty()
            && !is_error
            && self.association(peer).is_some()
        {
            self.outputs.push_back(Output::Send(peer, Asap::Error(malformed.causes).into()));
        }
    }

    fn timeout(&mut self, now: Time) {
        while let Some(timer) = self.timers.pop_due(now) {
            match (timer, self.state) {
                (
                    Timer::Registration,
                    State::Registering { home } | State::Reregistering { home },
                )
                | (Timer::Deregistration, State::Deregistering { home }) => {
                    self.stats.unanswered += 1;
                    self.give_up_home(now, home);
                }
                (Timer::Reregistration, State::Registered { home }) => self.register(now, home),
                (Timer::Silence, State::Registered { home } | State::Reregistering { home }) => {
                    self.question_silence(now, home);
                }
                (Timer::Linger, _) => self.leave_former_homes(),
                (Timer::Claim, _) => self.follow_held_claim(now),
                (Timer::Retry, State::Registering { home }) => self.register(now, home),
                // Left over from a state that has ended.
                (
                    Timer::Registration
                    | Timer::Deregistration
                    | Timer::Reregistration
                    | Timer::Silence
                    | Timer::Retry,
                    _,
                ) => {}
            }
        }
        if self.hunt.timeout(now, &mut self.outputs) {
            self.ran_dry();
        }
    }
}

fn draw_id(rng: &mut StdRng) -> PeId {
    PeId(rng.random_range(1..=u32::MAX))
}

impl Machine for PoolElement {
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, now: Time, input: Input<Command>) {
        use State::{Deregistering, Hunting, Idle, Registered, Registering, Reregistering};
        match (self.state, input) {
            (_, Input::Timeout) => self.timeout(now),

            (Idle, Input::Command(Command::Register)) => self.begin(now),
            (Hunting { goal: Goal::Deregister }, Input::Command(Command::Register)) => {
                self.state = Hunting { goal: Goal::Register };
            }
            (Deregistering { home }, Input::Command(Command::Register)) => {
                self.register(now, home);
            }

            (Idle, Input::Command(Command::Deregister)) => self.leave(),
            (Hunting { goal: Goal::Register }, Input::Command(Command::Deregister)) => {
                self.stop_hunting_to_register();
            }
            (
                Registering { home } | Registered { home } | Reregistering { home },
                Input::Command(Command::Deregister),
            ) => self.deregister(now, home),

            // It is on its way there, or there already.
            (
                Hunting { goal: Goal::Register }
                | Registering { .. }
                | Registered { .. }
                | Reregistering { .. },
                Input::Command(Command::Register),
            )
            | (
                Hunting { goal: Goal::Deregister } | Deregistering { .. },
                Input::Command(Command::Deregister),
            ) => {}

            (_, Input::Command(Command::SetPolicy(policy))) => {
                self.set(now, |config| config.policy = policy);
            }
            (_, Input::Command(Command::SetLoad(load))) => self.set(now, |config| {
                config.policy = config.policy.clone().with(PolicyField::Load, load.0);
            }),
            (_, Input::Command(Command::SetTransport(transport))) => {
                self.set(now, |config| config.user_transport = transport);
            }
            (_, Input::Command(Command::Stop)) => self.stop(),

            (_, Input::Up(peer, link)) => self.up(now, peer, link),
            // A registrar that came to the element is left to claim it.
            (_, Input::Down(peer) | Input::Known(peer, _)) => self.down(now, peer),
            (_, Input::Addresses(peer, remote)) => {
                if let Some(association) = self.association_mut(peer) {
                    association.home.link.remote = remote;
                }
            }
            (_, Input::OwnAddresses(peer, local)) => self.moved(now, peer, local),
            (_, Input::Congested(_) | Input::Drained(_)) => {}
            (_, Input::Malformed(peer, malformed)) => self.malformed(peer, malformed),
            (_, Input::Announce(source, Message::Asap(Asap::Announce(announce)))) => {
                self.hunt.announced(now, source, &announce, &mut self.outputs);
            }
            (_, Input::Announce(..)) => self.stats.unexpected += 1,
            (_, Input::Message(peer, message)) => self.message(now, peer, message),
        }
    }

    fn poll(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        [self.timers.next(), self.hunt.next_timeout()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
