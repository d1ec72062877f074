//! Handle resolution (RFC 5352 §3.3, §3.7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rserpool_wire::Asap;
use rserpool_wire::asap::{HandleResolution, HandleResolutionResponse};
use rserpool_wire::param::{Cause, PoolHandle};
use rserpool_wire::registry::{CauseCode, PolicyType};

use super::cache::covers;
use super::{Answer, Event, PoolUser, Request, RequestId, Resolution, ResolveError, Source, State};
use crate::machine::{Output, Peer};
use crate::time::Time;

/// The questions without answer. While there is a home, all of them have been sent there.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// By number, which is the order in which they were and are asked.
    open: BTreeMap<u64, Question>,
    /// The questions about one pool.
    about: BTreeMap<PoolHandle, About>,
    /// When T1-ENRPrequest of which question expires.
    due: BTreeSet<(Time, u64)>,
    asked: u64,
    /// Requests that wait for all of them.
    waiting: usize,
}

/// The questions about one pool. There may be very many: nothing walks through all of them for one.
#[derive(Debug, Default)]
struct About {
    /// Their numbers.
    numbers: BTreeSet<u64>,
    /// Those whose answers are to bring updates.
    subscribing: BTreeSet<u64>,
}

#[derive(Debug)]
pub(super) struct Question {
    handle: PoolHandle,
    items: Option<u32>,
    /// The S bit: a subscription asks, too.
    want_updates: bool,
    /// Who wants to know.
    waiting: Vec<Waiting>,
    due: Time,
    /// How often T1 has expired.
    expiries: u32,
    was_sent: bool,
}

#[derive(Debug)]
struct Waiting {
    request: RequestId,
    items: Option<u32>,
}

impl Questions {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|&(due, _)| due)
    }

    /// True where the answer to an open question is to bring updates of this pool.
    pub(super) fn is_subscribing(&self, handle: &PoolHandle) -> bool {
        self.about.get(handle).is_some_and(|about| !about.subscribing.is_empty())
    }

    /// Nobody wants updates of this pool any more.
    pub(super) fn forget_subscription(&mut self, handle: &PoolHandle) {
        let Some(about) = self.about.get_mut(handle) else { return };
        for number in std::mem::take(&mut about.subscribing) {
            let Some(question) = self.open.get_mut(&number) else { continue };
            question.want_updates = false;
            if question.waiting.is_empty() {
                self.take(number);
            }
        }
    }

    fn add(&mut self, question: Question) -> u64 {
        self.asked += 1;
        let number = self.asked;
        self.waiting += question.waiting.len();
        let about = self.about.entry(question.handle.clone()).or_default();
        about.numbers.insert(number);
        if question.want_updates {
            about.subscribing.insert(number);
        }
        self.due.insert((question.due, number));
        self.open.insert(number, question);
        number
    }

    /// A question whose answer is an answer to this, too.
    fn shared(&mut self, handle: &PoolHandle, items: Option<u32>) -> Option<&mut Question> {
        let newest = self.about.get(handle)?.numbers.last()?;
        self.open.get_mut(newest).filter(|question| covers(question.items, items))
    }

    fn oldest_about(&self, handle: &PoolHandle) -> Option<u64> {
        self.about.get(handle)?.numbers.first().copied()
    }

    fn only(&self) -> Option<u64> {
        self.open.keys().next().copied().filter(|_| self.open.len() == 1)
    }

    fn take(&mut self, number: u64) -> Option<Question> {
        let question = self.open.remove(&number)?;
        self.due.remove(&(question.due, number));
        self.waiting -= question.waiting.len();
        if let Some(about) = self.about.get_mut(&question.handle) {
            about.numbers.remove(&number);
            about.subscribing.remove(&number);
            if about.numbers.is_empty() {
                self.about.remove(&question.handle);
            }
        }
        Some(question)
    }

    fn rearm(&mut self, number: u64, due: Time) {
        if let Some(question) = self.open.get_mut(&number) {
            self.due.remove(&(question.due, number));
            question.due = due;
            self.due.insert((due, number));
        }
    }
}

impl PoolUser {
    /// RFC 5352 §3.3 NR1–NR4, §3.4 C1–C4.
    pub(super) fn resolve(&mut self, now: Time, request: Request) {
        self.stats.requests += 1;
        let Request { id, handle, items, max_age } = request;
        let is_live = self.subscriptions.get(&handle).is_some_and(|s| s.live);
        let max_age = match is_live {
            true => Duration::MAX,
            false => max_age.unwrap_or(self.config.cache_lifetime),
        };
        if !max_age.is_zero()
            && let Some(answer) =
                self.cache.answer(now, &handle, items, max_age, Source::Cache, &mut self.rng)
        {
            self.stats.cache_hits += 1;
            self.give(id, answer);
            return;
        }
        if self.questions.waiting >= self.config.requests_max {
            self.deny(id, ResolveError::TooManyRequests);
            return;
        }
        // Who takes an answer of earlier takes one that is on its way. Who does not gets an own
        // one: the registrar picks other elements for each question.
        if !max_age.is_zero()
            && let Some(question) = self.questions.shared(&handle, items)
        {
            question.waiting.push(Waiting { request: id, items });
            self.questions.waiting += 1;
            self.stats.shared += 1;
            return;
        }
        let waiting = vec![Waiting { request: id, items }];
        self.ask(now, handle, items, false, waiting);
    }

    /// Asks for updates of a pool, and how it is now.
    pub(super) fn ask_for_updates(&mut self, now: Time, handle: PoolHandle) {
        self.ask(now, handle, None, true, Vec::new());
    }

    fn ask(
        &mut self,
        now: Time,
        handle: PoolHandle,
        items: Option<u32>,
        want_updates: bool,
        waiting: Vec<Waiting>,
    ) {
        let due = now + self.config.timing.request_timeout;
        let number = self.questions.add(Question {
            handle,
            items,
            want_updates,
            waiting,
            due,
            expiries: 0,
            was_sent: false,
        });
        match self.state.home() {
            Some(home) => self.send_question(home, number),
            None => self.want_home(now),
        }
    }

    /// Another registrar is the home: it is asked what has no answer yet (RFC 5352 §3.7.2).
    pub(super) fn ask_everything(&mut self, now: Time, home: Peer) {
        let numbers: Vec<u64> = self.questions.open.keys().copied().collect();
        for number in numbers {
            self.send_question(home, number);
            self.questions.rearm(number, now + self.config.timing.request_timeout);
        }
    }

    fn send_question(&mut self, home: Peer, number: u64) {
        let Some(question) = self.questions.open.get_mut(&number) else { return };
        self.stats.questions += 1;
        self.stats.repeated += u64::from(question.was_sent);
        question.was_sent = true;
        let message = HandleResolution {
            want_updates: question.want_updates,
            handle: question.handle.clone(),
            items: question.items,
        };
        self.outputs.push_back(Output::Send(home, Asap::HandleResolution(message).into()));
    }

    /// T1: asks again, looks for another registrar, and gives up in the end (RFC 5352 §3.7.2).
    pub(super) fn repeat_questions(&mut self, now: Time) {
        while let Some(&(due, number)) = self.questions.due.first()
            && due <= now
        {
            let Some(question) = self.questions.open.get_mut(&number) else { return };
            question.expiries += 1;
            let is_last = question.expiries > self.config.request_retransmits_max;
            self.questions.rearm(number, now + self.config.timing.request_timeout);
            match self.state {
                State::Homed { home } | State::Doubting { home } => {
                    if !is_last {
                        self.send_question(home, number);
                    }
                    self.doubt_home(now);
                }
                State::Idle | State::Hunting => {}
            }
            if is_last && let Some(question) = self.questions.take(number) {
                self.give_up(now, question);
            }
        }
    }

    fn give_up(&mut self, now: Time, question: Question) {
        let error = match self.state {
            State::Idle | State::Hunting => ResolveError::NoRegistrar,
            State::Homed { .. } | State::Doubting { .. } => ResolveError::Timeout,
        };
        let max_age = self.config.stale_lifetime;
        for Waiting { request, items } in question.waiting {
            let (handle, source) = (&question.handle, Source::StaleCache);
            let stale = self.cache.answer(now, handle, items, max_age, source, &mut self.rng);
            match stale.filter(|_| !max_age.is_zero()) {
                Some(answer) => {
                    self.stats.resolved_stale += 1;
                    self.give(request, answer);
                }
                None => self.deny(request, error.clone()),
            }
        }
    }

    /// The application wants nothing more.
    pub(super) fn fail_everything(&mut self) {
        let questions = std::mem::take(&mut self.questions);
        self.questions.asked = questions.asked;
        for waiting in questions.open.into_values().flat_map(|question| question.waiting) {
            self.deny(waiting.request, ResolveError::NoRegistrar);
        }
    }

    /// The home has answered a question, or tells of a change (RFC 5352 §2.2.6).
    pub(super) fn answered(&mut self, now: Time, home: Peer, response: HandleResolutionResponse) {
        let number = self.questions.oldest_about(&response.handle);
        let question = number.and_then(|number| self.questions.take(number));
        if question.is_some() {
            self.trust_home(home);
        } else {
            self.stats.unasked += 1;
            if !self.subscriptions.contains_key(&response.handle) {
                return;
            }
        }
        if response.elements.is_empty() {
            self.answered_no(now, question, response.handle, response.causes);
        } else {
            self.answered_yes(now, question, response);
        }
    }

    fn answered_no(
        &mut self,
        now: Time,
        question: Option<Question>,
        handle: PoolHandle,
        causes: Vec<Cause>,
    ) {
        let is_unknown = |cause: &Cause| cause.code == CauseCode::UNKNOWN_POOL_HANDLE;
        let error = if causes.is_empty() || causes.iter().any(is_unknown) {
            self.cache.forget(&handle);
            self.tell_subscriber_of_absence(now, &handle);
            ResolveError::UnknownPool
        } else {
            ResolveError::Rejected(causes)
        };
        for waiting in question.into_iter().flat_map(|question| question.waiting) {
            self.deny(waiting.request, error.clone());
        }
    }

    fn answered_yes(
        &mut self,
        now: Time,
        question: Option<Question>,
        response: HandleResolutionResponse,
    ) {
        let items = question.as_ref().and_then(|question| question.items);
        let asked_updates = question.as_ref().is_none_or(|question| question.want_updates);
        let resolution = Arc::new(Resolution {
            // RFC 5352 §2.2.6: without a policy parameter it is round robin.
            policy_type: response.policy.map_or(PolicyType::ROUND_ROBIN, |p| p.policy_type()),
            handle: response.handle,
            elements: response.elements,
            items,
        });
        let handle = resolution.handle.clone();
        let was_live = self.subscriptions.get(&handle).is_some_and(|s| s.live);
        // What a registrar keeps up to date is not replaced by a part of it.
        if items.is_none() || !was_live {
            self.cache.store(now, Arc::clone(&resolution));
        }
        if items.is_none() {
            let is_live = if asked_updates { response.updates_accepted } else { was_live };
            self.tell_subscriber(now, &resolution, is_live);
        }
        for Waiting { request, items } in question.into_iter().flat_map(|q| q.waiting) {
            let source = Source::Registrar;
            let answer =
                self.cache.answer(now, &handle, items, Duration::MAX, source, &mut self.rng);
            let own = || Answer { resolution: Arc::clone(&resolution), first: 0, source };
            self.give(request, answer.unwrap_or_else(own));
        }
    }

    /// RFC 5352 §2.2.14: an error belongs to a question where there is only one.
    pub(super) fn refused(&mut self, home: Peer, causes: Vec<Cause>) {
        match self.questions.only().and_then(|number| self.questions.take(number)) {
            Some(question) => {
                self.trust_home(home);
                for waiting in question.waiting {
                    self.deny(waiting.request, ResolveError::Rejected(causes.clone()));
                }
            }
            None => self.stats.errors += 1,
        }
    }

    fn give(&mut self, request: RequestId, answer: Answer) {
        self.stats.resolved += 1;
        self.outputs.push_back(Output::Event(Event::Resolved { request, answer }));
    }

    fn deny(&mut self, request: RequestId, error: ResolveError) {
        self.stats.failed += 1;
        self.outputs.push_back(Output::Event(Event::Failed { request, error }));
    }
}
