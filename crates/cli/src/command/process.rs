//! Processes of a command: this program again, with another command.

use std::process::Stdio;

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A process that ends with its owner: by its standard input, and by force.
pub(crate) struct Process {
    child: Child,
    /// Closed, it tells the process to end.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program with these arguments and JSON output.
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .args(arguments)
            .args(["--output", "json"])
            // What fails here fails on purpose; errors are said all the same.
            .env("RUST_LOG", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a process")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no pipe to a process")?;
        Ok(Self { child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// The next line that it prints.
    pub(crate) async fn line<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = self.lines.next_line().await?;
        let line = line.ok_or_else(|| anyhow!("a process has ended"))?;
        serde_json::from_str(&line).context("a process says something odd")
    }

    /// kill -9.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Freezes it: it lives, and does nothing.
    pub(crate) fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Tells it to end by itself.
    pub(crate) fn end(&mut self) {
        self.stdin = None;
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let id = id.ok_or_else(|| anyhow!("a process has ended"))?;
        kill_process(id, signal).context("cannot signal a process")
    }
}
