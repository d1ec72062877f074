use std::collections::VecDeque;

use super::queue::Queue;

/// What goes from one host to another. `step` says what of a user's it belongs to: what comes too
/// late is ignored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    /// A user asks a registrar.
    Resolve { registrar: usize, user: usize, step: u32 },
    /// Its answer.
    Resolved { user: usize, step: u32, instance: Option<u32> },
    /// A user asks an element for a calculation.
    Request { user: usize, step: u32, instance: u32 },
    /// The element calculates.
    Accepted { user: usize, step: u32 },
    /// It has enough to do.
    Rejected { user: usize, step: u32 },
    /// It is done.
    Completed { user: usize, step: u32 },
    /// It ends, and says how far it came.
    Aborted { user: usize, step: u32, secured: f64 },
    /// A user could not reach an element.
    Report { registrar: usize, user: usize, instance: u32 },
    /// An element registers, or registers again.
    Register { registrar: usize, instance: u32, load: u32 },
    /// An element leaves.
    Deregister { registrar: usize, instance: u32 },
    /// It has left.
    Deregistered { element: usize },
    /// Registrar to registrar: an element is new or other than before.
    Update { registrar: usize, instance: u32, load: u32 },
    /// Registrar to registrar: an element is gone.
    Removal { registrar: usize, instance: u32 },
    /// Registrar to registrar: this element would be better off with you.
    Suggestion { registrar: usize, instance: u32 },
    /// A registrar makes itself an element's home.
    Adoption { element: usize, registrar: usize },
    /// An attacker asks the registrar.
    AttackResolve { attacker: usize },
    /// An attacker says that it could not reach an element.
    AttackReport { attacker: usize, instance: u32 },
}

/// What happens by itself, when its time has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    ElementsStart,
    /// A user without work has a job.
    Arrival {
        user: usize,
    },
    /// A user tries again.
    Retry {
        user: usize,
        step: u32,
    },
    /// A user waited long enough for an answer.
    Unanswered {
        user: usize,
        step: u32,
    },
    /// A user notices that its element is dead; so much of the job is not lost.
    SessionLost {
        user: usize,
        step: u32,
        secured: f64,
    },
    /// An element is done with the job that was next.
    Finished {
        element: usize,
        version: u32,
    },
    /// An element ends, and starts anew.
    Ends {
        element: usize,
    },
    /// An element registers again.
    Reregistration {
        element: usize,
        instance: u32,
    },
    /// An element waited long enough for its registrar.
    HomeLost {
        element: usize,
    },
    /// A registrar notices that an element is dead.
    Purge {
        instance: u32,
    },
    RegistrarFails {
        registrar: usize,
    },
    RegistrarStarts {
        registrar: usize,
    },
    /// The others notice that a registrar is dead.
    Takeover {
        registrar: usize,
        outage: u32,
    },
    Attack {
        attacker: usize,
    },
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Message(Message),
    Event(Event),
}

/// Time, and what is to happen. All messages take equally long, so they arrive as they were sent.
#[derive(Debug)]
pub(super) struct Timeline {
    now: f64,
    delay: f64,
    on_the_way: VecDeque<(f64, Message)>,
    planned: Queue<Event>,
    /// How often something was planned.
    count: u64,
}

impl Timeline {
    /// The beginning. `delay` is how long a message takes.
    pub(super) fn new(delay: f64) -> Self {
        let (on_the_way, planned) = (VecDeque::new(), Queue::new());
        Self { now: 0.0, delay, on_the_way, planned, count: 0 }
    }

    /// Seconds since the beginning.
    pub(super) fn now(&self) -> f64 {
        self.now
    }

    /// When the message was sent that is being delivered.
    pub(super) fn sent(&self) -> f64 {
        self.now - self.delay
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: Message) {
        self.on_the_way.push_back((self.now + self.delay, message));
    }

    /// Plans an event; what should have happened already happens now.
    pub(super) fn plan(&mut self, at: f64, event: Event) {
        self.count += 1;
        self.planned.push(at.max(self.now), self.count, event);
    }

    /// Goes on to what comes next; to the end, and `None`, where nothing comes before it.
    pub(super) fn next(&mut self, end: f64) -> Option<Step> {
        let arrives = self.on_the_way.front().map_or(f64::INFINITY, |&(at, _)| at);
        let happens = self.planned.first().unwrap_or(f64::INFINITY);
        if arrives.min(happens) > end {
            self.now = end;
            return None;
        }
        if arrives <= happens {
            let (at, message) = self.on_the_way.pop_front()?;
            self.now = at;
            return Some(Step::Message(message));
        }
        let (at, event) = self.planned.pop()?;
        self.now = at;
        Some(Step::Event(event))
    }
}
