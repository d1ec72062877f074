//! `rserpool sim chaos`: as many random worlds as one likes.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use rserpool_sim::chaos::{self, Report};
use rserpool_sim::invariant::Violation;
use serde::Serialize;

use crate::output::{Format, Output, progress};

const LONG_HELP: &str = "\
A world has registrars, pool elements and pool users: the real ones, with a simulated network and
clock. In every other world elements serve sessions, and there are clients who hold one each. Some
worlds speak as rsplib does, all or in part; in some registrars know of each other by multicast only,
suggest takeovers to each other, or two of them have one identifier; in some hundreds of elements
share few associations. In every tenth world there are up to three nodes that mean no good: strangers,
users that report who lives, elements and registrars that lie, and those that read nothing.
Everything in it follows from its seed. Processes are killed and frozen, hosts lose power,
links are cut, lose, delay and double packets, clocks are wrong; in between there is quiet, and then
everybody has to agree on how things are. What a session is told has to go on without gap or repeat,
whichever servers it comes from.

The exit code is 1 where an invariant was violated; each such world is listed with the command that
shows it step by step. JSON is an object with
  worlds, faults, messages, packets_lost, requests_resolved, requests_failed, session_replies,
  session_failovers, sessions_resumed
                 numbers, over all worlds
  virtual_hours  how long the worlds lasted for their inhabitants, together
  elapsed_ms     how long all that took
  violations     seed, invariant, at_ms (since that world began), detail, replay (a command)";

/// Arguments of `rserpool sim chaos`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// The worlds from the first seed up to, and without, the second.
    #[arg(long, value_name = "A..B", default_value = "0..200", value_parser = seeds)]
    seeds: Range<u64>,

    /// So many worlds at once; by default one a processor.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Print everything that happens in each world. For a few seeds.
    #[arg(long)]
    trace: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let parse = |text: &str| text.trim().parse::<u64>().map_err(|error| error.to_string());
    let (from, to) = text.split_once("..").ok_or("not of the form A..B")?;
    let range = parse(from)?..parse(to)?;
    if range.is_empty() { Err("no seed in it".into()) } else { Ok(range) }
}

/// What came of all worlds.
#[derive(Debug, Default, Serialize)]
struct Summary {
    worlds: u64,
    faults: u64,
    messages: u64,
    packets_lost: u64,
    requests_resolved: u64,
    requests_failed: u64,
    session_replies: u64,
    session_failovers: u64,
    sessions_resumed: u64,
    virtual_hours: f64,
    elapsed_ms: u64,
    violations: Vec<Found>,
}

/// A violation, and how to see it.
#[derive(Debug, Serialize)]
struct Found {
    seed: u64,
    invariant: String,
    at_ms: u64,
    detail: String,
    replay: String,
}

impl Summary {
    fn add(&mut self, report: &Report) {
        self.worlds += 1;
        self.faults += report.counts.faults;
        self.messages += report.counts.messages;
        self.packets_lost += report.counts.lost;
        self.requests_resolved += report.counts.resolved;
        self.requests_failed += report.counts.failed;
        self.session_replies += report.counts.replies;
        self.session_failovers += report.counts.failovers;
        self.sessions_resumed += report.counts.resumed;
        self.virtual_hours += report.lasted.as_secs_f64() / 3600.0;
        let found = |Violation { invariant, at, detail }: &Violation| Found {
            seed: report.seed,
            invariant: invariant.to_string(),
            at_ms: millis(at.since_origin()),
            detail: detail.clone(),
            replay: report.replay(),
        };
        self.violations.extend(report.violations.iter().map(found));
    }

    /// Numbers with their names, for people and scripts.
    fn numbers(&self) -> Vec<Vec<String>> {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        vec![
            row("worlds", self.worlds.to_string()),
            row("faults", self.faults.to_string()),
            row("messages", self.messages.to_string()),
            row("packets lost", self.packets_lost.to_string()),
            row("requests resolved", self.requests_resolved.to_string()),
            row("requests failed", self.requests_failed.to_string()),
            row("session replies", self.session_replies.to_string()),
            row("session failovers", self.session_failovers.to_string()),
            row("sessions resumed", self.sessions_resumed.to_string()),
            row("virtual hours", format!("{:.1}", self.virtual_hours)),
            row("seconds", format!("{:.1}", Duration::from_millis(self.elapsed_ms).as_secs_f64())),
            row("violations", self.violations.len().to_string()),
        ]
    }
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut summary = Summary::default();
        self.run_worlds(|report| {
            summary.add(&report);
            report.trace.iter().try_for_each(|line| output.line(line))?;
            Ok(())
        })?;
        summary.elapsed_ms = millis(begin.elapsed());
        summary.violations.sort_by_key(|found| (found.seed, found.at_ms));
        print(&summary, output)?;
        let mut failed: Vec<u64> = summary.violations.iter().map(|found| found.seed).collect();
        failed.dedup();
        match failed.len() {
            0 => Ok(()),
            count => bail!("{count} of {} worlds violated an invariant", summary.worlds),
        }
    }

    /// Runs all worlds on several threads; reports come here, in any order.
    fn run_worlds(
        &self,
        mut on_report: impl FnMut(Report) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let count = self.seeds.end - self.seeds.start;
        let bar = progress(Some(count), "{bar:40} {pos}/{len} worlds, {eta} left");
        let next = AtomicU64::new(0);
        let jobs = self.jobs.or_else(|| thread::available_parallelism().ok());
        let (sender, reports) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..jobs.map_or(1, NonZeroUsize::get) {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || self.work(next, &sender));
            }
            drop(sender);
            for report in reports {
                bar.inc(1);
                if !report.violations.is_empty() {
                    bar.println(format!("violated: {}", report.replay()));
                }
                if let Err(error) = on_report(report) {
                    // No more worlds: nobody wants to know.
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
            bar.finish_and_clear();
            Ok(())
        })
    }

    fn work(&self, next: &AtomicU64, reports: &Sender<Report>) {
        let count = self.seeds.end - self.seeds.start;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let report = chaos::run(self.seeds.start + number, self.trace);
            if reports.send(report).is_err() {
                return;
            }
        }
    }
}

fn print(summary: &Summary, output: &mut Output) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        return Ok(output.json(summary)?);
    }
    output.rows(&["WHAT", "HOW MANY"], summary.numbers())?;
    let violation = |found: &Found| {
        let Found { seed, invariant, at_ms, detail, replay } = found;
        vec![seed.to_string(), at_ms.to_string(), invariant.clone(), detail.clone(), replay.clone()]
    };
    if !summary.violations.is_empty() {
        let rows: Vec<Vec<String>> = summary.violations.iter().map(violation).collect();
        output.rows(&["SEED", "MS", "INVARIANT", "DETAIL", "REPLAY"], rows)?;
    }
    Ok(())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
