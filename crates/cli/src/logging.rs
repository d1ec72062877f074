//! The log: to standard error, so that standard output stays clean.

use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log of this process at the level that `-v` asks for, or as `RUST_LOG` has it.
pub(crate) fn start(verbose: u8, format: LogFormat) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let wanted = std::env::var("RUST_LOG");
    let filter = filter(wanted.as_deref().unwrap_or(level));
    let log = fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let log = log.with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
            registry().with(log.with_filter(filter)).init();
        }
        LogFormat::Json => registry().with(log.json().with_filter(filter)).init(),
    }
}

/// Levels of all, or of targets, separated by commas; what is neither is left out.
fn filter(wanted: &str) -> Targets {
    let levels = wanted.split(',').filter_map(|level| level.parse::<Targets>().ok());
    let targets: Vec<_> = levels.collect();
    let default = targets.iter().rev().find_map(Targets::default_level);
    // dcsctp, under userland SCTP, dumps every packet at level info.
    let quiet = Targets::new().with_target("dcsctp", tracing::level_filters::LevelFilter::OFF);
    let all = quiet.with_targets(targets.into_iter().flatten());
    match default {
        Some(level) => all.with_default(level),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_those_of_targets_before_those_of_all() {
        let filter = filter("info,rserpool::enrp=debug,no level=7,dcsctp::socket=warn");
        assert!(filter.would_enable("rserpool", &Level::INFO));
        assert!(!filter.would_enable("rserpool", &Level::DEBUG));
        assert!(filter.would_enable("rserpool::enrp", &Level::DEBUG));
        assert!(!filter.would_enable("dcsctp", &Level::ERROR));
        assert!(filter.would_enable("dcsctp::socket", &Level::WARN));
    }

    #[test]
    fn off_is_off() {
        let filter = filter("off,rserpool::enrp=info");
        assert!(!filter.would_enable("rserpool", &Level::ERROR));
        assert!(filter.would_enable("rserpool::enrp", &Level::INFO));
    }
}
