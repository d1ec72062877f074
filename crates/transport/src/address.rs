//! URLs of endpoints: `sctp://10.0.0.1,10.0.1.1:3863?encap=9899`, `tcp://host:3863`.
//!
//! ```text
//! URL    = SCHEME "://" HOST *("," HOST) [":" PORT] ["?encap=" PORT]
//! SCHEME = "sctp" | "sctp+kernel" | "sctp+udp" | "tcp"
//! HOST   = IPv4 | "[" IPv6 "]" | name
//! ```
//!
//! Several hosts are the addresses of one multihomed SCTP endpoint. `encap` is the UDP port of the
//! SCTP encapsulation (RFC 6951), where it is not the SCTP port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use rserpool_wire::registry;

use crate::endpoint::{Error, Remote};

/// The URL of an endpoint: to listen on, or to dial.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    /// Which transport.
    pub scheme: Scheme,
    /// Names or IP addresses; at least one, several for multihomed SCTP only.
    pub hosts: Vec<Host>,
    /// SCTP or TCP port; 0 asks the system for one, when listening.
    pub port: u16,
    /// UDP port of the encapsulation (RFC 6951), where it is not the SCTP port. SCTP only, never 0.
    pub encapsulation: Option<u16>,
}

/// The transport of an [`Address`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Scheme {
    /// `sctp://`: the kernel's where it has it, and userland over UDP at the same port.
    Sctp,
    /// `sctp+kernel://`: the kernel's only.
    KernelSctp,
    /// `sctp+udp://`: userland over UDP only.
    UserlandSctp,
    /// `tcp://`.
    Tcp,
    /// Datagrams, for services only: no URL that is read has it, since no registrar is reached so.
    Udp,
}

/// A host in an [`Address`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A name of letters, digits, `-`, `_` and `.`, resolved each time it is dialed.
    Name(String),
}

/// A text that is not the URL of an endpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not an endpoint URL: {why} (write sctp://10.0.0.1:3863 or tcp://host:3863)")]
pub struct ParseError {
    /// The text; control characters are escaped, so that the message stays on one line.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Address {
    /// The port of ASAP over SCTP and TCP (RFC 5352 §8), where a URL names none.
    pub const ASAP_PORT: u16 = registry::ASAP_PORT;
    /// The port of ENRP over SCTP (RFC 5353 §5).
    pub const ENRP_PORT: u16 = registry::ENRP_PORT;

    /// Reads a URL; where it has no port, `default_port` is meant.
    ///
    /// # Errors
    ///
    /// [`ParseError`] with the first thing that is wrong.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, ParseError> {
        parse(text, default_port)
            .map_err(|why| ParseError { text: text.escape_debug().to_string(), why })
    }

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
        for host in &self.hosts {
            match host {
                Host::Ip(ip) => addresses.push(*ip),
                Host::Name(name) => {
                    let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
                    addresses.extend(found.map_err(|e| unresolved(name, e))?.map(|a| a.ip()));
                }
            }
        }
        Ok(Remote {
            scheme: self.scheme,
            addresses: first_seen(addresses)?,
            port: self.port,
            encapsulation: self.encapsulation,
        })
    }

    /// What to dial, where there is no name to look up; else `None`.
    #[must_use]
    pub fn literal(&self) -> Option<Remote> {
        let ip = |host: &Host| match host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        };
        Some(Remote {
            scheme: self.scheme,
            addresses: self.hosts.iter().map(ip).collect::<Option<_>>()?,
            port: self.port,
            encapsulation: self.encapsulation,
        })
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
                Host::Name(name) => {
                    let found = (name.as_str(), self.port).to_socket_addrs();
                    addresses.extend(found.map_err(|e| unresolved(name, e))?.map(|a| a.ip()));
                }
            }
        }
        first_seen(addresses)
    }

    /// The same URL with another port: the real one, once 0 was bound.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { port, ..self.clone() }
    }

    /// The same URL over another transport.
    #[must_use]
    pub fn with_scheme(&self, scheme: Scheme) -> Self {
        Self { scheme, ..self.clone() }
    }
}

impl From<(Scheme, SocketAddr)> for Address {
    fn from((scheme, socket): (Scheme, SocketAddr)) -> Self {
        let hosts = vec![Host::Ip(socket.ip())];
        Self { scheme, hosts, port: socket.port(), encapsulation: None }
    }
}

/// Reads a URL with the port of ASAP as its default; see [`Address::parse`].
impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text, Self::ASAP_PORT)
    }
}

/// Writes the URL with its port, always; reading it back gives the same address.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        for (index, host) in self.hosts.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{host}")?;
        }
        write!(f, ":{}", self.port)?;
        match self.encapsulation {
            Some(port) => write!(f, "?encap={port}"),
            None => Ok(()),
        }
    }
}

/// Writes what to dial as a URL.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.addresses.iter().copied().map(Host::Ip).collect();
        let Self { scheme, port, encapsulation, .. } = *self;
        Address { scheme, hosts, port, encapsulation }.fmt(f)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sctp => "sctp",
            Self::KernelSctp => "sctp+kernel",
            Self::UserlandSctp => "sctp+udp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn parse(text: &str, default_port: u16) -> Result<Address, &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("there is no scheme");
    };
    let scheme = match scheme {
        "sctp" => Scheme::Sctp,
        "sctp+kernel" => Scheme::KernelSctp,
        "sctp+udp" => Scheme::UserlandSctp,
        "tcp" => Scheme::Tcp,
        "tls" => return Err("TLS is not supported yet, use tcp:// in a trusted network"),
        _ => return Err("the scheme is none of sctp, sctp+kernel, sctp+udp and tcp"),
    };
    let (authority, query) = match rest.split_once('?') {
        Some((authority, query)) => (authority, Some(query)),
        None => (rest, None),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (hosts, port) = match split_port(authority) {
        (hosts, Some(port)) => (hosts, read_port(port)?),
        (hosts, None) => (hosts, default_port),
    };
    let hosts: Vec<Host> = hosts.split(',').map(host).collect::<Result<_, _>>()?;
    let encapsulation = query.map(encapsulation).transpose()?;
    if scheme == Scheme::Tcp && hosts.len() > 1 {
        return Err("several hosts need SCTP");
    }
    if scheme == Scheme::Tcp && encapsulation.is_some() {
        return Err("only SCTP has an encapsulation port");
    }
    if hosts.iter().enumerate().any(|(index, host)| hosts[..index].contains(host)) {
        return Err("a host is named twice");
    }
    Ok(Address { scheme, hosts, port, encapsulation })
}

/// Splits at the last colon that is not inside brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((hosts, port)) if !port.contains(']') => (hosts, Some(port)),
        _ => (authority, None),
    }
}

fn read_port(text: &str) -> Result<u16, &'static str> {
    // Otherwise `+1` would be a port.
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err("the port is not a number");
    }
    text.parse().map_err(|_| "the port is not between 0 and 65535")
}

fn encapsulation(query: &str) -> Result<u16, &'static str> {
    let Some(port) = query.strip_prefix("encap=") else {
        return Err("the only option is ?encap=PORT");
    };
    match read_port(port) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err("the encapsulation port is not between 1 and 65535"),
    }
}

fn host(text: &str) -> Result<Host, &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some(ip) = rest.strip_suffix(']') else {
            return Err("a bracket is not closed");
        };
        if ip.contains('%') {
            return Err("IPv6 zones are not supported, use an address that is not link-local");
        }
        let ip: Ipv6Addr = ip.parse().map_err(|_| "that is not an IPv6 address in the brackets")?;
        return Ok(Host::Ip(ip.into()));
    }
    if text.is_empty() {
        return Err("a host is missing, 0.0.0.0 or [::] stand for every own address");
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    if text.contains(':') {
        return Err("an IPv6 address needs brackets");
    }
    if !text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet)) {
        return Err("a host has other characters than letters, digits, `-`, `_` and `.`");
    }
    // Resolvers take 10.0.256 or 0x7f.1 for addresses; nobody means that.
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if last.is_empty() || last.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("a host is neither an IPv4 address nor a name");
    }
    Ok(Host::Name(text.to_owned()))
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

#[cfg(test)]
mod tests;
