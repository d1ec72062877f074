//! A command as a process: its pipes, its limits, its end.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep_until};

use super::guard::{Guard, Guarded};
use super::packet::{Outcome, Stream};

/// What a command may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Time on the clock.
    pub(crate) time: Duration,
    /// Time of a processor, in seconds.
    pub(crate) cpu_secs: Option<u64>,
    /// Octets of memory, for each of its processes.
    pub(crate) memory_octets: Option<u64>,
}

/// What a command sees of the environment of its server: these variables and no others.
#[derive(Clone, Debug)]
pub(crate) struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Variables that are passed on where the server has them.
    pub(crate) const NAMES: [&str; 10] =
        ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TERM"];

    /// These, and the ones of these names.
    pub(crate) fn with(names: &[String]) -> Self {
        let names = Self::NAMES.into_iter().chain(names.iter().map(String::as_str));
        Self(names.filter_map(|name| Some((name.into(), env::var_os(name)?))).collect())
    }
}

/// A running command. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// All that it starts is in its group, unless it takes pains.
    group: Option<Pid>,
    _guarded: Option<Guarded>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    input: VecDeque<u8>,
    input_ended: bool,
    exited: Option<ExitStatus>,
    /// When it is over, whatever holds its pipes open.
    deadline: Instant,
    time_over: bool,
}

/// What happens to a command.
#[derive(Debug)]
pub(crate) enum ProcessEvent {
    /// It said something.
    Said(Stream, Vec<u8>),
    /// It took so many octets of its input, or will never take them.
    Took(usize),
    /// It has had its time.
    TimeOver,
    /// It has ended, and said all it had to say.
    Ended(Outcome),
}

/// Sets the limits in the process itself, before anything of the command runs.
const WRAPPER: &str = r#"
ulimit -c 0
if [ -n "$1" ]; then ulimit -t "$1" || exit 126; fi
if [ -n "$2" ]; then ulimit -v "$2" || exit 126; fi
exec /bin/sh -c "$3"
"#;
/// How long the output of a command that has ended may still come, from what it left behind.
const REST: Duration = Duration::from_millis(500);

impl Process {
    /// Starts a command line of the operator's.
    pub(crate) fn start(
        command: &str,
        job: u64,
        limits: &Limits,
        environment: &Environment,
        guard: &Arc<Guard>,
    ) -> io::Result<Self> {
        let text = |limit: Option<u64>| limit.map_or_else(String::new, |limit| limit.to_string());
        let memory_kib = limits.memory_octets.map(|octets| octets.div_ceil(1024));
        let mut child = Command::new("/bin/sh")
            .args(["-c", WRAPPER, "sh", &text(limits.cpu_secs), &text(memory_kib), command])
            .env_clear()
            .envs(environment.0.iter().map(|(name, value)| (name, value)))
            .env("RSERPOOL_JOB_ID", job.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self {
            group,
            _guarded: group.map(|group| guard.of(group)),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            input: VecDeque::new(),
            input_ended: false,
            exited: None,
            deadline: Instant::now() + limits.time,
            time_over: false,
        })
    }

    /// Queues input.
    pub(crate) fn feed(&mut self, octets: Vec<u8>) {
        self.input.extend(octets);
    }

    /// There is no more input.
    pub(crate) fn close_input(&mut self) {
        self.input_ended = true;
    }

    /// Ends it, and what it started.
    pub(crate) fn kill(&mut self) {
        self.stdout = None;
        self.stderr = None;
        self.kill_group();
    }

    /// Waits for what happens next; reads at most `room` octets of output.
    ///
    /// Cancelling loses nothing.
    pub(crate) async fn next(&mut self, room: usize) -> ProcessEvent {
        loop {
            if self.input_ended && self.input.is_empty() {
                self.stdin = None;
            }
            if let Some(status) = self.exited
                && self.stdout.is_none()
                && self.stderr.is_none()
            {
                return ProcessEvent::Ended(outcome(status));
            }
            if let Some(happening) = self.step(room).await {
                return happening;
            }
        }
    }

    async fn step(&mut self, room: usize) -> Option<ProcessEvent> {
        if self.stdin.is_none() && !self.input.is_empty() {
            let left = self.input.len();
            self.input.clear();
            return Some(ProcessEvent::Took(left));
        }
        let mut out = vec![0; room];
        let mut err = vec![0; room];
        tokio::select! {
            read = read(&mut self.stdout, &mut out) => said(&mut self.stdout, Stream::Out, read, out),
            read = read(&mut self.stderr, &mut err) => said(&mut self.stderr, Stream::Err, read, err),
            written = write(&mut self.stdin, &self.input) => match written {
                Ok(count @ 1..) => {
                    self.input.drain(..count);
                    Some(ProcessEvent::Took(count))
                }
                // It does not want to know.
                Ok(0) | Err(_) => {
                    self.stdin = None;
                    None
                }
            },
            status = self.child.wait(), if self.exited.is_none() => {
                self.exited = Some(status.unwrap_or_default());
                // What it leaves behind ends with it.
                self.kill_group();
                self.deadline = Instant::now() + REST;
                self.stdin = None;
                None
            }
            () = sleep_until(self.deadline), if self.exited.is_some() || !self.time_over => {
                if self.exited.is_some() {
                    self.stdout = None;
                    self.stderr = None;
                    return None;
                }
                self.time_over = true;
                Some(ProcessEvent::TimeOver)
            }
        }
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            // It may have none any more.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited.is_none() {
            self.kill_group();
        }
    }
}

/// Reads what there is; for ever where there is no pipe or no room.
async fn read(
    pipe: &mut Option<impl tokio::io::AsyncRead + Unpin>,
    room: &mut [u8],
) -> io::Result<usize> {
    match pipe {
        Some(pipe) if !room.is_empty() => pipe.read(room).await,
        _ => std::future::pending().await,
    }
}

/// Writes what fits; for ever where there is nothing to write.
async fn write(pipe: &mut Option<ChildStdin>, input: &VecDeque<u8>) -> io::Result<usize> {
    match pipe {
        Some(pipe) if !input.is_empty() => pipe.write(input.as_slices().0).await,
        _ => std::future::pending().await,
    }
}

fn said<T>(
    pipe: &mut Option<T>,
    stream: Stream,
    read: io::Result<usize>,
    mut octets: Vec<u8>,
) -> Option<ProcessEvent> {
    match read {
        Ok(count @ 1..) => {
            octets.truncate(count);
            Some(ProcessEvent::Said(stream, octets))
        }
        Ok(0) | Err(_) => {
            *pipe = None;
            None
        }
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exited(code),
        (None, signal) => Outcome::Signalled(signal.unwrap_or_default()),
    }
}
