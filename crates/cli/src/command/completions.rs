//! `rserpool completions`: what a shell needs to complete command lines.

use clap_complete::{Shell, generate};

use crate::args::Args as All;
use crate::output::Output;

/// Print what a shell needs to complete command lines.
///
/// Such as: rserpool completions bash > /etc/bash_completion.d/rserpool
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let (mut command, mut script) = (All::command_line(), Vec::new());
        let name = command.get_name().to_owned();
        generate(self.shell, &mut command, name, &mut script);
        Ok(output.octets(&script)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let (mut command, mut script) = (All::command_line(), Vec::new());
            generate(*shell, &mut command, "rserpool", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in All::command_line().get_subcommands().filter(|it| !it.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
