//! `sctp://`: the kernel's SCTP and userland SCTP in UDP at the same port, as one endpoint.
//!
//! Listening opens both, so that every peer gets through. Dialing tries the kernel's first where
//! there is one, and userland too after [`Options::head_start`] or when the kernel gives up; the
//! first that is up wins and the other is aborted. What won is tried first the next time.

mod bind;

use std::collections::{HashMap, VecDeque};
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
    associations: HashMap<AssocId, Association, BuildIdHasher>,
    /// The own name of each association of a side.
    names: HashMap<(Side, AssocId), AssocId, BuildIdHasher>,
    last: u64,
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

enum Association {
    Dialing(Dial),
    /// Accepted, or won its dial.
    On(Side, AssocId),
}

struct Dial {
    remote: Remote,
    running: Vec<(Side, AssocId)>,
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
            associations: HashMap::default(),
            names: HashMap::default(),
            last: 0,
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

    fn name(&mut self) -> AssocId {
        self.last += 1;
        AssocId(self.last)
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
            Err(Error::Connected(inner)) => Err(Error::Connected(self.adopt(side, inner))),
            started => started,
        }
    }

    /// The own name of an association that a side reports or knows.
    fn adopt(&mut self, side: Side, inner: AssocId) -> AssocId {
        if let Some(assoc) = self.names.get(&(side, inner)) {
            return *assoc;
        }
        let assoc = self.name();
        self.names.insert((side, inner), assoc);
        self.associations.insert(assoc, Association::On(side, inner));
        assoc
    }

    /// Tries the second way of a dial, if it is still to be tried.
    fn try_second(&mut self, assoc: AssocId) {
        let Some(Association::Dialing(dial)) = self.associations.get_mut(&assoc) else {
            return;
        };
        let Some(side) = dial.second.take() else {
            return;
        };
        let remote = dial.remote.clone();
        let Ok(inner) = self.start(side, &remote) else {
            return;
        };
        self.names.insert((side, inner), assoc);
        if let Some(Association::Dialing(dial)) = self.associations.get_mut(&assoc) {
            dial.running.push((side, inner));
        }
    }

    fn up(&mut self, side: Side, inner: AssocId, info: AssocInfo) {
        let unknown = !self.names.contains_key(&(side, inner));
        if unknown && self.associations.len() >= self.associations_max {
            self.over_limit += 1;
            self.give_up(side, inner);
            return;
        }
        let assoc = self.adopt(side, inner);
        let on = Association::On(side, inner);
        if let Some(Association::Dialing(dial)) = self.associations.insert(assoc, on) {
            for (other, loser) in dial.running.into_iter().filter(|way| *way != (side, inner)) {
                self.give_up(other, loser);
            }
        }
        self.remember(side, &info);
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

    fn down(&mut self, side: Side, inner: AssocId, reason: DownReason) {
        let Some(assoc) = self.names.remove(&(side, inner)) else {
            return;
        };
        if let Some(Association::Dialing(dial)) = self.associations.get_mut(&assoc) {
            dial.running.retain(|way| *way != (side, inner));
            self.try_second(assoc);
        }
        if let Some(Association::Dialing(dial)) = self.associations.get(&assoc)
            && !dial.running.is_empty()
        {
            return;
        }
        self.associations.remove(&assoc);
        self.events.push_back(Event::Down { assoc, reason });
    }

    fn give_up(&mut self, side: Side, inner: AssocId) {
        self.names.remove(&(side, inner));
        if let Some(endpoint) = self.side(side) {
            endpoint.abort(inner);
        }
    }

    /// Takes in what a side reports, under the own names.
    fn take(&mut self, side: Side, event: Event) {
        let inner = event.assoc();
        match event {
            Event::Up { info, .. } => self.up(side, inner, info),
            Event::Down { reason, .. } => self.down(side, inner, reason),
            Event::Message { ppid, octets, .. } => {
                let assoc = self.adopt(side, inner);
                self.events.push_back(Event::Message { assoc, ppid, octets });
            }
            Event::Addresses { remote, local, .. } => {
                let assoc = self.adopt(side, inner);
                self.events.push_back(Event::Addresses { assoc, remote, local });
            }
            Event::Path { address, reachable, .. } => {
                let assoc = self.adopt(side, inner);
                self.events.push_back(Event::Path { assoc, address, reachable });
            }
            Event::Congested { .. } => {
                let assoc = self.adopt(side, inner);
                self.events.push_back(Event::Congested { assoc });
            }
            Event::Drained { .. } => {
                let assoc = self.adopt(side, inner);
                self.events.push_back(Event::Drained { assoc });
            }
        }
    }

    /// Starts the second ways that are due, and wakes up for the next.
    fn poll_second_ways(&mut self, cx: &mut Context<'_>) {
        while let Some((due, assoc)) = self.second_ways.front().copied() {
            let waits = matches!(
                self.associations.get(&assoc),
                Some(Association::Dialing(Dial { second: Some(_), .. }))
            );
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
        if self.associations.len() >= self.associations_max {
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
        let assoc = self.name();
        self.names.insert((side, inner), assoc);
        let dial = Dial { remote: remote.clone(), running: vec![(side, inner)], second };
        self.associations.insert(assoc, Association::Dialing(dial));
        if second.is_some() {
            self.second_ways.push_back((Instant::now() + self.head_start, assoc));
        }
        Ok(assoc)
    }

    fn send(&mut self, assoc: AssocId, ppid: Ppid, octets: &[u8]) -> Result<(), SendError> {
        let Some(Association::On(side, inner)) = self.associations.get(&assoc) else {
            return Err(SendError::Gone);
        };
        let (side, inner) = (*side, *inner);
        self.side(side).ok_or(SendError::Gone)?.send(inner, ppid, octets)
    }

    fn close(&mut self, assoc: AssocId) {
        match self.associations.get(&assoc) {
            Some(Association::On(side, inner)) => {
                let (side, inner) = (*side, *inner);
                if let Some(endpoint) = self.side(side) {
                    endpoint.close(inner);
                }
            }
            Some(Association::Dialing(_)) => {
                self.abort(assoc);
                self.events.push_back(Event::Down { assoc, reason: DownReason::Closed });
            }
            None => {}
        }
    }

    fn abort(&mut self, assoc: AssocId) {
        let running = match self.associations.remove(&assoc) {
            Some(Association::On(side, inner)) => vec![(side, inner)],
            Some(Association::Dialing(dial)) => dial.running,
            None => Vec::new(),
        };
        for (side, inner) in running {
            self.give_up(side, inner);
        }
        self.events.retain(|event| event.assoc() != assoc);
    }

    fn pause_reading(&mut self, assoc: AssocId) -> bool {
        let Some(&Association::On(side, inner)) = self.associations.get(&assoc) else {
            return false;
        };
        self.side(side).is_some_and(|endpoint| endpoint.pause_reading(inner))
    }

    fn resume_reading(&mut self, assoc: AssocId) {
        let Some(&Association::On(side, inner)) = self.associations.get(&assoc) else { return };
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
