//! `rserpool attach`: an existing server as an element of a pool.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rserpool::wire::param::{PeId, Policy, PoolHandle, SctpTransport, TransportUse};
use rserpool::{ElementConfig, Transport};
use rserpool_gateway::attach::{Attach, AttachError, Check, Config, become_server};

use crate::command::resolve::{NOT_FOUND, pool_handle};
use crate::command::serve::element_id;
use crate::exit::{ExitWith, Failure};
use crate::output::{Output, shown};
use crate::registrars::RegistrarArgs;
use crate::runtime;

/// Put an existing server into a pool.
///
/// It starts COMMAND, checks whether it is well, and registers it while it is. When the server dies
/// it is out of the pool at once; when its checks fail it is out until they are good again. SIGTERM
/// and SIGINT take it out of the pool first, then wait for its connections (--drain), then end it.
/// The exit code is the server's, and 128 + N where signal N ended it. Standard output is the
/// server's, too; -v logs what happens to its membership.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pool to join.
    #[arg(long, value_name = "HANDLE", value_parser = pool_handle)]
    pool: PoolHandle,

    /// The port at which the server listens.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    listen_port: u16,

    /// The transport between the server and its clients.
    #[arg(long, value_enum, default_value = "tcp")]
    transport: Carrier,

    /// An address of the server; may be repeated with sctp. By default those from which this host
    /// reaches the registrar. Another host's must be allowed by the registrar.
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<IpAddr>,

    /// The pool's policy, with the parameters of this element: round-robin, least-used, priority:3,
    /// weighted-random:10 and so on.
    #[arg(long, default_value = "round-robin")]
    policy: Policy,

    /// The element's identifier, such as 0x11. By default random.
    #[arg(long, value_name = "NUMBER", value_parser = element_id)]
    id: Option<PeId>,

    /// Whether the server is well: tcp (a connection is accepted), tcp:ADDRESS:PORT, http:/PATH or
    /// http:/PATH=200-399 (the status of a GET), 'exec:PROGRAM ARG...' (exit code 0), none. May be
    /// repeated; all must be good. By default tcp, and none for udp and sctp.
    #[arg(long = "check", value_name = "CHECK")]
    checks: Vec<Check>,

    /// From the start of one round of checks to that of the next.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::INTERVAL), value_parser = humantime::parse_duration)]
    interval: Duration,

    /// How long a check may take.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::TIMEOUT), value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// So many good rounds in a row and the server is in the pool.
    #[arg(long, value_name = "NUMBER", default_value_t = Config::ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    rise: u32,

    /// So many bad rounds in a row and the server is out of the pool.
    #[arg(long, value_name = "NUMBER", default_value_t = Config::ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    fall: u32,

    /// How long a weight rises from a tenth, or a load falls from 0.9, after the server has come.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    warmup: Duration,

    /// How long connections to the port may go on when the server is to end.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::DRAIN), value_parser = humantime::parse_duration)]
    drain: Duration,

    /// How long the server may take to end after SIGTERM; its process group is killed then.
    #[arg(long, value_name = "DURATION", default_value = shown(Config::STOP_TIMEOUT), value_parser = humantime::parse_duration)]
    stop_timeout: Duration,

    /// What becomes of the server when this process is killed.
    #[arg(long, value_enum, default_value = "kill")]
    orphan: Orphan,

    /// The process that is the server, where it already runs: a number, or a file with one. It is not
    /// ended with this one.
    #[arg(long, value_name = "NUMBER|FILE", conflicts_with = "command")]
    pid: Option<String>,

    #[command(flatten)]
    registrars: RegistrarArgs,

    /// The server, with its arguments. Without it and --pid, checks alone tell how the server is.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What users speak with the server over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Carrier {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// What becomes of the server when this process is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Orphan {
    /// It is killed.
    Kill,
    /// It goes on, out of the pool.
    Keep,
}

const EXAMPLES: &str = "\
Examples:
  rserpool attach --pool web --listen-port 8080 --check http:/ -- python3 -m http.server 8080
  rserpool attach --pool cache --listen-port 6379 --pid /run/redis/redis-server.pid";

impl Args {
    pub(crate) fn run(self, _: &mut Output) -> anyhow::Result<()> {
        self.registrars.bear(&self.pool)?;
        let config = self.config()?;
        let code = runtime::block_on(async {
            let attached = Attach::start(config, |_| {}).map_err(failure)?;
            attached.run().await.map_err(failure)
        })?;
        match code {
            0 => Ok(()),
            code => Err(ExitWith(code).into()),
        }
    }

    fn config(&self) -> anyhow::Result<Config> {
        let registrars = &self.registrars;
        let element = ElementConfig::new(registrars.urls(), self.pool.clone(), self.at()?)
            .listen(registrars.listen())
            .timing(registrars.timing())
            .dialect(registrars.dialect)
            .policy(self.policy.clone())
            .id(self.id)
            .tls(registrars.keys()?);
        let mut config = Config::new(element);
        config.command.clone_from(&self.command);
        if self.orphan == Orphan::Kill && !self.command.is_empty() {
            config.launcher = launcher()?;
        }
        config.pid = self.pid.as_deref().map(pid).transpose()?;
        config.checks.clone_from(&self.checks);
        (config.interval, config.timeout) = (self.interval, self.timeout);
        (config.rise, config.fall) = (self.rise, self.fall);
        (config.warmup, config.drain) = (self.warmup, self.drain);
        config.stop_timeout = self.stop_timeout;
        Ok(config)
    }

    /// Where the server is.
    fn at(&self) -> anyhow::Result<Transport> {
        let port = self.listen_port;
        let mut addresses = self.address.clone();
        if addresses.is_empty() {
            addresses.push(everywhere());
        }
        let one = match (&*addresses, self.transport) {
            ([one], _) => SocketAddr::new(*one, port),
            (_, Carrier::Sctp) => {
                let (transport_use, addresses) = (TransportUse::DataOnly, addresses.into());
                return Ok(Transport::Sctp(SctpTransport { port, transport_use, addresses }));
            }
            _ => return Err(anyhow!("tcp and udp have one --address").context(Failure::Usage)),
        };
        Ok(match self.transport {
            Carrier::Tcp => Transport::tcp(one),
            Carrier::Udp => Transport::udp(one),
            Carrier::Sctp => Transport::Sctp(SctpTransport {
                port,
                transport_use: TransportUse::DataOnly,
                addresses: one.ip().into(),
            }),
        })
    }
}

/// What went wrong, as the exit code is decided by.
fn failure(error: AttachError) -> anyhow::Error {
    match error {
        AttachError::Start(error) => error.into(),
        AttachError::Rejected(error) => error.into(),
        error @ AttachError::Checking => error.into(),
        error => anyhow::Error::from(error).context(Failure::Configuration),
    }
}

/// All addresses of this host.
fn everywhere() -> IpAddr {
    let has_ipv6 = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    if has_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// The number of a process, or a file that has it.
fn pid(text: &str) -> anyhow::Result<u32> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let content = std::fs::read_to_string(text)
        .with_context(|| format!("--pid {text}"))
        .context(Failure::Configuration)?;
    let number = content.split_whitespace().next().and_then(|word| word.parse().ok());
    number.ok_or_else(|| anyhow!("--pid {text}: no number in it").context(Failure::Configuration))
}

/// This program, which becomes the server: so that it does not outlive this one.
fn launcher() -> anyhow::Result<Vec<OsString>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let parent = std::process::id().to_string();
    Ok(vec![program.into(), "attach-server".into(), parent.into(), "--".into()])
}

/// What the process of a server is before it becomes the server.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    parent: u32,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl ServerArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Err(error) = become_server(self.parent, &self.command);
        let program = self.command.first().map(|it| it.display().to_string()).unwrap_or_default();
        Err(anyhow!("cannot start {program}: {error}").context(ExitWith(NOT_FOUND)))
    }
}
