//! `rserpool sim replay`: one world, line by line.

use anyhow::bail;
use rserpool_sim::chaos;

use crate::output::{Format, Output};

const LONG_HELP: &str = "\
A line has the time in milliseconds since the world began, and what happened: what nodes send (R1
a registrar, E1 an element, U1 a user, C1 a user with a session), what their applications are told,
--- what goes wrong, and *** what must not be. The exit code is 1 where there is something of the last
kind. JSON is an array of these lines.";

/// Arguments of `rserpool sim replay`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// The world.
    seed: u64,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let report = chaos::run(self.seed, true);
        match output.format() {
            Format::Json => output.json(&report.trace)?,
            Format::Table | Format::Plain => {
                report.trace.iter().try_for_each(|line| output.line(line))?;
            }
        }
        match report.violations.as_slice() {
            [] => Ok(()),
            [first, ..] => bail!("{first}"),
        }
    }
}
