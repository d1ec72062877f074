//! `rserpool evict`: an element that is to be out.

use std::time::Duration;

use rserpool_web::Method;
use serde_json::{Value, json};

use crate::acts::{Which, act};
use crate::admin::{AdminArgs, cell, span};
use crate::output::Output;
use crate::runtime;

/// Take an element out of its pool, and do not let it in for a while.
///
/// Its home removes it; every registrar that --admin names refuses its registrations: name all of the
/// scope. It is not told, and comes back when it registers again after that. Exit code 1 where one of
/// them did not do it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// For how long it is not let in, 24 h at most.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    ban: Duration,

    /// Why, for others who look: one line.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let Self { which, ban, reason, admin } = self;
        let admin = admin.open()?;
        let ban_ms = u64::try_from(ban.as_millis()).unwrap_or(u64::MAX);
        let body = json!({ "ban_ms": ban_ms, "reason": reason });
        runtime::block_on(async {
            let targets = which.targets(&admin).await?;
            act(&admin, targets, (Method::POST, "evict"), &body, said, output).await
        })
    }
}

fn said(answer: &Value) -> String {
    let ban = span(&answer["ban_ms"]);
    match (answer["removed"].as_bool(), answer["home"].is_null()) {
        (Some(true), _) => format!("removed, refused for {ban}"),
        (_, true) => format!("not there, refused for {ban}"),
        (_, false) => format!("refused for {ban}; its home is {}", cell(&answer["home"])),
    }
}
