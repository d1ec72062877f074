//! `rserpool sim`: worlds in virtual time, and the published experiments.

mod chaos;
mod experiment;
mod plot;
mod replay;

use clap::Subcommand;

use crate::output::Output;

/// Simulate worlds of registrars, elements and users in virtual time.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Sim,
}

#[derive(Debug, Subcommand)]
enum Sim {
    /// Run random worlds with random faults, and see whether anything goes wrong.
    Chaos(chaos::Args),
    /// Run one of these worlds and print everything that happens.
    Replay(replay::Args),
    /// Run a published experiment.
    #[command(flatten)]
    Experiment(experiment::Command),
}

impl Args {
    /// Simulates.
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        match self.command {
            Sim::Chaos(args) => args.run(output),
            Sim::Replay(args) => args.run(output),
            Sim::Experiment(command) => command.run(output),
        }
    }
}
