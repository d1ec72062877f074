//! What some services want to know of their operator.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context as _;

use super::Kind;
use super::calcapp::CalcApp;
use super::download::Download;
use super::download::root::Root;
use super::exec::Exec;
use super::exec::guard::Guard;
use super::exec::process::{Environment, Limits};
use crate::exit::Failure;

/// Options of single services; the others refuse them.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of single services")]
pub(crate) struct Options {
    /// calcapp: calculations a second, shared by all jobs. By default 1000000.
    #[arg(long, value_name = "CALCULATIONS", value_parser = positive)]
    capacity: Option<f64>,

    /// calcapp, exec: jobs at once; more are rejected. By default 10, and as many as there are
    /// processors.
    #[arg(long, value_name = "NUMBER")]
    jobs_max: Option<NonZeroUsize>,

    /// exec: a command that users may run by this name, with /bin/sh. May be repeated; there are no
    /// others.
    #[arg(long = "job", value_name = "NAME=COMMAND", value_parser = job)]
    jobs: Vec<(String, String)>,

    /// exec: jobs at once of one IP address. Three quarters of all by default.
    #[arg(long, value_name = "NUMBER")]
    jobs_per_source_max: Option<NonZeroUsize>,

    /// exec: an environment variable that commands see beside PATH, HOME, USER, LOGNAME, LANG,
    /// LC_ALL, LC_CTYPE, TZ, TMPDIR, TERM and RSERPOOL_JOB_ID. May be repeated.
    #[arg(long = "pass-env", value_name = "NAME")]
    pass_env: Vec<String>,

    /// exec: how long a command may take. By default 60s.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    time_limit: Option<Duration>,

    /// exec: seconds of a processor for each process of a command.
    #[arg(long, value_name = "SECONDS")]
    cpu_limit: Option<u64>,

    /// exec: octets of memory for each process of a command.
    #[arg(long, value_name = "OCTETS")]
    memory_limit: Option<u64>,

    /// exec: octets that a command may say. By default 16777216.
    #[arg(long, value_name = "OCTETS")]
    output_limit: Option<u64>,

    /// download: the directory whose files may be fetched.
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<PathBuf>,
}

/// Jobs at once of the calculation service; as at rsplib.
const CALCULATIONS_MAX: usize = 10;
/// Calculations a second.
const CAPACITY: f64 = 1e6;
/// How long a command may take, and how much it may say.
const TIME_LIMIT: Duration = Duration::from_secs(60);
const OUTPUT_LIMIT: u64 = 16 << 20;

impl Options {
    /// That nothing is asked of this service that it does not know.
    ///
    /// # Errors
    ///
    /// The first option that is of other services.
    pub(crate) fn check(&self, service: Kind) -> anyhow::Result<()> {
        let given: [(&str, bool, &[Kind]); 10] = [
            ("--capacity", self.capacity.is_some(), &[Kind::Calcapp]),
            ("--jobs-max", self.jobs_max.is_some(), &[Kind::Calcapp, Kind::Exec]),
            ("--job", !self.jobs.is_empty(), &[Kind::Exec]),
            ("--jobs-per-source-max", self.jobs_per_source_max.is_some(), &[Kind::Exec]),
            ("--pass-env", !self.pass_env.is_empty(), &[Kind::Exec]),
            ("--time-limit", self.time_limit.is_some(), &[Kind::Exec]),
            ("--cpu-limit", self.cpu_limit.is_some(), &[Kind::Exec]),
            ("--memory-limit", self.memory_limit.is_some(), &[Kind::Exec]),
            ("--output-limit", self.output_limit.is_some(), &[Kind::Exec]),
            ("--root", self.root.is_some(), &[Kind::Download]),
        ];
        let foreign = given.iter().find(|(_, given, of)| *given && !of.contains(&service));
        let Some((option, ..)) = foreign else { return Ok(()) };
        let text = format!("{option} is no option of {}", service.label());
        Err(anyhow::anyhow!(text).context(Failure::Usage))
    }

    pub(super) fn calcapp(&self) -> CalcApp {
        let capacity = self.capacity.unwrap_or(CAPACITY);
        CalcApp::new(capacity, self.jobs_max.map_or(CALCULATIONS_MAX, NonZeroUsize::get))
    }

    pub(super) fn exec(&self) -> anyhow::Result<Exec> {
        let commands: BTreeMap<_, _> = self.jobs.iter().cloned().collect();
        if commands.is_empty() {
            let text = "no command is allowed: name one with --job NAME=COMMAND";
            return Err(anyhow::anyhow!(text).context(Failure::Usage));
        }
        let limits = Limits {
            time: self.time_limit.unwrap_or(TIME_LIMIT),
            cpu_secs: self.cpu_limit,
            memory_octets: self.memory_limit,
        };
        let processors = || available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs_max = self.jobs_max.unwrap_or_else(processors).get();
        let output_max = self.output_limit.unwrap_or(OUTPUT_LIMIT);
        let guard = Guard::start().context("cannot start a guard of the commands")?;
        let jobs = (jobs_max, self.jobs_per_source_max.map(NonZeroUsize::get));
        let environment = Environment::with(&self.pass_env);
        Ok(Exec::new(commands, limits, output_max, jobs, environment, guard))
    }

    pub(super) fn download(&self) -> anyhow::Result<Download> {
        let root = self.root.as_ref().context("no directory: name one with --root DIRECTORY");
        let root = root.context(Failure::Usage)?;
        let opened = Root::open(root);
        let opened = opened.with_context(|| format!("cannot open {}", root.display()));
        Ok(Download::new(opened.context(Failure::Configuration)?))
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0".into())
}

fn job(text: &str) -> Result<(String, String), String> {
    let named = text.split_once('=').filter(|(name, command)| {
        (1..=super::exec::packet::NAME_MAX).contains(&name.len()) && !command.is_empty()
    });
    let (name, command) = named.ok_or("a name and a command, such as count='wc -w'")?;
    Ok((name.into(), command.into()))
}
