//! A pool user driven as its driver would, in virtual time.

mod cache;
mod hostile;
mod report;
mod resolve;
mod selection;
mod subscription;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rserpool_wire::asap::{HandleResolution, HandleResolutionResponse};
use rserpool_wire::param::{
    Cause, PeId, Policy, PoolElement, RegistrationLife, Transport, TransportUse,
};
use rserpool_wire::registry::{CauseCode, PolicyType};

use super::*;
use crate::machine::{Carrier, Target};
use crate::timing::{Profile, Timing};

/// The registrar that the user dials first, and the second one.
const FIRST: Peer = Peer::dialed(1);
const SECOND: Peer = Peer::dialed(2);

/// A user with the RFC's timers at a point in time, and everything that it has asked for.
struct Lab {
    user: PoolUser,
    now: Time,
    requests: u64,
}

impl Lab {
    /// One registrar, which is dialed as [`FIRST`] and then as [`SECOND`].
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        Self { user: PoolUser::new(config, 1), now: Time::ZERO, requests: 0 }
    }

    /// The first registrar is the home: it was found for a question that it has answered.
    fn homed() -> Self {
        Self::homed_with(config())
    }

    fn homed_with(config: Config) -> Self {
        let mut lab = Self::with(config);
        lab.resolve(handle("any"));
        lab.up(FIRST);
        lab.message(FIRST, unknown(handle("any")));
        assert_eq!(lab.user.state, State::Homed { home: FIRST });
        lab.requests = 0;
        lab
    }

    fn input(&mut self, input: Input<Command>) -> Vec<Output<Event>> {
        self.user.handle(self.now, input);
        std::iter::from_fn(|| self.user.poll()).collect()
    }

    fn command(&mut self, command: Command) -> Vec<Output<Event>> {
        self.input(Input::Command(command))
    }

    /// A request with the next number.
    fn resolve(&mut self, handle: PoolHandle) -> Vec<Output<Event>> {
        let request = self.request(handle);
        self.command(Command::Resolve(request))
    }

    fn request(&mut self, handle: PoolHandle) -> Request {
        self.requests += 1;
        Request::new(RequestId(self.requests), handle)
    }

    fn up(&mut self, peer: Peer) -> Vec<Output<Event>> {
        self.input(Input::Up(peer, link()))
    }

    fn down(&mut self, peer: Peer) -> Vec<Output<Event>> {
        self.input(Input::Down(peer))
    }

    fn message(&mut self, peer: Peer, message: Asap) -> Vec<Output<Event>> {
        self.input(Input::Message(peer, message.into()))
    }

    /// Lets so many seconds pass; no timer may be due in them.
    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        assert!(self.user.next_timeout().is_none_or(|due| due >= self.now));
    }

    /// Goes to the next timeout; the seconds that it took, and what came of it.
    fn timeout(&mut self) -> (u64, Vec<Output<Event>>) {
        let due = self.user.next_timeout().unwrap();
        let waited = (due - self.now).as_secs();
        self.now = due;
        (waited, self.input(Input::Timeout))
    }
}

fn config() -> Config {
    Config { timing: Timing::of(Profile::Rfc), ..Config::default() }
}

/// Answers may be 10 s old.
fn caching() -> Config {
    Config { cache_lifetime: Duration::from_secs(10), ..config() }
}

fn two_registrars() -> Config {
    Config { registrars: 2, ..config() }
}

fn handle(name: &str) -> PoolHandle {
    PoolHandle::new(name.as_bytes()).unwrap()
}

fn pool() -> PoolHandle {
    handle("pool")
}

fn link() -> Link {
    Link {
        protocol: Protocol::Asap,
        carrier: Carrier::Tcp,
        remote: vec![Ipv4Addr::LOCALHOST.into()],
        remote_port: 3863,
        local: vec![Ipv4Addr::LOCALHOST.into()],
        identity: None,
    }
}

fn element(id: u32, policy: Policy) -> PoolElement {
    let address = Ipv4Addr::LOCALHOST.into();
    let transport_use = TransportUse::DataOnly;
    PoolElement {
        id: PeId(id),
        home: None,
        life: RegistrationLife(300),
        user_transport: Transport::Tcp { port: 7, transport_use, address },
        policy,
        asap_transport: None,
    }
}

fn elements(ids: &[u32]) -> Vec<PoolElement> {
    ids.iter().map(|&id| element(id, Policy::round_robin())).collect()
}

fn known(handle: PoolHandle, ids: &[u32]) -> Asap {
    known_by(handle, Policy::round_robin(), elements(ids))
}

fn known_by(handle: PoolHandle, policy: Policy, elements: Vec<PoolElement>) -> Asap {
    Asap::HandleResolutionResponse(HandleResolutionResponse {
        updates_accepted: false,
        handle,
        policy: Some(policy),
        elements,
        causes: vec![],
    })
}

/// An answer that says that updates will follow, and an update.
fn kept(handle: PoolHandle, ids: &[u32]) -> Asap {
    Asap::HandleResolutionResponse(HandleResolutionResponse {
        updates_accepted: true,
        handle,
        policy: Some(Policy::round_robin()),
        elements: elements(ids),
        causes: vec![],
    })
}

fn unknown(handle: PoolHandle) -> Asap {
    refusal(handle, CauseCode::UNKNOWN_POOL_HANDLE)
}

fn refusal(handle: PoolHandle, code: CauseCode) -> Asap {
    Asap::HandleResolutionResponse(HandleResolutionResponse {
        updates_accepted: false,
        handle,
        policy: None,
        elements: vec![],
        causes: vec![Cause::new(code)],
    })
}

fn connect(peer: Peer, number: usize) -> Output<Event> {
    Output::Connect(peer, Target::Configured(number), Protocol::Asap)
}

fn send(peer: Peer, message: Asap) -> Output<Event> {
    Output::Send(peer, message.into())
}

fn ask(peer: Peer, handle: PoolHandle, items: Option<u32>) -> Output<Event> {
    let message = HandleResolution { want_updates: false, handle, items };
    send(peer, Asap::HandleResolution(message))
}

fn ask_for_updates(peer: Peer, handle: PoolHandle) -> Output<Event> {
    let message = HandleResolution { want_updates: true, handle, items: None };
    send(peer, Asap::HandleResolution(message))
}

fn found() -> Output<Event> {
    Output::Event(Event::HomeFound { link: link() })
}

fn resolution(handle: PoolHandle, ids: &[u32], items: Option<u32>) -> Arc<Resolution> {
    let policy_type = PolicyType::ROUND_ROBIN;
    Arc::new(Resolution { handle, policy_type, elements: elements(ids), items })
}

fn resolved(request: u64, ids: &[u32], first: usize, source: Source) -> Output<Event> {
    let answer = Answer { resolution: resolution(pool(), ids, None), first, source };
    Output::Event(Event::Resolved { request: RequestId(request), answer })
}

fn failed(request: u64, error: ResolveError) -> Output<Event> {
    Output::Event(Event::Failed { request: RequestId(request), error })
}

/// The answers among the outputs: which request got which element first.
fn firsts(outputs: &[Output<Event>]) -> Vec<(u64, u32)> {
    let first = |output: &Output<Event>| match output {
        Output::Event(Event::Resolved { request, answer }) => {
            Some((request.0, answer.in_order().next()?.id.0))
        }
        _ => None,
    };
    outputs.iter().filter_map(first).collect()
}
