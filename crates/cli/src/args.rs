//! What every command understands.

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::command::Command;
use crate::logging::LogFormat;
use crate::output::Format;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   the operation failed
  2   wrong usage
  69  no registrar reachable
  78  configuration that cannot be used";

/// Reliable Server Pooling (RSerPool, RFC 5351 to 5356).
#[derive(Debug, Parser)]
#[command(name = "rserpool", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// The form of what goes to standard output.
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    /// The same as `--output json`.
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,

    /// Log more to standard error: -v what happens, -vv why, -vvv everything. The environment
    /// variable RUST_LOG overrides it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// The form of the log.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// The arguments of this process. Ends it where they make no sense, or ask for help.
    pub(crate) fn of_process() -> Self {
        let matches = Self::command_line().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The command line; each command's help ends with the exit codes, too.
    fn command_line() -> clap::Command {
        Self::command().mut_subcommands(|command| {
            let long = command.get_after_long_help().map(|own| format!("{own}\n\n{EXIT_CODES}"));
            let command = command.after_help(EXIT_CODES);
            match long {
                Some(long) => command.after_long_help(long),
                None => command,
            }
        })
    }

    /// The form of what goes to standard output.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Args::command_line().debug_assert();
    }

    #[test]
    fn json_is_short_for_output_json() {
        let format = |args: &[&str]| Args::try_parse_from(args).map(|args| args.format());
        assert_eq!(format(&["rserpool", "decode"]).unwrap(), Format::Table);
        assert_eq!(format(&["rserpool", "decode", "--json"]).unwrap(), Format::Json);
        assert_eq!(format(&["rserpool", "-o", "plain", "decode"]).unwrap(), Format::Plain);
        assert!(format(&["rserpool", "decode", "--json", "-o", "plain"]).is_err());
    }
}
