//! The life of a registrar, from its configuration to a signal.

use anyhow::Context as _;
use rserpool::Registrar;
use rserpool::transport::{Address, Scheme, Tls};
use rserpool::wire::param::RegistrarId;
use rserpool_web::listen::Endpoint;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::Config;
use crate::admin::{Admin, Setup};
use crate::listen::open_to_others;

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
/// serves.
///
/// # Errors
///
/// A configuration that makes no sense, an endpoint that cannot be opened, or what `ready` says.
pub async fn run(
    config: &Config,
    ready: impl FnOnce(Ready) -> anyhow::Result<()>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    // They would end it without handing anything over.
    let mut hangup = signal(SignalKind::hangup()).context("cannot handle SIGHUP")?;
    let mut user = [
        signal(SignalKind::user_defined1()).context("cannot handle SIGUSR1")?,
        signal(SignalKind::user_defined2()).context("cannot handle SIGUSR2")?,
    ];
    let library = config.to_library()?;
    let keys = library.tls.clone();
    let registrar = Registrar::start(library)?;
    tell_who_can_reach_it(config);
    let setup = Setup {
        config: &config.admin,
        profile: config.profile.label(),
        dialect: config.dialect.label(),
        has_peers: !config.peers.is_empty(),
    };
    let admin = Admin::start(&registrar, setup).await?;
    let [user1, user2] = &mut user;
    let ignore = async {
        loop {
            let name = tokio::select! {
                _ = hangup.recv() => match &keys {
                    Some(keys) => {
                        read_again(keys);
                        continue;
                    }
                    None => "SIGHUP",
                },
                _ = user1.recv() => "SIGUSR1",
                _ = user2.recv() => "SIGUSR2",
            };
            warn!(
                signal = name,
                "{name} is ignored: restart this registrar to change its configuration"
            );
        }
    };
    let end = async {
        tokio::select! {
            () = end => {}
            () = ignore => {}
        }
    };
    tokio::pin!(end);
    let why = tokio::select! {
        serving = registrar.serving() => {
            serving?;
            let (asap, enrp) = (registrar.urls().to_vec(), registrar.enrp_urls().to_vec());
            let admin = admin.iter().flat_map(|admin| admin.endpoints().to_vec()).collect();
            ready(Ready { id: registrar.id(), asap, enrp, admin })?;
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = &mut end => "end of input",
            }
        }
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = &mut end => "end of input",
    };
    info!(why, "stopping");
    registrar.stop().await;
    // Whoever watches is told of the end first.
    drop(admin);
    Ok(())
}

/// Reads the files of the keys again. Who sends the signal wants to know, at every level.
fn read_again(keys: &Tls) {
    match keys.reload() {
        Ok(()) => warn!("keys read again: who is not trusted any more is gone"),
        Err(error) => warn!(%error, "the old keys stay"),
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
