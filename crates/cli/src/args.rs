//! What every command understands.

use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::command::Command;
use crate::exit::exit_codes;
use crate::help;
use crate::logging::LogFormat;
use crate::output::{Form, Format};
use crate::registrars::{VARIABLE, check_variable};

/// Reliable Server Pooling (RSerPool, RFC 5351 to 5356).
#[derive(Debug, Parser)]
#[command(name = "rserpool", version, after_help = exit_codes(), max_term_width = 100)]
pub(crate) struct Args {
    /// The form of standard output. By default table.
    #[arg(short, long, global = true, value_parser = Form::general(), value_name = "FORMAT", help_heading = GLOBAL)]
    output: Option<Form>,

    /// The same as --output json.
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,

    /// Log more to standard error: -v says what happens, -vv why, -vvv everything. The environment
    /// variable RUST_LOG overrides it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    pub(crate) verbose: u8,

    /// The form of the log.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = GLOBAL)]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// The arguments of this process. Ends it where they make no sense, or ask for help.
    pub(crate) fn of_process() -> Self {
        Self::of(std::env::args_os()).unwrap_or_else(|error| end(&error))
    }

    fn of(
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> clap::error::Result<Self> {
        let mut command_line = Self::command_line();
        let matches = command_line.try_get_matches_from_mut(args).map_err(name_variable)?;
        let args = Self::from_arg_matches(&matches)?;
        if args.json && args.output.is_some() {
            let text = "'--json' cannot be used with '--output <FORMAT>'";
            return Err(command_line.error(ErrorKind::ArgumentConflict, text));
        }
        Ok(args)
    }

    /// The command line; each command's help ends with the exit codes, too.
    pub(crate) fn command_line() -> clap::Command {
        let command = Self::command().mut_subcommands(|command| {
            let codes = exit_codes();
            let long = command.get_after_long_help().map(|own| format!("{own}\n\n{codes}"));
            let command = command.after_help(codes);
            match long {
                Some(long) => command.after_long_help(long),
                None => command,
            }
        });
        help::reflowed(command)
    }

    /// The form of what goes to standard output.
    pub(crate) fn format(&self) -> Format {
        match (self.json, self.output) {
            (true, _) => Format::Json,
            (false, form) => form.unwrap_or_default().format(),
        }
    }
}

/// The heading of the options that every command has.
pub(crate) const GLOBAL: &str = "Options of every command";

/// Ends the process as clap does, but for a help that cannot be written.
fn end(error: &clap::Error) -> ! {
    let code = match error.print() {
        Err(failed) if error.exit_code() == 0 && failed.kind() != io::ErrorKind::BrokenPipe => {
            // Standard error may be closed, too.
            let _ = writeln!(io::stderr(), "rserpool: cannot write to standard output: {failed}");
            1
        }
        _ => error.exit_code(),
    };
    std::process::exit(code)
}

/// Says so where it is the environment variable that is wrong, or that would do.
fn name_variable(mut error: clap::Error) -> clap::Error {
    const OPTION: &str = "--registrar <URL>";
    let concerns = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.starts_with("--registrar"),
        Some(ContextValue::Strings(arguments)) => {
            arguments.iter().any(|argument| argument.starts_with("--registrar"))
        }
        _ => false,
    };
    let tip = match error.kind() {
        _ if !concerns => return error,
        ErrorKind::MissingRequiredArgument => format!("or set the environment variable {VARIABLE}"),
        ErrorKind::ValueValidation if is_from_variable() => {
            error.insert(ContextKind::InvalidArg, ContextValue::String(VARIABLE.into()));
            format!("this is the environment variable; {OPTION} would take its place")
        }
        _ => return error,
    };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// Whether the registrars come from the environment: nobody has given the option.
fn is_from_variable() -> bool {
    let is_option = |word: OsString| word.to_string_lossy().starts_with("--registrar");
    check_variable().is_err() && !std::env::args_os().any(is_option)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Args::command_line().debug_assert();
    }

    #[test]
    fn no_help_is_wider_than_the_terminal() {
        fn look(command: clap::Command, width: usize, of: &str) {
            let of = format!("{of} {}", command.get_name());
            let text = command.clone().term_width(width).render_long_help().to_string();
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{of}, {width}: {line}");
            }
            for sub in command.get_subcommands() {
                look(sub.clone(), width, &of);
            }
        }
        for width in [80, 120] {
            look(Args::command_line(), width, "");
        }
    }

    /// The help of every command, as it is on terminals of two widths: `tests/help` has it, and
    /// `BLESS=1` writes it anew. Whoever changes a text reads there how it looks.
    #[test]
    fn the_help_is_the_one_that_was_read_over() {
        fn help(command: &clap::Command, width: usize, path: &str, into: &mut String) {
            let path = format!("{path}{} ", command.get_name());
            let mut shown = command.clone().bin_name(path.trim()).term_width(width);
            into.push_str(&format!("$ {path}--help\n\n{}\n", shown.render_long_help()));
            let is_shown = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
            let visible = command.get_subcommands().filter(is_shown);
            visible.for_each(|sub| help(sub, width, &path, into));
        }
        for width in [80, 120] {
            let mut text = String::new();
            let mut command = Args::command_line();
            command.build();
            help(&command, width, "", &mut text);
            let text: String = text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
            // What this user has set is of no matter here.
            let text = text.replace(&format!("{VARIABLE}={}", env_text()), &format!("{VARIABLE}="));
            let file =
                Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/help/{width}.txt"));
            if std::env::var_os("BLESS").is_some() {
                fs::write(&file, &text).unwrap();
            }
            let expected = fs::read_to_string(&file).unwrap();
            for (number, (now, then)) in text.lines().zip(expected.lines()).enumerate() {
                assert_eq!(now, then, "{}:{}", file.display(), number + 1);
            }
            assert_eq!(text.lines().count(), expected.lines().count(), "{}", file.display());
        }
    }

    /// What the help says of the environment variable.
    fn env_text() -> String {
        std::env::var(VARIABLE).unwrap_or_default()
    }

    #[test]
    fn json_is_short_for_output_json() {
        let format = |args: &[&str]| Args::of(args).map(|args| args.format());
        assert_eq!(format(&["rserpool", "decode"]).unwrap(), Format::Table);
        assert_eq!(format(&["rserpool", "decode", "--json"]).unwrap(), Format::Json);
        assert_eq!(format(&["rserpool", "-o", "plain", "decode"]).unwrap(), Format::Plain);
        assert!(format(&["rserpool", "decode", "--json", "-o", "plain"]).is_err());
        assert!(format(&["rserpool", "decode", "-o", "xml"]).is_err());
        // What one command has besides is for that one.
        assert!(format(&["rserpool", "decode", "-o", "env"]).is_err());
        let resolve = ["rserpool", "resolve", "P", "--registrar", "tcp://[::1]:1", "-o"];
        assert_eq!(format(&[&resolve[..], &["json"]].concat()).unwrap(), Format::Json);
        assert_eq!(format(&[&resolve[..], &["env"]].concat()).unwrap(), Format::Plain);
    }

    #[test]
    fn output_is_the_form_and_out_the_file() {
        let get = ["rserpool", "get", "--registrar", "tcp://[::1]:1", "Pool/file"];
        let format = |more: &[&str]| Args::of([&get[..], more].concat()).map(|args| args.format());
        assert_eq!(format(&["-O", "copy"]).unwrap(), Format::Table);
        assert_eq!(format(&["-o", "json", "--out", "-"]).unwrap(), Format::Json);
        assert!(format(&["-o", "copy"]).is_err());
    }
}
