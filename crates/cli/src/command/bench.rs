//! `rserpool bench`: measures this program.

mod failover;

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
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        match self.what {
            What::Failover(args) => args.run(output),
        }
    }
}
