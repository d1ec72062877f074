//! How the program ends: the exit code, and one line about the cause.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use rserpool::observer::TableError;
use rserpool::transport;
use rserpool::{
    DeregisterError, Error, RegisterError, ResolveError, SessionError, StartError, TransportError,
    TransportErrorKind,
};

/// What went wrong, where it decides the exit code. A command puts it on top of the cause with
/// `anyhow::Context`; without it, the cause itself may decide, see [`code`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    /// Options that do not go together, where clap cannot see it.
    #[error("wrong usage")]
    Usage,
    /// No registrar can be reached.
    #[error("no registrar reachable")]
    NoRegistrar,
    /// There is no such pool at the registrar that was asked.
    #[error("unknown pool")]
    UnknownPool,
    /// Who asks may not do that.
    #[error("not allowed")]
    NotAllowed,
    /// What cannot be used on this host, or by nobody.
    #[error("bad configuration")]
    Configuration,
}

/// The exit code of another program, which is this one's. Alone it is no failure that would have to be
/// said.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("exit code {0}")]
pub(crate) struct ExitWith(pub(crate) u8);

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNKNOWN_POOL: u8 = 68;
const NO_REGISTRAR: u8 = 69;
const NOT_ALLOWED: u8 = 77;
const CONFIGURATION: u8 = 78;

/// What the exit codes mean, as the help says it.
pub(crate) const EXIT_CODES: [(u8, &str); 7] = [
    (0, "done"),
    (FAILED, "the operation failed"),
    (USAGE, "wrong usage"),
    (UNKNOWN_POOL, "unknown pool: nobody is in it"),
    (NO_REGISTRAR, "no registrar reachable"),
    (NOT_ALLOWED, "not allowed: a token is missing, or not enough"),
    (
        CONFIGURATION,
        "configuration that cannot be used: a file, a variable, an address to listen at",
    ),
];

/// The table of [`EXIT_CODES`] for the help.
pub(crate) fn exit_codes() -> String {
    let mut text = String::from("Exit codes:");
    for (code, meaning) in EXIT_CODES {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {code:<3} {meaning}");
    }
    text
}

/// An error of the library, with exit code 69 on top where no registrar can be reached.
pub(crate) fn no_registrar(error: impl Into<Error>, registrars: &str) -> anyhow::Error {
    let error = error.into();
    if error.is_no_registrar() {
        return anyhow::anyhow!("tried {registrars}").context(Failure::NoRegistrar);
    }
    let is_unknown = |error: &TransportError| error.kind() == TransportErrorKind::UnknownHost;
    if error.transport().is_some_and(is_unknown) {
        return anyhow::Error::from(error).context(Failure::NoRegistrar);
    }
    error.into()
}

/// Standard output takes nothing any more.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct OutputError(#[from] io::Error);

/// The exit code of what a command came to; the causes of a failure are said as one line. A reader
/// that closed its end of the pipe (`rserpool … | head`) is no failure.
pub(crate) fn exit_code(result: anyhow::Result<()>, say: impl FnOnce(&str)) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if let Some(OutputError(source)) = error.downcast_ref()
        && source.kind() == io::ErrorKind::BrokenPipe
    {
        return ExitCode::SUCCESS;
    }
    let code = match error.downcast_ref() {
        Some(&ExitWith(code)) if error.chain().count() == 1 => return ExitCode::from(code),
        Some(&ExitWith(code)) => code,
        None => code(&error),
    };
    say(&line(&error));
    ExitCode::from(code)
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(Failure::Usage) => USAGE,
        Some(Failure::NoRegistrar) => NO_REGISTRAR,
        Some(Failure::UnknownPool) => UNKNOWN_POOL,
        Some(Failure::NotAllowed) => NOT_ALLOWED,
        Some(Failure::Configuration) => CONFIGURATION,
        None => match error.chain().find_map(of_library).as_ref().map(Error::code) {
            Some("unknown-pool") => UNKNOWN_POOL,
            Some("not-enrp") => NO_REGISTRAR,
            // An endpoint cannot be opened because of what was asked for, whoever asks.
            Some("address-not-here" | "unknown-host" | "multicast" | "plain-with-keys") => {
                CONFIGURATION
            }
            _ => FAILED,
        },
    }
}

/// An error of the library, whichever operation failed.
fn of_library(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    fn one<E: Clone + Into<Error> + std::error::Error + 'static>(
        error: &(dyn std::error::Error + 'static),
    ) -> Option<Error> {
        error.downcast_ref::<E>().cloned().map(Into::into)
    }
    let all = [
        one::<Error>,
        one::<StartError>,
        one::<RegisterError>,
        one::<DeregisterError>,
        one::<ResolveError>,
        one::<SessionError>,
        one::<TableError>,
    ];
    all.iter().find_map(|one| one(error))
}

fn line(error: &anyhow::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    // Whose exit code it is need not be said.
    let unsaid = usize::from(error.downcast_ref::<ExitWith>().is_some());
    for cause in error.chain().skip(unsaid) {
        let text = cause.to_string();
        // Some causes repeat what they are the cause of.
        if texts.last().is_none_or(|last| !last.ends_with(&text)) {
            texts.push(text);
        }
        // The library's errors tell their causes themselves, in words for people.
        if of_library(cause).is_some() || cause.is::<transport::Error>() {
            break;
        }
    }
    // A cause that spans lines must not look like several failures.
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
        assert_eq!(code(&refused().context(Failure::Usage)), 2);
        let result: anyhow::Result<()> = Err(refused()).context(Failure::Configuration);
        assert_eq!(code(&result.context("reading a file").unwrap_err()), 78);
    }

    #[test]
    fn every_code_is_in_the_table_and_no_other() {
        let table = exit_codes();
        for (number, meaning) in EXIT_CODES {
            assert!(table.contains(&format!("\n  {number:<3} {meaning}")), "{table}");
        }
        let unknown = Error::Resolve(ResolveError::UnknownPool);
        let io = |kind| io::Error::from(kind);
        let group = transport::Error::Multicast {
            group: "10.0.0.1:1".into(),
            source: io(io::ErrorKind::InvalidInput),
        };
        let bind = |kind| transport::Error::Bind {
            url: "tcp://192.0.2.1:1".parse().unwrap(),
            source: io(kind),
        };
        let in_use = bind(io::ErrorKind::AddrInUse);
        let foreign = bind(io::ErrorKind::AddrNotAvailable);
        let name = transport::Error::Resolve { host: "x".into(), source: io(io::ErrorKind::Other) };
        let library = |error: transport::Error| anyhow::Error::from(StartError::from(error));
        let errors = [
            (anyhow::Error::from(unknown).context("cannot resolve X"), 68),
            (library(group), 78),
            (library(in_use), 1),
            (library(foreign), 78),
            (library(name), 78),
        ];
        for (error, expected) in errors {
            assert_eq!(code(&error), expected, "{error:#}");
            assert!(EXIT_CODES.iter().any(|(number, _)| *number == expected));
        }
    }

    #[test]
    fn causes_stand_on_one_line_after_colons_and_each_once() {
        let error = anyhow!("line 1\n  |\nunknown field").context(Failure::Configuration);
        assert_eq!(line(&error), "rserpool: bad configuration: line 1 | unknown field\n");
        let error = anyhow!("no space left").context("cannot write x: no space left");
        assert_eq!(line(&error), "rserpool: cannot write x: no space left\n");
    }
}
