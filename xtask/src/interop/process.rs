//! A program that runs beside the scenario, and ends with it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(5);

/// A program, its standard input, and the lines of its standard output. Its standard error goes to
/// a file. It is killed when this is dropped.
pub(super) struct Process {
    label: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Process {
    /// Starts a program; `out` is where its standard error goes, to `LABEL.log`.
    pub(super) fn start(label: &str, command: &mut Command, out: &Path) -> anyhow::Result<Self> {
        let log = out.join(format!("{label}.log"));
        let stderr = File::create(&log).context("cannot make a log")?;
        let mut child = command
            // Some of rsplib's leave files where they are.
            .current_dir(out)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("cannot start {label}"))?;
        let stdout = child.stdout.take().context("it has no standard output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { label: label.into(), stdin: child.stdin.take(), child, lines, log })
    }

    /// The next line that it prints.
    pub(super) fn line(&self, limit: Duration) -> anyhow::Result<String> {
        let line = self.line_within(limit)?;
        line.with_context(|| format!("{} printed nothing in {limit:?}", self.label))
    }

    /// The next line, if it prints one in time.
    pub(super) fn line_within(&self, limit: Duration) -> anyhow::Result<Option<String>> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("{} ended; see its log", self.label),
        }
    }

    /// What it has logged so far.
    pub(super) fn log(&self) -> anyhow::Result<String> {
        let octets = fs::read(&self.log).with_context(|| format!("the log of {}", self.label))?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    /// Waits until it has logged this.
    pub(super) fn logs(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        wait_for(&format!("`{text}` of {}", self.label), limit, || {
            Ok(self.log()?.contains(text).then_some(()))
        })
    }

    /// True where it has ended by itself.
    pub(super) fn has_ended(&mut self) -> anyhow::Result<bool> {
        let status = self.child.try_wait().with_context(|| format!("cannot see {}", self.label))?;
        Ok(status.is_some())
    }

    /// Gives it a line.
    pub(super) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("its input is closed")?;
        writeln!(stdin, "{line}").with_context(|| format!("{} takes no input", self.label))
    }

    /// Ends its input.
    pub(super) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("it has no process id")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.label))
    }

    /// The processor time that it has taken so far, of all its threads.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(&path).context(path)?;
        // After the name, which ends with the last bracket, user and system time are the 12th and
        // 13th field, in hundredths of a second.
        let (_, rest) = text.rsplit_once(')').context("no name in stat")?;
        let fields = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = fields.sum::<Result<_, _>>().context("no times in stat")?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Waits until it has ended.
    pub(super) fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let label = self.label.clone();
        wait_for(&format!("the end of {label}"), limit, || {
            self.child.try_wait().with_context(|| label.clone())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until `look` finds what it looks for.
pub(super) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {limit:?} for {what}");
        }
        thread::sleep(LOOK);
    }
}
