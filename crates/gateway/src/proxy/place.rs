//! Where clients come.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where clients come.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Place {
    /// `tcp://ADDRESS:PORT`.
    Tcp(SocketAddr),
    /// `udp://ADDRESS:PORT`.
    Udp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// What is no place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not such as tcp://127.0.0.1:8080, udp://127.0.0.1:5060 or unix:/run/web.sock")]
pub struct PlaceParseError(String);

impl FromStr for Place {
    type Err = PlaceParseError;

    fn from_str(text: &str) -> Result<Self, PlaceParseError> {
        let wrong = || PlaceParseError(text.to_owned());
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() && !path.starts_with("//") => {
                Ok(Self::Unix(path.into()))
            }
            Some((scheme @ ("tcp" | "udp"), rest)) => {
                let at = rest.strip_prefix("//").and_then(|at| at.parse().ok());
                let at = at.ok_or_else(wrong)?;
                Ok(if scheme == "tcp" { Self::Tcp(at) } else { Self::Udp(at) })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => write!(f, "tcp://{at}"),
            Self::Udp(at) => write!(f, "udp://{at}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_shown() {
        for text in ["tcp://127.0.0.1:80", "udp://[::1]:53", "unix:/run/a b.sock", "unix:x"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in
            ["", "tcp:127.0.0.1:80", "tcp://host:80", "unix:", "unix://x", "ftp://1.1.1.1:1"]
        {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
