//! The life of a registrar, from its configuration to a signal.

use anyhow::Context as _;
use rserpool::Registrar;
use rserpool::transport::Address;
use rserpool::wire::param::RegistrarId;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::Config;

/// What a registrar is, once it serves.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its identifier.
    pub id: RegistrarId,
    /// Where elements and users reach it, with the real ports.
    pub asap: Vec<Address>,
    /// Where other registrars reach it, with the real ports.
    pub enrp: Vec<Address>,
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
    let registrar = Registrar::start(config.to_library()?)?;
    tokio::pin!(end);
    let why = tokio::select! {
        serving = registrar.serving() => {
            serving?;
            let (asap, enrp) = (registrar.urls().to_vec(), registrar.enrp_urls().to_vec());
            ready(Ready { id: registrar.id(), asap, enrp })?;
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
    Ok(())
}
