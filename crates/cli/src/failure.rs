//! How the program ends: the exit code, and one line about the cause.

use std::io;
use std::process::ExitCode;

/// What went wrong, where it decides the exit code. A command puts it on top of the cause with
/// `anyhow::Context`; without it, the exit code is 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    /// Exit code 69.
    #[error("no registrar reachable")]
    NoRegistrar,
    /// Exit code 78.
    #[error("bad configuration")]
    Configuration,
}

/// An error of the library, with exit code 69 on top where no registrar can be reached.
pub(crate) fn no_registrar(error: rserpool::Error, registrars: &str) -> anyhow::Error {
    if error.is_no_registrar() {
        return anyhow::anyhow!("tried {registrars}").context(Failure::NoRegistrar);
    }
    error.into()
}

/// Standard output takes nothing any more.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct OutputError(#[from] io::Error);

/// The exit code of what a command came to; the causes of a failure go to standard error as one
/// line. A reader that closed its end of the pipe (`rserpool … | head`) is no failure.
pub(crate) fn exit_code(result: anyhow::Result<()>, say: impl FnOnce(&str)) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if let Some(OutputError(source)) = error.downcast_ref()
        && source.kind() == io::ErrorKind::BrokenPipe
    {
        return ExitCode::SUCCESS;
    }
    say(&line(&error));
    ExitCode::from(code(&error))
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(Failure::NoRegistrar) => 69,
        Some(Failure::Configuration) => 78,
        None => 1,
    }
}

fn line(error: &anyhow::Error) -> String {
    let mut texts = Vec::new();
    for cause in error.chain() {
        texts.push(cause.to_string());
        // The library's errors tell their causes themselves, in words for people.
        if cause.is::<rserpool::Error>() || cause.is::<rserpool::transport::Error>() {
            break;
        }
    }
    // A cause that spans lines (a TOML error does) must not look like several failures.
    let line = texts.join(": ").split_whitespace().collect::<Vec<_>>().join(" ");
    format!("rserpool: {line}\n")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn the_failure_on_top_decides_the_exit_code() {
        let refused = || anyhow!("connection refused").context("10.0.0.1:3863");
        assert_eq!(code(&refused()), 1);
        assert_eq!(code(&refused().context(Failure::NoRegistrar)), 69);
        let result: anyhow::Result<()> = Err(refused()).context(Failure::Configuration);
        assert_eq!(code(&result.context("reading a file").unwrap_err()), 78);
    }

    #[test]
    fn causes_stand_on_one_line_after_colons() {
        let error = anyhow!("line 1\n  |\nunknown field").context(Failure::Configuration);
        assert_eq!(line(&error), "rserpool: bad configuration: line 1 | unknown field\n");
    }
}
