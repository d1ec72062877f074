//! The own addresses: which of them peers are told, and what follows when they come and go (RFC 5061).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Context;

use rserpool_sctp::{AddressChange, Command, Input};

use super::dial::TRIED_MAX;
use super::encapsulation::UdpSocket;
use super::endpoint::UserlandEndpoint;
use super::heard::Heard;
use super::table::association_id;
use crate::address::Host;
use crate::address_watch::AddressWatch;
use crate::endpoint::{AssocId, Error, Event, Local, Options};

/// Associations whose peers are told of other addresses of the host, before others have a turn.
const TOLD_AT_ONCE: usize = 256;

/// What an endpoint that is at all addresses of its host knows of them.
#[derive(Debug)]
pub(super) struct HostAddresses {
    watch: AddressWatch,
    now: Vec<IpAddr>,
    /// Those that were there from the beginning: peers are told of none of them, as some may lead
    /// nowhere from where they are.
    before: Vec<IpAddr>,
    /// Whose peers are still to be told.
    untold: VecDeque<AssocId>,
}

/// The addresses that peers are told when an association begins: those that the user has named, where
/// there are several.
pub(super) fn announced(local: &Local, options: &Options) -> Vec<IpAddr> {
    let own = if local.addresses.is_empty() { &options.dial_from } else { &local.addresses };
    if own.len() < 2 || own.iter().any(IpAddr::is_unspecified) {
        return Vec::new();
    }
    own.iter().copied().take(TRIED_MAX).collect()
}

/// What others can reach of this host.
fn of_this_host() -> io::Result<Vec<IpAddr>> {
    let is_of_link = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let all = if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip());
    let mut all: Vec<IpAddr> = all.filter(|ip| !ip.is_loopback() && !is_of_link(ip)).collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

impl UserlandEndpoint {
    /// Listens at one more address, at the same UDP port. Peers are told where they can follow (RFC
    /// 5061): [`Event::Addresses`] says which do.
    ///
    /// # Errors
    ///
    /// [`Error::System`] where it cannot be bound, or the endpoint is at it; nothing changed.
    pub fn add_address(&mut self, address: IpAddr) -> Result<(), Error> {
        let failed = |source| Error::System { operation: "adding an address", source };
        if self.is_everywhere() || self.local.addresses.contains(&address) {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let port = self.sockets.first().map_or(Ok(0), UdpSocket::port).map_err(failed)?;
        let socket = UdpSocket::bind(SocketAddr::new(address, port)).map_err(failed)?;
        self.sockets.push(socket);
        self.heard.push(Heard::default());
        self.local.addresses.push(address);
        self.local.url.hosts.push(Host::Ip(address));
        self.tell_all(&Command::AddAddress(address));
        Ok(())
    }

    /// Gives up an address. Peers are told where they can follow (RFC 5061).
    ///
    /// # Errors
    ///
    /// [`Error::System`] for the last address and for one where the endpoint is not; nothing changed.
    pub fn remove_address(&mut self, address: IpAddr) -> Result<(), Error> {
        let at = self.sockets.iter().position(|socket| socket.address() == address);
        let Some(at) = at.filter(|_| self.sockets.len() > 1 && !self.is_everywhere()) else {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(Error::System { operation: "removing an address", source });
        };
        self.local.addresses.retain(|ip| *ip != address);
        self.local.url.hosts.retain(|host| *host != Host::Ip(address));
        self.tell_all(&Command::DeleteAddress(address));
        self.sockets.remove(at);
        self.heard.remove(at);
        Ok(())
    }

    /// Whether it is at all addresses of the host.
    pub(super) fn is_everywhere(&self) -> bool {
        self.sockets.iter().any(|socket| socket.address().is_unspecified())
    }

    fn tell_all(&mut self, change: &Command) {
        self.engine.set_addresses(announced(&self.local, &self.options));
        let now = self.now();
        for id in self.table.ids() {
            self.engine.handle(now, Input::Command(association_id(id), change.clone()));
        }
        self.flush();
    }

    /// The peer of an association has agreed to a change of the own addresses, or not.
    pub(super) fn own_address(&mut self, assoc: AssocId, address: IpAddr, change: AddressChange) {
        let Some(association) = self.table.get_mut(assoc) else { return };
        if !matches!(change, AddressChange::Added | AddressChange::Deleted) {
            return tracing::debug!(%address, ?change, "the peer does not follow");
        }
        let local = self.engine.own_addresses(association_id(assoc)).to_vec();
        if association.local != local {
            association.local.clone_from(&local);
            let remote = association.remote.clone();
            self.events.push_back(Event::Addresses { assoc, remote, local });
        }
    }

    /// From the first association with another host on, the addresses of this one are followed, where
    /// nothing else was said.
    pub(super) fn follow_host(&mut self, peer: IpAddr) {
        if self.host.is_some() || peer.is_loopback() || !self.is_everywhere() {
            return;
        }
        if !self.options.dial_from.iter().all(IpAddr::is_unspecified) {
            return;
        }
        let Ok(here) = of_this_host() else { return };
        self.host = Some(HostAddresses {
            watch: AddressWatch::new(),
            now: here.clone(),
            before: here,
            untold: VecDeque::new(),
        });
    }

    /// Looks at the addresses of this host from time to time, and has peers told of changes; true
    /// where there is more to do.
    pub(super) fn poll_host(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(host) = &mut self.host else { return false };
        while host.watch.poll(cx).is_ready() {
            let Ok(here) = of_this_host() else { continue };
            if host.watch.is_news(here.clone()) {
                host.before.retain(|ip| here.contains(ip));
                host.now = here;
                host.untold = self.table.ids().into();
            }
        }
        let count = host.untold.len().min(TOLD_AT_ONCE);
        if count == 0 {
            return false;
        }
        let some: Vec<AssocId> = host.untold.drain(..count).collect();
        some.into_iter().for_each(|id| self.compare(id));
        self.flush();
        self.host.as_ref().is_some_and(|host| !host.untold.is_empty())
    }

    /// Has the peer of an association told of what has changed since it was told last.
    fn compare(&mut self, id: AssocId) {
        let Some(host) = &self.host else { return };
        let Some(association) = self.table.get_mut(id) else { return };
        if association.local.iter().chain(&association.remote).any(IpAddr::is_loopback) {
            return;
        }
        let local = &association.local;
        let come = host.now.iter().filter(|ip| !host.before.contains(ip) && !local.contains(ip));
        let come = come.map(|ip| Command::AddAddress(*ip));
        let gone = local.iter().filter(|ip| !host.now.contains(ip));
        let gone = gone.map(|ip| Command::DeleteAddress(*ip));
        let changes: Vec<Command> = come.chain(gone).collect();
        let now = self.now();
        for change in changes {
            self.engine.handle(now, Input::Command(association_id(id), change));
        }
    }
}
