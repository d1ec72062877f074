//! Who may be told of which addresses: none leaves its scope (RFC 4007).
//!
//! An element with loopback addresses is one of this host. It is listed to users of this host, and
//! other registrars of this host know it; for everyone else it does not exist. The same goes for
//! link-local addresses and the link. Who is at the other end of an association is seen from its
//! addresses.

use std::net::IpAddr;

use rserpool_wire::param::{Addresses, PoolElement, RegistrarId, SctpTransport, Transport};

use super::Registrar;
use crate::handlespace::{ElementIndex, Reach};
use crate::machine::{Link, Peer};

/// How far an element has to reach for the other end of an association to be told of it.
pub(super) fn reach_over(link: &Link) -> Reach {
    // A host that comes to itself by an address of its own has that address at both ends.
    let is_here = |ip: &IpAddr| Reach::of(*ip) == Reach::Host || link.local.contains(ip);
    if link.remote.iter().all(is_here) {
        return Reach::Host;
    }
    let nearest = link.remote.iter().map(|ip| Reach::of(*ip)).min();
    nearest.map_or(Reach::Everywhere, |nearest| nearest.max(Reach::Link))
}

/// Those of some addresses that reach so far.
pub(super) fn within(addresses: &[IpAddr], reach: Reach) -> Addresses {
    addresses.iter().copied().filter(|ip| Reach::of(*ip) >= reach).collect()
}

/// Leaves out addresses that do not reach everywhere, where there are others: an element is known to
/// as many as can reach it.
pub(super) fn without_nearer(transport: Transport) -> Transport {
    match transport {
        Transport::Sctp(sctp) => {
            let far = within(&sctp.addresses, Reach::Everywhere);
            let addresses = if far.is_empty() { sctp.addresses } else { far };
            Transport::Sctp(SctpTransport { addresses, ..sctp })
        }
        other => other,
    }
}

/// True where an element is told to all registrars alike.
fn is_for_all(element: &PoolElement) -> bool {
    let asap = element.asap_transport.iter().flat_map(|sctp| sctp.addresses.iter());
    Reach::of_element(element) == Reach::Everywhere
        && asap.into_iter().all(|ip| Reach::of(*ip) == Reach::Everywhere)
}

/// An element as a registrar is told of it that is so far away.
pub(super) fn as_told(element: &PoolElement, reach: Reach) -> PoolElement {
    let mut told = element.clone();
    if is_for_all(element) {
        return told;
    }
    if let Some(asap) = &mut told.asap_transport {
        asap.addresses = within(&asap.addresses, reach);
        // It registered from the same host.
        if asap.addresses.is_empty() {
            asap.addresses = within(told.user_transport.addresses(), reach);
        }
    }
    told.asap_transport.take_if(|asap| asap.addresses.is_empty());
    told
}

impl Registrar {
    /// How far an element has to reach for the other end of this association to be told of it.
    pub(super) fn reach_of(&self, peer: Peer) -> Reach {
        self.associations.get(&peer).map_or(Reach::Everywhere, |association| association.reach)
    }

    /// True where an element may be told over this association.
    pub(super) fn may_be_told(&self, index: ElementIndex, link: Peer) -> bool {
        self.handlespace.reach(index).is_some_and(|reach| reach >= self.reach_of(link))
    }

    /// The associations that an element is told over, with what is told of it over each.
    pub(super) fn tellings(
        &self,
        links: Vec<Peer>,
        element: PoolElement,
    ) -> Vec<(Vec<Peer>, PoolElement)> {
        if is_for_all(&element) {
            return vec![(links, element)];
        }
        let farthest = Reach::of_element(&element);
        let reaches = [Reach::Host, Reach::Link, Reach::Everywhere].into_iter();
        let tellings = reaches.filter(|reach| *reach <= farthest).map(|reach| {
            let there = links.iter().copied().filter(|link| self.reach_of(*link) == reach);
            (there.collect(), as_told(&element, reach))
        });
        tellings.filter(|(links, _): &(Vec<Peer>, _)| !links.is_empty()).collect()
    }

    /// What another registrar tells of an element, as far as it is of use here: addresses that are
    /// good on its own host or link only are left out.
    pub(super) fn as_heard(&self, sender: RegistrarId, mut element: PoolElement) -> PoolElement {
        let reach = self.link_to(sender).map_or(Reach::Everywhere, |link| self.reach_of(link));
        if reach == Reach::Host || is_for_all(&element) {
            return element;
        }
        element.user_transport = without_nearer(element.user_transport);
        if let Some(asap) = &mut element.asap_transport {
            asap.addresses = within(&asap.addresses, reach);
        }
        element.asap_transport.take_if(|asap| asap.addresses.is_empty());
        element
    }

    /// An element was told by another registrar: one whose addresses are no good here is kept, so
    /// that checksums agree, but nobody is told of it.
    pub(super) fn hide_if_out_of_reach(&mut self, sender: RegistrarId, index: ElementIndex) {
        let reach = self.link_to(sender).map_or(Reach::Everywhere, |link| self.reach_of(link));
        if self.handlespace.reach(index).is_some_and(|its| its < reach) {
            self.handlespace.hide(index);
        }
    }
}
