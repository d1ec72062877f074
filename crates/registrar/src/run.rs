//! The life of a registrar, from its configuration to a signal.

use anyhow::Context as _;
use rserpool::Registrar;
use rserpool::transport::{Address, Scheme};
use rserpool::wire::param::RegistrarId;
use rserpool_web::listen::Endpoint;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::Config;
use crate::admin::orders::{Order, WAITING_MAX};
use crate::admin::{Admin, Setup};
use crate::listen::open_to_others;
use crate::reload::{Reload, Source};

/// What a registrar is, once it serves.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its identifier.
    pub id: RegistrarId,
    /// Where elements and users reach it, with the real ports.
    pub asap: Vec<Address>,
    /// Where other registrars reach it, with the real ports.
    pub enrp: Vec<Address>,
    /// Where operators reach it, with the real ports.
    pub admin: Vec<Endpoint>,
}

/// Runs a registrar until SIGINT or SIGTERM, or until `end` is done. `ready` is told when it
/// serves. At SIGHUP it reads its configuration again from `source`.
///
/// # Errors
///
/// A configuration that makes no sense, an endpoint that cannot be opened, or what `ready` says.
pub async fn run(
    config: &Config,
    source: Source,
    ready: impl FnOnce(Ready) -> anyhow::Result<()>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let others = Others::new()?;
    let library = config.to_library()?;
    let keys = library.tls.clone();
    let has_peers = !library.peers.is_empty();
    let registrar = Registrar::start(library)?;
    tell_who_can_reach_it(config);
    let (sender, mut orders) = mpsc::channel(WAITING_MAX);
    let setup = Setup {
        orders: sender.clone(),
        config: &config.admin,
        profile: config.profile.label(),
        dialect: config.dialect.label(),
        has_peers,
    };
    let admin = Admin::start(&registrar, setup).await?;
    let why = {
        let admin = admin.as_ref();
        let reload = Reload { registrar: &registrar, started: config, keys, source, admin };
        let end = async {
            tokio::select! {
                () = end => "end of input",
                why = others.answer(&reload, &mut orders) => why,
            }
        };
        tokio::pin!(end);
        tokio::select! {
            serving = registrar.serving() => {
                serving?;
                let (asap, enrp) = (registrar.urls().to_vec(), registrar.enrp_urls().to_vec());
                let admin = admin.iter().flat_map(|admin| admin.endpoints().to_vec()).collect();
                ready(Ready { id: registrar.id(), asap, enrp, admin })?;
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                    why = &mut end => why,
                }
            }
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            why = &mut end => why,
        }
    };
    info!(why, "stopping");
    drop(sender);
    registrar.stop().await;
    // Whoever watches is told of the end first.
    drop(admin);
    Ok(())
}

/// Signals that would end a registrar without handing anything over, if nobody took them.
struct Others {
    hangup: Signal,
    user: [Signal; 2],
}

impl Others {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup()).context("cannot handle SIGHUP")?,
            user: [
                signal(SignalKind::user_defined1()).context("cannot handle SIGUSR1")?,
                signal(SignalKind::user_defined2()).context("cannot handle SIGUSR2")?,
            ],
        })
    }

    /// Answers them, and what operators want, until one of these wants it to leave; why it does.
    async fn answer(self, reload: &Reload<'_>, orders: &mut mpsc::Receiver<Order>) -> &'static str {
        let Self { mut hangup, user: [mut user1, mut user2] } = self;
        loop {
            let name = tokio::select! {
                // There is a sender as long as this runs.
                Some(order) = orders.recv() => match order {
                    Order::Leave => return "an operator wants it",
                    Order::Reload(answer) => {
                        let done = reload.run().await.map_err(|error| error.to_string());
                        // Who wanted it may be gone.
                        let _ = answer.send(done);
                        continue;
                    }
                },
                _ = hangup.recv() => {
                    // What came of it is in the log.
                    let _ = reload.run().await;
                    continue;
                }
                _ = user1.recv() => "SIGUSR1",
                _ = user2.recv() => "SIGUSR2",
            };
            warn!(signal = name, "{name} is ignored");
        }
    }
}

/// What an operator should know: whoever reaches a registrar may do everything.
fn tell_who_can_reach_it(config: &Config) {
    if config.asap.is_none() && config.tls.key.is_some() {
        warn!(
            "only this host can reach this registrar: --asap tls://ADDRESS, or asap in its \
             configuration file, opens it to others"
        );
    } else if config.asap.is_none() {
        warn!(
            "only this host can reach this registrar: --asap sctp://ADDRESS:3863, or asap in its \
             configuration file, opens it to others"
        );
    }
    let asap = config.asap.iter().flatten();
    let unprotected = asap.chain(&config.enrp).filter(|url| url.scheme != Scheme::Tls);
    let open = open_to_others(unprotected);
    if !open.is_empty() {
        let urls: Vec<String> = open.iter().map(ToString::to_string).collect();
        warn!(
            urls = urls.join(" "),
            "there are no keys for these URLs: whoever reaches them can register, find and remove \
             servers; keep others out of this network, or serve tls:// with keys (rserpool tls)"
        );
    }
}
