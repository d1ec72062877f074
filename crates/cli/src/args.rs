//! What every command understands.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum as _};

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
    /// The form of what goes to standard output; `table` by default.
    // Text, as the file that `get` writes to, which takes the place of this option there.
    #[arg(short, long, global = true, value_parser = formats(), value_name = "FORMAT")]
    output: Option<String>,

    /// The same as `--output json`.
    #[arg(long, global = true)]
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
        Self::of(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn of(
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> clap::error::Result<Self> {
        let mut command_line = Self::command_line();
        let matches = command_line.try_get_matches_from_mut(args)?;
        let args = Self::from_arg_matches(&matches)?;
        if args.json && args.output.is_some() && !args.command.has_output_file() {
            let text = "'--json' cannot be used with '--output <FORMAT>'";
            return Err(command_line.error(ErrorKind::ArgumentConflict, text));
        }
        Ok(args)
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
        let format = self.output.as_ref().filter(|_| !self.command.has_output_file());
        match format {
            _ if self.json => Format::Json,
            Some(name) => Format::from_str(name, false).unwrap_or_default(),
            None => Format::default(),
        }
    }
}

/// The names of the formats.
fn formats() -> PossibleValuesParser {
    let values = Format::value_variants().iter();
    PossibleValuesParser::new(values.filter_map(clap::ValueEnum::to_possible_value))
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
        let format = |args: &[&str]| Args::of(args).map(|args| args.format());
        assert_eq!(format(&["rserpool", "decode"]).unwrap(), Format::Table);
        assert_eq!(format(&["rserpool", "decode", "--json"]).unwrap(), Format::Json);
        assert_eq!(format(&["rserpool", "-o", "plain", "decode"]).unwrap(), Format::Plain);
        assert!(format(&["rserpool", "decode", "--json", "-o", "plain"]).is_err());
        assert!(format(&["rserpool", "decode", "-o", "xml"]).is_err());
    }

    #[test]
    fn get_writes_to_its_output() {
        let get = ["rserpool", "get", "--registrar", "tcp://[::1]:1", "Pool/file"];
        let format = |more: &[&str]| Args::of([&get[..], more].concat()).map(|args| args.format());
        assert_eq!(format(&["-o", "copy"]).unwrap(), Format::Table);
        assert_eq!(format(&["--json", "-o", "copy"]).unwrap(), Format::Json);
    }
}
