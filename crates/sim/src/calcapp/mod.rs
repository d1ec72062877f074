//! CalcApp: the workload of the published RSerPool experiments, on the real handlespace.
//!
//! Pool elements calculate for all their jobs at once, each at an equal share of their capacity.
//! Pool users queue jobs, and have one at a time calculated: they resolve the pool, ask the element
//! that its policy picked, and go on with another one when that element ends. Everything follows
//! from a [`Scenario`] and a seed. Times are seconds as `f64`: shares of capacity are no whole
//! nanoseconds.
//!
//! | file | what it holds |
//! |---|---|
//! | `scenario` | what is varied, and what follows from it |
//! | `timeline`, `queue` | messages on the way, and what happens by itself |
//! | `user`, `element`, `registrar`, `attacker` | who takes part |
//! | `measure` | what came of it |
//!
//! Nobody waits for what cannot come: where a message is lost, the end of the wait for its answer
//! is planned at once. Keep-alives are not simulated one by one either, only those that get no
//! answer.

mod attacker;
mod element;
mod limiter;
mod measure;
mod outage;
mod queue;
mod registrar;
mod scenario;
mod timeline;
mod user;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use measure::Measures;
pub use scenario::{
    Attack, Capacities, ElementFailures, KeepAlive, RateLimits, RegistrarFailures, Scenario,
    Selection, Sizes,
};

pub(crate) use scenario::whole;

use attacker::Attacker;
use element::Element;
use measure::Tally;
use registrar::{Instance, Registrar};
use timeline::{Event, Message, Step, Timeline};
use user::User;

/// When registrars start, one after the other so many seconds apart.
const REGISTRARS_START: f64 = 10.0;
/// When elements start.
const ELEMENTS_START: f64 = 300.0;
/// When users start to have jobs.
const USERS_START: f64 = 600.0;
/// When counting begins.
const COUNTING_STARTS: f64 = 900.0;

/// Runs a scenario to its end. The same seed gives the same measures.
pub fn run(scenario: &Scenario, seed: u64) -> Measures {
    let mut model = Model::new(scenario, seed);
    model.begin();
    model.run_until(COUNTING_STARTS);
    model.start_counting();
    model.run_until(COUNTING_STARTS + scenario.duration);
    model.measures()
}

/// Everything that a run is made of.
struct Model<'a> {
    scenario: &'a Scenario,
    rng: StdRng,
    timeline: Timeline,
    registrars: Vec<Registrar>,
    elements: Vec<Element>,
    /// All that ever registered, by number.
    instances: Vec<Instance>,
    users: Vec<User>,
    attackers: Vec<Attacker>,
    tally: Tally,
    /// Until when `tally` knows who is whose home.
    owners_counted: f64,
}

impl<'a> Model<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let registrars =
            (0..scenario.registrars).map(|_| Registrar::new(scenario, &mut rng)).collect();
        let capacities = scenario.capacities(&mut rng);
        let elements = capacities.into_iter().map(|capacity| Element::new(scenario, capacity));
        let users = (0..scenario.users()).map(|_| User::new(scenario)).collect();
        let attackers = (0..scenario.attackers).map(|_| Attacker::new(scenario)).collect();
        Self {
            scenario,
            timeline: Timeline::new(scenario.delay),
            registrars,
            elements: elements.collect(),
            instances: Vec::new(),
            users,
            attackers,
            tally: Tally::default(),
            owners_counted: 0.0,
            rng,
        }
    }

    fn begin(&mut self) {
        self.begin_registrar_failures();
        self.timeline.plan(ELEMENTS_START, Event::ElementsStart);
        for user in 0..self.users.len() {
            let interval = self.pause();
            self.users[user].next_arrival = USERS_START + interval;
            self.timeline.plan(USERS_START + interval, Event::Arrival { user });
        }
        if let Some(attack) = &self.scenario.attack {
            for attacker in 0..self.attackers.len() {
                let at = USERS_START + self.rng.random_range(0.0..attack.interval());
                self.timeline.plan(at, Event::Attack { attacker });
            }
        }
    }

    fn run_until(&mut self, end: f64) {
        while let Some(step) = self.timeline.next(end) {
            match step {
                Step::Message(message) => self.deliver(message),
                Step::Event(event) => self.happen(event),
            }
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Resolve { registrar, user, step } => self.resolve(registrar, user, step),
            Message::Resolved { user, step, instance } => self.resolved(user, step, instance),
            Message::Request { user, step, instance } => self.request(user, step, instance),
            Message::Accepted { user, step } => self.accepted(user, step),
            Message::Rejected { user, step } => self.rejected(user, step),
            Message::Completed { user, step } => self.completed(user, step),
            Message::Aborted { user, step, secured } => self.moved(user, step, secured),
            Message::Report { registrar, user, instance } => {
                self.user_reports(registrar, user, instance);
            }
            Message::Register { registrar, instance, load } => {
                self.register(registrar, instance, load);
            }
            Message::Deregister { registrar, instance } => self.deregister(registrar, instance),
            Message::Deregistered { element } => self.join(element),
            Message::Update { registrar, instance, load } => {
                self.update(registrar, instance, load);
            }
            Message::Removal { registrar, instance } => {
                self.registrars[registrar].remove(instance);
            }
            Message::Suggestion { registrar, instance } => self.suggested(registrar, instance),
            Message::Adoption { element, registrar } => self.adopted(element, registrar),
            Message::AttackResolve { attacker } => self.attack_resolve(attacker),
            Message::AttackReport { attacker, instance } => self.attack_report(attacker, instance),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ElementsStart => self.elements_start(),
            Event::Arrival { user } => self.start_job(user),
            Event::Retry { user, step } => self.retry(user, step),
            Event::Unanswered { user, step } => self.unanswered(user, step),
            Event::SessionLost { user, step, secured } => self.session_lost(user, step, secured),
            Event::Finished { element, version } => self.finished(element, version),
            Event::Ends { element } => self.element_ends(element),
            Event::Reregistration { element, instance } => self.reregister(element, instance),
            Event::HomeLost { element } => self.home_lost(element),
            Event::Purge { instance } => self.purge(instance),
            Event::RegistrarFails { registrar } => self.registrar_fails(registrar),
            Event::RegistrarStarts { registrar } => self.registrar_starts(registrar),
            Event::Takeover { registrar, outage } => self.take_over(registrar, outage),
            Event::Attack { attacker } => self.attack(attacker),
        }
    }

    fn start_counting(&mut self) {
        let now = self.timeline.now();
        for element in &mut self.elements {
            element.start_counting(now);
        }
        self.count_owners_until_now();
        self.tally = Tally::default();
    }

    fn measures(&mut self) -> Measures {
        self.count_owners_until_now();
        let now = self.timeline.now();
        self.elements.iter_mut().for_each(|element| element.advance(now));
        self.tally.measures(self.scenario, &self.elements)
    }

    /// A span with this mean, exponentially distributed.
    fn exponential(&mut self, mean: f64) -> f64 {
        scenario::exponential(mean, &mut self.rng)
    }

    /// Between one job of a user and the next.
    fn pause(&mut self) -> f64 {
        self.exponential(self.scenario.interval())
    }
}
