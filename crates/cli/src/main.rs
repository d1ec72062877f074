//! The command line of Reliable Server Pooling: one binary, one file a command.
//!
//! A new command is a file in `command/` with an `Args` that has `run`, and a line in
//! [`command::Command`].

#![forbid(unsafe_code)]

mod args;
mod clock;
mod command;
mod failure;
mod logging;
mod output;
mod pools;
mod registrars;
mod runtime;
mod service;
mod sessions;
mod whole_file;

use std::process::ExitCode;

use crate::args::Args;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::of_process();
    logging::start(args.verbose, args.log_format);
    let mut output = Output::new(args.format());
    let result = args.command.run(&mut output);
    failure::exit_code(result)
}
