//! The commands, one file each.

mod decode;

use clap::Subcommand;

use crate::output::Output;

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take messages apart: hex or a capture in, annotated fields out.
    Decode(decode::Args),
}

impl Command {
    /// Does it. The error carries the exit code, see [`crate::failure::Failure`].
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Decode(args) => args.run(output),
        }
    }
}
