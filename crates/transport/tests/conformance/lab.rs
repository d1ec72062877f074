//! Some endpoints in one task, and a watch over the rules that hold in every test.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::task::Poll;

use rserpool_transport::{
    Address, AssocId, AssocInfo, DownReason, Endpoint, Event, Local, Options, Ppid, Remote,
};

use crate::Rig;

/// Some endpoints in one task. Every event goes through the watch: an association comes up once,
/// goes down once, has messages only in between, and an aborted one is never heard of again.
#[derive(Default)]
pub(crate) struct Lab {
    endpoints: Vec<Option<Box<dyn Endpoint>>>,
    live: HashMap<(usize, AssocId), Phase>,
    dead: HashSet<(usize, AssocId)>,
    /// Events that were taken from the endpoints and not yet looked at.
    taken: VecDeque<(usize, Event)>,
    /// Beginnings and ends of congestion: few tests ask for them.
    pub(crate) congestion: Vec<(usize, Event)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Dialing,
    Up,
}

impl Lab {
    /// Binds an endpoint on loopback at a free port.
    pub(crate) fn bind<R: Rig>(&mut self, rig: &R, options: &Options) -> usize {
        let endpoint = rig.bind(&loopback::<R>(0), options);
        self.add(endpoint.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Adds an endpoint that only dials.
    pub(crate) fn dialer<R: Rig>(&mut self, rig: &R, options: &Options) -> usize {
        self.add(rig.dialer(options).unwrap_or_else(|error| panic!("{error}")))
    }

    fn add(&mut self, endpoint: Box<dyn Endpoint>) -> usize {
        self.endpoints.push(Some(endpoint));
        self.endpoints.len() - 1
    }

    pub(crate) fn endpoint(&mut self, at: usize) -> &mut dyn Endpoint {
        self.endpoints[at].as_mut().expect("this endpoint was dropped").as_mut()
    }

    pub(crate) fn local(&mut self, at: usize) -> Local {
        self.endpoint(at).local()
    }

    /// Where to dial the endpoint at `at`.
    pub(crate) fn remote(&mut self, at: usize) -> Remote {
        remote(&self.local(at))
    }

    pub(crate) fn connect(&mut self, at: usize, remote: &Remote) -> AssocId {
        let assoc = self.endpoint(at).connect(remote).unwrap_or_else(|error| panic!("{error}"));
        let known = self.live.insert((at, assoc), Phase::Dialing);
        assert_eq!(known, None, "{assoc:?} was given twice");
        assert!(!self.dead.contains(&(at, assoc)), "{assoc:?} was given twice");
        assoc
    }

    pub(crate) fn send(&mut self, at: usize, assoc: AssocId, octets: &[u8]) {
        self.endpoint(at).send(assoc, Ppid::ASAP, octets).unwrap();
    }

    pub(crate) fn abort(&mut self, at: usize, assoc: AssocId) {
        self.endpoint(at).abort(assoc);
        self.live.remove(&(at, assoc));
        self.dead.insert((at, assoc));
        // These came before.
        self.taken.retain(|(index, event)| (*index, event.assoc()) != (at, assoc));
    }

    pub(crate) fn drop_endpoint(&mut self, at: usize) {
        self.endpoints[at] = None;
        self.live.retain(|(index, _), _| *index != at);
        self.taken.retain(|(index, _)| *index != at);
    }

    /// Connects two endpoints: the association's name at each.
    pub(crate) async fn associate(&mut self, from: usize, to: usize) -> (AssocId, AssocId) {
        let remote = self.remote(to);
        let near = self.connect(from, &remote);
        let mut far = None;
        let mut up = false;
        while !up || far.is_none() {
            match self.next().await {
                (at, Event::Up { assoc, .. }) if (at, assoc) == (from, near) => up = true,
                (at, Event::Up { assoc, .. }) if at == to => far = Some(assoc),
                other => panic!("while connecting: {other:?}"),
            }
        }
        (near, far.unwrap())
    }

    /// The next event of any endpoint, but for congestion.
    pub(crate) async fn next(&mut self) -> (usize, Event) {
        loop {
            let (at, event) = self.next_of_all().await;
            self.watch(at, &event);
            if let Some(event) = self.note(at, event) {
                return (at, event);
            }
        }
    }

    /// Keeps what is said of congestion.
    fn note(&mut self, at: usize, event: Event) -> Option<Event> {
        let is_congestion = matches!(event, Event::Congested { .. } | Event::Drained { .. });
        if is_congestion {
            self.congestion.push((at, event));
            return None;
        }
        Some(event)
    }

    async fn next_of_all(&mut self) -> (usize, Event) {
        poll_fn(|cx| {
            // All are served in each round, however many there are: a silent one would be given up.
            if self.taken.is_empty() {
                let endpoints = self.endpoints.iter_mut().enumerate();
                for (at, endpoint) in endpoints.filter_map(|(at, e)| Some((at, e.as_mut()?))) {
                    if let Poll::Ready(event) = endpoint.poll_event(cx) {
                        self.taken.push_back((at, event));
                    }
                }
            }
            match self.taken.pop_front() {
                Some(event) => Poll::Ready(event),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// The next event of one endpoint, while the others are not served; `None` when there is none
    /// at the moment, but for congestion.
    pub(crate) async fn poll_only(&mut self, at: usize) -> Option<Event> {
        let taken = self.taken.iter().position(|(index, _)| *index == at);
        let taken = taken.and_then(|index| self.taken.remove(index));
        let endpoint = self.endpoints[at].as_mut().expect("this endpoint was dropped");
        let event = match taken {
            Some((_, event)) => Some(event),
            None => {
                poll_fn(|cx| match endpoint.poll_event(cx) {
                    Poll::Ready(event) => Poll::Ready(Some(event)),
                    Poll::Pending => Poll::Ready(None),
                })
                .await
            }
        };
        let event = event?;
        self.watch(at, &event);
        self.note(at, event)
    }

    /// The next event of one endpoint, while the others are not served, but for congestion.
    pub(crate) async fn next_only(&mut self, at: usize) -> Event {
        loop {
            let endpoint = self.endpoints[at].as_mut().expect("this endpoint was dropped");
            let event = poll_fn(|cx| endpoint.poll_event(cx)).await;
            self.watch(at, &event);
            if let Some(event) = self.note(at, event) {
                return event;
            }
        }
    }

    /// The next event, which is a message.
    pub(crate) async fn message(&mut self) -> (usize, AssocId, Vec<u8>) {
        match self.next().await {
            (at, Event::Message { assoc, octets, .. }) => (at, assoc, octets),
            other => panic!("not a message: {other:?}"),
        }
    }

    /// The next event, which is the beginning of an association.
    pub(crate) async fn up(&mut self) -> (usize, AssocId, AssocInfo) {
        match self.next().await {
            (at, Event::Up { assoc, info }) => (at, assoc, info),
            other => panic!("not an association: {other:?}"),
        }
    }

    /// The next event, which is the end of an association.
    pub(crate) async fn down(&mut self) -> (usize, AssocId, DownReason) {
        match self.next().await {
            (at, Event::Down { assoc, reason }) => (at, assoc, reason),
            other => panic!("not an end: {other:?}"),
        }
    }

    /// Closes what is left and waits until all of it is down, once each.
    pub(crate) async fn finish(mut self) {
        let left: Vec<(usize, AssocId)> = self.live.keys().copied().collect();
        for (at, assoc) in left {
            self.endpoint(at).close(assoc);
        }
        while !self.live.is_empty() {
            self.next().await;
        }
        for at in 0..self.endpoints.len() {
            if self.endpoints[at].is_some() {
                assert_eq!(self.poll_only(at).await, None, "an event after the end");
            }
        }
    }

    fn watch(&mut self, at: usize, event: &Event) {
        let key = (at, event.assoc());
        assert!(!self.dead.contains(&key), "an event after its end: {event:?}");
        let phase = self.live.get(&key).copied();
        match event {
            Event::Up { info, .. } => {
                let expected = info.dialed.then_some(Phase::Dialing);
                assert_eq!(phase, expected, "{event:?}");
                self.live.insert(key, Phase::Up);
            }
            Event::Down { .. } => {
                assert!(phase.is_some(), "an end without beginning: {event:?}");
                self.live.remove(&key);
                self.dead.insert(key);
            }
            Event::Message { .. }
            | Event::Addresses { .. }
            | Event::Path { .. }
            | Event::Congested { .. }
            | Event::Drained { .. } => {
                assert_eq!(phase, Some(Phase::Up), "{event:?}");
            }
        }
    }
}

/// A URL on loopback.
pub(crate) fn loopback<R: Rig>(port: u16) -> Address {
    format!("{}://127.0.0.1:{port}", R::SCHEME).parse().unwrap()
}

/// Where to dial what is bound at `local`.
pub(crate) fn remote(local: &Local) -> Remote {
    Remote {
        scheme: local.url.scheme,
        addresses: local.addresses.clone(),
        port: local.port,
        encapsulation: local.url.encapsulation,
        zone: 0,
        expected: Default::default(),
    }
}

/// A message that TCP can frame: its header says how long it is. From 8 octets on it is numbered.
pub(crate) fn message(len: usize, number: u32) -> Vec<u8> {
    let fill = number.to_be_bytes()[3];
    let mut octets = vec![fill; len];
    octets[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    if len >= 8 {
        octets[4..8].copy_from_slice(&number.to_be_bytes());
    }
    octets
}
