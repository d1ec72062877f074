//! `rserpool bench`: measures this program, with real processes of it.
//!
//! The program that is measured is the one that this crate is in: it has to understand `bench`,
//! `registrar` and `serve` as `rserpool` does.

#![forbid(unsafe_code)]

mod attack;
mod baseline;
pub mod clock;
mod crowd;
mod echo;
mod failover;
mod footprint;
mod generator;
mod handlespace;
mod keys;
mod load;
pub mod process;
mod registrar;
mod report;
mod scope;
mod session;
mod storm;
mod usage;

use std::future::Future;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing::subscriber::{NoSubscriber, set_default};

use report::Report;

/// Where results go, in the form that the user chose.
pub trait Output {
    /// Whether they are to be JSON values.
    fn is_json(&self) -> bool;

    /// Writes a JSON value on one line.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    fn json(&mut self, value: &serde_json::Value) -> anyhow::Result<()>;

    /// Writes rows of cells under headings.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    fn rows(&mut self, headings: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()>;
}

/// Measure this program with real processes on this host.
///
/// If a round fails, nothing is reported.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How quickly registrars are missed by nobody.
    Failover(failover::Args),
    /// How quickly sessions have another server.
    Session(session::Args),
    /// What operations of a handlespace cost, and what elements weigh.
    Handlespace(handlespace::Args),
    /// How much a registrar does in a second, and what that costs.
    Registrar(registrar::Args),
    /// Memory, size on the disk, and time from start to ready.
    Footprint(footprint::Args),
    /// What honest elements and users notice while a stranger attacks.
    Attack(attack::Args),
    /// Very many elements vanish at once, or nobody has time to answer.
    Storm(storm::Args),
    /// Elements that can vanish.
    #[command(hide = true)]
    Crowd(storm::CrowdArgs),
    /// What registrars are compared with.
    #[command(hide = true)]
    Echo(echo::Args),
}

impl Args {
    /// Measures, and prints what came of it, on a tokio runtime of one thread.
    ///
    /// # Errors
    ///
    /// A round failed, or somebody interrupted it; nothing is printed then.
    pub async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        match self.what {
            What::Failover(args) => args.run(output).await,
            What::Session(args) => args.run(output).await,
            What::Handlespace(args) => args.run(output).await,
            What::Registrar(args) => args.run(output).await,
            What::Footprint(args) => args.run(output).await,
            What::Attack(args) => args.run(output).await,
            What::Storm(args) => args.run(output).await,
            What::Crowd(args) => args.run(output).await,
            What::Echo(args) => args.run(output).await,
        }
    }
}

/// What was chosen; by default everything.
fn chosen<T: ValueEnum>(chosen: &[T]) -> &[T] {
    if chosen.is_empty() { T::value_variants() } else { chosen }
}

/// The name of what may be chosen, as on the command line and in JSON.
fn name(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Measures, unless somebody interrupts it, and prints the report.
async fn conduct(
    measuring: impl Future<Output = anyhow::Result<Report>>,
    output: &mut dyn Output,
) -> anyhow::Result<()> {
    // What fails here fails on purpose, unless someone wants to see it.
    let is_quiet = std::env::var_os("RUST_LOG").is_none();
    let _quiet = is_quiet.then(|| set_default(NoSubscriber::default()));
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let report = tokio::select! {
        report = measuring => report?,
        _ = terminate.recv() => bail!("interrupted"),
        _ = interrupt.recv() => bail!("interrupted"),
    };
    report.print(output)
}
