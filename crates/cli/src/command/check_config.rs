//! `rserpool check-config`: whether a configuration file can be used.

use std::path::PathBuf;

use anyhow::Context as _;
use rserpool_registrar::Config;
use serde_json::json;

use crate::exit::Failure;
use crate::output::{Format, Output};

/// Say whether a registrar can use a configuration file.
///
/// No registrar is run. Where it cannot, everything that is wrong is said, with exit code 78.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file.
    file: PathBuf,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let config = Config::load(&self.file).context(Failure::Configuration)?;
        let checked = config.to_library();
        checked.with_context(|| self.file.display().to_string()).context(Failure::Configuration)?;
        let file = self.file.display();
        match output.format() {
            Format::Json => Ok(output.json(&json!({ "file": file.to_string(), "valid": true }))?),
            _ => Ok(output.line(format_args!("{file} can be used"))?),
        }
    }
}
