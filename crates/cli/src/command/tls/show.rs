//! What is in a file of certificates or with a key.

use std::path::PathBuf;

use anyhow::Context as _;
use rserpool::transport::tls::{
    KeyError, KeyProblem, ParsedCertificate, Pin, key_of, read_certificates,
};
use serde_json::json;

use crate::exit::Failure;
use crate::output::{Format, Output};

/// Show what a certificate or a key is, and its pin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A PEM file with certificates or a private key.
    file: PathBuf,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        match read_certificates(&self.file) {
            Ok(certificates) => {
                let parsed = certificates.iter().map(|der| ParsedCertificate::of(der));
                let parsed: Result<Vec<_>, String> = parsed.collect();
                let parsed = parsed.map_err(|why| anyhow::anyhow!(why));
                let parsed = parsed.with_context(|| self.file.display().to_string())?;
                print(output, &parsed)
            }
            Err(KeyError { problem: KeyProblem::Without(_), .. }) => {
                let key = key_of(&self.file).context(Failure::Configuration)?;
                let pin = Pin { role: None, key };
                if output.format() == Format::Json {
                    return Ok(output.json(&json!({ "pin": pin.to_string() }))?);
                }
                Ok(output.line(format_args!("private key, pin {pin}"))?)
            }
            Err(error) => Err(anyhow::Error::from(error).context(Failure::Configuration)),
        }
    }
}

fn print(output: &mut Output, certificates: &[ParsedCertificate]) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        let certificates: Vec<_> = certificates.iter().map(certificate).collect();
        return Ok(output.json(&certificates)?);
    }
    for parsed in certificates {
        let ParsedCertificate { subject, issuer, names, key, from, until, is_ca, .. } = parsed;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        output.line(format_args!("subject {}", subject.escape_debug()))?;
        output.line(format_args!("issuer {}", issuer.escape_debug()))?;
        if *is_ca {
            output.line("authority")?;
        }
        for name in names {
            output.line(format_args!("name {}", name.escape_debug()))?;
        }
        output.line(format_args!("valid from {from}"))?;
        output.line(format_args!("valid until {until}"))?;
        output.line(format_args!("pin {}", Pin { role: None, key: *key }))?;
    }
    Ok(())
}

fn certificate(parsed: &ParsedCertificate) -> serde_json::Value {
    let ParsedCertificate { subject, issuer, names, key, from, until, is_ca, .. } = parsed;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    json!({
        "subject": subject, "issuer": issuer, "authority": is_ca, "names": names,
        "valid_from": from, "valid_until": until, "pin": Pin { role: None, key: *key }.to_string(),
    })
}
