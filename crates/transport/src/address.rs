//! URLs of endpoints: `sctp://10.0.0.1,10.0.1.1:3863?encap=9899`, `tcp://host:3863`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

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
    /// UDP port of the encapsulation (RFC 6951), where it is not the SCTP port.
    pub encapsulation: Option<u16>,
}

/// The transport of an [`Address`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
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
}

/// A host in an [`Address`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A name, resolved each time it is dialed.
    Name(String),
}

/// A text that is not the URL of an endpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not an endpoint URL: {why} (write sctp://10.0.0.1:3863 or tcp://host:3863)")]
pub struct ParseError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Address {
    /// Resolves the names and returns what to dial.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`] where a name has no address.
    pub async fn resolve(&self) -> Result<Remote, Error> {
        todo!()
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(_text: &str) -> Result<Self, ParseError> {
        todo!()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
