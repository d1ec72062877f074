//! The driver of a session's machine at its user, and the application.

use rand::RngExt;
use rserpool_proto::machine::Peer;
use rserpool_proto::session::client::{Event as MachineEvent, Input, Output};
use rserpool_proto::user::{self, Request, RequestId};
use rserpool_wire::param::{PoolElement, PoolHandle};
use rserpool_wire::{Asap, Message};

use crate::application::Application;
use crate::application::Open;
use crate::invariant::{COOKIE_OCTETS_MAX, Invariant, SESSION_OUTPUTS_MAX, SESSION_QUESTIONS_MAX};
use crate::network::{Dial, Payload};
use crate::node::Known;
use crate::program::{MachineCommand, NodeId};
use crate::session::{Caller, Calling, Ping, Pong, Role, SessionProgress, Sessions, Taken};
use crate::trace::{session_in_words, summary};
use crate::world::drive::dial_of;
use crate::world::{Event, World};

impl World {
    /// How far the session of a client is that runs.
    pub fn session(&self, node: NodeId) -> Option<SessionProgress> {
        let caller = self.caller(node)?;
        let server = caller.server().map(|(_, id)| id);
        Some(SessionProgress { server, replies: caller.replied })
    }

    /// The node that a client has its session with.
    pub fn server_of(&self, client: NodeId) -> Option<NodeId> {
        let (peer, _) = self.caller(client)?.server()?;
        self.network.other_host(client, peer)
    }

    /// The application of a session has its turn again.
    pub(in crate::world) fn turn(&mut self, node: NodeId) {
        self.check_requests(node);
        self.check_silence(node);
        if self.is_running(node) {
            self.order(node, MachineCommand::Session);
        }
        self.plan_turn(node);
    }

    pub(super) fn plan_turn(&mut self, node: NodeId) {
        if let Some(Role::Client(calling)) = &self.nodes[node.0].role {
            let pause = calling.period.mul_f64(self.rng.random_range(0.5..=1.5));
            self.agenda.plan(self.now + pause, Event::Turn(node, self.nodes[node.0].starts));
        }
    }

    /// Hands something to the machine of a session, and does what it wants done.
    pub(in crate::world) fn feed_session(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        let Some(running) = self.running(node) else { return };
        let own = running.clock.show(now);
        let Sessions::Client(caller) = &mut running.sessions else { return };
        caller.machine.handle(own, input);
        let mut outputs = 0;
        while let Some(output) = self.caller_mut(node).and_then(|caller| caller.machine.poll()) {
            outputs += 1;
            self.perform_session(node, output);
        }
        if outputs > SESSION_OUTPUTS_MAX {
            let detail = format!("{outputs} outputs of the session of {}", self.names[node.0]);
            self.violate(Invariant::OutputsAreBounded, || detail);
        }
        self.check_server(node);
    }

    /// What the application does in its turn.
    pub(in crate::world) fn work(&mut self, node: NodeId) {
        let now = self.now;
        let Some(caller) = self.caller_mut(node) else { return };
        if caller.machine.is_idle() {
            return self.feed_session(node, Input::Seek);
        }
        let Some((peer, _)) = caller.server() else { return };
        if caller.is_impatient(now) {
            self.trace.line(now, || format!("{} has no patience", self.names[node.0]));
            return self.feed_session(node, Input::FailOver);
        }
        if let Some(ping) = caller.ping(now) {
            self.send_ping(node, peer, ping);
        }
    }

    pub(super) fn hear_control(&mut self, node: NodeId, peer: Peer, message: Asap) {
        let now = self.now;
        let Some(caller) = self.caller_mut(node) else { return };
        let Some(name) = caller.named_by_machine(peer) else { return };
        caller.heard_at = now;
        caller.is_answered |= matches!(message, Asap::KeepAliveAck(_));
        self.feed_session(node, Input::Control(name, message));
    }

    pub(super) fn take_pong(&mut self, node: NodeId, peer: Peer, pong: Pong) {
        let now = self.now;
        let Some(caller) = self.caller_mut(node) else { return };
        let Some(name) = caller.named_by_machine(peer) else { return };
        caller.heard_at = now;
        let taken = caller.pong(now, pong);
        match taken {
            Taken::Next => self.counts.replies += 1,
            Taken::Again => self.counts.repeated += 1,
            Taken::OutOfSequence(expected) => {
                let name = self.names[node.0].clone();
                self.violate(Invariant::RepliesInSequence, || {
                    format!("{name} has {pong:?}, not {expected:?}")
                });
            }
        }
        self.feed_session(node, Input::Data(name));
    }

    /// The session of a client that runs.
    pub(crate) fn caller(&self, node: NodeId) -> Option<&Caller> {
        match &self.nodes[node.0].running.as_ref()?.sessions {
            Sessions::Client(caller) => Some(caller),
            Sessions::None | Sessions::Server(_) => None,
        }
    }

    /// What a node does in sessions.
    pub(crate) fn role(&self, node: NodeId) -> Option<&Role> {
        self.nodes[node.0].role.as_ref()
    }

    /// How a client holds its session.
    pub(crate) fn calling(&self, node: NodeId) -> Option<&Calling> {
        match self.role(node)? {
            Role::Client(calling) => Some(calling),
            Role::Server(_) => None,
        }
    }

    /// The pool that a client has its session with.
    pub(crate) fn session_pool(&self, node: NodeId) -> Option<PoolHandle> {
        self.calling(node).map(|calling| calling.session.handle.clone())
    }

    pub(super) fn caller_mut(&mut self, node: NodeId) -> Option<&mut Caller> {
        match &mut self.running(node)?.sessions {
            Sessions::Client(caller) => Some(caller),
            Sessions::None | Sessions::Server(_) => None,
        }
    }

    fn perform_session(&mut self, node: NodeId, output: Output) {
        match output {
            Output::Resolve(question) => self.resolve_for_session(node, question),
            Output::Connect(name, element) => self.dial_server(node, name, &element),
            Output::Control(name, message) => {
                let peer = self.caller_mut(node).and_then(|it| it.named_by_network(name));
                let message = Message::from(message);
                self.check_traffic(node);
                match peer {
                    Some(peer) => self.post_control(node, peer, &message),
                    None => self.violate(Invariant::NothingToTheDeparted, || summary(&message)),
                }
            }
            Output::Abort(name) => {
                let Some(caller) = self.caller_mut(node) else { return };
                match caller.assoc.take_if(|(known, _)| *known == name) {
                    Some((_, peer)) => {
                        self.end(node, peer, "aborts its session with");
                        self.network.abort(self.now, node, peer);
                    }
                    None => self.violate(Invariant::NothingToTheDeparted, || format!("{name:?}")),
                }
            }
            Output::Report(id) => {
                let Some(handle) = self.session_pool(node) else { return };
                let report = user::Command::ReportUnreachable { handle, id };
                self.order(node, MachineCommand::User(report));
            }
            Output::Event(event) => self.session_told(node, &event),
        }
    }

    fn resolve_for_session(&mut self, node: NodeId, question: u64) {
        let now = self.now;
        let Some(handle) = self.session_pool(node) else { return };
        let Some(caller) = self.caller_mut(node) else { return };
        let (items, questions) = (caller.config.items, caller.count_question(now));
        if questions == SESSION_QUESTIONS_MAX {
            let name = self.names[node.0].clone();
            self.violate(Invariant::SearchesRest, || format!("{name} asks without end"));
        }
        let Application::User(_, asked) = &mut self.nodes[node.0].application else { return };
        asked.count += 1;
        let (id, homes, handle_asked) = (RequestId(asked.count), asked.homes, handle.clone());
        let question = Some(question);
        let open = Open { since: now, homes, is_exam: false, question, handle: handle_asked };
        asked.open.insert(id, open);
        let request = Request { items, ..Request::new(id, handle) };
        self.order(node, MachineCommand::User(user::Command::Resolve(request)));
    }

    fn dial_server(&mut self, node: NodeId, name: Peer, element: &PoolElement) {
        let now = self.now;
        let dial = dial_of(&element.user_transport, Payload::Data);
        self.trace
            .line(now, || format!("{} dials {} for its session", self.names[node.0], element.id));
        let Some(running) = self.running(node) else { return };
        let is_fresh = name.is_dialed() && running.last_session.is_none_or(|last| last < name);
        running.last_session = Some(name);
        let Sessions::Client(caller) = &mut running.sessions else { return };
        let is_second = caller.assoc.is_some();
        let (peer, from) = (caller.dialed(name), caller.port);
        running.known.insert(peer, Known::Dialing);
        let connected =
            dial.map(|dial| self.network.connect(now, node, peer, &Dial { from, ..dial }));
        if !matches!(connected, Some(Ok(())))
            && let Some(running) = self.running(node)
        {
            running.failed.push_back(peer);
        }
        if !is_fresh {
            self.violate(Invariant::NamesAreUsedOnce, || format!("{name:?}"));
        }
        if is_second {
            let name = self.names[node.0].clone();
            self.violate(Invariant::OneServerAtOnce, || format!("{name} has two"));
        }
    }

    fn session_told(&mut self, node: NodeId, event: &MachineEvent) {
        let now = self.now;
        self.trace.line(now, || format!("{}: {}", self.names[node.0], session_in_words(event)));
        match event {
            MachineEvent::Connected { .. } => self.send_again(node),
            MachineEvent::FailedOver { resumed, .. } => {
                self.counts.failovers += 1;
                self.counts.resumed += u64::from(*resumed);
                self.send_again(node);
            }
            MachineEvent::FailoverNeeded { from, reason } if self.expected.is_some() => {
                let name = self.names[node.0].clone();
                let detail = format!("{name} leaves {from}: {reason:?}");
                self.violate(Invariant::SessionsStay, || detail);
            }
            MachineEvent::CookieStored { octets } if *octets > COOKIE_OCTETS_MAX => {
                let detail = format!("{} has one of {octets} octets", self.names[node.0]);
                self.violate(Invariant::CookiesAreBounded, || detail);
            }
            // The application seeks again in its next turn.
            MachineEvent::GaveUp(_)
            | MachineEvent::FailoverNeeded { .. }
            | MachineEvent::CookieRefused { .. }
            | MachineEvent::CookieStored { .. } => {}
        }
    }

    fn send_again(&mut self, node: NodeId) {
        let now = self.now;
        let Some(caller) = self.caller_mut(node) else { return };
        let (pings, Some((peer, _))) = (caller.connected(now), caller.server()) else { return };
        for ping in pings {
            self.send_ping(node, peer, ping);
        }
    }

    fn send_ping(&mut self, node: NodeId, peer: Peer, ping: Ping) {
        let text = || format!("ping {}", ping.number);
        self.post(node, peer, Payload::Data, &ping.encode().into(), text);
    }
}
