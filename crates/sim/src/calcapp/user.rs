use rand::RngExt;

use super::limiter::Limiter;
use super::scenario::Scenario;
use super::timeline::{Event, Message};
use super::{Model, registrar};

/// Seconds that a registrar has to answer.
const RESOLUTION_TIMEOUT: f64 = 5.0;
/// So many times a registrar may not answer; then users and elements turn to another one.
pub(super) const ATTEMPTS_MAX: u32 = 2;
/// Seconds until a user tries again where the pool is empty.
const EMPTY_POOL_PAUSE: f64 = 30.0;
/// Seconds until a user tries again, at most, after an element said no.
const REJECT_PAUSE_MAX: f64 = 0.2;

/// A pool user: a queue of jobs, and what it does for the first of them.
///
/// Jobs come up however busy it is; so the queue need not be kept, only when the next one came up.
#[derive(Debug)]
pub(super) struct User {
    /// When the job comes up that is next in the queue.
    pub(super) next_arrival: f64,
    pub(super) registrar: Option<usize>,
    pub(super) resolutions: Limiter,
    pub(super) reports: Limiter,
    phase: Phase,
    /// Counts up whenever what it waits for changes.
    step: u32,
    job: Job,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Idle,
    /// Asks a registrar, for the so many-th time.
    Resolving {
        attempt: u32,
    },
    /// Asks an element.
    Requesting(u32),
    /// Has an element calculate.
    Waiting(u32),
}

#[derive(Clone, Copy, Debug, Default)]
struct Job {
    /// When it came up.
    generated: f64,
    /// Calculations.
    size: f64,
    /// So many of them are done, whatever happens.
    secured: f64,
    /// When its last element ended, and it stood still.
    interrupted: Option<f64>,
}

impl User {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            next_arrival: 0.0,
            registrar: None,
            resolutions: Limiter::new(scenario.limits.resolutions),
            reports: Limiter::new(scenario.limits.reports),
            phase: Phase::Idle,
            step: 0,
            job: Job::default(),
        }
    }

    fn enter(&mut self, phase: Phase) -> u32 {
        self.phase = phase;
        self.step = self.step.wrapping_add(1);
        self.step
    }
}

impl Model<'_> {
    /// The next job comes up, or came up long ago.
    pub(super) fn start_job(&mut self, user: usize) {
        let pause = self.pause();
        let size = self.scenario.draw_size(user, &mut self.rng);
        let it = &mut self.users[user];
        it.job = Job { generated: it.next_arrival, size, ..Job::default() };
        it.next_arrival += pause;
        self.ask_registrar(user, 1);
    }

    /// The registrar picked an element, or the pool is empty.
    pub(super) fn resolved(&mut self, user: usize, step: u32, instance: Option<u32>) {
        if self.users[user].step != step {
            return;
        }
        self.tally.asap_messages += 1;
        if let Some(instance) = instance {
            let step = self.users[user].enter(Phase::Requesting(instance));
            self.timeline.send(Message::Request { user, step, instance });
        } else {
            let at = self.timeline.now() + EMPTY_POOL_PAUSE;
            self.timeline.plan(at, Event::Retry { user, step });
        }
    }

    /// The element calculates.
    pub(super) fn accepted(&mut self, user: usize, step: u32) {
        let it = &mut self.users[user];
        if let Phase::Requesting(instance) = it.phase
            && it.step == step
        {
            // The same step: an element that ends knows no other.
            it.phase = Phase::Waiting(instance);
            if let Some(since) = it.job.interrupted.take() {
                self.tally.failovers += 1;
                self.tally.failover_seconds += self.timeline.now() - since;
            }
        }
    }

    /// The element has enough to do.
    pub(super) fn rejected(&mut self, user: usize, step: u32) {
        if self.users[user].step == step {
            let step = self.users[user].enter(Phase::Resolving { attempt: 0 });
            let pause = self.rng.random_range(0.0..REJECT_PAUSE_MAX);
            self.timeline.plan(self.timeline.now() + pause, Event::Retry { user, step });
        }
    }

    /// Asks again.
    pub(super) fn retry(&mut self, user: usize, step: u32) {
        if self.users[user].step == step {
            self.ask_registrar(user, 1);
        }
    }

    /// The element is done.
    pub(super) fn completed(&mut self, user: usize, step: u32) {
        let now = self.timeline.now();
        let it = &mut self.users[user];
        if it.step != step {
            return;
        }
        self.tally.jobs += 1;
        self.tally.calculations += it.job.size;
        self.tally.handling_seconds += now - it.job.generated;
        it.enter(Phase::Idle);
        if it.next_arrival <= now {
            self.start_job(user);
        } else {
            self.timeline.plan(it.next_arrival, Event::Arrival { user });
        }
    }

    /// The element ended and said so.
    pub(super) fn moved(&mut self, user: usize, step: u32, secured: f64) {
        let now = self.timeline.sent();
        let it = &mut self.users[user];
        if it.step == step {
            it.job.secured = secured;
            it.job.interrupted.get_or_insert(now);
            self.ask_registrar(user, 1);
        }
    }

    /// The element ended without a word; when exactly does not matter to the user.
    pub(super) fn session_lost(&mut self, user: usize, step: u32, secured: f64) {
        let it = &mut self.users[user];
        if it.step == step {
            it.job.secured = secured;
            self.give_up_element(user);
        }
    }

    /// Nobody answered in time.
    pub(super) fn unanswered(&mut self, user: usize, step: u32) {
        if self.users[user].step != step {
            return;
        }
        match self.users[user].phase {
            Phase::Resolving { attempt } => {
                let registrar = self.users[user].registrar;
                let is_down = registrar.is_some_and(|number| !self.registrars[number].is_up());
                if is_down && attempt >= ATTEMPTS_MAX {
                    self.users[user].registrar = self.any_registrar();
                    self.ask_registrar(user, 1);
                } else {
                    self.ask_registrar(user, attempt + 1);
                }
            }
            Phase::Requesting(_) => self.give_up_element(user),
            Phase::Idle | Phase::Waiting(_) => {}
        }
    }

    /// The user's job stands still from now on.
    pub(super) fn interrupt(&mut self, user: usize, step: u32) {
        let now = self.timeline.now();
        let it = &mut self.users[user];
        if it.step == step {
            it.job.interrupted.get_or_insert(now);
        }
    }

    /// What an element has to do for a user: calculations that are done, and that are not.
    pub(super) fn work_of(&self, user: usize) -> (f64, f64) {
        let Job { size, secured, .. } = self.users[user].job;
        (secured, size - secured)
    }

    /// When the wait for a registrar ends that does not answer the message being delivered.
    pub(super) fn plan_unanswered_resolution(&mut self, user: usize, step: u32) {
        let at = self.timeline.sent() + RESOLUTION_TIMEOUT;
        self.timeline.plan(at, Event::Unanswered { user, step });
    }

    fn ask_registrar(&mut self, user: usize, attempt: u32) {
        if self.users[user].registrar.is_none() {
            self.users[user].registrar = self.any_registrar();
        }
        self.tally.resolutions += 1;
        self.tally.asap_messages += 1;
        let it = &mut self.users[user];
        let step = it.enter(Phase::Resolving { attempt });
        match it.registrar {
            Some(registrar) => self.timeline.send(Message::Resolve { registrar, user, step }),
            None => {
                let at = self.timeline.now() + registrar::HUNT_SECONDS;
                self.timeline.plan(at, Event::Unanswered { user, step });
            }
        }
    }

    fn give_up_element(&mut self, user: usize) {
        let it = &self.users[user];
        if let Phase::Requesting(instance) | Phase::Waiting(instance) = it.phase
            && let Some(registrar) = it.registrar
        {
            self.tally.asap_messages += 1;
            self.timeline.send(Message::Report { registrar, user, instance });
        }
        self.ask_registrar(user, 1);
    }
}
