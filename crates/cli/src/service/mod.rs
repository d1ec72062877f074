//! The example services: what each does with a session.

pub(crate) mod calcapp;
mod chargen;
mod daytime;
mod discard;
pub(crate) mod download;
mod echo;
pub(crate) mod exec;
pub(crate) mod fractal;
mod options;
pub(crate) mod packet;
pub(crate) mod pingpong;

pub(crate) use options::Options;

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
    /// Numbers its answers; the next server goes on with the next number.
    Pingpong,
    /// Takes jobs that are only numbers of calculations, and shares its capacity among them.
    Calcapp,
    /// Computes pictures of the Mandelbrot set.
    Fractal,
    /// Runs commands that are allowed by name.
    Exec,
    /// Sends files, from any offset on.
    Download,
}

impl Kind {
    /// The name.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Daytime => "daytime",
            Self::Chargen => "chargen",
            Self::Pingpong => "pingpong",
            Self::Calcapp => "calcapp",
            Self::Fractal => "fractal",
            Self::Exec => "exec",
            Self::Download => "download",
        }
    }

    /// The pool that this service is in unless another one is named; as at rsplib.
    pub(crate) fn default_pool(self) -> Option<PoolHandle> {
        let name: &[u8] = match self {
            Self::Echo => b"EchoPool",
            Self::Discard => b"DiscardPool",
            Self::Daytime => b"DaytimePool",
            Self::Chargen => b"CharGenPool",
            Self::Pingpong => b"PingPongPool",
            Self::Calcapp => b"CalcAppPool",
            Self::Fractal => b"FractalGeneratorPool",
            Self::Exec => b"ExecPool",
            Self::Download => b"DownloadPool",
        };
        PoolHandle::new(name)
    }

    /// True for a service whose users are anything that speaks TCP: it has no control channel
    /// there, since that takes our framing.
    pub(crate) fn is_plain_over_tcp(self) -> bool {
        match self {
            Self::Echo | Self::Discard | Self::Daytime | Self::Chargen => true,
            Self::Pingpong | Self::Calcapp | Self::Fractal | Self::Exec | Self::Download => false,
        }
    }

    /// True for a service whose clients have nothing to say.
    pub(crate) fn speaks_first(self) -> bool {
        match self {
            Self::Daytime | Self::Chargen => true,
            Self::Echo
            | Self::Discard
            | Self::Pingpong
            | Self::Calcapp
            | Self::Fractal
            | Self::Exec
            | Self::Download => false,
        }
    }

    /// True for a service that makes no sense where messages get lost or overtake each other.
    pub(crate) fn needs_order(self) -> bool {
        match self {
            Self::Fractal | Self::Exec | Self::Download => true,
            Self::Echo
            | Self::Discard
            | Self::Daytime
            | Self::Chargen
            | Self::Pingpong
            | Self::Calcapp => false,
        }
    }

    /// Starts it.
    pub(crate) fn start(self, config: Config, options: &Options) -> anyhow::Result<Server> {
        Ok(match self {
            Self::Echo => Server::start(config, echo::Echo),
            Self::Discard => Server::start(config, discard::Discard),
            Self::Daytime => Server::start(config, daytime::Daytime),
            Self::Chargen => Server::start(config, chargen::Chargen),
            Self::Pingpong => Server::start(config, pingpong::PingPong),
            Self::Calcapp => Server::start(config, options.calcapp()),
            Self::Fractal => {
                let policy = config.element.element.policy.clone();
                Server::start(config, fractal::Fractal::new(policy))
            }
            Self::Exec => Server::start(config, options.exec()?),
            Self::Download => Server::start(config, options.download()?),
        }?)
    }
}
