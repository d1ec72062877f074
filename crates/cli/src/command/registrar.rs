//! `rserpool registrar`: runs a registrar.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use rserpool::proto::dialect::Dialect;
use rserpool::proto::timing::Profile;
use rserpool::transport::Address;
use rserpool::wire::param::RegistrarId;
use rserpool_registrar::{Config, DEFAULT_ADMIN_URL, Ready, Source, Tls};
use rserpool_web::listen::Endpoint;
use serde::Serialize;

use crate::command::dump::enrp_url;
use crate::exit::Failure;
use crate::keys::KeyArgs;
use crate::output::{Format, Output};
use crate::registrars::{dialect, profile};
use crate::runtime;
use rserpool_bench::process::end_of_stdin;

/// Run a registrar.
///
/// It prints its URLs once it serves, and runs until SIGTERM or SIGINT.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A configuration file; registrar.example.toml shows every key. Options override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The registrar's identifier, such as 0x11. By default random.
    #[arg(long, value_name = "NUMBER")]
    id: Option<RegistrarId>,

    /// Where elements and users reach it, such as sctp://10.0.0.1:3863 or tcp://0.0.0.0:3863; may be
    /// repeated. With port 0 the system chooses the port. By default SCTP and TCP at port 3863 of
    /// 127.0.0.1 and [::1], which only this host reaches.
    #[arg(long, value_name = "URL")]
    asap: Vec<Address>,

    /// Where other registrars reach it, such as sctp://10.0.0.1:9901; may be repeated.
    #[arg(long, value_name = "URL", value_parser = enrp_url)]
    enrp: Vec<Address>,

    /// Another registrar of the scope; may be repeated.
    #[arg(long = "peer", value_name = "URL", value_parser = enrp_url)]
    peers: Vec<Address>,

    /// A multicast group in which registrars find each other, such as rsplib's 239.0.0.51:9901; may
    /// be repeated.
    #[arg(long = "enrp-announce", value_name = "ADDRESS:PORT")]
    enrp_announce: Vec<SocketAddr>,

    /// A multicast group to announce it to, such as 224.0.1.185:3863; may be repeated.
    #[arg(long = "announce", value_name = "ADDRESS:PORT")]
    announce: Vec<SocketAddr>,

    /// The interface for announces. By default the system chooses.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,

    /// Timer values: minimal, fast, wan, rsplib or rfc. By default fast.
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    profile: Option<Profile>,

    /// How this scope speaks: rfc or rsplib. By default rfc.
    #[arg(long, value_name = "DIALECT", value_parser = dialect)]
    dialect: Option<Dialect>,

    /// Accept addresses that elements advertise even if their associations do not have them.
    #[arg(long)]
    allow_advertised: bool,

    /// Suggest elements to other registrars, so that after failures each has its part of them again.
    #[arg(long)]
    takeover_suggestion: bool,

    /// Where operators reach it over HTTP, beside the Unix socket of its runtime directory:
    /// http://127.0.0.1:8863 if no URL is given, unix:PATH, or another address as [admin] of the
    /// configuration file allows; may be repeated.
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        default_missing_value = DEFAULT_ADMIN_URL
    )]
    admin: Vec<Endpoint>,

    /// A file that says who may do what; access.example.toml shows every key. By default whoever is
    /// trusted may do everything.
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,

    /// End with standard input: for programs that start it.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,

    #[command(flatten)]
    keys: KeyArgs,
}

/// What is printed once the registrar serves.
#[derive(Serialize)]
struct Serving {
    id: String,
    asap: Vec<String>,
    enrp: Vec<String>,
    admin: Vec<String>,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let exit_with_stdin = self.exit_with_stdin;
        let config = self.config()?;
        config.to_library().context(Failure::Configuration)?;
        let source: Source = match self.config {
            Some(_) => Some(Box::new(move || self.config())),
            None => None,
        };
        let ready = |ready: Ready| print(output, &ready);
        runtime::block_on(async {
            let end = end_of_stdin(exit_with_stdin);
            rserpool_registrar::run(&config, source, ready, end).await
        })
    }

    /// The file's configuration with the flags over it.
    fn config(&self) -> anyhow::Result<Config> {
        let file = self.config.as_deref().map(Config::load).transpose();
        let mut config = file.context(Failure::Configuration)?.unwrap_or_default();
        config.id = self.id.or(config.id);
        config.profile = self.profile.unwrap_or(config.profile);
        config.dialect = self.dialect.unwrap_or(config.dialect);
        if !self.asap.is_empty() {
            config.asap = Some(self.asap.clone());
        }
        if !self.enrp.is_empty() {
            config.enrp.clone_from(&self.enrp);
        }
        if !self.peers.is_empty() {
            config.peers.clone_from(&self.peers);
        }
        if !self.enrp_announce.is_empty() {
            config.announce.enrp_groups.clone_from(&self.enrp_announce);
        }
        if !self.announce.is_empty() {
            config.announce.groups.clone_from(&self.announce);
        }
        config.admin.listen.extend(self.admin.iter().map(ToString::to_string));
        if let Some(files) = self.keys.files().context(Failure::Configuration)? {
            let Tls { plaintext_ok, tls12, .. } = config.tls;
            config.tls = Tls { plaintext_ok, tls12, ..Tls::from(files) };
        }
        config.announce.interface = self.interface.clone().or(config.announce.interface);
        config.access.file = self.access.clone().or(config.access.file);
        if self.allow_advertised {
            config.allow_advertised = Some(true);
        }
        if self.takeover_suggestion {
            config.takeover_suggestion = Some(true);
        }
        Ok(config)
    }
}

fn print(output: &mut Output, ready: &Ready) -> anyhow::Result<()> {
    let serving = Serving {
        id: ready.id.to_string(),
        asap: ready.asap.iter().map(ToString::to_string).collect(),
        enrp: ready.enrp.iter().map(ToString::to_string).collect(),
        admin: ready.admin.iter().map(ToString::to_string).collect(),
    };
    if output.format() == Format::Json {
        return Ok(output.json(&serving)?);
    }
    output.line(format_args!("registrar {}", serving.id))?;
    for url in serving.asap {
        output.line(format_args!("asap {url}"))?;
    }
    for url in serving.enrp {
        output.line(format_args!("enrp {url}"))?;
    }
    for url in serving.admin {
        output.line(format_args!("admin {url}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;
    use rserpool::transport::Scheme;
    use rserpool::wire::registry::ASAP_PORT;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    // RFC 5352 §3.3; checklist 35.
    #[test]
    fn by_default_it_is_at_the_well_known_ports_of_sctp_and_tcp() {
        let line = Line::parse_from(["registrar"]);
        let asap = line.args.config().unwrap().to_library().unwrap().asap;
        let ends: BTreeSet<(Scheme, u16)> = asap.iter().map(|url| (url.scheme, url.port)).collect();
        assert_eq!(ends, [(Scheme::Sctp, ASAP_PORT), (Scheme::Tcp, ASAP_PORT)].into());
        assert_eq!(ASAP_PORT, 3863);
    }

    #[test]
    fn flags_win_over_the_defaults_of_the_file() {
        let line = Line::parse_from(["registrar", "--takeover-suggestion", "--id", "0x11"]);
        let config = line.args.config().unwrap();
        assert_eq!((config.takeover_suggestion, config.id), (Some(true), "0x11".parse().ok()));
        let line = Line::parse_from(["registrar"]);
        assert_eq!(line.args.config().unwrap().takeover_suggestion, None);
    }
}
