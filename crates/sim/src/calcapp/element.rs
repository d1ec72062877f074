use rand::RngExt;
use rserpool_wire::param::{Load, Policy};

use super::Model;
use super::queue::Queue;
use super::registrar::Owner;
use super::scenario::{Scenario, whole};
use super::timeline::{Event, Message};

/// A pool element: calculates for all its jobs at once.
///
/// `attained` counts the calculations that each job present has got since the element was last
/// without jobs; a job is done when that reaches what it was at its beginning plus its size.
#[derive(Debug)]
pub(super) struct Element {
    /// Calculations per second.
    pub(super) capacity: f64,
    /// Calculations that count.
    pub(super) calculated: f64,
    /// What it is registered as.
    pub(super) instance: u32,
    /// Where.
    pub(super) home: Option<usize>,
    /// It waits for an answer of its home, which is down.
    pub(super) loses_home: bool,
    /// What it registers, without its load.
    pub(super) policy: Policy,
    jobs_max: u32,
    /// By what `attained` is when they are done.
    jobs: Queue<Job>,
    attained: f64,
    advanced: f64,
    /// Counts up whenever another job is the next to be done, or at another time.
    version: u32,
}

/// A job at an element.
#[derive(Clone, Copy, Debug)]
struct Job {
    user: usize,
    step: u32,
    accepted: f64,
    /// What of it was done when it came.
    secured: f64,
    begin: f64,
}

impl Element {
    pub(super) fn new(scenario: &Scenario, capacity: f64) -> Self {
        let jobs_max = whole(capacity / scenario.capacity_per_job).max(1);
        Self {
            capacity,
            calculated: 0.0,
            instance: 0,
            home: None,
            loses_home: false,
            policy: scenario.selection.policy(capacity, jobs_max),
            jobs_max,
            jobs: Queue::new(),
            attained: 0.0,
            advanced: 0.0,
            version: 0,
        }
    }

    /// Calculates until now.
    pub(super) fn advance(&mut self, now: f64) {
        if !self.jobs.is_empty() {
            let calculations = (now - self.advanced) * self.capacity;
            self.calculated += calculations;
            self.attained += calculations / self.jobs();
        }
        self.advanced = now;
    }

    pub(super) fn start_counting(&mut self, now: f64) {
        self.advance(now);
        self.calculated = 0.0;
    }

    pub(super) fn load(&self) -> Load {
        Load::from_fraction(self.jobs() / f64::from(self.jobs_max))
    }

    fn jobs(&self) -> f64 {
        f64::from(u32::try_from(self.jobs.len()).unwrap_or(u32::MAX))
    }

    /// When the next job is done. Advanced until now.
    fn next_end(&mut self) -> Option<(f64, u32)> {
        self.version = self.version.wrapping_add(1);
        let left = (self.jobs.first()? - self.attained).max(0.0);
        Some((self.advanced + left * self.jobs() / self.capacity, self.version))
    }
}

impl Model<'_> {
    /// All elements join the pool.
    pub(super) fn elements_start(&mut self) {
        for element in 0..self.elements.len() {
            self.elements[element].home = self.first_home(element);
            self.join(element);
        }
    }

    /// An element registers as somebody new.
    pub(super) fn join(&mut self, element: usize) {
        let instance = self.new_instance(Owner::Element(element));
        self.elements[element].instance = instance;
        self.tell_load(element);
        self.plan_reregistration(element, instance);
        if let Some(failures) = self.scenario.element_failures {
            let at = self.timeline.now() + self.exponential(failures.uptime);
            self.timeline.plan(at, Event::Ends { element });
        }
    }

    /// T4-reregistration.
    pub(super) fn reregister(&mut self, element: usize, instance: u32) {
        if self.owner_alive(instance).is_some() {
            self.tell_load(element);
            self.plan_reregistration(element, instance);
        }
    }

    /// A user wants something calculated.
    pub(super) fn request(&mut self, user: usize, step: u32, instance: u32) {
        let now = self.timeline.now();
        let Some(element) = self.owner_alive(instance) else {
            return self.nobody_there(user, step, instance);
        };
        let (secured, left) = self.work_of(user);
        let it = &mut self.elements[element];
        it.advance(now);
        if it.jobs() >= f64::from(it.jobs_max) {
            self.tally.rejects += 1;
            self.timeline.send(Message::Rejected { user, step });
            return;
        }
        self.tally.accepts += 1;
        if it.jobs.is_empty() {
            it.attained = 0.0;
        }
        let begin = it.attained;
        let job = Job { user, step, accepted: now, secured, begin };
        it.jobs.push(begin + left, user as u64, job);
        self.timeline.send(Message::Accepted { user, step });
        self.jobs_changed(element);
    }

    /// A job is done.
    pub(super) fn finished(&mut self, element: usize, version: u32) {
        let now = self.timeline.now();
        let it = &mut self.elements[element];
        if it.version != version {
            return;
        }
        it.advance(now);
        if let Some((end, Job { user, step, .. })) = it.jobs.pop() {
            // Exactly, whatever rounding made of it.
            it.attained = end;
            self.timeline.send(Message::Completed { user, step });
            self.jobs_changed(element);
        }
    }

    /// An element ends, and starts anew as somebody else.
    pub(super) fn element_ends(&mut self, element: usize) {
        let now = self.timeline.now();
        let clean = self.scenario.element_failures.is_some_and(|it| self.rng.random_bool(it.clean));
        let it = &mut self.elements[element];
        it.advance(now);
        it.version = it.version.wrapping_add(1);
        let (attained, instance) = (it.attained, it.instance);
        // Sessions end in the order in which they began: round robin is not indifferent to that.
        let mut jobs = it.jobs.take();
        jobs.sort_by(|one, other| one.accepted.total_cmp(&other.accepted));
        if clean {
            self.leave(element, instance);
        } else {
            self.plan_purge(instance);
        }
        for job in jobs {
            let Job { user, step, .. } = job;
            if clean {
                let secured = job.secured + attained - job.begin;
                self.timeline.send(Message::Aborted { user, step, secured });
            } else {
                self.interrupt(user, step);
                let secured = job.cookie(attained, self.scenario.cookie_calculations);
                // The session stands since the user heard that the job was accepted.
                let (delay, start) = (self.scenario.delay, job.accepted + self.scenario.delay);
                let at = self.scenario.session_keep_alive.noticed(start, now, delay);
                self.timeline.plan(at, Event::SessionLost { user, step, secured });
            }
        }
        if !clean {
            self.join(element);
        }
    }

    /// Registers with the load of now.
    pub(super) fn tell_load(&mut self, element: usize) {
        let it = &self.elements[element];
        if let Some(registrar) = it.home {
            let (instance, load) = (it.instance, it.load().0);
            self.tally.asap_messages += 1;
            self.timeline.send(Message::Register { registrar, instance, load });
        }
    }

    fn jobs_changed(&mut self, element: usize) {
        if let Some((at, version)) = self.elements[element].next_end() {
            self.timeline.plan(at, Event::Finished { element, version });
        }
        if self.scenario.selection.policy_type.is_adaptive() {
            self.tell_load(element);
        }
    }

    fn plan_reregistration(&mut self, element: usize, instance: u32) {
        let at = self.timeline.now() + self.scenario.reregistration_interval();
        self.timeline.plan(at, Event::Reregistration { element, instance });
    }

    /// Deregisters; joins anew when that is acknowledged.
    fn leave(&mut self, element: usize, instance: u32) {
        self.instances[instance as usize].ended = Some(true);
        match self.elements[element].home {
            Some(registrar) => {
                self.tally.asap_messages += 1;
                self.timeline.send(Message::Deregister { registrar, instance });
            }
            None => self.timeline.send(Message::Deregistered { element }),
        }
    }

    /// Who ended cleanly says so; of others nothing is heard.
    fn nobody_there(&mut self, user: usize, step: u32, instance: u32) {
        if self.instances[instance as usize].ended == Some(true) {
            self.timeline.send(Message::Rejected { user, step });
        } else {
            let at = self.timeline.sent() + self.scenario.request_timeout;
            self.timeline.plan(at, Event::Unanswered { user, step });
        }
    }
}

impl Job {
    /// What of it the user has a cookie for.
    fn cookie(self, attained: f64, calculations: f64) -> f64 {
        let cookies = ((attained - self.begin) / calculations).floor();
        if cookies > 0.0 { self.secured + cookies * calculations } else { self.secured }
    }
}
