//! `rserpool probe`: which transports work on this host.

use rserpool::transport::probe::{Finding, Subject, probe};
use serde_json::json;

use crate::output::{Format, Output};
use crate::runtime;

/// Say which transports work on this host.
///
/// For a transport that does not work it says what to install or to type.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let findings = runtime::block_on(async { Ok(probe()) })?;
        if output.format() == Format::Json {
            let finding = |finding: &Finding| {
                json!({
                    "transport": name(finding.subject),
                    "works": finding.missing.is_none(),
                    "missing": finding.missing,
                })
            };
            return Ok(output.json(&findings.iter().map(finding).collect::<Vec<_>>())?);
        }
        let rows = findings.iter().map(|finding| {
            let state = finding.missing.clone().unwrap_or_else(|| "works".into());
            vec![name(finding.subject), state]
        });
        Ok(output.rows(&["TRANSPORT", "HERE"], rows)?)
    }
}

fn name(subject: Subject) -> String {
    match subject {
        Subject::Backend(backend) => backend.to_string(),
        Subject::Multicast => "multicast".into(),
        Subject::AddressChanges => "address changes".into(),
        _ => "?".into(),
    }
}
