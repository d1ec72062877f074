//! `rserpool serve`: an example service as an element of a pool.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rserpool::element::State;
use rserpool::transport::{
    Address, AssocId, Endpoints, Event, Framing, Local, ParseError, Ppid, Scheme, SendError,
};
use rserpool::wire::param::{
    Load, PeId, Policy, PoolHandle, SctpTransport, Transport, TransportUse,
};
use rserpool::{PoolElement, element};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::command::resolve::pool_handle;
use crate::failure::no_registrar;
use crate::output::{Format, Output};
use crate::registrars::RegistrarArgs;
use crate::runtime;
use crate::service::{Reaction, Service, chargen};

/// Runs an example service as an element of a pool until SIGTERM or SIGINT. Prints where it serves
/// once it is in the pool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service.
    service: Service,

    /// The pool to join. By default EchoPool, DiscardPool, DaytimePool or CharGenPool.
    #[arg(long, value_name = "HANDLE", value_parser = pool_handle)]
    pool: Option<PoolHandle>,

    /// How the pool picks, and what this element gives it, such as least-used, priority:3,
    /// weighted-random:10, least-used-degradation:0.1.
    #[arg(long, default_value = "round-robin")]
    policy: Policy,

    /// What users speak with it over.
    #[arg(long, value_enum, default_value_t = Carrier::Sctp)]
    transport: Carrier,

    /// Where to listen. Port 0 asks the system for one.
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "0.0.0.0:0", value_parser = place)]
    listen: Address,

    /// An address to register instead of those that it listens at: behind NAT or in a container.
    /// The registrar has to allow it. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    advertise: Vec<IpAddr>,

    /// Its identifier, such as 0x11. Drawn at random by default.
    #[arg(long, value_name = "NUMBER", value_parser = element_id)]
    id: Option<PeId>,

    /// Sessions at once; its load is how many of them there are.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    sessions_max: u32,

    /// How long to wait for a registrar at the start.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    wait: Duration,

    /// End with standard input: for programs that start it.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,

    #[command(flatten)]
    registrars: RegistrarArgs,
}

/// What users speak with a service over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Carrier {
    /// SCTP: the kernel's where it has it, and in userland.
    Sctp,
    /// TCP.
    Tcp,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        self.registrars.bear(&self.pool()?)?;
        runtime::block_on(self.serve(output))
    }

    async fn serve(self, output: &mut Output) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
        let end_of_stdin = runtime::end_of_stdin(self.exit_with_stdin);
        tokio::pin!(end_of_stdin);
        let mut server = Server::open(&self)?;
        let mut state = server.element.watch();
        let patience = sleep(self.wait);
        tokio::pin!(patience);
        let mut was_registered = false;
        let mut ticks = tokio::time::interval(CHARGEN_INTERVAL);
        loop {
            tokio::select! {
                event = server.endpoints.next() => server.on_event(event),
                _ = ticks.tick(), if self.service == Service::Chargen => server.talk(),
                changed = state.changed() => {
                    changed.map_err(|_| anyhow!("the element has ended"))?;
                    match &*state.borrow_and_update() {
                        State::Registered { .. } if !was_registered => {
                            was_registered = true;
                            server.print(&self, output)?;
                        }
                        State::Rejected(causes) => {
                            return Err(rserpool::Error::Rejected(causes.clone()).into());
                        }
                        _ => {}
                    }
                }
                () = &mut patience, if !was_registered => {
                    let error = rserpool::Error::NoRegistrar;
                    return Err(no_registrar(error, &self.registrars.describe()));
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = &mut end_of_stdin => break,
            }
        }
        // Users see a registrar's answer without it before they see its end.
        let farewell = timeout(FAREWELL_MAX, server.element.deregister()).await;
        server.element.stop().await;
        match farewell {
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    fn pool(&self) -> anyhow::Result<PoolHandle> {
        let default = || self.service.default_pool();
        self.pool.clone().or_else(default).context("no pool handle")
    }

    fn url(&self) -> Address {
        self.listen.with_scheme(match self.transport {
            Carrier::Sctp => Scheme::Sctp,
            Carrier::Tcp => Scheme::Tcp,
        })
    }

    /// What is registered: where the server listens, or what the operator says.
    fn user_transport(&self, local: &Local) -> Transport {
        let addresses = if self.advertise.is_empty() { &local.addresses } else { &self.advertise };
        let port = local.port;
        match self.transport {
            Carrier::Sctp => {
                let transport_use = self.registrars.dialect.sctp_transport_use();
                let addresses = addresses.as_slice().into();
                Transport::Sctp(SctpTransport { port, transport_use, addresses })
            }
            Carrier::Tcp => {
                let address = addresses.first().copied();
                let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let transport_use = TransportUse::DataOnly;
                Transport::Tcp { port, transport_use, address }
            }
        }
    }
}

/// How often a service that talks by itself gets a turn.
const CHARGEN_INTERVAL: Duration = Duration::from_millis(20);
/// How long the farewell to the registrar may take.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// A service, its sessions, and its membership in a pool.
struct Server {
    service: Service,
    endpoints: Endpoints,
    url: Address,
    element: PoolElement,
    sessions_max: u32,
    /// For each session the number of lines that it got.
    sessions: BTreeMap<AssocId, u64>,
}

impl Server {
    fn open(args: &Args) -> anyhow::Result<Self> {
        let timing = args.registrars.timing();
        let mut endpoints = Endpoints::new(rserpool::transport_options(&timing));
        let local = endpoints.listen(&args.url(), Framing::Stream)?;
        let transport = args.user_transport(&local);
        let registrars = args.registrars.urls();
        let mut config = element::Config::new(registrars, args.pool()?, transport);
        config.listen = args.registrars.listen();
        config.element.id = args.id;
        config.element.policy = args.policy.clone();
        config.element.timing = timing;
        config.element.dialect = args.registrars.dialect;
        Ok(Self {
            service: args.service,
            endpoints,
            url: local.url,
            element: PoolElement::start(config)?,
            sessions_max: args.sessions_max,
            sessions: BTreeMap::new(),
        })
    }

    fn print(&self, args: &Args, output: &mut Output) -> anyhow::Result<()> {
        let (service, pool) = (self.service.label(), args.pool()?.to_string());
        let (id, url) = (self.element.id().to_string(), self.url.to_string());
        if output.format() == Format::Json {
            let serving = json!({ "service": service, "pool": pool, "id": id, "urls": [url] });
            return Ok(output.json(&serving)?);
        }
        Ok(output.line(format_args!("{service} {id} in {pool} at {url}"))?)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Up { assoc, .. } => {
                if self.sessions.len() >= self.sessions_max as usize {
                    self.endpoints.abort(assoc);
                    return;
                }
                self.sessions.insert(assoc, 0);
                self.tell_load();
                let reaction = self.service.begin();
                self.react(assoc, &reaction);
            }
            Event::Message { assoc, octets, ppid } if ppid != Ppid::ASAP => {
                let reaction = self.service.receive(octets);
                self.react(assoc, &reaction);
            }
            Event::Down { assoc, .. } => self.forget(assoc),
            // The control channel, for sessions that have one; addresses and paths.
            Event::Message { .. } | Event::Addresses { .. } | Event::Path { .. } => {}
        }
    }

    fn react(&mut self, assoc: AssocId, reaction: &Reaction) {
        if !reaction.octets.is_empty()
            && self.endpoints.send(assoc, Ppid::default(), &reaction.octets) == Err(SendError::Full)
        {
            // Who does not take its answers gets no more.
            self.endpoints.abort(assoc);
            self.forget(assoc);
        } else if reaction.done {
            self.endpoints.close(assoc);
        }
    }

    /// Gives each session its next lines; one that takes them too slowly waits.
    fn talk(&mut self) {
        for (&assoc, sent) in &mut self.sessions {
            if let Some(lines) = self.service.lines(*sent)
                && self.endpoints.send(assoc, Ppid::default(), &lines).is_ok()
            {
                *sent += chargen::LINES;
            }
        }
    }

    fn forget(&mut self, assoc: AssocId) {
        if self.sessions.remove(&assoc).is_some() {
            self.tell_load();
        }
    }

    fn tell_load(&self) {
        let sessions = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        let share = f64::from(sessions) / f64::from(self.sessions_max);
        self.element.set_load(Load::from_fraction(share));
    }
}

/// Where to listen as an argument: the scheme comes from another one.
fn place(text: &str) -> Result<Address, ParseError> {
    Address::parse(&format!("sctp://{text}"), 0)
}

/// An element's identifier as an argument.
fn element_id(text: &str) -> Result<PeId, String> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let number = number.ok().filter(|&number| number != 0);
    number.map(PeId).ok_or_else(|| "an element's identifier is 1 to 0xffffffff".into())
}
