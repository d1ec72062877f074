//! What single services want to know of their operator.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::calcapp::CalcApp;
use crate::download::Download;
use crate::download::root::Root;
use crate::exec::Exec;
use crate::exec::guard::Guard;
use crate::exec::process::{Environment, Limits};
use crate::kind::StartError;

/// Options of single services; the others ignore them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// calcapp: calculations a second, shared by all jobs; above 0. By default 1000000.
    pub capacity: f64,
    /// calcapp, exec: jobs at once, 1 or more; more are rejected. By default 10, as at rsplib, and
    /// as many as there are processors.
    pub jobs_max: Option<usize>,
    /// exec: the commands that users may run, for /bin/sh, by name; names have 1 to
    /// [`NAME_MAX`](crate::exec::packet::NAME_MAX) octets. None by default, and one is needed.
    pub commands: BTreeMap<String, String>,
    /// exec: jobs at once of one IP address. Three quarters of all by default.
    pub jobs_per_source_max: Option<usize>,
    /// exec: environment variables of this process that commands see beside those that they always
    /// see. None by default.
    pub pass_env: Vec<String>,
    /// exec: how long a command may take. By default 60 s.
    pub time_limit: Duration,
    /// exec: seconds of a processor for each process of a command. No limit by default.
    pub cpu_limit_secs: Option<u64>,
    /// exec: octets of memory for each process of a command. No limit by default.
    pub memory_limit_octets: Option<u64>,
    /// exec: octets that a command may say. By default 16777216.
    pub output_limit_octets: u64,
    /// download: the directory whose files may be fetched. None by default, and it is needed.
    pub root: Option<PathBuf>,
}

/// Jobs at once of the calculation service; as at rsplib.
const CALCULATIONS_MAX: usize = 10;

impl Default for Options {
    fn default() -> Self {
        Self {
            capacity: 1e6,
            jobs_max: None,
            commands: BTreeMap::new(),
            jobs_per_source_max: None,
            pass_env: Vec::new(),
            time_limit: Duration::from_secs(60),
            cpu_limit_secs: None,
            memory_limit_octets: None,
            output_limit_octets: 16 << 20,
            root: None,
        }
    }
}

impl CalcApp {
    pub(crate) fn with(options: &Options) -> Self {
        Self::new(options.capacity, options.jobs_max.unwrap_or(CALCULATIONS_MAX))
    }
}

impl Exec {
    pub(crate) fn with(options: &Options) -> Result<Self, StartError> {
        let commands = options.commands.clone();
        if commands.is_empty() {
            return Err(StartError::NoCommand);
        }
        let limits = Limits {
            time: options.time_limit,
            cpu_secs: options.cpu_limit_secs,
            memory_octets: options.memory_limit_octets,
        };
        let processors = || available_parallelism().map_or(1, usize::from);
        let jobs_max = options.jobs_max.unwrap_or_else(processors);
        let guard = Guard::start().map_err(StartError::StartGuard)?;
        let jobs = (jobs_max, options.jobs_per_source_max);
        let environment = Environment::with(&options.pass_env);
        Ok(Self::new(commands, limits, options.output_limit_octets, jobs, environment, guard))
    }
}

impl Download {
    pub(crate) fn with(options: &Options) -> Result<Self, StartError> {
        let path = options.root.as_ref().ok_or(StartError::NoRoot)?;
        let opened = Root::open(path);
        let root = opened.map_err(|source| StartError::OpenRoot { path: path.clone(), source })?;
        Ok(Self::new(root))
    }
}
