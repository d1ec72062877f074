//! The dashboard in a real browser: `crates/registrar/tests/ui/dashboard.mjs`, with what it needs.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::root;

/// What drives the browser, as npm names it.
const DRIVER: &str = "playwright-core@1.65.1";

/// Runs it. Node.js, npm and Chromium (or what `CHROMIUM` names) have to be there; pictures go to
/// `docs/dashboard`.
pub(super) fn run() -> anyhow::Result<()> {
    let modules = root().join("target/dashboard");
    let found = |name: &str| {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    let browser = env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| found("chromium"));
    let browser = browser.context("no chromium: apt install chromium, or name one in CHROMIUM")?;
    if !modules.join("node_modules/playwright-core").is_dir() {
        std::fs::create_dir_all(&modules)?;
        let mut install = Command::new("npm");
        install.args(["install", "--no-save", "--prefix"]).arg(&modules).arg(DRIVER);
        succeed(install)?;
    }
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(root()).args(["build", "--package", "rserpool-cli", "--bin", "rserpool"]);
    succeed(build)?;
    let mut tests = Command::new("node");
    tests.env("DASHBOARD_MODULES", &modules);
    tests.arg(root().join("crates/registrar/tests/ui/dashboard.mjs"));
    tests.arg(root().join("target/debug/rserpool")).arg(browser);
    tests.arg(root().join("docs/dashboard"));
    succeed(tests)
}

fn succeed(mut command: Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
