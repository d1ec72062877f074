//! The log: to standard error, so that standard output stays clean.

use std::io;

use tracing_subscriber::EnvFilter;

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log of this process at the level that `-v` asks for.
pub(crate) fn start(verbose: u8, format: LogFormat) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // dcsctp, under userland SCTP, dumps every packet at level info.
    let ours = format!("{level},dcsctp=off");
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(wanted) if wanted.contains("dcsctp") => EnvFilter::new(wanted),
        Ok(wanted) => EnvFilter::new(format!("{wanted},dcsctp=off")),
        Err(_) => EnvFilter::new(ours),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
}
