//! The process that serves: started here, or somebody else's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::process::Command;

use rserpool::PoolHandle;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::net::unix::pipe;

use super::reaper::{Process, Reaper, exit_code};
use super::{AttachError, Config};

/// The process that serves.
pub(super) enum Server {
    /// Started here.
    Child(Process),
    /// Somebody else's, which is not ended here.
    Other(Pid, pipe::Receiver),
    /// Nothing is known of a process.
    Unknown,
}

impl Server {
    pub(super) fn start(config: &Config, reaper: &Reaper) -> Result<Self, AttachError> {
        if let Some(number) = config.pid {
            let other = other(number).map_err(|source| AttachError::Process { number, source })?;
            return Ok(other);
        }
        let mut words = config.launcher.iter().chain(&config.command);
        let Some(program) = words.next() else { return Ok(Self::Unknown) };
        let mut command = Command::new(program);
        command.args(words).env(VARIABLE, variable(&config.element.handle));
        let started = reaper.spawn(&mut command);
        let program = config.command.first().cloned().unwrap_or_else(OsString::new);
        started.map(Self::Child).map_err(|source| AttachError::Spawn { program, source })
    }

    /// Waits for its end, and says with which exit code; 0 for somebody else's.
    pub(super) async fn ended(&mut self) -> u8 {
        match self {
            Self::Child(process) => process.ended().await.map_or(1, exit_code),
            Self::Other(_, fd) => match fd.readable().await {
                Ok(_) => 0,
                Err(_) => 1,
            },
            Self::Unknown => std::future::pending().await,
        }
    }

    /// Passes a signal on.
    pub(super) fn signal(&self, signal: Signal) {
        match self {
            Self::Child(process) => process.signal(signal),
            Self::Other(..) | Self::Unknown => {}
        }
    }

    /// Kills all that was started here.
    pub(super) fn kill(&self) {
        if let Self::Child(process) = self {
            process.kill_group();
        }
    }

    /// Whether it is one that has to be ended here.
    pub(super) fn is_child(&self) -> bool {
        matches!(self, Self::Child(_))
    }

    /// Whether its process stands still (SIGSTOP, a debugger): it accepts connections then, and
    /// answers none.
    pub(super) fn is_stopped(&self) -> bool {
        let pid = match self {
            Self::Child(process) => process.pid,
            Self::Other(pid, _) => *pid,
            Self::Unknown => return false,
        };
        let status = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        // The name before the state may have any octets, parentheses among them.
        let state = status.ok().and_then(|text| text.rsplit(')').next()?.trim().chars().next());
        matches!(state, Some('T' | 't'))
    }
}

/// The environment variable with which a server knows its pool.
const VARIABLE: &str = "RSERPOOL_POOL";

/// A handle as text, which has no NUL.
fn variable(handle: &PoolHandle) -> String {
    handle.to_string().replace('\0', "\\x00")
}

fn other(number: u32) -> io::Result<Server> {
    let raw = i32::try_from(number).ok().and_then(Pid::from_raw);
    let pid = raw.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    rustix::process::test_kill_process(pid).or_else(|error| match error {
        // It is there, and somebody else's.
        rustix::io::Errno::PERM => Ok(()),
        error => Err(error),
    })?;
    let fd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    // It is no pipe, but becomes readable as one does that ends: when the process has ended.
    Ok(Server::Other(pid, pipe::Receiver::from_owned_fd_unchecked(fd)?))
}
