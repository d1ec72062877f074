//! `rserpool bench`: measures this program.

mod attack;
mod baseline;
mod crowd;
mod echo;
mod failover;
mod footprint;
mod generator;
mod handlespace;
mod load;
mod registrar;
mod report;
mod scope;
mod session;
mod storm;
mod usage;

use std::future::Future;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use tracing::subscriber::{NoSubscriber, set_default};

use crate::output::Output;
use crate::runtime::{self, EndSignals};

use report::Report;

/// Measures this program, with real processes on this host. It says nothing where a round failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        match self.what {
            What::Failover(args) => args.run(output),
            What::Session(args) => args.run(output),
            What::Handlespace(args) => args.run(output),
            What::Registrar(args) => args.run(output),
            What::Footprint(args) => args.run(output),
            What::Attack(args) => args.run(output),
            What::Storm(args) => args.run(output),
            What::Crowd(args) => args.run(output),
            What::Echo(args) => args.run(output),
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
fn conduct(
    measuring: impl Future<Output = anyhow::Result<Report>>,
    output: &mut Output,
) -> anyhow::Result<()> {
    // What fails here fails on purpose, unless someone wants to see it.
    let is_quiet = std::env::var_os("RUST_LOG").is_none();
    let _quiet = is_quiet.then(|| set_default(NoSubscriber::default()));
    let report = runtime::block_on(async {
        let mut signals = EndSignals::new()?;
        tokio::select! {
            report = measuring => report,
            () = signals.next() => bail!("interrupted"),
        }
    })?;
    report.print(output)
}
