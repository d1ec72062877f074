//! `rserpool sim NAME`: the published experiments, each a command of its own.

use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::{ArgMatches, Args as _, FromArgMatches};
use rserpool_sim::experiment::{self, Experiment, Metric, Plan, Series, Sweep};
use serde::Serialize;

use super::plot;
use crate::output::{Format, Output, progress};

const LONG_HELP: &str = "\
Prints a table for each figure: the mean of all runs, half the width of its 95 % confidence interval,
and, where they are known, published values, values that follow from the model (law), or those of a
simulator that shares no code with this one (independent). The same goes to files: NAME.csv,
NAME-METRIC.svg and NAME-METRIC.png, with intervals as bars and what is known as crosses.

The same seeds give the same results, whatever the machine. JSON is an object with
  experiment, runs, first_seed, elapsed_ms
  values       sweep, series, x, metric, mean, half_width, known and origin (null where not known)
  files        what was written";

/// An experiment, and how to run it.
#[derive(Debug)]
pub(super) struct Command {
    experiment: Experiment,
    args: Args,
}

/// Arguments of every experiment.
#[derive(Debug, clap::Args)]
struct Args {
    /// Runs of each point, each with a seed of its own; by default as many as are good for
    /// publication.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: Option<u32>,

    /// The seed of the first run; the next one has the next.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_seed: u64,

    /// So many runs at once, up to 256; by default one a processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,

    /// Only the figures with this in their names.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Where files go; it is made where it is not there.
    #[arg(long, value_name = "DIR", default_value = "sim-results")]
    dir: PathBuf,
}

impl clap::Subcommand for Command {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        experiment::ALL.iter().fold(command, |command, experiment| {
            let about = format!("{}\n\n{}", experiment.title, experiment.about.replace('\n', " "));
            // The arguments bring a description of their own, which is not the experiment's.
            let own = Args::augment_args(clap::Command::new(experiment.name));
            let own = own.about(experiment.title).long_about(about);
            command.subcommand(own.after_long_help(LONG_HELP))
        })
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Experiment::of(name).is_some()
    }
}

impl FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let unknown = || clap::Error::new(clap::error::ErrorKind::InvalidSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(unknown)?;
        let experiment = Experiment::of(name).ok_or_else(unknown)?;
        Ok(Self { experiment, args: Args::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Command {
    pub(super) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let Self { experiment, args } = self;
        let mut sweeps = (experiment.sweeps)();
        if let Some(only) = &args.only {
            let names: Vec<String> = sweeps.iter().map(|sweep| sweep.name.clone()).collect();
            sweeps.retain(|sweep| sweep.name.contains(only));
            ensure!(!sweeps.is_empty(), "no such figure; there are {}", names.join(", "));
        }
        // Before anything is calculated that could not be written.
        let dir = args.dir.as_path();
        fs::create_dir_all(dir).with_context(|| format!("directory {}", dir.display()))?;
        let begin = Instant::now();
        let jobs = args.jobs.and_then(|jobs| NonZeroUsize::new(jobs.into()));
        let threads = jobs.or_else(|| thread::available_parallelism().ok());
        let plan = Plan {
            runs: args.runs.unwrap_or(experiment.runs),
            first_seed: args.first_seed,
            threads: threads.unwrap_or(NonZeroUsize::MIN),
        };
        let total = plan.total(&sweeps);
        let bar = progress(Some(total), "{bar:40} {pos}/{len} runs, {eta} left");
        experiment::run(&mut sweeps, plan, || bar.inc(1));
        bar.finish_and_clear();
        let files = write_files(&sweeps, dir)?;
        let elapsed = begin.elapsed();
        if output.format() == Format::Json {
            return Ok(output.json(&Report {
                experiment: experiment.name,
                runs: plan.runs,
                first_seed: plan.first_seed,
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                values: sweeps.iter().flat_map(values).collect(),
                files: &files,
            })?);
        }
        print(&sweeps, output)?;
        let (seconds, dir) = (elapsed.as_secs_f64(), dir.display());
        eprintln!("{total} runs in {seconds:.1} s; {} files, in {dir}", files.len());
        Ok(())
    }
}

/// A number of the results.
#[derive(Debug, Serialize)]
struct Value<'a> {
    sweep: &'a str,
    series: &'a str,
    x: f64,
    metric: &'static str,
    mean: f64,
    half_width: f64,
    known: Option<f64>,
    origin: Option<&'static str>,
}

/// All results.
#[derive(Debug, Serialize)]
struct Report<'a> {
    experiment: &'a str,
    runs: u32,
    first_seed: u64,
    elapsed_ms: u64,
    values: Vec<Value<'a>>,
    files: &'a [PathBuf],
}

fn values(sweep: &Sweep) -> impl Iterator<Item = Value<'_>> {
    sweep.metrics.iter().flat_map(move |&metric| {
        sweep.series.iter().flat_map(move |series| {
            series.points.iter().map(move |point| {
                let (estimate, known) = (point.estimate(metric), point.known(metric));
                Value {
                    sweep: &sweep.name,
                    series: &series.label,
                    x: point.x,
                    metric: metric.name(),
                    mean: estimate.mean,
                    half_width: estimate.half_width,
                    known: known.map(|known| known.value),
                    origin: known.map(|known| known.origin.label()),
                }
            })
        })
    })
}

fn write_files(sweeps: &[Sweep], dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for sweep in sweeps {
        let path = dir.join(format!("{}.csv", sweep.name));
        fs::write(&path, csv(sweep)?).with_context(|| format!("file {}", path.display()))?;
        files.push(path);
        for &metric in sweep.metrics {
            files.extend(plot::write(sweep, metric, dir)?);
        }
    }
    Ok(files)
}

fn csv(sweep: &Sweep) -> anyhow::Result<String> {
    let mut text = String::from("series,x,metric,mean,half_width,known,origin\n");
    for value in values(sweep) {
        let Value { series, x, metric, mean, half_width, known, origin, .. } = value;
        let known = known.map(|known| known.to_string()).unwrap_or_default();
        let origin = origin.unwrap_or_default();
        writeln!(text, "\"{series}\",{x},{metric},{mean},{half_width},{known},{origin}")?;
    }
    Ok(text)
}

fn print(sweeps: &[Sweep], output: &mut Output) -> anyhow::Result<()> {
    for sweep in sweeps {
        for &metric in sweep.metrics {
            if output.format() == Format::Table {
                output.line(format_args!("{}: {}", sweep.title, metric.label()))?;
            }
            let mut headings = vec![sweep.axis.label.to_owned()];
            let points = sweep.series.first().map(|series| series.points.as_slice());
            headings.extend(points.unwrap_or_default().iter().map(|point| point.x.to_string()));
            let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
            output.rows(&headings, sweep.series.iter().flat_map(|series| rows(series, metric)))?;
            if output.format() == Format::Table {
                output.line("")?;
            }
        }
    }
    Ok(())
}

/// Means, their intervals, and what is known of them.
fn rows(series: &Series, metric: Metric) -> Vec<Vec<String>> {
    let row = |name: String, cells: &mut dyn Iterator<Item = String>| {
        std::iter::once(name).chain(cells).collect::<Vec<String>>()
    };
    let estimates = || series.points.iter().map(|point| point.estimate(metric));
    let known = || series.points.iter().map(|point| point.known(metric));
    let mut rows = vec![
        row(series.label.clone(), &mut estimates().map(|it| format!("{:.2}", it.mean))),
        row("  ±".into(), &mut estimates().map(|it| format!("{:.2}", it.half_width))),
    ];
    if let Some(first) = known().flatten().next() {
        let cell = |known: Option<experiment::Known>| {
            known.map(|known| format!("{:.2}", known.value)).unwrap_or_default()
        };
        rows.push(row(format!("  {}", first.origin.label()), &mut known().map(cell)));
    }
    rows
}
