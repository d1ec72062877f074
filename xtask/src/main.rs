//! Chores of this repository: `cargo xtask CHORE`.

#![forbid(unsafe_code)]

mod api;
mod compliance;
mod counts;
mod dashboard;
mod interop;
#[cfg(test)]
mod named_tests;
mod tree;
mod uml_test;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE

  api [--check]         writes the public API to docs/api, or says what has changed
  compliance [--check]  writes docs/compliance.md, or says whether it is up to date
  counts                counts what must stay as it is: long files, unsafe, private paths
  dashboard             the dashboard in Chromium, with servers that are killed; writes pictures
  interop [NAME...]     whole programs against each other; needs root and some packages
  uml-test [FILTER]     runs the tests that need SCTP in the kernel on one that has it";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["api"] => api::run(false),
        ["api", "--check"] => api::run(true),
        ["compliance"] => compliance::run(false),
        ["compliance", "--check"] => compliance::run(true),
        ["dashboard"] => dashboard::run(),
        ["counts"] => counts::run(),
        ["interop", "--help"] => {
            println!("{}", interop::help());
            Ok(())
        }
        ["interop", "--inside", name] => interop::inside(name),
        ["interop", ref names @ ..] => interop::run(names),
        ["uml-test", ref filter @ ..] => uml_test::run(filter),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}
