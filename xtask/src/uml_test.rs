//! Runs the tests that need SCTP in the kernel in User Mode Linux, which has it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::root;

/// Test targets of `rserpool-transport`, and which of their tests need the kernel.
const TARGETS: [(&str, &[&str]); 5] = [
    ("rserpool_transport", &["probe::"]),
    ("conformance", &["kernel::", "sctp::"]),
    ("endpoints", &[]),
    ("kernel", &[]),
    ("kernel_and_userland", &[]),
];

/// A test that hangs is stopped after so many seconds. No result depends on it.
const TIMEOUT: &str = "300";

/// Builds the tests here and runs them there. `filter`, if any, replaces our choice of tests.
pub(crate) fn run(filter: &[&str]) -> anyhow::Result<()> {
    let binaries = build()?;
    let mut failed = Vec::new();
    for (target, tests) in TARGETS {
        let Some((_, binary)) = binaries.iter().find(|(name, _)| name == target) else {
            bail!("cargo built no test `{target}`");
        };
        eprintln!("== {target} {}", tests.join(" "));
        let status = Command::new(root().join("interop/uml-run"))
            .args(["--timeout", TIMEOUT])
            .arg(binary)
            .args(if filter.is_empty() { tests } else { filter })
            .status()
            .context("interop/uml-run")?;
        match status.code() {
            Some(0) => {}
            Some(101) => failed.push(target),
            Some(125) => bail!("the guest does not start"),
            other => bail!("{target} ended with {other:?} (124 is the time-out)"),
        }
    }
    ensure!(failed.is_empty(), "failed on kernel SCTP: {}", failed.join(", "));
    Ok(())
}

/// Builds the tests; their names and where they are.
fn build() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--package", "rserpool-transport", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo")?;
    let stdout = cargo.stdout.take().context("cargo has no output")?;
    let mut binaries = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(&line?).context("cargo's output")?;
        let name = message["target"]["name"].as_str();
        let binary = message["executable"].as_str();
        if let (Some(name), Some(binary), Some(true)) =
            (name, binary, message["profile"]["test"].as_bool())
        {
            binaries.push((name.to_owned(), PathBuf::from(binary)));
        }
    }
    ensure!(cargo.wait()?.success(), "the tests do not build");
    Ok(binaries)
}
