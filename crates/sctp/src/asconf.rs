//! Addresses that come and go while the association lives (RFC 5061).

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::association::Association;
use crate::cause::{cause, code};
use crate::chunk::Chunk;
use crate::event::{AddressChange, DownReason, Event, PathChange, Way};
use crate::parameter::{self, Parameter, Parameters, kind, may_be_used, told, write_address};
use crate::path::source;
use crate::read::u32_at;
use crate::serial::after;

/// Own changes that wait for their turn.
const QUEUE_MAX: usize = 16;
/// Changes of the peer that are looked at in one ASCONF.
const CHANGES_MAX: usize = 16;
/// What our changes are called: there is one in an ASCONF.
const CORRELATION: u32 = 1;

/// A change of the own addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    Add(IpAddr),
    Delete(IpAddr),
    Primary(IpAddr),
}

impl Change {
    fn address(self) -> IpAddr {
        match self {
            Self::Add(ip) | Self::Delete(ip) | Self::Primary(ip) => ip,
        }
    }

    fn kind(self) -> u16 {
        match self {
            Self::Add(_) => kind::ADD_ADDRESS,
            Self::Delete(_) => kind::DELETE_ADDRESS,
            Self::Primary(_) => kind::SET_PRIMARY,
        }
    }
}

/// A change that the peer has not agreed to yet.
#[derive(Debug)]
struct Pending {
    change: Change,
    serial: u32,
    transmissions: u32,
    /// T4-rto.
    t4: Option<Duration>,
}

/// What is known of changes on both sides.
#[derive(Debug, Default)]
pub(crate) struct Asconf {
    /// Both sides can do it, with AUTH.
    pub(crate) can: bool,
    next_serial: u32,
    /// The serial of the peer's last one.
    peer_serial: u32,
    /// The answer to it.
    pub(crate) last_ack: Vec<u8>,
    /// It is to be sent, to there.
    pub(crate) ack_due: Option<Way>,
    pending: Option<Pending>,
    queue: VecDeque<Change>,
}

impl Asconf {
    /// Serials begin with the first TSNs (§4.1.1).
    pub(crate) fn new(can: bool, own_tsn: u32, peer_tsn: u32) -> Self {
        Self { can, next_serial: own_tsn, peer_serial: peer_tsn.wrapping_sub(1), ..Self::default() }
    }

    /// When the ASCONF that is on its way counts as lost.
    pub(crate) fn t4(&self) -> Option<Duration> {
        self.pending.as_ref()?.t4
    }
}

impl Association {
    /// The user has another address.
    pub(crate) fn add_address(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let peer = self.paths.current().map(|path| path.way.remote.ip());
        if peer.is_none_or(|peer| told(&[ip], peer).is_empty()) || self.adds(Some(ip)) {
            return;
        }
        if self.own.is_empty() {
            // The system has chosen one, which the peer knows.
            self.own.extend(self.paths.current().and_then(|path| path.way.local));
        }
        if !self.own.contains(&ip) {
            // Before what is deleted: there is always one that the peer knows.
            self.queue_change(Change::Add(ip), true);
        }
    }

    /// The user has one address less: nothing is sent from it any more.
    pub(crate) fn delete_address(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        if !self.own.contains(&ip) || (self.own.len() == 1 && !self.adds(None)) {
            let refused = AddressChange::Refused(code::LAST_ADDRESS);
            return self.events.push_back(Event::Address(ip, refused));
        }
        if !self.queue_change(Change::Delete(ip), false) {
            return;
        }
        self.own.retain(|own| *own != ip);
        self.leave_from_own();
    }

    /// Whether this address, or any, is on its way to become one.
    fn adds(&self, ip: Option<IpAddr>) -> bool {
        let pending = self.asconf.pending.iter().map(|pending| &pending.change);
        pending.chain(&self.asconf.queue).any(|change| match change {
            Change::Add(other) => ip.is_none_or(|ip| ip == *other),
            Change::Delete(_) | Change::Primary(_) => false,
        })
    }

    /// The user wants the peer to send to this address.
    pub(crate) fn set_peer_primary(&mut self, ip: IpAddr) {
        self.queue_change(Change::Primary(ip.to_canonical()), false);
    }

    fn queue_change(&mut self, change: Change, in_front: bool) -> bool {
        if !self.asconf.can || self.asconf.queue.len() >= QUEUE_MAX {
            let refused = AddressChange::Refused(0);
            self.events.push_back(Event::Address(change.address(), refused));
            return false;
        }
        if in_front {
            self.asconf.queue.push_front(change);
        } else {
            self.asconf.queue.push_back(change);
        }
        true
    }

    /// Paths leave from addresses that are still there.
    fn leave_from_own(&mut self) {
        let own = &self.own;
        for path in self.paths.iter_mut() {
            if path.way.local.is_none_or(|local| !own.contains(&local)) {
                path.way.local = source(own, path.way.remote.ip());
            }
        }
    }

    /// The ASCONF to be sent now, and where to.
    pub(crate) fn next_asconf(&mut self, now: Duration) -> Option<(Way, Vec<u8>)> {
        if self.asconf.pending.is_none() {
            let change = self.asconf.queue.pop_front()?;
            let serial = self.asconf.next_serial;
            self.asconf.next_serial = serial.wrapping_add(1);
            self.asconf.pending = Some(Pending { change, serial, transmissions: 0, t4: None });
        }
        let path = self.paths.current()?;
        let (mut way, rto) = (path.way, path.rto);
        let pending = self.asconf.pending.as_mut().filter(|pending| pending.t4.is_none())?;
        let change = pending.change;
        // §5.1.1: the new address is a source only for this, and where no other one does.
        if let Change::Add(new) = change
            && new.is_ipv4() == way.remote.is_ipv4()
            && (self.own.is_empty() || pending.transmissions % 2 == 1)
        {
            way.local = Some(new);
        }
        pending.transmissions += 1;
        pending.t4 = Some(now + rto);
        let mut value = pending.serial.to_be_bytes().to_vec();
        let known = self.own.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        write_address(&mut value, known);
        parameter::write(&mut value, change.kind(), |value| {
            value.extend_from_slice(&CORRELATION.to_be_bytes());
            write_address(value, change.address());
        });
        Some((way, value))
    }

    /// T4-rto has expired (§5.1): it is sent again, over another path if there is one.
    pub(crate) fn t4_expired(&mut self, now: Duration) {
        if let Some(pending) = &mut self.asconf.pending {
            pending.t4 = None;
        }
        self.missed(self.paths.current, now);
    }

    /// The peer answers.
    pub(crate) fn on_asconf_ack(&mut self, chunk: &Chunk<'_>, now: Duration) {
        let Some(serial) = u32_at(chunk.value, 0) else {
            return self.statistics.malformed += 1;
        };
        if after(serial, self.asconf.next_serial.wrapping_sub(1)) {
            let reason = DownReason::Violation;
            return self.abort_with(code::ILLEGAL_ASCONF_ACK, chunk.whole, reason);
        }
        let Some(pending) = self.asconf.pending.take_if(|pending| pending.serial == serial) else {
            return self.statistics.ignored += 1;
        };
        self.errors = 0;
        let answers = chunk.value.get(4..).unwrap_or_default();
        let error = Parameters::new(answers).find(|answer| answer.kind == kind::ERROR_CAUSE);
        let error = error.map(|error| {
            let causes = error.value.get(4..).unwrap_or_default();
            Parameters::new(causes).next().map_or(0, |cause| cause.kind)
        });
        let ip = pending.change.address();
        let change = match (error, pending.change) {
            (Some(cause), _) => AddressChange::Refused(cause),
            (None, Change::Add(_)) => {
                self.added(ip, now);
                AddressChange::Added
            }
            (None, Change::Delete(_)) => AddressChange::Deleted,
            (None, Change::Primary(_)) => AddressChange::Primary,
        };
        self.events.push_back(Event::Address(ip, change));
    }

    /// The peer knows an own address now: it may be used, and all paths are looked at again.
    fn added(&mut self, ip: IpAddr, now: Duration) {
        let first = self.own.is_empty();
        self.own.push(ip);
        for path in self.paths.iter_mut() {
            if first || path.way.local.is_none() || path.errors > 0 {
                path.way.local = source(&self.own, path.way.remote.ip());
            }
            path.next_heartbeat = now;
        }
    }

    /// The peer changes its addresses (§5.2).
    pub(crate) fn on_asconf(&mut self, way: Way, chunk: &Chunk<'_>, now: Duration) {
        let mut parameters = Parameters::new(chunk.value.get(4..).unwrap_or_default());
        let (Some(serial), Some(sender)) = (u32_at(chunk.value, 0), parameters.next()) else {
            return self.statistics.malformed += 1;
        };
        if serial == self.asconf.peer_serial && !self.asconf.last_ack.is_empty() {
            self.asconf.ack_due = Some(way);
            return;
        }
        let is_next = serial == self.asconf.peer_serial.wrapping_add(1);
        if !is_next || sender.address().is_none() || !self.asconf.can {
            return self.statistics.ignored += 1;
        }
        self.asconf.peer_serial = serial;
        let mut ack = serial.to_be_bytes().to_vec();
        for change in parameters.take(CHANGES_MAX) {
            let Some(correlation) = u32_at(change.value, 0) else { break };
            let result = self.change(&change, way, now);
            let (kind, error) = match result {
                Ok(()) => (kind::SUCCESS, None),
                Err(error) => (kind::ERROR_CAUSE, Some(error)),
            };
            parameter::write(&mut ack, kind, |ack| {
                ack.extend_from_slice(&correlation.to_be_bytes());
                if let Some(error) = error {
                    cause(ack, error, change.whole);
                }
            });
        }
        self.asconf.last_ack = ack;
        self.asconf.ack_due = Some(way);
    }

    /// Makes one change of the peer's; the error is a cause.
    fn change(&mut self, change: &Parameter<'_>, way: Way, now: Duration) -> Result<(), u16> {
        let inner = Parameters::new(change.value.get(4..).unwrap_or_default()).next();
        let address = inner.and_then(|inner| inner.address());
        let address = address.ok_or(code::UNRECOGNIZED_PARAMETERS)?.to_canonical();
        let source = way.remote.ip();
        // §4.2.1: no address stands for the one that it comes from.
        let ip = if address.is_unspecified() { source } else { address };
        match change.kind {
            kind::ADD_ADDRESS => self.peer_adds(ip, way, now),
            kind::DELETE_ADDRESS if address.is_unspecified() => self.peer_keeps(source),
            kind::DELETE_ADDRESS => self.peer_deletes(ip, source),
            kind::SET_PRIMARY => {
                let id = self.paths.find(ip).map(|path| path.id);
                self.paths.primary = id.ok_or(code::UNRESOLVABLE_ADDRESS)?;
                self.choose();
                Ok(())
            }
            _ => Err(code::UNRECOGNIZED_PARAMETERS),
        }
    }

    fn peer_adds(&mut self, ip: IpAddr, way: Way, now: Duration) -> Result<(), u16> {
        if self.paths.find(ip).is_some() {
            return Ok(());
        }
        if ip != way.remote.ip() && !may_be_used(ip, way.remote.ip()) {
            return Err(code::NO_AUTHORIZATION);
        }
        // Whether anybody is there is shown by a HEARTBEAT.
        self.add_path(ip, way, now).ok_or(code::RESOURCE_SHORTAGE)?;
        self.events.push_back(Event::Path(ip, PathChange::Added));
        Ok(())
    }

    fn peer_deletes(&mut self, ip: IpAddr, source: IpAddr) -> Result<(), u16> {
        let Some(id) = self.paths.find(ip).map(|path| path.id) else { return Ok(()) };
        if self.paths.len() == 1 {
            return Err(code::LAST_ADDRESS);
        }
        if ip == source {
            return Err(code::SOURCE_ADDRESS);
        }
        self.remove_path(id);
        Ok(())
    }

    /// The peer has only this address any more.
    fn peer_keeps(&mut self, ip: IpAddr) -> Result<(), u16> {
        self.paths.find(ip).ok_or(code::UNRESOLVABLE_ADDRESS)?;
        let others: Vec<u8> =
            self.paths.iter().filter(|p| p.way.remote.ip() != ip).map(|path| path.id).collect();
        others.into_iter().for_each(|id| self.remove_path(id));
        Ok(())
    }

    /// What is on its way to an address that is gone is sent again.
    fn remove_path(&mut self, id: u8) {
        self.send.expire(id);
        let Some(path) = self.paths.remove(id) else { return };
        self.events.push_back(Event::Path(path.way.remote.ip(), PathChange::Removed));
        if self.paths.primary == id
            && let Some(first) = self.paths.iter().next().map(|path| path.id)
        {
            self.paths.primary = first;
        }
        self.choose();
    }
}
