//! `rserpool map`: a list of inputs, a job for each, over a pool.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use indicatif::ProgressBar;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;

use crate::exit::OutputError;
use crate::output::{Format, Output, progress};
use crate::runtime;
use crate::sessions::{PoolArg, SessionArgs};
use rserpool_services::Kind;
use rserpool_services::exec::packet::NAME_MAX;

mod reorder;
mod worker;

use reorder::Reorder;
use worker::{Ended, UnknownJob, Worker};

/// Run a job for each line of standard input on the servers of a pool.
///
/// Many jobs run at once; the line is the job's standard input. The output of the jobs is printed
/// in the order of the lines. If a server fails, its job runs again on another one: each job runs
/// at least once.
///
/// The exit code is 0 if all jobs ended with 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pool: PoolArg,

    /// The name of the job, as the servers' operator gave it.
    #[arg(long, value_name = "NAME", value_parser = job_name)]
    job: String,

    /// How many jobs run at once.
    #[arg(long, value_name = "NUMBER", default_value = "16")]
    parallel: NonZeroUsize,

    /// How often a job is tried again on another server when its server fails.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    retries: u32,

    /// A server that does not say within this time whether it runs a job has failed.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    answer_timeout: Duration,

    /// The most octets a job may print; with more it has failed.
    #[arg(long, value_name = "OCTETS", default_value_t = 16 << 20)]
    output_max: usize,

    #[command(flatten)]
    sessions: SessionArgs,
}

/// Octets of a line.
const LINE_MAX: usize = 64 << 20;
/// So many jobs may be ahead of the first that has not ended, for each that runs at once.
const AHEAD: usize = 4;

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let (jobs, failed) = runtime::block_on(async {
            let worker = Worker {
                sessions: self.sessions.clone(),
                user: self.sessions.user()?,
                pool: self.pool.of(Kind::Exec)?,
                job: self.job.clone(),
                retries: self.retries,
                answer_timeout: self.answer_timeout,
                output_max: self.output_max,
            };
            let mut list = List::new(output, self.parallel);
            list.bracket("[")?;
            let worked = list.work(Arc::new(worker)).await;
            list.bar.finish_and_clear();
            list.bracket("]")?;
            worked?;
            if let Some(error) = list.fatal {
                let (jobs, failed) = (list.printed, list.failed);
                // Where nothing was done it failed before it began.
                return Err(match jobs == failed {
                    true => error.context(format!("{failed} of {jobs} jobs failed")),
                    false => anyhow!("{failed} of {jobs} jobs failed: {error:#}"),
                });
            }
            Ok((list.printed, list.failed))
        })?;
        if failed > 0 {
            bail!("{failed} of {jobs} jobs failed");
        }
        Ok(())
    }
}

/// A list under way.
struct List<'a> {
    output: &'a mut Output,
    parallel: usize,
    ended: Reorder<Ended>,
    printed: u64,
    failed: u64,
    /// Why no more jobs are tried: each still has its place in the results.
    fatal: Option<anyhow::Error>,
    bar: ProgressBar,
}

impl<'a> List<'a> {
    fn new(output: &'a mut Output, parallel: NonZeroUsize) -> Self {
        let bar = progress(None, "{spinner} {pos} jobs {elapsed} {msg}");
        let (parallel, ended) = (parallel.get(), Reorder::default());
        Self { output, parallel, ended, printed: 0, failed: 0, fatal: None, bar }
    }

    async fn work(&mut self, worker: Arc<Worker>) -> anyhow::Result<()> {
        let mut lines = BufReader::new(tokio::io::stdin());
        let (mut number, mut has_more) = (0_u64, true);
        let mut line = Vec::new();
        let mut workers = JoinSet::new();
        while has_more || !workers.is_empty() {
            let is_free = workers.len() < self.parallel
                && self.ended.waiting() + workers.len() < self.parallel * AHEAD;
            tokio::select! {
                // Cancelled, it has put what it read into the line, and goes on there.
                read = lines.read_until(b'\n', &mut line), if has_more && is_free => {
                    read.context("cannot read standard input")?;
                    if line.is_empty() {
                        has_more = false;
                        continue;
                    }
                    if line.len() > LINE_MAX {
                        bail!("a line is longer than {LINE_MAX} octets");
                    }
                    number += 1;
                    let (worker, input) = (Arc::clone(&worker), std::mem::take(&mut line));
                    if let Some(error) = &self.fatal {
                        self.ended.put(number, Ended::failed(format!("not tried: {error:#}")));
                        self.print_all()?;
                        continue;
                    }
                    workers.spawn(async move { (number, worker.run(number, &input).await) });
                }
                Some(ended) = workers.join_next(), if !workers.is_empty() => {
                    let (number, (ended, fatal)) = ended.context("a job was dropped")?;
                    match fatal {
                        Some(error) if error.is::<UnknownJob>() => return Err(error),
                        Some(error) => drop(self.fatal.get_or_insert(error)),
                        None => {}
                    }
                    self.ended.put(number, ended);
                    self.print_all()?;
                }
            }
        }
        Ok(())
    }

    /// A bracket of the array that the results are as JSON.
    fn bracket(&mut self, bracket: &str) -> Result<(), OutputError> {
        match self.output.format() {
            Format::Json => self.output.line(bracket),
            Format::Table | Format::Plain => Ok(()),
        }
    }

    fn print_all(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.ended.take() {
            self.print(&ended)?;
        }
        Ok(())
    }

    fn print(&mut self, ended: &Ended) -> anyhow::Result<()> {
        self.printed += 1;
        self.failed += u64::from(!ended.is_good());
        self.bar.inc(1);
        if self.failed > 0 {
            self.bar.set_message(format!("{} failed", self.failed));
        }
        if self.output.format() == Format::Json {
            let comma = if self.printed == 1 { "" } else { "," };
            let value = serde_json::to_string(&ended.json(self.printed))?;
            return Ok(self.output.line(format_args!("{comma}{value}"))?);
        }
        let is_written = self.bar.suspend(|| {
            // Standard error may be closed; what was asked for is the output.
            let _ = std::io::stderr().write_all(&ended.output.err);
            if let Some(why) = ended.why() {
                let _ = writeln!(std::io::stderr(), "rserpool: job {}: {why}", self.printed);
            }
            self.output.octets(&ended.output.out)
        });
        Ok(is_written?)
    }
}

/// A job's name as an argument.
fn job_name(text: &str) -> Result<String, String> {
    let fits = (1..=NAME_MAX).contains(&text.len());
    fits.then(|| text.to_owned()).ok_or_else(|| format!("a name has 1 to {NAME_MAX} octets"))
}
