//! `rserpool pools`: the pools that a registrar knows.

use crate::admin::{AdminArgs, cell, encoded, yes_or_no};
use crate::output::{Format, Output};
use crate::runtime;

/// Show the pools that a registrar knows.
///
/// Over its admin API: see --admin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those whose handles begin so.
    prefix: Option<String>,

    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let admin = self.admin.open()?;
        let prefix = self.prefix.unwrap_or_default();
        let path = format!("/v1/pools?prefix={}", encoded(prefix.as_bytes()));
        let pools = runtime::block_on(async { admin.list(&path).await })?;
        if output.format() == Format::Json {
            return Ok(output.json(&pools)?);
        }
        let row = |pool: &serde_json::Value| {
            let cells = ["pool", "policy", "transport"].map(|name| cell(&pool[name])).into_iter();
            let numbers = ["elements", "listed", "own"].map(|name| cell(&pool[name]));
            cells.chain([yes_or_no(&pool["control_channel"])]).chain(numbers).collect()
        };
        let headings = ["POOL", "POLICY", "TRANSPORT", "CONTROL", "ELEMENTS", "LISTED", "OWN"];
        Ok(output.rows(&headings, pools.iter().map(row))?)
    }
}
