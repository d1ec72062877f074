//! Which services there are.

use std::io;
use std::path::PathBuf;

use rserpool::server::{Config, Server};
use rserpool::wire::param::PoolHandle;

use crate::calcapp::CalcApp;
use crate::chargen::Chargen;
use crate::daytime::Daytime;
use crate::discard::Discard;
use crate::download::Download;
use crate::echo::Echo;
use crate::exec::Exec;
use crate::fractal::Fractal;
use crate::options::Options;
use crate::pingpong::PingPong;

/// An example service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
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

/// Why a service does not start. Nothing was registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// [`Kind::Exec`] without a command in [`Options::commands`].
    #[error("no command is allowed")]
    NoCommand,
    /// [`Kind::Download`] without [`Options::root`].
    #[error("no directory")]
    NoRoot,
    /// The directory of [`Kind::Download`] cannot be opened.
    #[error("cannot open {}", .path.display())]
    OpenRoot {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process that ends the commands of [`Kind::Exec`] with this one does not start.
    #[error("cannot start a guard of the commands")]
    StartGuard(#[source] io::Error),
    /// The server does not start.
    #[error(transparent)]
    Server(#[from] rserpool::StartError),
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Echo,
        Self::Discard,
        Self::Daytime,
        Self::Chargen,
        Self::Pingpong,
        Self::Calcapp,
        Self::Fractal,
        Self::Exec,
        Self::Download,
    ];

    /// The name, in lower case.
    pub const fn label(self) -> &'static str {
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

    /// What it does, for help texts.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Echo => "Sends back what it gets (RFC 862)",
            Self::Discard => "Throws away what it gets (RFC 863)",
            Self::Daytime => "Tells the time and hangs up (RFC 867)",
            Self::Chargen => "Sends lines of characters as long as someone takes them (RFC 864)",
            Self::Pingpong => "Numbers its answers; the next server goes on with the next number",
            Self::Calcapp => {
                "Takes jobs that are only numbers of calculations, and shares its capacity among them"
            }
            Self::Fractal => "Computes pictures of the Mandelbrot set",
            Self::Exec => "Runs commands that are allowed by name",
            Self::Download => "Sends files, from any offset on",
        }
    }

    /// The pool that this service is in unless another one is named; as at rsplib.
    pub fn default_pool(self) -> Option<PoolHandle> {
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

    /// Whether its users are anything that speaks TCP: it has no control channel there, since that
    /// takes our framing.
    pub const fn is_plain_over_tcp(self) -> bool {
        match self {
            Self::Echo | Self::Discard | Self::Daytime | Self::Chargen => true,
            Self::Pingpong | Self::Calcapp | Self::Fractal | Self::Exec | Self::Download => false,
        }
    }

    /// Whether its clients have nothing to say.
    pub const fn speaks_first(self) -> bool {
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

    /// Whether it makes no sense where messages get lost or overtake each other.
    pub const fn needs_order(self) -> bool {
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

    /// Starts it on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// An option that this service needs is missing or cannot be used, or the server does not start.
    pub fn start(self, config: Config, options: &Options) -> Result<Server, StartError> {
        Ok(match self {
            Self::Echo => Server::start(config, Echo),
            Self::Discard => Server::start(config, Discard),
            Self::Daytime => Server::start(config, Daytime),
            Self::Chargen => Server::start(config, Chargen),
            Self::Pingpong => Server::start(config, PingPong),
            Self::Calcapp => Server::start(config, CalcApp::with(options)),
            Self::Fractal => {
                let policy = config.policy.clone();
                Server::start(config, Fractal::new(policy))
            }
            Self::Exec => Server::start(config, Exec::with(options)?),
            Self::Download => Server::start(config, Download::with(options)?),
        }?)
    }
}
