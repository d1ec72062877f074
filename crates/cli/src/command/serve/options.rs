//! What some services want to know of their operator.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use rserpool_services::exec::packet::NAME_MAX;
use rserpool_services::{self as services, Kind};

use crate::exit::Failure;

/// Options of single services; the others refuse them.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of single services")]
pub(super) struct Options {
    /// calcapp: calculations a second, shared by all jobs. By default 1000000.
    #[arg(long, value_name = "CALCULATIONS", value_parser = positive)]
    capacity: Option<f64>,

    /// calcapp, exec: the most jobs at once; more are rejected. By default 10 (calcapp) or the
    /// number of processors (exec).
    #[arg(long, value_name = "NUMBER")]
    jobs_max: Option<NonZeroUsize>,

    /// exec: a command that users may run by this name, with /bin/sh. May be repeated; users can run
    /// no other commands.
    #[arg(long = "job", value_name = "NAME=COMMAND", value_parser = job)]
    jobs: Vec<(String, String)>,

    /// exec: the most jobs at once of one IP address. By default three quarters of all.
    #[arg(long, value_name = "NUMBER")]
    jobs_per_source_max: Option<NonZeroUsize>,

    /// exec: another environment variable that commands see, besides PATH, HOME, USER, LOGNAME, LANG,
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

    /// exec: the most octets of output of a command. By default 16777216.
    #[arg(long, value_name = "OCTETS")]
    output_limit: Option<u64>,

    /// download: the directory whose files may be fetched.
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<PathBuf>,
}

impl Options {
    /// That this service has what it needs, and nothing is asked of it that it does not know.
    ///
    /// # Errors
    ///
    /// The first option that is of other services, or the one that is missing.
    pub(super) fn check(&self, service: Kind) -> anyhow::Result<()> {
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
        let text = match foreign {
            Some((option, ..)) => format!("{option} is no option of {}", service.label()),
            None if service == Kind::Exec && self.jobs.is_empty() => {
                "no command is allowed: name one with --job NAME=COMMAND".into()
            }
            None if service == Kind::Download && self.root.is_none() => {
                "no directory: name one with --root DIRECTORY".into()
            }
            None => return Ok(()),
        };
        Err(anyhow!(text).context(Failure::Usage))
    }

    /// The options as the services take them.
    pub(super) fn of_services(&self) -> services::Options {
        let mut options = services::Options::default();
        options.capacity = self.capacity.unwrap_or(options.capacity);
        options.jobs_max = self.jobs_max.map(NonZeroUsize::get);
        options.commands = self.jobs.iter().cloned().collect();
        options.jobs_per_source_max = self.jobs_per_source_max.map(NonZeroUsize::get);
        options.pass_env.clone_from(&self.pass_env);
        options.time_limit = self.time_limit.unwrap_or(options.time_limit);
        options.cpu_limit_secs = self.cpu_limit;
        options.memory_limit_octets = self.memory_limit;
        options.output_limit_octets = self.output_limit.unwrap_or(options.output_limit_octets);
        options.root.clone_from(&self.root);
        options
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0".into())
}

fn job(text: &str) -> Result<(String, String), String> {
    let named = text
        .split_once('=')
        .filter(|(name, command)| (1..=NAME_MAX).contains(&name.len()) && !command.is_empty());
    let (name, command) = named.ok_or("a name and a command, such as count='wc -w'")?;
    Ok((name.into(), command.into()))
}
