//! `rserpool drain`: elements that are told to no user any more.

use std::time::Duration;

use rserpool_web::Method;
use serde_json::{Value, json};

use crate::acts::{Which, act};
use crate::admin::{AdminArgs, span};
use crate::output::Output;
use crate::runtime;

/// Tell no user of an element any more, for a while.
///
/// It stays registered and supervised, and sessions that it has go on; new ones go to other
/// elements. Every registrar is asked that --admin names, for each lists elements for its own users:
/// name all of the scope. One that is started anew does not know of it. Exit code 1 where one of
/// them did not do it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// For how long, 24 h at most; then it is listed again by itself.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    lasting: Duration,

    /// Why, for others who look: one line.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    /// Also the last element of a pool that users are told of.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let Self { which, lasting, reason, force, admin } = self;
        let admin = admin.open()?;
        let for_ms = u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX);
        let body = json!({ "for_ms": for_ms, "reason": reason, "force": force });
        let said = |answer: &Value| format!("not listed for {}", span(&answer["for_ms"]));
        runtime::block_on(async {
            let targets = which.targets(&admin).await?;
            act(&admin, targets, (Method::POST, "hold"), &body, said, output).await
        })
    }
}
