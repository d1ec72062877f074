//! The processes of this process: who ended, and how.
//!
//! One place waits for all of them, those too that nobody here started: where this is the first
//! process of a container, orphans become its children.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::debug;

/// Knows who waits for the end of which process.
#[derive(Clone, Debug, Default)]
pub(super) struct Reaper(Arc<Mutex<BTreeMap<i32, oneshot::Sender<WaitStatus>>>>);

/// A process with a group of its own. It is not killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    ended: oneshot::Receiver<WaitStatus>,
}

impl Reaper {
    /// Starts a process as the leader of a group of its own.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Process> {
        use std::os::unix::process::CommandExt as _;
        // Whoever ends before this is in the table is not waited for before: there is no await here.
        let mut table = self.lock();
        let child = command.process_group(0).spawn()?;
        let number = i32::try_from(child.id()).map_err(io::Error::other)?;
        let pid = Pid::from_raw(number).ok_or_else(|| io::Error::other("a process without id"))?;
        let (sender, ended) = oneshot::channel();
        table.insert(number, sender);
        Ok(Process { pid, ended })
    }

    /// Waits for processes that end, for ever.
    pub(super) async fn run(self) -> io::Result<()> {
        let mut ends = signal(SignalKind::child())?;
        loop {
            self.reap();
            ends.recv().await;
        }
    }

    fn reap(&self) {
        let mut table = self.lock();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            match table.remove(&pid.as_raw_nonzero().get()) {
                // Nobody may want to know any more.
                Some(sender) => drop(sender.send(status)),
                None => debug!(pid = pid.as_raw_nonzero().get(), "an orphan has ended"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, oneshot::Sender<WaitStatus>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Waits for its end. May be cancelled.
    pub(super) async fn ended(&mut self) -> Option<WaitStatus> {
        (&mut self.ended).await.ok()
    }

    /// Sends a signal to the process alone.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = rustix::process::kill_process(self.pid, signal) {
            debug!(%error, ?signal, "the signal found nobody");
        }
    }

    /// Kills it and what it started in its group.
    pub(super) fn kill_group(&self) {
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
    }
}

/// What a shell would say of it: the exit code, and 128 + the signal.
pub(super) fn exit_code(status: WaitStatus) -> u8 {
    let signalled = || status.terminating_signal().map(|signal| 128 + signal);
    let code = status.exit_status().or_else(signalled).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}
