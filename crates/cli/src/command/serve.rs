//! `rserpool serve`: an example service as an element of a pool.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use rserpool::element::State;
use rserpool::server::{Config, Cookies, Key, Server, sealed_cookies};
use rserpool::transport::{Address, ParseError, Scheme, Tls};
use rserpool::wire::param::{PeId, Policy, PoolHandle, TransportUse};
use rserpool::{Attempt, ResolveError};
use rserpool_services::{Kind, StartError};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::command::resolve::pool_handle;
use crate::exit::{Failure, no_registrar};
use crate::output::{Format, Output};
use crate::pools::with_pool;
use crate::registrars::RegistrarArgs;
use crate::runtime::{self, EndSignals};
use crate::waiting;
use rserpool_bench::process::end_of_stdin;

mod options;

use options::Options;

/// Run an example service as an element of a pool.
///
/// It prints where it serves once it is in the pool, and runs until SIGTERM or SIGINT. It then lets
/// its sessions finish (--drain); a second signal ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service to run.
    #[arg(value_parser = service())]
    service: Kind,

    /// The pool to join. By default that of the service, such as EchoPool or PingPongPool; rsplib
    /// uses the same.
    #[arg(long, value_name = "HANDLE", value_parser = pool_handle)]
    pool: Option<PoolHandle>,

    /// The pool's policy, with the parameters of this element: round-robin, least-used, priority:3,
    /// weighted-random:10, least-used-degradation:0.1 and so on.
    #[arg(long, default_value = "round-robin")]
    policy: Policy,

    /// The transport between this server and its clients. By default sctp, and with keys tls.
    #[arg(long, value_enum)]
    transport: Option<Carrier>,

    /// Where to listen. With port 0 the system chooses the port. By default [::]:0, which is all
    /// addresses of IPv6 and IPv4; 0.0.0.0:0 on a host without IPv6.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = place)]
    listen: Option<Address>,

    /// An address to register instead of those it listens at, for servers behind NAT or in a
    /// container. The registrar must allow it. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    advertise: Vec<IpAddr>,

    /// The element's identifier, such as 0x11. By default random.
    #[arg(long, value_name = "NUMBER", value_parser = element_id)]
    id: Option<PeId>,

    /// The most sessions at once. The load of the server is the part of them that is in use.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    sessions_max: u32,

    /// The most sessions at once of one IP address. By default seven eighths of all.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    sessions_per_source_max: Option<u32>,

    /// How long sessions may take to finish or to move to another server when this one ends.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    drain: Duration,

    #[command(flatten)]
    cookies: CookieArgs,

    /// How many other elements to name to each session, for its next failover.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    card: u32,

    /// How long to wait for a registrar at the start.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    wait: Duration,

    /// End with standard input: for programs that start it.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,

    #[command(flatten)]
    registrars: RegistrarArgs,

    #[command(flatten)]
    options: Options,
}

/// How the states of sessions are handed from server to server.
#[derive(Debug, clap::Args)]
struct CookieArgs {
    /// A file with the keys that the servers of the pool share, one a line, each 32 octets or more in
    /// hexadecimal digits. The first signs cookies, any of them verifies them. SIGHUP reads the file
    /// again. Without keys, users can change the state of their sessions.
    #[arg(long, value_name = "FILE")]
    cookie_keys: Option<PathBuf>,

    /// Encrypt cookies, too.
    #[arg(long, requires = "cookie_keys")]
    cookie_encrypt: bool,

    /// Accept unsigned cookies as well, while some servers of the pool have no key yet.
    #[arg(long, requires = "cookie_keys")]
    accept_unsigned: bool,

    /// How long a signed cookie is valid.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    cookie_life: Duration,
}

impl CookieArgs {
    fn cookies(&self) -> anyhow::Result<Cookies> {
        let Some(keys) = self.keys()? else { return Ok(Cookies::plain()) };
        let mut cookies = sealed_cookies(keys)?.with_life(self.cookie_life);
        if self.cookie_encrypt {
            cookies = cookies.encrypted();
        }
        if self.accept_unsigned {
            cookies = cookies.accepting_unsealed();
        }
        Ok(cookies)
    }

    fn keys(&self) -> anyhow::Result<Option<Vec<Key>>> {
        let Some(path) = &self.cookie_keys else { return Ok(None) };
        let what = || format!("the cookie keys in {}", path.display());
        let (text, mode) = read_keys(path).with_context(what)?;
        let keys = Key::parse_all(&text).with_context(what)?;
        if mode & 0o006 != 0 {
            warn!("everybody on this host can read or change {}", what());
        }
        Ok(Some(keys))
    }
}

/// What users speak with a service over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Carrier {
    /// SCTP: the kernel's where it has it, and in userland.
    Sctp,
    /// TCP; with keys TLS.
    Tcp,
    /// TLS over TCP. It needs keys.
    Tls,
    /// UDP: datagrams, without a state that outlives its server.
    Udp,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        self.registrars.bear(&self.pool()?)?;
        self.options.check(self.service)?;
        runtime::block_on(self.serve(output))
    }

    async fn serve(self, output: &mut Output) -> anyhow::Result<()> {
        let mut signals = EndSignals::new()?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot handle SIGHUP")?;
        let mut others = runtime::IgnoredSignals::new()?;
        let end_of_stdin = end_of_stdin(self.exit_with_stdin);
        tokio::pin!(end_of_stdin);
        let (server, keys) = self.start()?;
        let mut state = server.watch();
        let mut joining = server.watch();
        let mut waits = Box::pin(async {
            let joined = joining.wait_for(|state| *state != State::Joining);
            // The loop below sees what became of it.
            let _ = waiting::aloud(joined, || self.waits_for(&server)).await;
            std::future::pending::<()>().await;
        });
        let patience = sleep(self.wait);
        tokio::pin!(patience);
        let mut was_registered = false;
        loop {
            tokio::select! {
                changed = state.changed() => {
                    changed.map_err(|_| anyhow!("the element has ended"))?;
                    match &*state.borrow_and_update() {
                        State::Registered { .. } if !was_registered => {
                            was_registered = true;
                            self.print(&server, output)?;
                        }
                        rejected @ (State::Rejected(_) | State::RejectedByAll { .. }) => {
                            return Err(rejected.error().context("rejected")?.into());
                        }
                        _ => {}
                    }
                }
                () = &mut patience, if !was_registered => {
                    let error = ResolveError::NoRegistrar;
                    let attempts = server.element().attempts();
                    return Err(no_registrar(error, &self.registrars.describe_after(&attempts)));
                }
                () = &mut waits => {}
                _ = hangup.recv() => self.read_keys_again(&server, keys.as_ref()),
                name = others.next() => warn!(signal = name, "{name} is ignored"),
                () = signals.next() => break,
                () = &mut end_of_stdin => break,
            }
        }
        drop(waits);
        let stats = server.stats();
        let (begun, resumed, refused) =
            (stats.sessions_begun, stats.resumed, stats.sessions_refused);
        info!(sessions = stats.sessions, begun, resumed, refused, "leaves the pool");
        tokio::select! {
            drained = server.drain(self.drain) => Ok(drained?),
            // Who says it twice has no patience.
            () = signals.next() => Ok(()),
        }
    }

    /// The server, and its keys.
    fn start(&self) -> anyhow::Result<(Server, Option<Tls>)> {
        let config = self.config()?;
        let keys = config.tls.clone();
        let started = self.service.start(config, &self.options.of_services());
        let server = started.map_err(|error| match error {
            StartError::Server(error) => error.into(),
            error @ StartError::OpenRoot { .. } => {
                anyhow::Error::from(error).context(Failure::Configuration)
            }
            error => error.into(),
        })?;
        Ok((server, keys))
    }

    fn waits_for(&self, server: &Server) -> String {
        let attempts = server.element().attempts();
        let tried = self.registrars.describe_after(&attempts);
        match attempts.iter().any(|(_, attempt)| *attempt == Attempt::Up) {
            true => format!("a registrar that takes it in: {tried}"),
            false => format!("a registrar: {tried}"),
        }
    }

    fn config(&self) -> anyhow::Result<Config> {
        let tls = self.registrars.keys()?;
        let carrier = self.carrier(tls.is_some());
        if carrier == Carrier::Udp && self.service.needs_order() {
            let text = "this service needs a transport that loses nothing: sctp or tcp";
            return Err(anyhow!(text).context(Failure::Usage));
        }
        let mut config = Config::new(self.registrars.urls(), self.pool()?, self.url(carrier));
        config.tls = tls;
        let is_stream = matches!(carrier, Carrier::Tcp | Carrier::Tls);
        if is_stream && self.service.is_plain_over_tcp() {
            config.transport_use = TransportUse::DataOnly;
        }
        config.advertise.clone_from(&self.advertise);
        config.sessions_max = self.sessions_max as usize;
        config.sessions_per_source_max = self.sessions_per_source_max.map(|max| max as usize);
        if self.service.speaks_first() {
            config.first_message_timeout = None;
        }
        config.cookies = self.cookies.cookies().context(Failure::Configuration)?;
        config.card_items = self.card;
        Ok(config
            .listen(self.registrars.listen())
            .id(self.id)
            .policy(self.policy.clone())
            .timing(self.registrars.timing())
            .dialect(self.registrars.dialect))
    }

    fn pool(&self) -> anyhow::Result<PoolHandle> {
        let default = || self.service.default_pool();
        self.pool.clone().or_else(default).context("no pool handle")
    }

    /// What users speak with it over.
    fn carrier(&self, has_keys: bool) -> Carrier {
        match self.transport {
            Some(Carrier::Tcp) | None if has_keys => Carrier::Tls,
            None => Carrier::Sctp,
            Some(carrier) => carrier,
        }
    }

    fn url(&self, carrier: Carrier) -> Address {
        let listen = self.listen.clone().unwrap_or_else(everywhere);
        listen.with_scheme(match carrier {
            Carrier::Sctp => Scheme::Sctp,
            Carrier::Tcp => Scheme::Tcp,
            Carrier::Tls => Scheme::Tls,
            Carrier::Udp => Scheme::Udp,
        })
    }

    fn print(&self, server: &Server, output: &mut Output) -> anyhow::Result<()> {
        let (service, pool) = (self.service.label(), self.pool()?.to_string());
        let (id, url) = (server.id().to_string(), server.url().to_string());
        if output.format() == Format::Json {
            let serving = json!({ "service": service, "id": id, "urls": [url] });
            return Ok(output.json(&with_pool(&self.pool()?, serving))?);
        }
        Ok(output.line(format_args!("{service} {id} in {pool} at {url}"))?)
    }

    /// Where a file cannot be read the old keys stay.
    fn read_keys_again(&self, server: &Server, keys: Option<&Tls>) {
        match keys.map(Tls::reload) {
            Some(Ok(())) => warn!("keys read again: who is not trusted any more is gone"),
            Some(Err(error)) => warn!(%error, "the old keys stay"),
            None => {}
        }
        if keys.is_some() && self.cookies.cookie_keys.is_none() {
            return;
        }
        match self.cookies.keys() {
            Ok(Some(keys)) => {
                let count = keys.len();
                match server.set_keys(keys) {
                    // Who sends the signal wants to know, at every level.
                    Ok(()) => warn!(keys = count, "cookie keys read again"),
                    Err(error) => warn!(%error, "the old cookie keys stay"),
                }
            }
            Ok(None) => warn!("SIGHUP is ignored: there is no file with cookie keys to read again"),
            Err(error) => warn!("the old cookie keys stay: {error:#}"),
        }
    }
}

/// The text of a file with keys, and who may read it.
fn read_keys(path: &Path) -> io::Result<(String, u32)> {
    const OCTETS_MAX: u64 = 1 << 20;
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let text = io::read_to_string(file.take(OCTETS_MAX + 1))?;
    if text.len() as u64 > OCTETS_MAX {
        return Err(io::Error::other(format!("longer than {OCTETS_MAX} octets")));
    }
    Ok((text, mode))
}

/// All addresses of this host, at a port of the system's choice.
fn everywhere() -> Address {
    let has_ipv6 = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    let ip = if has_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    Address::from((Scheme::Sctp, SocketAddr::new(ip, 0)))
}

/// A service as an argument.
fn service() -> impl TypedValueParser<Value = Kind> {
    let value = |kind: &Kind| PossibleValue::new(kind.label()).help(kind.summary());
    let named = |name: String| Kind::ALL.iter().copied().find(|kind| kind.label() == name);
    PossibleValuesParser::new(Kind::ALL.iter().map(value))
        .try_map(move |name| named(name).ok_or("no such service"))
}

/// Where to listen as an argument: the scheme comes from another one.
fn place(text: &str) -> Result<Address, ParseError> {
    Address::parse(&format!("sctp://{text}"), 0)
}

/// An element's identifier as an argument.
pub(crate) fn element_id(text: &str) -> Result<PeId, String> {
    let id = text.parse().ok().filter(|&id| id != PeId(0));
    id.ok_or_else(|| "an element's identifier is 1 to 0xffffffff".into())
}
