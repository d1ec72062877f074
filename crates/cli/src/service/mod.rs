//! The example services: what each does with a session.

mod chargen;
mod daytime;
mod discard;
mod echo;

use rserpool::server::{Config, Server};
use rserpool::wire::param::PoolHandle;

/// A service that `rserpool serve` runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Sends back what it gets (RFC 862).
    Echo,
    /// Throws away what it gets (RFC 863).
    Discard,
    /// Tells the time and hangs up (RFC 867).
    Daytime,
    /// Sends lines of characters as long as someone takes them (RFC 864).
    Chargen,
}

impl Kind {
    /// The name.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Daytime => "daytime",
            Self::Chargen => "chargen",
        }
    }

    /// The pool that this service is in unless another one is named; as at rsplib.
    pub(crate) fn default_pool(self) -> Option<PoolHandle> {
        let name: &[u8] = match self {
            Self::Echo => b"EchoPool",
            Self::Discard => b"DiscardPool",
            Self::Daytime => b"DaytimePool",
            Self::Chargen => b"CharGenPool",
        };
        PoolHandle::new(name)
    }

    /// True for a service whose users are anything that speaks TCP: it has no control channel
    /// there, since that takes our framing.
    pub(crate) fn is_plain_over_tcp(self) -> bool {
        match self {
            Self::Echo | Self::Discard | Self::Daytime | Self::Chargen => true,
        }
    }

    /// Starts it.
    pub(crate) fn start(self, config: Config) -> Result<Server, rserpool::Error> {
        match self {
            Self::Echo => Server::start(config, echo::Echo),
            Self::Discard => Server::start(config, discard::Discard),
            Self::Daytime => Server::start(config, daytime::Daytime),
            Self::Chargen => Server::start(config, chargen::Chargen),
        }
    }
}
