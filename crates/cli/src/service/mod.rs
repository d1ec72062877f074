//! The example services: what each does with a session.

pub(crate) mod chargen;

use std::time::SystemTime;

use rserpool::wire::param::PoolHandle;

/// A service that `rserpool serve` runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Service {
    /// Sends back what it gets (RFC 862).
    Echo,
    /// Throws away what it gets (RFC 863).
    Discard,
    /// Tells the time and hangs up (RFC 867).
    Daytime,
    /// Sends lines of characters as long as someone takes them (RFC 864).
    Chargen,
}

/// What a service wants done.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    /// To be sent.
    pub(crate) octets: Vec<u8>,
    /// The session is over after that.
    pub(crate) done: bool,
}

impl Service {
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

    /// A session begins.
    pub(crate) fn begin(self) -> Reaction {
        match self {
            Self::Daytime => {
                let now = humantime::format_rfc3339_seconds(SystemTime::now());
                Reaction { octets: format!("{now}\r\n").into_bytes(), done: true }
            }
            Self::Echo | Self::Discard | Self::Chargen => Reaction::default(),
        }
    }

    /// Something arrived.
    pub(crate) fn receive(self, octets: Vec<u8>) -> Reaction {
        match self {
            Self::Echo => Reaction { octets, done: false },
            Self::Discard | Self::Daytime | Self::Chargen => Reaction::default(),
        }
    }

    /// The next lines, where the service talks by itself; `sent` is how many it has sent.
    pub(crate) fn lines(self, sent: u64) -> Option<Vec<u8>> {
        (self == Self::Chargen).then(|| chargen::lines(sent))
    }
}
