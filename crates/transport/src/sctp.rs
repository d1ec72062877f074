//! `sctp://`: the kernel's SCTP and userland SCTP in UDP at the same port, as one endpoint.
//!
//! Listening opens both, so that every peer gets through. Dialing tries the kernel's first where
//! there is one, and userland too after [`Options::head_start`] or when the kernel gives up; the
//! first that is up wins and the other is aborted. What won is tried first the next time.
//!
//! An association keeps the number that its side gave it; the lowest bit of its name says which side
//! that is. Nothing is looked up for a message, but where a dial was won by its second way: that one
//! keeps the name of the first.

mod bind;

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::address::Scheme;
use crate::endpoint::{
    AssocId, AssocInfo, Counters, DownReason, Endpoint, Error, Event, Local, Options, Ppid, Remote,
    SendError,
};
use crate::id_hash::BuildIdHasher;

/// Peers whose better way is remembered; after that all are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// SCTP of the kernel, where it has it, and in userland, as one endpoint.
pub struct SctpEndpoint {
    local: Local,
    /// Both sides together; each keeps to it by itself as well.
    associations_max: usize,
    head_start: Duration,
    over_limit: u64,
    sides: [Option<Box<dyn Endpoint>>; 2],
    /// Those that are up.
    up: HashSet<AssocId, BuildIdHasher>,
    dials: HashMap<AssocId, Dial, BuildIdHasher>,
    second_names: SecondNames,
    events: VecDeque<Event>,
    /// Dials that get their second way, in order.
    second_ways: VecDeque<(Instant, AssocId)>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Which way led to a peer the last time.
    remembered: HashMap<(IpAddr, u16), Side>,
    /// The side that is polled first, for fairness.
    first: Side,
}

/// One of the two ways.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Side {
    Kernel,
    Userland,
}

/// An association of a side, by that side's name.
type Way = (Side, AssocId);

/// What is named after the first way of its dial, and is the second.
#[derive(Default)]
struct SecondNames {
    own: HashMap<Way, AssocId, BuildIdHasher>,
    ways: HashMap<AssocId, Way, BuildIdHasher>,
}

impl SecondNames {
    fn insert(&mut self, assoc: AssocId, way: Way) {
        self.own.insert(way, assoc);
        self.ways.insert(assoc, way);
    }

    fn remove(&mut self, way: Way) {
        if let Some(assoc) = self.own.remove(&way) {
            self.ways.remove(&assoc);
        }
    }
}

struct Dial {
    remote: Remote,
    running: Vec<Way>,
    /// The second way, until it is tried.
    second: Option<Side>,
}

impl SctpEndpoint {
    fn over(
        kernel: Option<Box<dyn Endpoint>>,
        userland: Option<Box<dyn Endpoint>>,
        local: Local,
        options: &Options,
    ) -> Self {
        Self {
            local,
            associations_max: options.associations_max,
            head_start: options.head_start,
            over_limit: 0,
            sides: [kernel, userland],
            up: HashSet::default(),
            dials: HashMap::default(),
            second_names: SecondNames::default(),
            events: VecDeque::new(),
            second_ways: VecDeque::new(),
            sleep: None,
            remembered: HashMap::new(),
            first: Side::Kernel,
        }
    }

    fn side(&mut self, side: Side) -> Option<&mut Box<dyn Endpoint>> {
        self.sides[side as usize].as_mut()
    }

    /// The name of what a side reports or knows.
    fn name(&self, way: Way) -> AssocId {
        let second = match self.second_names.own.is_empty() {
            true => None,
            false => self.second_names.own.get(&way),
        };
        second.copied().unwrap_or(AssocId(way.1.0 << 1 | way.0 as u64))
    }

    /// The side that an association is of, if it is up, and that side's name for it.
    fn way(&self, assoc: AssocId) -> Way {
        let second = match self.second_names.ways.is_empty() {
            true => None,
            false => self.second_names.ways.get(&assoc),
        };
        let side = if assoc.0 & 1 == 0 { Side::Kernel } else { Side::Userland };
        second.copied().unwrap_or((side, AssocId(assoc.0 >> 1)))
    }

    fn is_full(&self) -> bool {
        self.up.len() + self.dials.len() >= self.associations_max
    }

    /// The ways to `remote`, the better one first.
    fn ways(&self, remote: &Remote) -> (Side, Option<Side>) {
        let known = remote.addresses.iter().find_map(|ip| self.remembered.get(&(*ip, remote.port)));
        match (remote.scheme, known) {
            (Scheme::KernelSctp, _) => (Side::Kernel, None),
            (Scheme::UserlandSctp, _) => (Side::Userland, None),
            (Scheme::Sctp | Scheme::Tcp | Scheme::Tls | Scheme::Udp, Some(Side::Userland)) => {
                (Side::Userland, Some(Side::Kernel))
            }
            (Scheme::Sctp | Scheme::Tcp | Scheme::Tls | Scheme::Udp, Some(Side::Kernel) | None) => {
                (Side::Kernel, Some(Side::Userland))
            }
        }
    }

    fn start(&mut self, side: Side, remote: &Remote) -> Result<AssocId, Error> {
        let mut remote = remote.clone();
        if remote.scheme == Scheme::Sctp {
            remote.scheme = side.scheme();
            // The port of the encapsulation is for the way in UDP; the kernel's goes without.
            remote.encapsulation = remote.encapsulation.filter(|_| side == Side::Userland);
        }
        let endpoint = self.side(side).ok_or_else(|| side.missing())?;
        match endpoint.connect(&remote) {
            Err(Error::Connected(inner)) => Err(Error::Connected(self.name((side, inner)))),
            started => started,
        }
    }

    /// Tries the second way of a dial, if it is still to be tried.
    fn try_second(&mut self, assoc: AssocId) {
        let Some(dial) = self.dials.get_mut(&assoc) else { return };
        let Some(side) = dial.second.take() else { return };
        let remote = dial.remote.clone();
        let Ok(inner) = self.start(side, &remote) else { return };
        self.second_names.insert(assoc, (side, inner));
        if let Some(dial) = self.dials.get_mut(&assoc) {
            dial.running.push((side, inner));
        }
    }

    fn up(&mut self, way: Way, info: AssocInfo) {
        let assoc = self.name(way);
        match self.dials.remove(&assoc) {
            Some(dial) => {
                for loser in dial.running.into_iter().filter(|other| *other != way) {
                    self.give_up(loser);
                }
            }
            None if !self.up.contains(&assoc) && self.is_full() => {
                self.over_limit += 1;
                self.give_up(way);
                return;
            }
            None => {}
        }
        self.up.insert(assoc);
        self.remember(way.0, &info);
        self.events.push_back(Event::Up { assoc, info });
    }

    fn remember(&mut self, side: Side, info: &AssocInfo) {
        if self.sides.iter().any(Option::is_none) {
            return;
        }
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        let peers = info.remote.iter().map(|ip| ((*ip, info.remote_port), side));
        self.remembered.extend(peers);
    }

    fn down(&mut self, way: Way, reason: DownReason) {
        let assoc = self.name(way);
        self.second_names.remove(way);
        if let Some(dial) = self.dials.get_mut(&assoc) {
            dial.running.retain(|other| *other != way);
            self.try_second(assoc);
        }
        if self.dials.get(&assoc).is_some_and(|dial| !dial.running.is_empty()) {
            return;
        }
        if self.dials.remove(&assoc).is_some() || self.up.remove(&assoc) {
            self.events.push_back(Event::Down { assoc, reason });
        }
    }

    fn give_up(&mut self, way: Way) {
        self.second_names.remove(way);
        let (side, inner) = way;
        if let Some(endpoint) = self.side(side) {
            endpoint.abort(inner);
        }
    }

    /// Takes in what a side reports, under the name that it has here.
    fn take(&mut self, side: Side, event: Event) {
        let way = (side, event.assoc());
        let assoc = self.name(way);
        let event = match event {
            Event::Up { info, .. } => return self.up(way, info),
            Event::Down { reason, .. } => return self.down(way, reason),
            Event::Message { ppid, octets, .. } => Event::Message { assoc, ppid, octets },
            Event::Addresses { remote, local, .. } => Event::Addresses { assoc, remote, local },
            Event::Path { address, reachable, .. } => Event::Path { assoc, address, reachable },
            Event::Congested { .. } => Event::Congested { assoc },
            Event::Drained { .. } => Event::Drained { assoc },
        };
        self.events.push_back(event);
    }

    /// Starts the second ways that are due, and wakes up for the next.
    fn poll_second_ways(&mut self, cx: &mut Context<'_>) {
        while let Some((due, assoc)) = self.second_ways.front().copied() {
            let waits = self.dials.get(&assoc).is_some_and(|dial| dial.second.is_some());
            if waits && due > Instant::now() {
                let sleep =
                    self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                if sleep.deadline() != due {
                    sleep.as_mut().reset(due);
                }
                if sleep.as_mut().poll(cx).is_pending() {
                    return;
                }
            }
            self.second_ways.pop_front();
            self.try_second(assoc);
        }
    }

    fn poll_sides(&mut self, cx: &mut Context<'_>) -> Option<(Side, Event)> {
        self.first = self.first.other();
        for side in [self.first, self.first.other()] {
            if let Some(endpoint) = self.side(side)
                && let Poll::Ready(event) = endpoint.poll_event(cx)
            {
                return Some((side, event));
            }
        }
        None
    }
}

impl Endpoint for SctpEndpoint {
    fn connect(&mut self, remote: &Remote) -> Result<AssocId, Error> {
        if matches!(remote.scheme, Scheme::Tcp | Scheme::Tls | Scheme::Udp) {
            let why = format!("{}:// was asked for", remote.scheme);
            return Err(Error::Unsupported { what: "another transport at an SCTP endpoint", why });
        }
        if self.is_full() {
            return Err(Error::Limit(self.associations_max));
        }
        let (first, second) = self.ways(remote);
        let (side, inner, second) = match (self.start(first, remote), second) {
            (Ok(inner), second) => (first, inner, second),
            (Err(Error::Connected(assoc)), _) => return Err(Error::Connected(assoc)),
            (Err(_), Some(second)) => (second, self.start(second, remote)?, None),
            (Err(error), None) => return Err(error),
        };
        let second = second.filter(|side| self.sides[*side as usize].is_some());
        let assoc = self.name((side, inner));
        let dial = Dial { remote: remote.clone(), running: vec![(side, inner)], second };
        self.dials.insert(assoc, dial);
        if second.is_some() {
            self.second_ways.push_back((Instant::now() + self.head_start, assoc));
        }
        Ok(assoc)
    }

    fn send(&mut self, assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        let (side, inner) = self.way(assoc);
        self.side(side).ok_or(SendError::Gone)?.send(inner, ppid, octets)
    }

    fn close(&mut self, assoc: AssocId) {
        if self.dials.contains_key(&assoc) {
            self.abort(assoc);
            self.events.push_back(Event::Down { assoc, reason: DownReason::Closed });
            return;
        }
        let (side, inner) = self.way(assoc);
        if let Some(endpoint) = self.side(side) {
            endpoint.close(inner);
        }
    }

    fn abort(&mut self, assoc: AssocId) {
        let ways = match self.dials.remove(&assoc) {
            Some(dial) => dial.running,
            None if self.up.remove(&assoc) => vec![self.way(assoc)],
            None => Vec::new(),
        };
        ways.into_iter().for_each(|way| self.give_up(way));
        self.events.retain(|event| event.assoc() != assoc);
    }

    fn pause_reading(&mut self, assoc: AssocId) -> bool {
        let (side, inner) = self.way(assoc);
        self.side(side).is_some_and(|endpoint| endpoint.pause_reading(inner))
    }

    fn resume_reading(&mut self, assoc: AssocId) {
        let (side, inner) = self.way(assoc);
        if let Some(endpoint) = self.side(side) {
            endpoint.resume_reading(inner);
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            self.poll_second_ways(cx);
            let arrived = self.poll_sides(cx);
            let idle = arrived.is_none();
            if let Some((side, event)) = arrived {
                self.take(side, event);
            }
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if idle {
                return Poll::Pending;
            }
        }
    }

    fn has_more(&self) -> bool {
        !self.events.is_empty() || self.sides.iter().flatten().any(|side| side.has_more())
    }

    fn local(&self) -> Local {
        self.local.clone()
    }

    fn queued_octets(&self) -> usize {
        self.sides.iter().flatten().map(|side| side.queued_octets()).sum()
    }

    fn counters(&self) -> Counters {
        let own = Counters { over_limit: self.over_limit, ..Counters::default() };
        self.sides.iter().flatten().fold(own, |sum, side| sum + side.counters())
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Kernel => Self::Userland,
            Self::Userland => Self::Kernel,
        }
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::Kernel => Scheme::KernelSctp,
            Self::Userland => Scheme::UserlandSctp,
        }
    }

    fn missing(self) -> Error {
        let (what, why) = match self {
            Self::Kernel => ("kernel SCTP", "this host does not have it, or it is not usable"),
            Self::Userland => ("SCTP in UDP", "the kernel has that port for itself"),
        };
        Error::Unsupported { what, why: why.into() }
    }
}

#[cfg(test)]
mod tests;
