//! What applications do: elements want to be in their pools, users want elements.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rserpool_proto::session::client::Input;
use rserpool_proto::user::{Answer, Request, RequestId, ResolveError};
use rserpool_proto::{element, registrar, user};
use rserpool_wire::param::{PeId, PoolHandle};

use super::{COST, Event, World};
use crate::application::{Application, Asked, Asking, Membership, Open};
use crate::invariant::Invariant;
use crate::program::{MachineCommand, MachineEvent, NodeId, Program};
use crate::trace::told_in_words;

impl World {
    /// A process has started.
    pub(super) fn begin_application(&mut self, node: NodeId) {
        match &mut self.nodes[node.0].application {
            Application::Registrar(membership) => {
                membership.wanted = true;
                self.order(node, MachineCommand::Registrar(registrar::Command::Start));
            }
            Application::Element(Membership { wanted: true }) => {
                self.order(node, MachineCommand::Element(element::Command::Register));
            }
            Application::Element(Membership { wanted: false }) => {}
            // It begins by itself, once it is looked at.
            Application::Nothing => self.plan_wake(node, self.now),
            Application::User(asking, asked) => {
                *asked = Asked { count: asked.count, ..Asked::default() };
                if let Some(handle) = asking.subscribed.clone() {
                    self.order(node, MachineCommand::User(user::Command::Subscribe(handle)));
                }
                self.plan_asking(node);
            }
        }
    }

    fn plan_asking(&mut self, node: NodeId) {
        if let Application::User(Asking { period: Some(period), .. }, _) =
            &self.nodes[node.0].application
        {
            let pause = period.mul_f64(self.rng.random_range(0.5..=1.5));
            self.agenda.plan(self.now + pause, Event::Ask(node, self.nodes[node.0].starts));
        }
    }

    /// A user's application wants something again.
    pub(super) fn ask(&mut self, node: NodeId) {
        self.check_requests(node);
        if self.is_running(node) {
            let items = self.rng.random_bool(0.5).then(|| self.rng.random_range(1..=4));
            self.resolve(node, items);
        }
        self.plan_asking(node);
    }

    /// A user asks for the next of its pools.
    pub fn resolve(&mut self, node: NodeId, items: Option<u32>) {
        let (now, is_exam) = (self.now, self.expected.is_some() && items.is_none());
        let Application::User(asking, asked) = &mut self.nodes[node.0].application else { return };
        let turn = usize::try_from(asked.count).unwrap_or_default();
        let Some(handle) = asking.pools.get(turn % asking.pools.len().max(1)).cloned() else {
            return;
        };
        asked.count += 1;
        let id = RequestId(asked.count);
        let (homes, about) = (asked.homes, handle.clone());
        asked.open.insert(id, Open { since: now, homes, is_exam, question: None, handle: about });
        let request = Request { items, ..Request::new(id, handle) };
        self.order(node, MachineCommand::User(user::Command::Resolve(request)));
    }

    /// The application is told something.
    pub(super) fn told(&mut self, node: NodeId, told: MachineEvent) {
        self.trace.line(self.now, || format!("{}: {}", self.names[node.0], told_in_words(&told)));
        match told {
            MachineEvent::Registrar(event) => self.registrar_told(node, &event),
            MachineEvent::Element(event) => self.element_told(node, &event),
            MachineEvent::User(event) => self.user_told(node, event),
        }
    }

    fn registrar_told(&mut self, node: NodeId, event: &registrar::Event) {
        let life = self.nodes[node.0].starts;
        if let registrar::Event::Left { id, reason, .. } = event
            && self.removals_forbidden
        {
            self.violate(Invariant::LivingStay, || format!("{id} is out: {reason:?}"));
        }
        let Some(running) = &mut self.nodes[node.0].running else { return };
        match event {
            registrar::Event::TakeoverWon { target, .. }
            | registrar::Event::TakenOver { target, .. } => {
                running.taken_over.insert(*target);
            }
            registrar::Event::PeerUp(id) | registrar::Event::PeerBack(id) => {
                running.taken_over.remove(id);
            }
            registrar::Event::DuplicateId { .. } => {
                running.has_twin = true;
                self.counts.duplicate_ids += 1;
            }
            registrar::Event::Departed { .. } => {
                self.agenda.plan(self.now + FAREWELL, Event::Exit(node, life));
            }
            _ => {}
        }
    }

    fn element_told(&mut self, node: NodeId, event: &element::Event) {
        let pause = self.setup.timing.registration_timeout;
        let Application::Element(membership) = self.nodes[node.0].application else { return };
        let again = match event {
            element::Event::Rejected { .. } if membership.wanted => element::Command::Register,
            element::Event::DeregistrationRefused { .. } if !membership.wanted => {
                element::Command::Deregister
            }
            _ => return,
        };
        self.plan_order(node, pause, MachineCommand::Element(again));
    }

    fn user_told(&mut self, node: NodeId, event: user::Event) {
        match event {
            user::Event::Resolved { request, answer } => {
                self.counts.resolved += 1;
                let Some(open) = self.close_request(node, request) else { return };
                if let Some(question) = open.question {
                    return self.feed_session(node, Input::Answer(question, Ok(answer)));
                }
                if open.is_exam {
                    let ids = answer.resolution.elements.iter().map(|e| e.id).collect();
                    self.mark_exam(node, &open.handle, ids);
                }
                self.try_element(node, &answer);
            }
            user::Event::Failed { request, error } => {
                self.counts.failed += 1;
                let Some(open) = self.close_request(node, request) else { return };
                if let Some(question) = open.question {
                    return self.feed_session(node, Input::Answer(question, Err(error)));
                }
                match (open.is_exam, error) {
                    (true, ResolveError::UnknownPool) => {
                        self.mark_exam(node, &open.handle, Vec::new());
                    }
                    (true, error) if self.expected.is_some() => {
                        let name = self.name(node).to_owned();
                        self.violate(Invariant::AnswersAreTrue, || format!("{name}: {error}"));
                    }
                    _ => {}
                }
            }
            user::Event::Updated { resolution, .. } => {
                let Some(asked) = self.asked_mut(node) else { return };
                let mut ids: Vec<PeId> = resolution
                    .map(|resolution| resolution.elements.iter().map(|e| e.id).collect())
                    .unwrap_or_default();
                ids.sort_unstable();
                asked.told = Some(ids);
            }
            user::Event::HomeFound { .. } => {
                if let Some(asked) = self.asked_mut(node) {
                    asked.homes += 1;
                }
            }
            _ => {}
        }
    }

    fn asked_mut(&mut self, node: NodeId) -> Option<&mut Asked> {
        match &mut self.nodes[node.0].application {
            Application::User(_, asked) => Some(asked),
            Application::Registrar(_) | Application::Element(_) | Application::Nothing => None,
        }
    }

    fn close_request(&mut self, node: NodeId, request: RequestId) -> Option<Open> {
        let open = self.asked_mut(node)?.open.remove(&request);
        if open.is_none() {
            let name = self.name(node).to_owned();
            self.violate(Invariant::RequestsEndOnce, || format!("{name} has {request:?} twice"));
        }
        open
    }

    /// While nothing changes, an answer has to have everyone.
    fn mark_exam(&mut self, node: NodeId, handle: &PoolHandle, ids: Vec<PeId>) {
        let Some(expected) = &self.expected else { return };
        let wanted = expected.get(handle).cloned().unwrap_or_default();
        let told: BTreeSet<PeId> = ids.iter().copied().collect();
        let is_true = if self.hostile == 0 { told == wanted } else { told.is_superset(&wanted) };
        if !is_true {
            let name = self.name(node).to_owned();
            let detail = format!("{name} is told of {ids:?} in {handle}, not of {wanted:?}");
            self.violate(Invariant::AnswersAreTrue, || detail);
        }
    }

    /// The user turns to the element that the policy picked, and reports it where that fails.
    fn try_element(&mut self, node: NodeId, answer: &Answer) {
        let Application::User(asking, _) = &self.nodes[node.0].application else { return };
        let Some(element) = answer.in_order().next().filter(|_| asking.reports) else { return };
        let address = element.user_transport.addresses().first();
        let Some(host) = address.and_then(|address| self.network.host_of(*address)) else {
            return;
        };
        if !self.is_running(host) || !self.network.links.is_whole(node, host) {
            let (handle, id) = (answer.resolution.handle.clone(), element.id);
            let report = user::Command::ReportUnreachable { handle, id };
            self.order(node, MachineCommand::User(report));
        }
    }

    /// True where the process is not slowed down.
    pub(crate) fn is_quick(&self, node: NodeId) -> bool {
        self.nodes[node.0].cost <= COST
    }

    /// Whether requests have gone on for too long.
    pub(crate) fn check_requests(&mut self, node: NodeId) {
        let Application::User(_, asked) = &self.nodes[node.0].application else { return };
        // A slow process serves its transport first, and its application when there is time.
        if !self.is_running(node) || !self.is_quick(node) {
            return;
        }
        let Program::User(config) = &self.nodes[node.0].program else { return };
        let repetitions = config.request_retransmits_max;
        let steady_since = self.nodes[node.0].steady_since;
        let overdue = |open: &&Open| {
            let bound = self.bounds.answer(repetitions, asked.homes - open.homes);
            self.now - open.since.max(steady_since) > bound
        };
        if let Some(open) = asked.open.values().find(overdue) {
            let waits = self.now - open.since;
            let name = self.name(node).to_owned();
            self.violate(Invariant::RequestsEnd, || format!("{name} waits for {waits:?}"));
            if let Some(asked) = self.asked_mut(node) {
                asked.open.clear();
            }
        }
    }
}

/// How long a process that ends gives its transport to send what is queued.
const FAREWELL: Duration = Duration::from_millis(500);
