//! `rserpool tls`: an authority of one's own, keys and certificates of it, and what is in them.

pub(crate) mod authority;
mod show;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use rserpool::transport::tls::{Name, Role};
use serde_json::json;

use crate::exit::Failure;
use crate::output::{Format, Output};
use authority::{Authority, Issued, Request};

/// Make keys and certificates for a secure scope, and show what is in them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an authority.
    ///
    /// DIR/ca.pem is the certificate that everybody trusts, DIR/ca.key the key that issues others. The
    /// key belongs on no host of the scope.
    Ca(CaArgs),
    /// Issue a certificate.
    ///
    /// It is written to DIR/NAME.pem, and its key to DIR/NAME.key.
    Issue(IssueArgs),
    /// Show what a certificate or a key is, and its pin.
    Show(show::Args),
}

#[derive(Debug, clap::Args)]
struct CaArgs {
    /// The directory to put it in; made if it does not exist.
    dir: PathBuf,

    /// How many days it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = days())]
    days: u32,
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    /// The directory of the authority.
    dir: PathBuf,

    /// The name of its owner. For a registrar this is the host name or address that clients dial.
    #[arg(value_parser = authority::file_name)]
    name: String,

    /// What its owner is: registrar, server or client.
    #[arg(long, value_parser = role)]
    role: Role,

    /// Another name of its owner: a host name, an address or a URI. A prefix DNS:, IP: or URI: says
    /// which. May be repeated.
    #[arg(long = "san", value_name = "NAME", value_parser = authority::alternative_name)]
    names: Vec<Name>,

    /// A pool that the server may serve; a * at the end stands for anything. May be repeated. By
    /// default all pools.
    #[arg(long = "pool", value_name = "HANDLE")]
    pools: Vec<String>,

    /// How many days it is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = days())]
    days: u32,

    /// Replace the certificate by a new one for the same key.
    #[arg(long)]
    renew: bool,
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_500)
}

fn role(text: &str) -> Result<Role, String> {
    text.parse()
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        match self.command {
            Command::Ca(CaArgs { dir, days }) => {
                let made = Authority::make(&dir, days).context("cannot make an authority")?;
                print(output, &made)
            }
            Command::Issue(args) => args.run(output),
            Command::Show(args) => args.run(output),
        }
    }
}

impl IssueArgs {
    fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let Self { dir, name, role, names, pools, days, renew } = self;
        if role != Role::Server && !pools.is_empty() {
            return Err(anyhow::anyhow!("only a server serves pools").context(Failure::Usage));
        }
        let authority = Authority::open(&dir).context(Failure::Configuration)?;
        let request = Request { name: &name, role, names: &names, pools: &pools, days, renew };
        let issued = authority.issue(&request);
        print(output, &issued.with_context(|| format!("cannot issue {name}"))?)
    }
}

fn print(output: &mut Output, issued: &Issued) -> anyhow::Result<()> {
    let Issued { certificate, key, pin, until } = issued;
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    if output.format() == Format::Json {
        let json = json!({
            "certificate": certificate, "key": key, "pin": pin.to_string(), "valid_until": until,
        });
        return Ok(output.json(&json)?);
    }
    output.line(format_args!("certificate {certificate}"))?;
    output.line(format_args!("key {key}"))?;
    output.line(format_args!("pin {pin}"))?;
    Ok(output.line(format_args!("valid until {until}"))?)
}
