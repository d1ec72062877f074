//! `rserpool holds`: what operators say of elements just now.

use serde_json::Value;

use crate::admin::{AdminArgs, cell, span};
use crate::output::{Format, Output};
use crate::runtime;

/// Show the elements that operators have drained or evicted.
///
/// As one registrar knows it, the first that answers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let admin = self.admin.open()?;
        let holds = runtime::block_on(async { admin.list("/v1/holds?").await })?;
        if output.format() == Format::Json {
            return Ok(output.json(&holds)?);
        }
        let row = |hold: &Value| {
            let ends = span(&hold["ends_in_ms"]);
            let [kind, pool, id, by, reason] =
                ["kind", "pool", "id", "by", "reason"].map(|name| cell(&hold[name]));
            vec![kind, pool, id, ends, by, reason]
        };
        let headings = ["KIND", "POOL", "ELEMENT", "ENDS IN", "BY", "REASON"];
        Ok(output.rows(&headings, holds.iter().map(row))?)
    }
}
