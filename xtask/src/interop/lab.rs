//! Where a scenario runs: our program, a folder for what comes out, a capture.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::capture::{Capture, Interface};
use super::process::{Process, wait_for};

/// How long programs may take for what they do at once: only what hangs takes that long, also where
/// the machine has much else to do. System calls are slow in a guest.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Configuration of a registrar where elements that live may not be missed for a moment: an answer
/// may take as long as a machine with much else to do can make it take.
pub(super) const PATIENT: &str =
    "[timing]\nkeep_alive_timeout_floor = \"5s\"\nkeep_alive_timeout_cap = \"5s\"\n";

/// The place of one scenario. Its loopback interface is its own.
pub(super) struct Lab {
    binary: PathBuf,
    out: PathBuf,
    capture: Capture,
    /// Programs that run as long as the scenario.
    kept: RefCell<Vec<Process>>,
}

impl Lab {
    /// Sets the loopback interface up and begins to capture.
    pub(super) fn open(binary: PathBuf, out: PathBuf) -> anyhow::Result<Self> {
        let status = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        ensure!(status.context("ip")?.success(), "the loopback interface does not come up");
        let capture = Capture::start(&out, vec![Interface::loopback()])?;
        let_addresses_be_known();
        Ok(Self { binary, out, capture, kept: RefCell::default() })
    }

    /// Gives the loopback interface more addresses.
    pub(super) fn addresses(&self, addresses: &[&str]) -> anyhow::Result<()> {
        for address in addresses {
            let status = Command::new("ip").args(["addr", "add", address, "dev", "lo"]).status();
            ensure!(status.context("ip")?.success(), "no address {address}");
        }
        let_addresses_be_known();
        Ok(())
    }

    /// Captures at these interfaces instead; what was captured is forgotten.
    pub(super) fn capture_at(&mut self, interfaces: Vec<Interface>) -> anyhow::Result<()> {
        self.capture = Capture::start(&self.out, interfaces)?;
        Ok(())
    }

    /// Writes a registrar's configuration; where it is.
    pub(super) fn config(&self, label: &str, text: &str) -> anyhow::Result<String> {
        let path = self.out.join(format!("{label}.toml"));
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        path.into_os_string().into_string().ok().context("a path that is no text")
    }

    /// The program under test.
    pub(super) fn program(&self) -> &Path {
        &self.binary
    }

    /// Where an example program is that was built beside ours.
    pub(super) fn example(&self, name: &str) -> PathBuf {
        self.binary.with_file_name("examples").join(name)
    }

    /// Lets a program run until the scenario ends.
    pub(super) fn keep(&self, process: Process) {
        self.kept.borrow_mut().push(process);
    }

    /// Where logs go.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// Ends the capture.
    pub(super) fn close(self) -> anyhow::Result<()> {
        self.kept.take();
        self.capture.stop()
    }

    /// Starts `rserpool` with these arguments and JSON as its output.
    pub(super) fn rserpool(&self, label: &str, args: &[&str]) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.binary);
        command.args(["-v", "-o", "json"]).args(args);
        Process::start(label, &mut command, &self.out)
    }

    /// Starts `rserpool` on another host, as [`rserpool`](Self::rserpool) does here.
    pub(super) fn rserpool_at(
        &self,
        host: &str,
        label: &str,
        args: &[&str],
    ) -> anyhow::Result<Process> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host]).arg(&self.binary);
        command.args(["-v", "-o", "json"]).args(args);
        Process::start(label, &mut command, &self.out)
    }

    /// Starts any program on another host.
    pub(super) fn start_at(
        &self,
        host: &str,
        label: &str,
        words: &[&str],
    ) -> anyhow::Result<Process> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host]).args(words);
        Process::start(label, &mut command, &self.out)
    }

    /// Runs a command on another host to its end.
    pub(super) fn at(&self, host: &str, words: &[&str]) -> anyhow::Result<()> {
        let status = Command::new("ip").args(["netns", "exec", host]).args(words).status();
        ensure!(status.context("ip")?.success(), "{} does not work on {host}", words.join(" "));
        Ok(())
    }

    /// Runs `rserpool` on another host to its end; what it prints.
    pub(super) fn ask_at(&self, host: &str, label: &str, args: &[&str]) -> anyhow::Result<Value> {
        answer(label, || self.rserpool_at(host, label, args))
    }

    /// Starts `rserpool` and waits for the line by which it says that it serves.
    pub(super) fn serving(&self, label: &str, args: &[&str]) -> anyhow::Result<Process> {
        let process = self.rserpool(label, args)?;
        json(&process)?;
        Ok(process)
    }

    /// Runs `rserpool` to its end; what it prints.
    pub(super) fn ask(&self, label: &str, args: &[&str]) -> anyhow::Result<Value> {
        answer(label, || self.rserpool(label, args))
    }

    /// Runs `rserpool` to its end; what it shows to people.
    pub(super) fn shown(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.binary).args(args).output().context("rserpool")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} ended with {}: {errors}", args[0], output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// What a program prints that is run to its end. It is run again where it found nobody in the time
/// that it has for that, which on a busy machine may be too short.
fn answer(label: &str, run: impl Fn() -> anyhow::Result<Process>) -> anyhow::Result<Value> {
    const NOBODY_REACHABLE: i32 = 69;
    wait_for("somebody to answer", PATIENCE, || {
        let mut process = run()?;
        let answer = json(&process);
        let status = process.wait(PATIENCE)?;
        if status.code() == Some(NOBODY_REACHABLE) {
            return Ok(None);
        }
        ensure!(status.success(), "{label} ended with {status}");
        answer.map(Some)
    })
}

/// Waits until SCTP of the kernel has heard of the addresses that this host was given: it is told half
/// a second later (`SCTP_ADDRESS_TICK_DELAY`), and then every association of an endpoint that is bound
/// to all addresses tells its peer, which may end it. Nothing shows that this is still to come.
pub(super) fn let_addresses_be_known() {
    const TOLD: Duration = Duration::from_millis(700);
    if Path::new("/proc/net/sctp").exists() {
        std::thread::sleep(TOLD);
    }
}

/// The next line of a program, which is JSON.
pub(super) fn json(process: &Process) -> anyhow::Result<Value> {
    let line = process.line(PATIENCE)?;
    let Ok(value) = serde_json::from_str(&line) else { bail!("not JSON: {line}") };
    Ok(value)
}
