//! URLs of endpoints: `sctp://10.0.0.1,10.0.1.1:3863?encap=9899`, `tcp://host:3863`,
//! `tls://host:3864`.
//!
//! ```text
//! URL    = SCHEME "://" HOST *("," HOST) [":" PORT] ["?encap=" PORT]
//! SCHEME = "sctp" | "sctp+kernel" | "sctp+udp" | "tcp" | "tls"
//! HOST   = IPv4 | "[" IPv6 [ "%" ZONE ] "]" | name
//! ```
//!
//! ZONE is the interface of a link-local address, by name or number: `[fe80::1%eth0]` (RFC 4007 §11).
//!
//! Several hosts are the addresses of one multihomed SCTP endpoint. `encap` is the UDP port of the
//! SCTP encapsulation (RFC 6951), where it is not the SCTP port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use rserpool_wire::registry;

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
    /// `tls://`: TLS over TCP. It needs keys: [`Options::tls`](crate::Options::tls).
    Tls,
    /// Datagrams, for services only: no URL that is read has it, since no registrar is reached so.
    Udp,
}

/// A host in an [`Address`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A link-local IPv6 address, and the name or number of the interface where it is.
    Zoned(Ipv6Addr, String),
    /// A name of letters, digits, `-`, `_` and `.`, resolved each time it is dialed.
    Name(String),
}

/// A text that is not the URL of an endpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{text}` is not an endpoint URL: {why} (write sctp://10.0.0.1:3863, tcp://host:3863 or tls://host:3864)"
)]
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

    /// Reads a URL; where it has no port, `default_port` is meant, and for TLS the port that ASAP or
    /// ENRP has for it (RFC 5352 §8, RFC 5353 §5).
    ///
    /// # Errors
    ///
    /// [`ParseError`] with the first thing that is wrong.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, ParseError> {
        parse(text, default_port)
            .map_err(|why| ParseError { text: text.escape_debug().to_string(), why })
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

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sctp => "sctp",
            Self::KernelSctp => "sctp+kernel",
            Self::UserlandSctp => "sctp+udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Zoned(ip, zone) => write!(f, "[{ip}%{zone}]"),
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
        "tls" => Scheme::Tls,
        _ => return Err("the scheme is none of sctp, sctp+kernel, sctp+udp, tcp and tls"),
    };
    let default_port = match (scheme, default_port) {
        (Scheme::Tls, Address::ASAP_PORT) => registry::ASAP_TLS_PORT,
        (Scheme::Tls, Address::ENRP_PORT) => registry::ENRP_TLS_PORT,
        (_, port) => port,
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
    let is_stream = matches!(scheme, Scheme::Tcp | Scheme::Tls);
    if is_stream && hosts.len() > 1 {
        return Err("several hosts need SCTP");
    }
    if is_stream && encapsulation.is_some() {
        return Err("only SCTP has an encapsulation port");
    }
    let zones: Vec<&String> = hosts.iter().filter_map(zone_of).collect();
    if zones.windows(2).any(|two| two[0] != two[1]) {
        return Err("all link-local hosts have to be in one zone");
    }
    if hosts.iter().enumerate().any(|(index, host)| hosts[..index].contains(host)) {
        return Err("a host is named twice");
    }
    Ok(Address { scheme, hosts, port, encapsulation })
}

pub(crate) fn zone_of(host: &Host) -> Option<&String> {
    match host {
        Host::Zoned(_, zone) => Some(zone),
        Host::Ip(_) | Host::Name(_) => None,
    }
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
        if let Some((ip, zone)) = ip.split_once('%') {
            return zoned(ip, zone);
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

fn zoned(ip: &str, zone: &str) -> Result<Host, &'static str> {
    let ip: Ipv6Addr = ip.parse().map_err(|_| "that is not an IPv6 address in the brackets")?;
    if !ip.is_unicast_link_local() {
        return Err("only a link-local address (fe80::/10) has a zone");
    }
    let is_name = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.@".contains(&octet);
    if zone.is_empty() || !zone.bytes().all(is_name) {
        return Err("the zone is not the name or the number of an interface");
    }
    Ok(Host::Zoned(ip, zone.to_owned()))
}

/// A socket address; `zone` is the interface of a link-local one.
pub(crate) fn socket_address(ip: IpAddr, port: u16, zone: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, zone).into(),
        _ => SocketAddr::new(ip, port),
    }
}

#[cfg(test)]
mod tests;
