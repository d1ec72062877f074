//! From the names in a URL to what is dialed, and to what is bound.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use rustix::net::netdevice;

use crate::address::{Address, Host, Scheme, zone_of};
use crate::endpoint::{Error, Remote};
use crate::tls::{Expected, Name};

impl Address {
    /// Resolves the names and returns what to dial.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`] where a name has no address.
    ///
    /// # Cancel safety
    ///
    /// Cancelling only stops the waiting.
    pub async fn resolve(&self) -> Result<Remote, Error> {
        let mut addresses = Vec::new();
        let mut zone = self.zone()?;
        for host in &self.hosts {
            match host {
                Host::Ip(ip) => addresses.push(*ip),
                Host::Zoned(ip, _) => addresses.push(IpAddr::V6(*ip)),
                Host::Name(name) => {
                    let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
                    for socket in found.map_err(|e| unresolved(name, e))? {
                        addresses.push(socket.ip());
                        if let (0, SocketAddr::V6(v6)) = (zone, socket) {
                            zone = v6.scope_id();
                        }
                    }
                }
            }
        }
        Ok(Remote {
            scheme: self.scheme,
            addresses: first_seen(addresses)?,
            port: self.port,
            encapsulation: self.encapsulation,
            zone,
            expected: self.expected(),
        })
    }

    /// What to dial, where there is no name to look up; else `None`.
    #[must_use]
    pub fn literal(&self) -> Option<Remote> {
        let ip = |host: &Host| match host {
            Host::Ip(ip) => Some(*ip),
            Host::Zoned(ip, _) => Some(IpAddr::V6(*ip)),
            Host::Name(_) => None,
        };
        Some(Remote {
            scheme: self.scheme,
            addresses: self.hosts.iter().map(ip).collect::<Option<_>>()?,
            port: self.port,
            encapsulation: self.encapsulation,
            // An interface that there is not is told by who resolves.
            zone: self.zone().ok()?,
            expected: self.expected(),
        })
    }

    /// Who has to be there, where TLS tells: the host that the URL names.
    pub(crate) fn expected(&self) -> Expected {
        let host = self.hosts.first().map(|host| match host {
            Host::Ip(ip) => Name::Ip(*ip),
            Host::Zoned(ip, _) => Name::Ip(IpAddr::V6(*ip)),
            Host::Name(name) => Name::Dns(name.clone()),
        });
        Expected { host: host.filter(|_| self.scheme == Scheme::Tls), ..Expected::default() }
    }

    /// The number of the interface at which link-local hosts are; 0 where there are none.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`] where there is no such interface.
    pub fn zone(&self) -> Result<u32, Error> {
        let Some(zone) = self.hosts.iter().find_map(zone_of) else { return Ok(0) };
        match zone.parse() {
            Ok(number) => Ok(number),
            Err(_) => interface_number(zone)
                .map_err(|source| Error::Resolve { host: format!("interface {zone}"), source }),
        }
    }

    /// The IP addresses to bind. Names are looked up on the spot, which may block: listening
    /// happens at the start.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`] where a name has no address.
    pub fn bind_addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let mut addresses = Vec::new();
        for host in &self.hosts {
            match host {
                Host::Ip(ip) => addresses.push(*ip),
                Host::Zoned(ip, _) => addresses.push(IpAddr::V6(*ip)),
                Host::Name(name) => {
                    let found = (name.as_str(), self.port).to_socket_addrs();
                    addresses.extend(found.map_err(|e| unresolved(name, e))?.map(|a| a.ip()));
                }
            }
        }
        first_seen(addresses)
    }
}

/// Writes what to dial as a URL.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { scheme, port, encapsulation, zone, .. } = self;
        let host = |ip: &IpAddr| match ip {
            IpAddr::V6(v6) if zone != 0 && v6.is_unicast_link_local() => {
                Host::Zoned(*v6, zone.to_string())
            }
            _ => Host::Ip(*ip),
        };
        let hosts = self.addresses.iter().map(host).collect();
        Address { scheme, hosts, port, encapsulation }.fmt(f)
    }
}

fn interface_number(name: &str) -> std::io::Result<u32> {
    let any = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
        .or_else(|_| std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    netdevice::name_to_index(&any, name).map_err(|_| {
        std::io::Error::new(std::io::ErrorKind::NotFound, "there is none of that name")
    })
}

fn unresolved(name: &str, source: std::io::Error) -> Error {
    Error::Resolve { host: name.to_owned(), source }
}

/// Drops repetitions and keeps the order: the resolver's order is its preference.
fn first_seen(mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Error> {
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    if addresses.is_empty() {
        let none = std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
        return Err(unresolved("the empty list of hosts", none));
    }
    Ok(addresses)
}
