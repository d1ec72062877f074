//! The log: to standard error, so that standard output stays clean.
//!
//! Whoever logs never waits for standard error: lines go to a [`Queue`], and a thread of its own
//! writes them. How much is logged is bounded, see [`rate`].

mod queue;
mod rate;

use std::env::VarError;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

use queue::{Queue, Task, write_patiently};
use rate::{Limits, Origin};

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How long the end of the process waits for what is queued.
const FLUSH_MAX: Duration = Duration::from_millis(500);

/// The log of this process.
pub(crate) struct Log {
    queue: Arc<Queue>,
    limits: Arc<Limits>,
}

/// Starts the log of this process at the level that `-v` asks for, or as `RUST_LOG` has it.
///
/// # Errors
///
/// `RUST_LOG` is not understood, or there is no thread to be had.
pub(crate) fn start(verbose: u8, format: LogFormat) -> anyhow::Result<Log> {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let wanted = match std::env::var("RUST_LOG") {
        Ok(wanted) if !wanted.trim().is_empty() => wanted,
        Ok(_) | Err(VarError::NotPresent) => level.into(),
        Err(error @ VarError::NotUnicode(_)) => return Err(error).context("RUST_LOG"),
    };
    let targets = targets(&wanted).context("RUST_LOG")?;
    let queue = Arc::new(Queue::default());
    let limits = Arc::new(Limits::new(queue.clone()));
    let stderr = io::stderr();
    let log = fmt::layer().with_writer(Lines { queue: queue.clone(), limits: limits.clone() });
    let limited = registry().with(targets).with(Admission(limits.clone()));
    match format {
        LogFormat::Text => {
            let is_terminal = io::IsTerminal::is_terminal(&stderr);
            limited.with(log.with_ansi(is_terminal)).init();
        }
        LogFormat::Json => limited.with(log.json()).init(),
    }
    // Not `io::stderr()`: whoever else writes there must not wait for its lock.
    let to = stderr.as_fd().try_clone_to_owned().context("no standard error to log to")?;
    let log = Log { queue: queue.clone(), limits: limits.clone() };
    let writer = move || write(&queue, &limits, File::from(to));
    let writer = std::thread::Builder::new().name("log".into()).spawn(writer);
    writer.context("cannot start the thread that writes the log")?;
    Ok(log)
}

/// The life of the thread that writes.
fn write(queue: &Queue, limits: &Limits, mut to: File) {
    loop {
        match queue.next() {
            Task::Write(octets) => {
                write_patiently(&mut to, &octets);
                let lines = queue.take_dropped();
                if lines > 0 {
                    warn!(target: rate::OWN, lines, "{lines} lines were not written");
                }
                queue.written();
            }
            Task::Report => limits.report(),
        }
    }
}

impl Log {
    /// Writes a line, line end included, behind what was logged before.
    pub(crate) fn say(&self, line: &str) {
        self.queue.push(line.as_bytes());
    }

    /// Waits until what was logged is written, but not long.
    pub(crate) fn finish(self) {
        if self.queue.flush(FLUSH_MAX) {
            self.limits.report();
            // It may be the last line that found no room.
            self.queue.flush(FLUSH_MAX);
        }
    }
}

/// Makes lines of events.
struct Lines {
    queue: Arc<Queue>,
    limits: Arc<Limits>,
}

/// Takes one line.
struct Line<'a> {
    lines: &'a Lines,
    origin: Option<Origin>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, origin: None }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, origin: Some(Origin::of(metadata)) }
    }
}

impl io::Write for Line<'_> {
    /// The layer hands in whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Lines { queue, limits } = self.lines;
        if self.origin.as_ref().is_none_or(|origin| limits.has_room(origin, line.len())) {
            queue.push(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets those events pass that the limits admit.
struct Admission(Arc<Limits>);

impl<S: Subscriber> Layer<S> for Admission {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.admits(event)
    }
}

/// The first words of targets in this program.
const CRATES: [&str; 3] = ["rserpool", "tokio", "mio"];

/// Levels of all, or of targets, separated by commas.
///
/// # Errors
///
/// The first part that is neither a level nor `TARGET=LEVEL`.
fn targets(wanted: &str) -> anyhow::Result<Targets> {
    let parts = wanted.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = |part: &str| {
        let is_level = part.parse::<LevelFilter>().is_ok();
        // Any word is a target; one that is none here was meant as a level.
        let is_known = part.contains('=') || CRATES.iter().any(|it| part.starts_with(it));
        match part.parse::<Targets>() {
            Ok(targets) if is_level || is_known => Ok(targets),
            _ => bail!(
                "`{}` is neither a level (off, error, warn, info, debug, trace) nor TARGET=LEVEL",
                part.escape_debug()
            ),
        }
    };
    let targets: Vec<Targets> = parts.map(read).collect::<Result<_, _>>()?;
    let default = targets.iter().rev().find_map(Targets::default_level);
    // What the log says of itself belongs to whatever else is logged.
    let own = Targets::new().with_target(rate::OWN, LevelFilter::INFO);
    let all = own.with_targets(targets.into_iter().flatten());
    Ok(match default {
        Some(level) => all.with_default(level),
        None => all,
    })
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_those_of_targets_before_those_of_all() {
        let filter = targets("info, rserpool::enrp=debug,tokio::task=warn,").unwrap();
        assert!(filter.would_enable("rserpool", &Level::INFO));
        assert!(!filter.would_enable("rserpool", &Level::DEBUG));
        assert!(filter.would_enable("rserpool::enrp", &Level::DEBUG));
        assert!(filter.would_enable("tokio::task", &Level::WARN));
        assert!(!filter.would_enable("tokio::task", &Level::INFO));
    }

    #[test]
    fn off_is_off() {
        let filter = targets("off,rserpool::enrp=info").unwrap();
        assert!(!filter.would_enable("rserpool", &Level::ERROR));
        assert!(filter.would_enable("rserpool::enrp", &Level::INFO));
    }

    #[test]
    fn what_is_no_level_is_said_so() {
        for wanted in ["loud", "info,no level=7", "rserpool=loud", "debug rserpool"] {
            assert!(targets(wanted).is_err(), "{wanted}");
        }
        for wanted in ["", "TRACE", "rserpool", "other::program=debug,warn", "3"] {
            assert!(targets(wanted).is_ok(), "{wanted}");
        }
    }
}
