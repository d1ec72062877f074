//! The command line of Reliable Server Pooling: one binary, one file a command.
//!
//! A new command is a file in `command/` with an `Args` that has `run`, and a line in
//! [`command::Command`].

#![forbid(unsafe_code)]

mod acts;
mod admin;
mod args;
mod atomic_file;
mod command;
mod exit;
#[cfg(test)]
mod fuzzing;
mod help;
mod keys;
mod logging;
mod output;
mod pools;
mod registrars;
mod runtime;
mod sessions;
mod waiting;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::args::Args;
use crate::exit::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::of_process();
    let log = match logging::start(args.verbose, args.log_format) {
        Ok(log) => log,
        Err(error) => {
            let error = error.context(Failure::Configuration);
            // Where it cannot be said the exit code still tells.
            let say = |line: &str| drop(io::stderr().write_all(line.as_bytes()));
            return exit::exit_code(Err(error), say);
        }
    };
    let mut output = Output::new(args.format());
    let result = args.command.run(&mut output);
    let code = exit::exit_code(result, |line| log.say(line));
    log.finish();
    code
}
