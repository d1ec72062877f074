//! Random worlds, random faults, and a verdict: all from one seed.

mod fault_schedule;
mod scope;

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rserpool_proto::dialect::Lifetime;
use rserpool_proto::machine::Carrier;
use rserpool_proto::session::KeepAlive;
use rserpool_proto::session::client::{self, NextServer};
use rserpool_proto::timing::{Profile, Timing};
use rserpool_proto::{element, registrar};
use rserpool_wire::param::{Load, PeId, Policy, PoolHandle, RegistrarId, TransportUse};

use crate::application::Asking;
use crate::hostile::Kind;
use crate::invariant::{Invariant, Violation};
use crate::network::{Impairment, Stack};
use crate::program::NodeId;
use crate::session::{Calling, Serving};
use crate::world::{Acquaintance, Counts, Setup, World};
use scope::Scope;

/// What came of a world.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it was made from.
    pub seed: u64,
    /// What was counted.
    pub counts: Counts,
    /// How long it lasted for its inhabitants.
    pub lasted: Duration,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// What happened, where that was wanted.
    pub trace: Vec<String>,
}

impl Report {
    /// What to type to see it happen.
    pub fn replay(&self) -> String {
        format!("cargo run -p rserpool-cli -- sim replay {}", self.seed)
    }
}

/// Runs the world of a seed to its end.
pub fn run(seed: u64, trace: bool) -> Report {
    let mut chaos = Chaos::new(seed, trace);
    let ended = catch_unwind(AssertUnwindSafe(|| chaos.run()));
    let world = &mut chaos.world;
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        world.violate(Invariant::NoPanic, || text.into());
    }
    Report {
        seed,
        counts: world.counts(),
        lasted: world.now().since_origin(),
        violations: world.violations().to_vec(),
        trace: world.trace().lines().to_vec(),
    }
}

/// A world, and what is done to it.
struct Chaos {
    rng: StdRng,
    world: World,
    /// About the time in which a fault is noticed.
    pace: Duration,
    calm: Impairment,
    scope: Scope,
    registrars: Vec<NodeId>,
    elements: Vec<NodeId>,
    users: Vec<NodeId>,
    /// Those that hold a session.
    clients: Vec<NodeId>,
}

/// Registrars of a world at most.
const REGISTRARS_MAX: usize = 4;
/// The identifiers of crowds are not drawn. Nobody else draws one of these.
const FIRST_OF_CROWDS: u32 = 1;

impl Chaos {
    fn new(seed: u64, trace: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let profile = *[Profile::Fast, Profile::Fast, Profile::Minimal, Profile::Wan]
            .choose(&mut rng)
            .unwrap_or(&Profile::Fast);
        let (delay_max, pace) = match profile {
            Profile::Minimal => (Duration::from_micros(500), Duration::from_millis(100)),
            Profile::Wan => (Duration::from_millis(60), Duration::from_secs(4)),
            _ => (Duration::from_millis(5), Duration::from_secs(1)),
        };
        let scope = Scope::draw(seed, pace);
        let calm = Impairment {
            delay: delay_max.mul_f64(rng.random_range(0.01..=1.0)),
            jitter: delay_max.mul_f64(rng.random_range(0.0..=1.0)),
            loss: 0.0,
            duplication: rng.random_range(0.0..=0.2),
        };
        let carrier = if rng.random_bool(0.6) { Carrier::Sctp } else { Carrier::Tcp };
        let by_kernel = carrier == Carrier::Tcp || rng.random_bool(0.5);
        let setup = Setup {
            seed: rng.random(),
            timing: Timing::of(profile),
            weather: calm,
            carrier,
            stack: if by_kernel { Stack::Kernel } else { Stack::Process },
            announces: rng.random_bool(0.3) || scope.is_announced_only,
            acquaintance: match rng.random_bool(0.7) {
                // Who has nobody in the configuration cannot tell one that means well from one that
                // does not.
                _ if scope.hostile.contains(&Kind::Impostor) => Acquaintance::All,
                _ if scope.is_announced_only => Acquaintance::Nobody,
                true => Acquaintance::All,
                false => Acquaintance::Earlier,
            },
            clock_error: if rng.random_bool(0.5) { 100_000 } else { 0 },
            trace,
        };
        let world = World::new(setup);
        let mut chaos = Self {
            rng,
            world,
            pace,
            calm,
            scope,
            registrars: Vec::new(),
            elements: Vec::new(),
            users: Vec::new(),
            clients: Vec::new(),
        };
        chaos.populate(profile);
        chaos
    }

    fn populate(&mut self, profile: Profile) {
        let count = self.rng.random_range(1..=REGISTRARS_MAX);
        let count = if self.scope.duplicate_ids.is_some() { count.max(2) } else { count };
        for number in 0..count {
            let mut config = registrar::Config::default();
            if self.rng.random_bool(0.5) {
                // The same after a restart.
                config.id = RegistrarId::new(self.rng.random());
            }
            self.scope.apply(number, &mut config);
            let registrar = self.world.add_registrar(config);
            self.registrars.push(registrar);
        }
        let names = ["EchoPool", "Prime Numbers", "x"].map(str::as_bytes);
        let pools: Vec<PoolHandle> = names
            .into_iter()
            .take(self.rng.random_range(1..=3))
            .filter_map(PoolHandle::new)
            .collect();
        let policies: Vec<Policy> = pools.iter().map(|_| self.policy()).collect();
        let has_sessions = self.rng.random_bool(0.5) && self.scope.duplicate_ids.is_none();
        let serving = has_sessions.then(|| self.serving());
        for number in 0..self.rng.random_range(1..=9) {
            let which = number % pools.len();
            let policy = policies[which].clone();
            let life = self.pace * self.rng.random_range(30..=300);
            let dialect = self.scope.dialect();
            let tweak = |config: &mut element::Config| {
                config.policy = policy;
                config.dialect = dialect;
                config.lifetime = Lifetime::For(life);
                // So early that no clock is wrong enough to let the registration run out.
                config.reregistration_interval = Some(life / 2);
            };
            let element = match &serving {
                Some(serving) => self.add_server(pools[which].clone(), serving, tweak),
                None => self.world.add_element(pools[which].clone(), tweak),
            };
            self.elements.push(element);
        }
        let mut first = FIRST_OF_CROWDS;
        let mut asked = pools.clone();
        let crowded = PoolHandle::new(*b"Crowd").filter(|_| !self.scope.crowds.is_empty());
        for (count, pool) in self.scope.crowds.clone().into_iter().zip(crowded.iter().cycle()) {
            // Quick timers make for many messages.
            let count = if profile == Profile::Minimal { count / 4 } else { count }.max(1);
            self.world.add_crowd(pool.clone(), Policy::round_robin(), PeId(first), count);
            first += count;
        }
        asked.extend(crowded);
        let serves = match has_sessions {
            true => TransportUse::DataPlusControl,
            false => TransportUse::DataOnly,
        };
        let of_pools = pools.iter().cloned().zip(policies.iter().cloned());
        let mut attacked: Vec<(PoolHandle, Policy, TransportUse)> =
            of_pools.map(|(handle, policy)| (handle, policy, serves)).collect();
        let crowded = asked.last().filter(|it| !pools.contains(it));
        attacked.extend(
            crowded.map(|crowded| (crowded.clone(), Policy::round_robin(), TransportUse::DataOnly)),
        );
        for kind in self.scope.hostile.clone() {
            let pause = self.pace.mul_f64(self.rng.random_range(0.03..=0.3));
            self.world.add_hostile(kind, attacked.clone(), pause);
        }
        for _ in 0..self.rng.random_range(1..=3) {
            let subscribes = self.rng.random_bool(0.4);
            let subscribed = pools.choose(&mut self.rng).filter(|_| subscribes).cloned();
            let user = self.world.add_user(Asking {
                period: Some(self.pace.mul_f64(self.rng.random_range(0.2..=1.0))),
                pools: asked.clone(),
                subscribed,
                reports: self.rng.random_bool(0.7),
            });
            self.users.push(user);
        }
        if has_sessions {
            for _ in 0..self.rng.random_range(1..=3) {
                let pool = pools.choose(&mut self.rng).unwrap_or(&pools[0]);
                let calling = self.calling(pool.clone());
                let client = self.world.add_client(calling);
                self.clients.push(client);
            }
        }
    }

    fn policy(&mut self) -> Policy {
        match self.rng.random_range(0..3) {
            0 => Policy::least_used(Load::from_fraction(0.5)),
            _ => Policy::round_robin(),
        }
    }

    /// How the servers of a world make their cookies.
    fn serving(&mut self) -> Serving {
        let keys = (0..self.rng.random_range(0..=2)).map(|_| self.rng.random()).collect();
        let (encrypts, names_others) = (self.rng.random_bool(0.5), self.rng.random_bool(0.5));
        Serving { keys, encrypts, names_others }
    }

    fn add_server(
        &mut self,
        pool: PoolHandle,
        serving: &Serving,
        tweak: impl FnOnce(&mut element::Config),
    ) -> NodeId {
        let mut serving = serving.clone();
        if self.rng.random_bool(0.5) {
            // Keys are being changed: here the other one seals already, or still.
            serving.keys.reverse();
        }
        self.world.add_server(pool, serving, tweak)
    }

    fn calling(&mut self, pool: PoolHandle) -> Calling {
        let round_trip = self.calm.round_trip_max();
        let mut session = client::Config::new(pool);
        session.failover_timeout = self.pace * self.rng.random_range(1..=30);
        session.dials_max = NonZeroU32::new(self.rng.random_range(0..=4));
        session.waits_for_pool = self.rng.random_bool(0.5);
        if self.rng.random_bool(0.3) {
            session.next_server = NextServer::Policy;
        }
        let interval = self.pace.mul_f64(self.rng.random_range(0.05..=0.5)).max(2 * round_trip);
        let deadline = interval.mul_f64(self.rng.random_range(1.0..=4.0));
        session.keep_alive = self.rng.random_bool(0.8).then(|| KeepAlive::new(interval, deadline));
        let patience = self.pace.mul_f64(self.rng.random_range(0.5..=4.0)).max(4 * round_trip);
        Calling {
            session,
            period: self.pace.mul_f64(self.rng.random_range(0.2..=1.0)),
            window: self.rng.random_range(1..=4),
            patience: self.rng.random_bool(0.3).then_some(patience),
            items: self.rng.random_bool(0.8).then(|| self.rng.random_range(1..=4)),
        }
    }

    fn run(&mut self) {
        for node in self.world.nodes() {
            let pause = self.pace.mul_f64(self.rng.random_range(0.0..=0.3));
            self.world.run_for(pause);
            self.world.start(node);
        }
        let mut outage = self.pace * 4;
        for _ in 0..self.rng.random_range(2..=4) {
            self.quiet(outage);
            if !self.world.violations().is_empty() {
                return;
            }
            outage = self.storm();
        }
        self.quiet(outage);
    }

    /// Everything settles; then everything has to be as it should be, and to stay so.
    fn quiet(&mut self, outage: Duration) {
        let settlement = self.world.bounds.settlement(outage);
        self.world.run_for(settlement + self.world.resumption());
        self.world.expect_quiet();
        for _ in 0..6 {
            self.world.check_quiet();
            for user in self.users.clone() {
                self.world.resolve(user, None);
            }
            self.world.run_for(self.pace.mul_f64(0.5));
        }
    }
}
