use std::net::IpAddr;

use rserpool_wire::param::{PoolElement, Transport};

use super::Handlespace;
use super::element::ElementIndex;
use super::withheld::NO_SEAT;

/// From where an element can be reached at the addresses that it has, and who may be told of it: an
/// address is of no use beyond its scope (RFC 4007), and there may be somebody else's. The order is
/// from near to far.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reach {
    /// From nowhere where it is known: another host has told of its loopback addresses.
    Nowhere,
    /// From this host: its addresses are loopback ones.
    Host,
    /// From this link: its addresses are link-local ones.
    Link,
    /// From wherever its packets get to.
    Everywhere,
}

impl Reach {
    /// How many are nearer than [`Everywhere`](Self::Everywhere).
    pub(super) const NEAR: usize = 3;

    /// How far an address reaches.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            ip if ip.is_loopback() => Self::Host,
            IpAddr::V4(ip) if ip.is_link_local() => Self::Link,
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Self::Link,
            _ => Self::Everywhere,
        }
    }

    /// How far an element reaches: as its nearest address, so that none is told too far.
    pub fn of_element(element: &PoolElement) -> Self {
        Self::of_transport(&element.user_transport)
    }

    fn of_transport(transport: &Transport) -> Self {
        let addresses = transport.addresses().iter();
        addresses.map(|&address| Self::of(address)).min().unwrap_or(Self::Everywhere)
    }
}

/// How many of some elements reach how far, of those that do not reach everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Near([u32; Reach::NEAR]);

impl Near {
    pub(super) fn add(&mut self, reach: Reach) {
        if let Some(count) = self.0.get_mut(reach as usize) {
            *count += 1;
        }
    }

    pub(super) fn remove(&mut self, reach: Reach) {
        if let Some(count) = self.0.get_mut(reach as usize) {
            *count -= 1;
        }
    }

    /// True where all of them reach everywhere.
    pub(super) fn is_empty(self) -> bool {
        self.0 == [0; Reach::NEAR]
    }

    /// How many do not reach so far.
    pub(super) fn nearer_than(self, reach: Reach) -> usize {
        self.0[..reach as usize].iter().map(|&count| count as usize).sum()
    }
}

impl Handlespace {
    /// How far an element reaches; `None` once it is gone.
    pub fn reach(&self, index: ElementIndex) -> Option<Reach> {
        self.stored(index).map(|stored| stored.reach)
    }

    /// Keeps an element to itself until it registers again: the host at which its addresses are good
    /// is another one.
    pub fn hide(&mut self, index: ElementIndex) {
        if self.stored(index).is_some() {
            self.set_reach(index.slot, Reach::Nowhere);
        }
    }

    pub(super) fn set_reach(&mut self, slot: u32, reach: Reach) {
        let stored = &mut self.elements[slot];
        let old = std::mem::replace(&mut stored.reach, reach);
        if old == reach {
            return;
        }
        let (id, home) = (stored.element.id, stored.element.home);
        let pool = &mut self.pools[stored.pool];
        if stored.seat != NO_SEAT {
            pool.near.remove(old);
            pool.near.add(reach);
        }
        self.homes.change_reach(home, &pool.handle, id, (old, reach));
    }
}
