//! Dials: one INIT for all addresses of a peer, to one after the other; the first that answers is
//! where the association goes (as RFC 8305 does it for TCP).
//!
//! One machine with one verification tag sends them all, so a peer that gets two takes the second
//! for a repetition, and nothing is to be ended at those that lose.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::association::{Association, Phase};
use super::encapsulation::{Route, UdpSocket};
use super::endpoint::{MTU_V4, MTU_V6, UserlandEndpoint, no_randomness, reseed};
use super::machine::Machine;
use crate::address::{Scheme, socket_address};
use crate::endpoint::{AssocId, DownReason, Error, Remote};
use crate::source;

/// Addresses of one peer that are tried.
const TRIED_MAX: usize = 16;

/// The addresses of a peer that is being dialed.
#[derive(Debug)]
pub(super) struct Dial {
    /// Those that got the INIT, and have not refused it.
    tried: Vec<Route>,
    /// Those that have their turn later.
    rest: VecDeque<Route>,
    /// The INIT.
    init: Vec<u8>,
    /// When the next one has its turn.
    next: Duration,
    /// For how long one is tried before the next.
    head_start: Duration,
}

impl Dial {
    /// When the next address has its turn.
    pub(super) fn deadline(&self) -> Option<Duration> {
        (!self.rest.is_empty()).then_some(self.next)
    }

    /// Every address that is not given up.
    pub(super) fn remotes(&self) -> impl Iterator<Item = SocketAddr> {
        self.tried.iter().chain(&self.rest).map(|route| route.remote)
    }

    /// The only one that there is.
    fn only(&self) -> Option<SocketAddr> {
        let mut remotes = self.remotes();
        remotes.next().filter(|_| remotes.next().is_none())
    }

    fn tries(&self, remote: SocketAddr) -> Option<Route> {
        self.tried.iter().chain(&self.rest).copied().find(|route| route.remote == remote)
    }
}

impl UserlandEndpoint {
    /// Where to dial `remote`: those of its addresses that one of our sockets reaches.
    pub(super) fn routes(&self, remote: &Remote) -> Result<VecDeque<Route>, Error> {
        let unsupported = |what, why| Err(Error::Unsupported { what, why });
        if !matches!(remote.scheme, Scheme::Sctp | Scheme::UserlandSctp) {
            let why = format!("{}:// was asked for", remote.scheme);
            return unsupported("another transport than userland SCTP", why);
        }
        let port = remote.encapsulation.unwrap_or(remote.port);
        let mut routes = VecDeque::new();
        // A socket that is bound to an address leaves from there in any case.
        for (ip, local) in source::ways(&remote.addresses, &[], &self.options)? {
            let leads = |socket: &UdpSocket| socket.reaches(ip, local);
            if let Some(socket) = self.sockets.iter().position(leads) {
                let remote = socket_address(ip, port, remote.zone);
                routes.push_back(Route { socket, local, remote });
            }
        }
        routes.truncate(TRIED_MAX);
        if routes.is_empty() || remote.port == 0 || port == 0 {
            let why = format!("no address among {:?} can be reached from here", remote.addresses);
            return unsupported("userland SCTP", why);
        }
        Ok(routes)
    }

    /// Starts to dial a peer with this SCTP port.
    pub(super) fn dial(
        &mut self,
        routes: VecDeque<Route>,
        port: u16,
        now: Duration,
    ) -> Result<AssocId, Error> {
        let limit = self.options.connect_timeout;
        let phase = Phase::Dialing { deadline: now + limit };
        let turns = u32::try_from(routes.len()).unwrap_or(u32::MAX).saturating_add(1);
        let head_start = self.options.head_start.min(limit / turns);
        let is_v4 = routes.iter().all(|route| route.remote.is_ipv4());
        let mtu = if is_v4 { MTU_V4 } else { MTU_V6 };
        let Some(first) = routes.front().copied() else {
            return Err(no_randomness(io::Error::other("there is no address to dial")));
        };
        // A tag that another association has is as good as none: draw again.
        for _ in 0..8 {
            reseed();
            let mut machine = Machine::new(&self.options, [self.local.port, port], mtu);
            machine.advance(now);
            machine.connect();
            if self.table.with_tag(machine.tag()).is_some() {
                continue;
            }
            let mut association = Association::new(machine, first, port, phase);
            let (tried, init) = (Vec::new(), Vec::new());
            association.dial =
                Some(Box::new(Dial { tried, rest: routes, init, next: now, head_start }));
            let id = self.table.insert(association);
            self.settle(id, now);
            self.dial_next(id, now);
            return Ok(id);
        }
        Err(no_randomness(io::Error::other("every verification tag is taken")))
    }

    /// Sends the INIT that the machine wrote to all that are being tried.
    pub(super) fn send_init(&mut self, id: AssocId, init: &[u8]) {
        let Some(dial) = self.table.get_mut(id).and_then(|a| a.dial.as_mut()) else { return };
        init.clone_into(&mut dial.init);
        for route in dial.tried.clone() {
            self.write(&route, init);
        }
    }

    /// Sends the INIT to the next address, and goes on to another one at once where it cannot leave.
    pub(super) fn dial_next(&mut self, id: AssocId, now: Duration) {
        loop {
            let Some(association) = self.table.get_mut(id) else { return };
            let Some(dial) = &mut association.dial else { return };
            let Some(route) = dial.rest.pop_front() else { return };
            dial.next = now + dial.head_start;
            dial.tried.push(route);
            let init = dial.init.clone();
            let has_more = !dial.rest.is_empty();
            let deadline = association.deadline();
            self.timers.arm(id, deadline, &mut association.armed);
            if self.write(&route, &init) || !has_more {
                return;
            }
            self.give_up_address(id, route.remote);
        }
    }

    /// The turn of the next address, if it has come.
    pub(super) fn dial_on(&mut self, id: AssocId, now: Duration) {
        let dial = self.table.get_mut(id).and_then(|association| association.dial.as_ref());
        if dial.and_then(|dial| dial.deadline()).is_some_and(|next| next <= now) {
            self.dial_next(id, now);
        }
    }

    /// An address has answered: the association goes there, and the others are forgotten.
    pub(super) fn answered(&mut self, id: AssocId, route: &Route) {
        let Some(association) = self.table.get_mut(id) else { return };
        let Some(dial) = association.dial.take() else { return };
        // Who has several addresses may answer from one that we do not know; its packets go to one
        // that we know.
        let chosen = dial.tries(route.remote).or_else(|| dial.tried.first().copied());
        if let Some(chosen) = chosen {
            let local = route.local.or(chosen.local);
            self.table.choose(id, Route { local, ..chosen }, dial.remotes());
        }
    }

    /// An address refuses the dial: it is over where there is no other one.
    pub(super) fn refused(&mut self, id: AssocId, remote: SocketAddr, now: Duration) {
        let only = self.table.get_mut(id).and_then(|a| a.dial.as_ref()?.only());
        self.give_up_address(id, only.unwrap_or(remote));
        let Some(association) = self.table.get_mut(id) else { return };
        let Some(dial) = &association.dial else {
            return self.give_up(id, DownReason::Refused);
        };
        match (dial.tried.is_empty(), dial.rest.is_empty()) {
            (true, true) => self.give_up(id, DownReason::Refused),
            (true, false) => self.dial_next(id, now),
            (false, _) => {}
        }
    }

    fn give_up_address(&mut self, id: AssocId, remote: SocketAddr) {
        let Some(association) = self.table.get_mut(id) else { return };
        let port = association.remote_port;
        if let Some(dial) = &mut association.dial {
            dial.tried.retain(|route| route.remote != remote);
            self.table.free(id, remote, port);
        }
    }
}
