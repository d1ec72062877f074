//! Processes of a command: this program again, with another command. [`Process`] is their owner's
//! side; [`end_of_stdin`] is their own.

use std::process::Stdio;

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::clock::now_us;

/// A process that ends with its owner: by its standard input, and by force.
pub struct Process {
    child: Child,
    /// Closed, it tells the process to end.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

/// How a process fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// By kill -9.
    Killed,
    /// By SIGSTOP: it lives, and does nothing.
    Frozen,
}

impl Cause {
    /// The name, as in JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
        }
    }
}

impl Process {
    /// Starts this program with these arguments and JSON output.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        // What fails here fails on purpose; errors are said all the same.
        Self::spawn(arguments, Some("off"), Stdio::inherit())
    }

    /// Starts this program with these arguments and JSON output, and reads what it logs: `filter`
    /// is what it is given as RUST_LOG.
    pub fn start_with_log(arguments: &[&str], filter: &str) -> anyhow::Result<(Self, Log)> {
        let arguments = [arguments, &["--log-format", "json"]].concat();
        let mut process = Self::spawn(&arguments, Some(filter), Stdio::piped())?;
        let stderr = process.child.stderr.take().context("no pipe to a process")?;
        Ok((process, Log::of(stderr)))
    }

    /// Starts this program with these arguments and JSON output; what it logs by default comes with
    /// it.
    pub fn start_with_stderr(arguments: &[&str]) -> anyhow::Result<(Self, ChildStderr)> {
        let mut process = Self::spawn(arguments, None, Stdio::piped())?;
        let stderr = process.child.stderr.take().context("no pipe to a process")?;
        Ok((process, stderr))
    }

    fn spawn(arguments: &[&str], filter: Option<&str>, stderr: Stdio) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        match filter {
            Some(filter) => command.env("RUST_LOG", filter),
            None => command.env_remove("RUST_LOG"),
        };
        let mut child = command
            .args(arguments)
            .args(["--output", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a process")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no pipe to a process")?;
        Ok(Self { child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// The next line that it prints.
    pub async fn line<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = self.lines.next_line().await?;
        let line = line.ok_or_else(|| anyhow!("a process has ended"))?;
        serde_json::from_str(&line).context("a process says something odd")
    }

    /// Its number.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().ok_or_else(|| anyhow!("a process has ended"))
    }

    /// Lets it fail; when that was, in microseconds since 1970.
    pub fn strike(&self, cause: Cause) -> anyhow::Result<u64> {
        let signal = match cause {
            Cause::Killed => Signal::KILL,
            Cause::Frozen => Signal::STOP,
        };
        let id = i32::try_from(self.id()?).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| anyhow!("a process has ended"))?;
        let now = now_us();
        kill_process(id, signal).context("cannot signal a process")?;
        Ok(now)
    }

    /// Tells it to end by itself.
    pub fn end(&mut self) {
        self.stdin = None;
    }
}

/// Waits for the end of standard input if `wanted`, else for ever: in a process that ends with its
/// owner.
pub async fn end_of_stdin(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    // Should that program die, its pipe ends with it; but who is stopped does not see that.
    #[cfg(target_os = "linux")]
    let _ = set_parent_process_death_signal(Some(Signal::CONT));
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 256];
    while matches!(stdin.read(&mut ignored).await, Ok(1..)) {}
}

/// What a process logs.
pub struct Log(mpsc::UnboundedReceiver<Entry>);

/// One entry of a log.
#[derive(Debug, Deserialize)]
pub struct Entry {
    timestamp: String,
    /// The message and its fields.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

impl Log {
    /// Reads on whether or not someone takes the entries, for a full pipe would stop the process.
    fn of(stderr: ChildStderr) -> Self {
        let (sender, entries) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(entry) = serde_json::from_str(&line) else {
                    // Last words, of which people should know.
                    eprintln!("{line}");
                    continue;
                };
                if sender.send(entry).is_err() {
                    break;
                }
            }
        });
        Self(entries)
    }

    /// The next entry.
    pub async fn next(&mut self) -> anyhow::Result<Entry> {
        self.0.recv().await.ok_or_else(|| anyhow!("a process has ended"))
    }
}

impl Entry {
    /// What happened.
    pub fn message(&self) -> &str {
        self.text("message")
    }

    /// A field that is text; empty where there is none.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(|value| value.as_str()).unwrap_or_default()
    }

    /// Microseconds since 1970, as the process saw them.
    pub fn at_us(&self) -> anyhow::Result<u64> {
        let at = humantime::parse_rfc3339(&self.timestamp).context("a log without time")?;
        let since = at.duration_since(std::time::SystemTime::UNIX_EPOCH)?;
        Ok(u64::try_from(since.as_micros())?)
    }
}
