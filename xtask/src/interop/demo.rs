//! `rserpool demo`, as a newcomer runs it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::lab::Lab;

/// The demo ends by itself before, whatever happens.
const LIMIT: Duration = Duration::from_secs(270);

/// Over SCTP of the kernel, where there is one.
pub(super) fn over_kernel_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    run(lab, "kernel-sctp")
}

/// In userland, where the kernel has none.
pub(super) fn over_userland_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    run(lab, "userland-sctp")
}

fn run(lab: &Lab, transport: &str) -> anyhow::Result<Value> {
    let mut demo = lab.rserpool("demo", &["demo"])?;
    let line = demo.line(LIMIT)?;
    let summary: Value = serde_json::from_str(&line).context("the demo's summary")?;
    ensure!(demo.wait(LIMIT)?.success(), "the demo does not end well: {summary}");
    ensure!(summary["transport"] == transport, "over what? {summary}");
    let numbers = ["requests", "answered", "resent", "lost"].map(|key| summary[key].as_u64());
    let [Some(requests), Some(answered), Some(_), Some(lost)] = numbers else {
        anyhow::bail!("a number is missing: {summary}");
    };
    ensure!(requests > 0 && answered == requests && lost == 0, "requests were lost: {summary}");
    let failovers = summary["failovers"].as_array().context("no failovers")?;
    let count = |cause: &str| failovers.iter().filter(|one| one["cause"] == cause).count();
    ensure!(count("killed") >= 3 && count("frozen") >= 1, "who failed? {summary}");
    let is_timed = |one: &Value| one["detected_ms"].is_number() && one["recovered_ms"].is_number();
    ensure!(failovers.iter().all(is_timed), "a time is missing: {summary}");
    Ok(summary)
}
