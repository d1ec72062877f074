//! `rserpool peers`: the registrars that a registrar knows.

use serde_json::Value;

use crate::admin::{AdminArgs, cell, span, yes_or_no};
use crate::output::{Format, Output};
use crate::runtime;

/// Show the registrars that a registrar knows.
///
/// Also whether they know the same elements. Over its admin API: see --admin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let admin = self.admin.open()?;
        let peers = runtime::block_on(async { admin.list("/v1/peers?").await })?;
        if output.format() == Format::Json {
            return Ok(output.json(&peers)?);
        }
        let row = |peer: &Value| {
            vec![
                cell(&peer["id"]),
                cell(&peer["state"]),
                cell(&peer["enrp"]),
                span(&peer["last_heard_ms"]),
                cell(&peer["elements"]),
                cell(&peer["checksum_here"]),
                yes_or_no(&peer["agrees"]),
            ]
        };
        let headings = ["REGISTRAR", "STATE", "ENRP", "HEARD", "ELEMENTS", "CHECKSUM", "AGREES"];
        Ok(output.rows(&headings, peers.iter().map(row))?)
    }
}
