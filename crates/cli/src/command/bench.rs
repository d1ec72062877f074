//! `rserpool bench`: measures this program.

mod crowd;
mod echo;
mod failover;
mod floor;
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

use clap::Subcommand;

use crate::output::Output;

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
            What::Storm(args) => args.run(output),
            What::Crowd(args) => args.run(output),
            What::Echo(args) => args.run(output),
        }
    }
}
