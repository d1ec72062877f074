//! `rserpool events`: what happened at a registrar, and what happens.

use std::time::{Duration, SystemTime};

use rserpool::wire::param::PoolHandle;
use serde_json::Value;
use tokio::signal::ctrl_c;

use crate::admin::{Admin, AdminArgs, cell, encoded};
use crate::command::resolve::pool_handle;
use crate::output::{Format, Output};
use crate::runtime;

/// Show what happened at a registrar, and what happens.
///
/// What happened is shown as far back as the registrar remembers. With --follow it goes on until it
/// is interrupted or the registrar ends. Over the admin API: see --admin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what happens from now on.
    #[arg(long, short)]
    follow: bool,

    /// From so long ago on, such as 10m. By default all that it remembers.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<Duration>,

    /// Only of this pool.
    #[arg(long, value_name = "POOL", value_parser = pool_handle)]
    pool: Option<PoolHandle>,

    /// Only of this type, such as left or peer-lost.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,

    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let admin = self.admin.open()?;
        let mut filter = String::new();
        if let Some(pool) = &self.pool {
            filter += &format!("&pool={}", encoded(pool.to_string().as_bytes()));
        }
        if let Some(kind) = &self.kind {
            filter += &format!("&type={}", encoded(kind.as_bytes()));
        }
        let from = self.since.and_then(|ago| SystemTime::now().checked_sub(ago));
        let from = from.map(|from| humantime::format_rfc3339_millis(from).to_string());
        let from = from.map_or_else(|| "after=0".into(), |from| format!("since={from}"));
        let path = format!("/v1/events?{from}{filter}");
        runtime::block_on(async {
            match self.follow {
                true => follow(&admin, &path, output).await,
                false => list(&admin, from, &filter, output).await,
            }
        })
    }
}

/// All that there is.
async fn list(
    admin: &Admin,
    mut from: String,
    filter: &str,
    output: &mut Output,
) -> anyhow::Result<()> {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let mut page = admin.get(&format!("/v1/events?{from}{filter}")).await?;
        if let Value::Array(more) = page["items"].take() {
            events.extend(more);
        }
        match page["next"].as_str() {
            Some(next) => from = format!("after={next}"),
            None => break,
        }
    }
    match output.format() {
        Format::Json => Ok(output.json(&events)?),
        _ => events.iter().try_for_each(|event| show(event, output)),
    }
}

/// All that there is and comes.
async fn follow(admin: &Admin, path: &str, output: &mut Output) -> anyhow::Result<()> {
    let mut lines = admin.follow(path).await?;
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            _ = ctrl_c() => return Ok(()),
        };
        match line {
            None => return Ok(()),
            Some(line) if line.is_empty() => {}
            Some(line) if output.format() == Format::Json => output.line(line)?,
            Some(line) => show(&serde_json::from_str(&line)?, output)?,
        }
    }
}

/// One event on a line: its time, its type, and a sentence.
pub(crate) fn show(event: &Value, output: &mut Output) -> anyhow::Result<()> {
    if event["type"] == "gap" {
        return Ok(output.line(format_args!("… {} events are gone", event["missed"]))?);
    }
    let (at, kind, text) = (cell(&event["at"]), cell(&event["type"]), cell(&event["text"]));
    match output.format() {
        Format::Plain => Ok(output.line(format_args!("{at}\t{kind}\t{text}"))?),
        _ => {
            let time = at.get(11..23).unwrap_or(&at);
            Ok(output.line(format_args!("{time}  {kind:<10}  {text}"))?)
        }
    }
}
