//! A capture of all that passes some interfaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;

use super::process::{Process, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
/// dumpcap writes what it has at least this often.
const FLUSH: Duration = Duration::from_millis(300);

/// dumpcap at work.
pub(super) struct Capture {
    dumpcap: Process,
    path: PathBuf,
}

impl Capture {
    /// Captures to `capture.pcapng` in `out`.
    pub(super) fn start(out: &Path, interfaces: &[String]) -> anyhow::Result<Self> {
        let path = out.join("capture.pcapng");
        let mut command = Command::new("dumpcap");
        command.arg("-q");
        for interface in interfaces {
            command.args(["-i", interface]);
        }
        command.arg("-w").arg(&path);
        let dumpcap = Process::start("dumpcap", &mut command, out)?;
        let log = out.join("dumpcap.log");
        wait_for("dumpcap", LIMIT, || {
            // The second of its two lines comes when it captures.
            let text = fs::read_to_string(&log).context("dumpcap.log")?;
            Ok(text.contains("File: ").then_some(()))
        })?;
        Ok(Self { dumpcap, path })
    }

    /// Ends it once everything is in the file.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let mut length = 0;
        loop {
            thread::sleep(FLUSH);
            let now = fs::metadata(&self.path).context("no capture")?.len();
            if now == length {
                break;
            }
            length = now;
        }
        self.dumpcap.signal(Signal::INT)?;
        let status = self.dumpcap.wait(LIMIT)?;
        ensure!(status.success(), "dumpcap ended with {status}");
        Ok(())
    }
}
